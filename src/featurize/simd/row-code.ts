/** The kernels that put columns and ones into the rows of a tensor. */
import { codeNull, elementBytes } from '../../batch.ts';
import type { ElementType } from '../../contract/contract.ts';
import {
  brIf,
  get,
  i32,
  i64,
  ifElse,
  load,
  loop,
  memoryFill,
  op,
  set,
  store,
  storeLane,
  tee,
  WasmFunction,
  type Code,
} from '../../engines/wasm-code.ts';
import { float16Bits } from '../../float16.ts';
import { add, byFours, scaled, shuffleLanes, whileTrue } from './vector-code.ts';

type Size = 1 | 2 | 4 | 8;

/**
 * `run(columns, columnBytes, count, rows, target, rowBytes)`: `count` columns (at least four) of elements of `bytes`
 * bytes, `columnBytes` apart, become side by side in rows (at least four) that are `rowBytes` apart.
 */
export function transposeFunction(bytes: Size): WasmFunction {
  const code = new WasmFunction('run', Array<'i32'>(6).fill('i32'));
  const [columns, columnBytes, count, rows, target, rowBytes] = [0, 1, 2, 3, 4, 5];
  const local = (): number => code.local('i32');
  const [row, lastRow, rowBefore, column, lastColumn, columnBefore] = [
    local(),
    local(),
    local(),
    local(),
    local(),
    local(),
  ];
  const [from, to] = [local(), local()];
  const next = (place: number, step: number): Code => set(place, add(get(place), get(step)));
  const source = add(get(columns), op('i32.mul', get(column), get(columnBytes)), scaled(get(row), bytes));
  const sink = add(get(target), op('i32.mul', get(row), get(rowBytes)), scaled(get(column), bytes));
  const { loads, stores } = tile(code, bytes, get(from), get(to));
  return code.body(
    byFours(row, lastRow, rowBefore, get(rows), [
      byFours(column, lastColumn, columnBefore, get(count), [
        set(from, source),
        set(to, sink),
        loads.map((each) => [each, next(from, columnBytes)]),
        stores.map((each) => [each, next(to, rowBytes)]),
      ]),
    ]),
  );
}

interface Tile {
  /** Locals of the columns; those of 8 bytes take a second one each, four further on. */
  readonly columns: readonly number[];
  readonly loads: readonly Code[];
  readonly stores: readonly Code[];
}

/** Four columns of four elements: how each is loaded, and how each row is stored. */
export function tile(code: WasmFunction, bytes: Size, from: Code, to: Code): Tile {
  const locals = Array.from({ length: 8 }, () => code.local('v128'));
  const [a, b, c, d] = locals as [number, number, number, number];
  if (bytes === 8) {
    return {
      columns: locals,
      loads: [0, 1, 2, 3].map((column) => [
        set(locals[column]!, load('v128.load', from)),
        set(locals[column + 4]!, load('v128.load', from, 16)),
      ]),
      stores: [0, 1, 2, 3].map((row) => {
        const [first, lanes] = [row < 2 ? 0 : 4, row % 2 === 0 ? [0, 2] : [1, 3]];
        const pair = (column: number): Code =>
          shuffleLanes(8, lanes, get(locals[first + column]!), get(locals[first + column + 1]!));
        return [store('v128.store', to, pair(0)), store('v128.store', to, pair(2), 16)];
      }),
    };
  }
  const loader = { 1: 'v128.load32_zero', 2: 'v128.load64_zero', 4: 'v128.load' } as const;
  const loads = [a, b, c, d].map((column) => set(column, load(loader[bytes], from)));
  /** Rows `row` and `row + 1` of two columns, in turn. */
  const zipped = (row: number, first: number, second: number): Code => {
    const perVector = 16 / bytes;
    const lanes = Array.from({ length: perVector }, (_, i) => ((row + (i >> 1)) % 4) + (i % 2) * perVector);
    return shuffleLanes(bytes, lanes, get(first), get(second));
  };
  const [left, right] = [locals[4]!, locals[5]!];
  const stores = [0, 1, 2, 3].map((row) => {
    // A pair of columns: four rows of small elements fit into one vector, two rows of others.
    const perZip = bytes === 4 ? 2 : 4;
    const zip = row % perZip === 0 ? [set(left, zipped(row, a, b)), set(right, zipped(row, c, d))] : [];
    const lane = row % perZip;
    const pairs = 8 / bytes;
    const joined = shuffleLanes(
      2 * bytes,
      Array.from({ length: pairs }, (_, i) => lane + (i % 2) * pairs),
      get(left),
      get(right),
    );
    if (bytes === 4) return [zip, store('v128.store', to, joined)];
    return [zip, storeLane(bytes === 2 ? 'v128.store64_lane' : 'v128.store32_lane', 0, to, joined)];
  });
  return { columns: locals, loads, stores };
}

