/**
 * An assembler for small WebAssembly kernels: functions that return the bytes of instructions, named as the text format
 * names them, operands first. Own, since the assemblers on npm take longer to load than a short run may take to start.
 * (Binary format: https://webassembly.github.io/spec/core/binary)
 */
import { bug } from '../errors.ts';
import {
  opcodes,
  type ExtractOperator,
  type LaneLoadOperator,
  type LaneStoreOperator,
  type LoadOperator,
  type PlainOperator,
  type ReplaceOperator,
  type StoreOperator,
} from './wasm-opcodes.ts';

export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

/** Bytes of instructions in order, operands before what uses them; nested, so that none is copied until the end. */
export type Code = readonly (number | Code)[];

const valueTypes: Readonly<Record<ValueType, number>> = { i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b };
type Bytes = readonly number[];

/** Of a block that leaves no value. */
const noValue = 0x40;

/** A function under construction: parameters and locals are numbers, parameters first. */
export class WasmFunction {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
  readonly #locals: ValueType[] = [];
  #code: readonly number[] = [];

  constructor(name: string, params: readonly ValueType[], results: readonly ValueType[] = []) {
    this.name = name;
    this.params = params;
    this.results = results;
  }

  /** A new local, zero at the start. */
  local(type: ValueType): number {
    return this.params.length + this.#locals.push(type) - 1;
  }

  /** Replaces what was its body; results are what it leaves. */
  body(...code: readonly Code[]): this {
    const bytes: number[] = [];
    appendBytes(bytes, code);
    this.#code = bytes;
    return this;
  }

