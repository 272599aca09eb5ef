import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSharedMemory } from './wasm.ts';
import {
  assemble,
  block,
  br,
  brIf,
  call,
  extractLane,
  f32,
  f64,
  get,
  i32,
  i64,
  ifElse,
  load,
  loadLane,
  loop,
  memoryCopy,
  memoryFill,
  op,
  replaceLane,
  set,
  shuffle,
  store,
  storeLane,
  tee,
  v128,
  WasmFunction,
  type Code,
  type WasmModule,
} from './wasm-code.ts';
import { opcodes } from './wasm-opcodes.ts';

const memory = createSharedMemory(65_536);
type Exports = Readonly<Record<string, (...values: (number | bigint)[]) => number | bigint>>;
interface Engine {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: Exports };
}
const { Module, Instance } = (globalThis as unknown as { readonly WebAssembly: Engine }).WebAssembly;

function build(module: Omit<WasmModule, 'memoryPages' | 'name'>, imports: object = {}): Exports {
  const bytes = assemble({ name: 'test', memoryPages: 1, ...module });
  return new Instance(new Module(bytes), { env: { memory, ...imports } }).exports;
}

/** What an expression without parameters gives. */
function valueOf(type: 'i32' | 'i64' | 'f32' | 'f64', code: Code): number | bigint {
  const run = new WasmFunction('run', [], [type]).body(code);
  return build({ functions: [run] })['run']!();
}

test('constants of every size and sign', () => {
  for (const value of [0, 1, -1, 63, 64, -64, -65, 127, 128, 8191, 8192, -8193, 2 ** 31 - 1, -(2 ** 31)]) {
    assert.equal(valueOf('i32', i32(value)), value);
    for (const factor of [1n, 2n ** 31n, -3n])
      assert.equal(valueOf('i64', i64(BigInt(value) * factor)), BigInt(value) * factor);
    assert.equal(valueOf('f64', f64(value / 3)), value / 3);
    assert.equal(valueOf('f32', f32(value / 3)), Math.fround(value / 3));
  }
  assert.equal(valueOf('i64', i64(-(2n ** 63n))), -(2n ** 63n));
  assert.ok(Object.is(valueOf('f64', f64(-0)), -0));
  assert.ok(Number.isNaN(valueOf('f64', f64(NaN))));
});