/** `run(column, rows, target, rowBytes)`: one column into rows. */
export function scatterFunction(bytes: Size): WasmFunction {
  const code = new WasmFunction('run', Array<'i32'>(4).fill('i32'));
  const [from, left, to, rowBytes] = [0, 1, 2, 3];
  const move = {
    1: store('i32.store8', get(to), load('i32.load8_u', get(from))),
    2: store('i32.store16', get(to), load('i32.load16_u', get(from))),
    4: store('i32.store', get(to), load('i32.load', get(from))),
    8: store('i64.store', get(to), load('i64.load', get(from))),
  }[bytes];
  return code.body(
    whileTrue(get(left), [
      move,
      set(from, add(get(from), i32(bytes))),
      set(to, add(get(to), get(rowBytes))),
      set(left, op('i32.sub', get(left), i32(1))),
    ]),
  );
}

/**
 * `run(codes, rows, target, rowBytes, stepBytes, width, ofNull, ofUnknown)`: a one at the code's place among zeros that
 * lie there already, `stepBytes` apart; none beyond `width`. Returns 0, or another number where a code was refused.
 */
export function oneHotFunction(elementType: ElementType): WasmFunction {
  const code = new WasmFunction('run', Array<'i32'>(8).fill('i32'), ['i32']);
  const [codes, left, target, rowBytes, stepBytes, width, ofNull, ofUnknown] = [0, 1, 2, 3, 4, 5, 6, 7];
  const [position, refused] = [code.local('i32'), code.local('i32')];
  const special = op('select', get(ofNull), get(ofUnknown), op('i32.eq', get(position), i32(codeNull)));
  const place = add(get(target), op('i32.mul', get(position), get(stepBytes)));
  return code.body(
    whileTrue(get(left), [
      ifElse(op('i32.lt_s', tee(position, load('i32.load', get(codes))), i32(0)), [
        set(position, special),
        set(refused, op('i32.or', get(refused), op('i32.lt_s', get(position), i32(0)))),
      ]),
      // Without a sign, what is refused lies beyond every width.
      ifElse(op('i32.lt_u', get(position), get(width)), storeOne(elementType, place)),
      set(codes, add(get(codes), i32(4))),
      set(target, add(get(target), get(rowBytes))),
      set(left, op('i32.sub', get(left), i32(1))),
    ]),
    get(refused),
  );
}

function storeOne(elementType: ElementType, place: Code): Code {
  switch (elementType) {
    case 'float32':
      return store('i32.store', place, i32(0x3f80_0000));
    case 'float64':
      return store('i64.store', place, i64(0x3ff0_0000_0000_0000n));
    case 'float16':
      return store('i32.store16', place, i32(float16Bits(1)));
  }
  switch (elementBytes[elementType]) {
    case 1:
      return store('i32.store8', place, i32(1));
    case 2:
      return store('i32.store16', place, i32(1));
    case 4:
      return store('i32.store', place, i32(1));
    default:
      return store('i64.store', place, i64(1n));
  }
}

/** `run(target, bytes, count, stepBytes)`: zeroes `count` stretches of `bytes` bytes (none is empty), `stepBytes` apart. */
export function zeroFunction(): WasmFunction {
  const code = new WasmFunction('run', Array<'i32'>(4).fill('i32'));
  const [target, bytes, count, stepBytes] = [0, 1, 2, 3];
  return code.body(
    loop(
      memoryFill(get(target), i32(0), get(bytes)),
      set(target, add(get(target), get(stepBytes))),
      set(count, op('i32.sub', get(count), i32(1))),
      brIf(0, get(count)),
    ),
  );
}