  /** As the code section has it. */
  encode(): readonly number[] {
    const locals = this.#locals.flatMap((type) => [1, valueTypes[type]]);
    return sized(unsigned(this.#locals.length).concat(locals, this.#code, control.end));
  }
}

function appendBytes(bytes: number[], code: Code): void {
  // Not for...of: this runs a few times only, so it is interpreted, where iterators cost three times as much.
  for (let i = 0; i < code.length; i++) {
    const part = code[i]!;
    if (typeof part === 'number') bytes.push(part);
    else appendBytes(bytes, part);
  }
}

const control = { block: 0x02, loop: 0x03, if: 0x04, else: 0x05, end: 0x0b, br: 0x0c, brIf: 0x0d, call: 0x10 } as const;

export function get(local: number): Code {
  return local <= 0x7f ? [0x20, local] : [0x20, ...unsigned(local)];
}

export function set(local: number, value: Code): Code {
  return [value, 0x21, unsigned(local)];
}

/** Sets the local and leaves its value. */
export function tee(local: number, value: Code): Code {
  return [value, 0x22, unsigned(local)];
}

export function i32(value: number): Code {
  return value >= -0x40 && value < 0x40 ? [0x41, value & 0x7f] : [0x41, ...signed(BigInt(value | 0))];
}

export function i64(value: bigint): Code {
  return [0x42, ...signed(BigInt.asIntN(64, value))];
}

export function f32(value: number): Code {
  return [0x43, ...new Uint8Array(Float32Array.of(value).buffer)];
}

export function f64(value: number): Code {
  return [0x44, ...new Uint8Array(Float64Array.of(value).buffer)];
}

/** @param bytes 16, the first lane first */
export function v128(bytes: ArrayLike<number>): Code {
  if (bytes.length !== 16) throw bug(`A vector has 16 bytes, not ${bytes.length}`);
  return [0xfd, 0x0c, ...Array.from(bytes)];
}

/** Every operator that takes nothing but operands: arithmetic, comparisons, conversions, `select`, `drop`, `return`. */
export function op(name: PlainOperator, ...operands: readonly Code[]): Code {
  return [operands, opcodes[name]];
}

/** @param offset bytes, added to the address */
export function load(name: LoadOperator, address: Code, offset = 0): Code {
  return [address, opcodes[name], memoryArgument(offset)];
}

export function store(name: StoreOperator, address: Code, value: Code, offset = 0): Code {
  return [address, value, opcodes[name], memoryArgument(offset)];
}

/** Replaces one lane of the vector by what memory holds. */
export function loadLane(name: LaneLoadOperator, lane: number, address: Code, vector: Code, offset = 0): Code {
  return [address, vector, opcodes[name], memoryArgument(offset), lane];
}

export function storeLane(name: LaneStoreOperator, lane: number, address: Code, vector: Code, offset = 0): Code {
  return [address, vector, opcodes[name], memoryArgument(offset), lane];
}

export function extractLane(name: ExtractOperator, lane: number, vector: Code): Code {
  return [vector, opcodes[name], lane];
}

export function replaceLane(name: ReplaceOperator, lane: number, vector: Code, value: Code): Code {
  return [vector, value, opcodes[name], lane];
}

/** @param lanes 16 byte positions: 0 to 15 of the first vector, 16 to 31 of the second */
export function shuffle(lanes: readonly number[], first: Code, second: Code): Code {
  if (lanes.length !== 16) throw bug(`A shuffle has 16 lanes, not ${lanes.length}`);
  return [first, second, 0xfd, 0x0d, lanes];
}

/** A branch to it goes behind it. */
export function block(...body: readonly Code[]): Code {
  return [control.block, noValue, body, control.end];
}

/** A branch to it goes to its start; without one it ends. */
export function loop(...body: readonly Code[]): Code {
  return [control.loop, noValue, body, control.end];
}

export function ifElse(condition: Code, then: Code, otherwise: Code = []): Code {
  const rest = otherwise.length === 0 ? [] : [control.else, otherwise];
  return [condition, control.if, noValue, then, rest, control.end];
}

/** @param depth 0: the innermost block or loop around it, `ifElse` counted */
export function br(depth: number): Code {
  return [control.br, ...unsigned(depth)];
}

export function brIf(depth: number, condition: Code): Code {
  return [condition, control.brIf, unsigned(depth)];
}

/** @param functionIndex imports first, then the module's own functions in order */
export function call(functionIndex: number, ...operands: readonly Code[]): Code {
  return [operands, control.call, unsigned(functionIndex)];
}

/** `bytes` bytes from one address to another; they may overlap. */
export function memoryCopy(target: Code, from: Code, bytes: Code): Code {
  return [target, from, bytes, 0xfc, 10, 0, 0];
}

/** `bytes` bytes become the lowest byte of `value`. */
export function memoryFill(target: Code, value: Code, bytes: Code): Code {
  return [target, value, bytes, 0xfc, 11, 0];
}

/** A function that the module imports from `env`. */
export interface ImportedFunction {
  readonly name: string;
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

export interface WasmModule {
  /** Profiles name its functions so: `linear.score`. */
  readonly name: string;
  /** Pages of the shared memory that it imports as `env.memory`: at most, or exactly, as many as that has. */
  readonly memoryPages: number;
  readonly imports?: readonly ImportedFunction[];
  /** All are exported by their names. */
  readonly functions: readonly WasmFunction[];
}

/** Pages of a memory at most: 4 GiB but for one, so that what ends with the memory has an end of 32 bits too. */
export const pagesMax = 65_535;
const section = { custom: 0, type: 1, import: 2, function: 3, export: 7, code: 10 } as const;

/** Of the section `name`, which holds other names too. */
const functionNames = 1;

/** The module's bytes, for `WebAssembly.Module`. */
export function assemble({
  name: moduleName,
  memoryPages,
  imports = [],
  functions,
}: WasmModule): Uint8Array<ArrayBuffer> {
  const all = [...imports, ...functions];
  const types = all.map(({ params, results }) => [0x60, ...typeList(params), ...typeList(results)]);
  const shared = 0x03;
  const memory = [...text('env'), ...text('memory'), 0x02, shared, ...unsigned(memoryPages), ...unsigned(pagesMax)];
  const imported = imports.map(({ name }, index) => [...text('env'), ...text(name), 0x00, ...unsigned(index)]);
  const exported = functions.map(({ name }, index) => [...text(name), 0x00, ...unsigned(imports.length + index)]);
  // Without them profiles say `wasm-function[3]`.
  const names = list(all.map(({ name }, index) => [...unsigned(index), ...text(`${moduleName}.${name}`)]));
  const typeIndices = functions.map((_, index) => unsigned(imports.length + index));
  return new Uint8Array(
    [
      [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      [section.type, ...sized(list(types))],
      [section.import, ...sized(list([memory, ...imported]))],
      [section.function, ...sized(list(typeIndices))],
      [section.export, ...sized(list(exported))],
      [section.code, ...sized(list(functions.map((each) => each.encode())))],
      [section.custom, ...sized([...text('name'), functionNames, ...sized(names)])],
    ].flat(),
  );
}

/** The alignment is a hint that no engine needs: none is promised. */
function memoryArgument(offset: number): Bytes {
  return [0, ...unsigned(offset)];
}

function typeList(types: readonly ValueType[]): Bytes {
  return list(types.map((type) => [valueTypes[type]]));
}

function list(items: readonly Bytes[]): Bytes {
  return unsigned(items.length).concat(...items);
}

function sized(content: Bytes): Bytes {
  return unsigned(content.length).concat(content);
}

function text(value: string): Bytes {
  return sized([...Buffer.from(value)]);
}

/** LEB128: seven bits a byte, the lowest first; the highest bit says that more follow. */
function unsigned(value: number): Bytes {
  if (value <= 0x7f) return [value];
  const bytes: number[] = [];
  let left = value;
  for (; left > 0x7f; left = Math.floor(left / 0x80)) bytes.push((left & 0x7f) | 0x80);
  return [...bytes, left];
}

function signed(value: bigint): Bytes {
  const bytes: number[] = [];
  let left = value;
  // The last byte's second highest bit is the sign.
  for (; left < -0x40n || left > 0x3fn; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
  return [...bytes, Number(left & 0x7fn)];
}