test('functions have names where V8 tells them', () => {
  const falls = new WasmFunction('falls', []).body(op('unreachable'));
  const calls = new WasmFunction('calls', []).body(call(1));
  assert.throws(
    () => build({ imports: [], functions: [calls, falls] })['calls']!(),
    ({ stack }: Error) => /at test\.falls \(wasm:.*\n +at test\.calls \(wasm:/.test(stack!),
  );
});

test('a loop over memory, locals of several types, and a call of its own and of an import', () => {
  const twice = new WasmFunction('twice', ['f64'], ['f64']).body(op('f64.add', get(0), get(0)));
  const sum = new WasmFunction('sum', ['i32', 'i32'], ['f64']);
  const [total, at] = [sum.local('f64'), sum.local('i32')];
  const addOne = set(total, op('f64.add', get(total), load('f64.load', get(at), 8)));
  sum.body(
    set(at, get(0)),
    block(
      brIf(0, op('i32.eqz', get(1))),
      loop(addOne, set(at, op('i32.add', get(at), i32(8))), brIf(0, op('i32.lt_u', get(at), get(1)))),
    ),
    // Index 0 is the import.
    call(1, call(0, get(total))),
  );
  const imports = [{ name: 'half', params: ['f64'], results: ['f64'] }] as const;
  const exports = build({ imports, functions: [twice, sum] }, { half: (value: number) => value / 2 });
  new Float64Array(memory.buffer).set([99, 1.5, 2.5, 4]);
  assert.equal(exports['sum']!(0, 24), 8);
  assert.equal(exports['sum']!(0, 0), 0);
});

test('branches, and both arms of a condition', () => {
  const sign = new WasmFunction('sign', ['i32'], ['i32']);
  const found = sign.local('i32');
  sign.body(
    block(
      brIf(0, op('i32.eqz', get(0))),
      ifElse(op('i32.lt_s', get(0), i32(0)), [...set(found, i32(-1)), ...br(1)], set(found, i32(1))),
      set(found, op('i32.mul', get(found), i32(1))),
    ),
    get(found),
  );
  const exports = build({ functions: [sign] });
  assert.deepEqual(
    [-5, 0, 7].map((value) => exports['sign']!(value)),
    [-1, 0, 1],
  );
});

test('vectors: lanes, shuffles, and what goes to memory and back', () => {
  const bytes = Array.from({ length: 16 }, (_, index) => index + 1);
  const run = new WasmFunction('run', []);
  const [vector, other] = [run.local('v128'), run.local('v128')];
  run.body(
    store('v128.store', i32(0), tee(vector, v128(bytes))),
    store(
      'v128.store',
      i32(0),
      shuffle([15, 14, 13, 12, 16, 17, 18, 19, 0, 0, 0, 0, 31, 30, 29, 28], get(vector), op('i8x16.splat', i32(77))),
      16,
    ),
    set(other, loadLane('v128.load32_lane', 2, i32(0), get(vector), 4)),
    storeLane('v128.store64_lane', 1, i32(32), get(other), 8),
    store(
      'f64.store',
      i32(48),
      op(
        'f64.promote_f32',
        extractLane('f32x4.extract_lane', 3, replaceLane('f32x4.replace_lane', 3, get(other), f32(2.5))),
      ),
    ),
    memoryFill(i32(64), i32(9), i32(4)),
    memoryCopy(i32(68), i32(66), i32(4)),
  );
  new Uint8Array(memory.buffer).fill(0, 0, 128);
  build({ functions: [run] })['run']!();
  const seen = new Uint8Array(memory.buffer.slice(0, 128));
  assert.deepEqual([...seen.slice(0, 16)], bytes);
  assert.deepEqual([...seen.slice(16, 32)], [16, 15, 14, 13, 77, 77, 77, 77, 1, 1, 1, 1, 77, 77, 77, 77]);
  assert.deepEqual([...seen.slice(40, 48)], [5, 6, 7, 8, 13, 14, 15, 16]);
  assert.equal(new Float64Array(seen.buffer, 48, 1)[0], 2.5);
  assert.deepEqual([...seen.slice(64, 76)], [9, 9, 9, 9, 9, 9, 0, 0, 0, 0, 0, 0]);
});

test('operators at the ends of the table of codes mean what their names say', () => {
  const [seven, minus] = [i32(7), i32(-8)];
  assert.equal(valueOf('i32', op('i32.ge_u', seven, minus)), 0);
  assert.equal(valueOf('i32', op('i32.rotr', i32(1), i32(1))), -(2 ** 31));
  assert.equal(valueOf('i64', op('i64.rotr', i64(2n), i64(1n))), 1n);
  assert.equal(valueOf('f32', op('f32.copysign', f32(3), f32(-1))), -3);
  assert.equal(valueOf('f64', op('f64.copysign', f64(-3), f64(1))), 3);
  assert.equal(valueOf('i64', op('i64.extend32_s', i64(2n ** 32n - 1n))), -1n);
  assert.equal(valueOf('i64', op('i64.trunc_sat_f64_u', f64(-5))), 0n);
  const doubles = (first: number, second: number): Code => v128(new Uint8Array(Float64Array.of(first, second).buffer));
  const lane = (code: Code): number | bigint => valueOf('f64', extractLane('f64x2.extract_lane', 1, code));
  assert.equal(lane(op('f64x2.pmax', doubles(1, 2), doubles(4, 3))), 3);
  assert.equal(lane(op('f64x2.sqrt', doubles(1, 9))), 3);
  assert.equal(lane(op('f64x2.neg', doubles(1, 9))), -9);
  assert.equal(lane(op('f64x2.nearest', doubles(1, 2.5))), 2);
  assert.equal(lane(op('f64x2.trunc', doubles(1, -2.5))), -2);
  assert.equal(lane(op('f64x2.convert_low_i32x4_u', op('i32x4.splat', i32(-1)))), 2 ** 32 - 1);
  const word = (code: Code): number | bigint => valueOf('i32', extractLane('i32x4.extract_lane', 1, code));
  assert.equal(word(op('i32x4.dot_i16x8_s', op('i16x8.splat', seven), op('i16x8.splat', minus))), -112);
  assert.equal(word(op('i64x2.ge_s', op('i64x2.splat', i64(2n)), op('i64x2.splat', i64(-2n)))), -1);
  assert.equal(word(op('i32x4.sub', op('i32x4.splat', seven), op('i32x4.splat', minus))), 15);
  assert.equal(valueOf('i32', op('i64x2.bitmask', doubles(1, -1))), 2);
  assert.equal(valueOf('i32', op('v128.any_true', doubles(0, 1))), 1);
});

const operandTypes = ['i32', 'i64', 'f32', 'f64', 'v128'] as const;

test('every plain operator of the table is one that the engine knows, under the type that its name begins with', () => {
  const zero = { i32: i32(0), i64: i64(0n), f32: f32(0), f64: f64(0), v128: v128(new Uint8Array(16)) };
  const names = (Object.keys(opcodes) as (keyof typeof opcodes)[]).filter(
    (name) => name.includes('.') && !/load|store|lane/.test(name),
  );
  assert.ok(names.length > 300, `${names.length}`);
  const refused = names.filter(
    (name) =>
      !signatures(3).some((operands) =>
        operandTypes.some((result) =>
          isValid(
            operands.flatMap((type) => zero[type]),
            name,
            result,
          ),
        ),
      ),
  );
  assert.deepEqual(refused, []);
});

function isValid(operands: Code, name: keyof typeof opcodes, result: (typeof operandTypes)[number]): boolean {
  const run = new WasmFunction('run', [], [result]).body([...operands, ...opcodes[name]]);
  try {
    build({ functions: [run] });
    return true;
  } catch {
    return false;
  }
}

/** Operand lists of up to three: of one type, or a vector with a number. */
function signatures(most: number): (typeof operandTypes)[number][][] {
  const alike = operandTypes.flatMap((type) => Array.from({ length: most }, (_, count) => Array(count + 1).fill(type)));
  return [...alike, ...operandTypes.map((type) => ['v128' as const, type])] as (typeof operandTypes)[number][][];
}
