/** Code that stores four values as a tensor's element type has them, side by side, and refuses those that do not fit. */
import type { ElementType } from '../../contract/contract.ts';
import { get, i32, op, set, store, storeLane, type Code, type WasmFunction } from '../../engines/wasm-code.ts';
import { isExact, type ColumnForm, type ListForm } from './form.ts';
import type { ValueCode } from './value-code.ts';
import { doubles, joinLow, longs, shuffleLanes, words } from './vector-code.ts';

/** The values of a form to the address. */
export function storeValues(code: WasmFunction, form: ColumnForm | ListForm, values: ValueCode, address: Code): Code {
  const { elementType } = form;
  const { low, high } = values;
  switch (elementType) {
    case 'float64':
      return [store('v128.store', address, low), store('v128.store', address, high, 16)];
    case 'float16':
      return storePacked(2, address, wordsOf(code, elementType, values));
    case 'int64':
    case 'uint64':
      return isExact(form) ? storeExact(form, values, address) : storeLongs(code, elementType, values, address);
    case 'float32':
    case 'int32':
    case 'uint32':
      return storePacked(4, address, wordsOf(code, elementType, values));
    case 'int16':
    case 'uint16':
      return storePacked(2, address, wordsOf(code, elementType, values));
    case 'int8':
    case 'uint8':
    case 'bool':
      return storePacked(1, address, wordsOf(code, elementType, values));
    case 'string':
      return [];
  }
}

/** Element types of up to four bytes, whose four values fit into one vector. */
export type WordType = Exclude<ElementType, 'float64' | 'int64' | 'uint64' | 'string'>;

/** Leaves the four values as words, of which smaller types take the lowest bytes. */
export function wordsOf(code: WasmFunction, type: WordType, values: ValueCode): Code {
  const { low, high } = values;
  if (type === 'float16') return joinWords(halfBits(code, low), halfBits(code, high));
  if (type !== 'float32') return integers(code, type, values);
  return joinLow(op('f32x4.demote_f64x2_zero', low), op('f32x4.demote_f64x2_zero', high));
}

/** The lower words of four lanes of 64 bits. */
function joinWords(low: Code, high: Code): Code {
  return shuffleLanes(4, [0, 2, 4, 6], low, high);
}

/** The lowest bytes of four words. */
function storePacked(bytes: 1 | 2 | 4, address: Code, fourWords: Code): Code {
  if (bytes === 4) return store('v128.store', address, fourWords);
  if (bytes === 2) {
    return storeLane('v128.store64_lane', 0, address, shuffleLanes(2, [0, 2, 4, 6, 0, 2, 4, 6], fourWords));
  }
  const lanes = [0, 4, 8, 12];
  return storeLane(
    'v128.store32_lane',
    0,
    address,
    shuffleLanes(1, [...lanes, ...lanes, ...lanes, ...lanes], fourWords),
  );
}

type SmallInteger = Exclude<WordType, 'float16' | 'float32'>;

function integers(code: WasmFunction, type: SmallInteger, values: ValueCode): Code {
  const found = code.local('v128');
  const sign = type === 'uint32' ? 'u' : 's';
  const whole = (value: Code): Code => op(`i32x4.trunc_sat_f64x2_${sign}_zero`, value);
  const isOther = (value: Code, fourWords: Code): Code =>
    op('f64x2.ne', op(`f64x2.convert_low_i32x4_${sign}`, fourWords), value);
  return [
    set(found, joinLow(whole(values.low), whole(values.high))),
    values.refuse(isOther(values.low, get(found))),
    values.refuse(isOther(values.high, shuffleLanes(8, [1, 0], get(found)))),
    outOfRange(type, get(found)).map((where) => values.refuse(where)),
    get(found),
  ];
}

/** Where four words do not hold a value of the type. */
function outOfRange(type: SmallInteger, found: Code): Code[] {
  const beyond = (low: number, high: number): Code[] => [
    op('i32x4.lt_s', found, words(low)),
    op('i32x4.gt_s', found, words(high)),
  ];
  switch (type) {
    case 'int8':
      return beyond(-128, 127);
    case 'uint8':
      return beyond(0, 255);
    case 'bool':
      return beyond(0, 1);
    case 'int16':
      return beyond(-32_768, 32_767);
    case 'uint16':
      return beyond(0, 65_535);
    case 'int32':
    case 'uint32':
      return [];
  }
}

/** Integers of 64 bits as they are; between signed and unsigned only below 2^63. */
function storeExact({ source, elementType }: ColumnForm | ListForm, values: ValueCode, address: Code): Code {
  const { low, high } = values;
  const refused =
    source === elementType ? [] : [low, high].map((value) => values.refuse(op('i64x2.lt_s', value, longs(0n))));
  return [refused, store('v128.store', address, low), store('v128.store', address, high, 16)];
}

/** A float64 of less than 2^51 plus this has the integer in its lowest bits, in two's complement. */
const magic = 2 ** 52 + 2 ** 51;
const magicBits = new BigInt64Array(Float64Array.of(magic).buffer)[0]!;

function storeLongs(code: WasmFunction, type: 'int64' | 'uint64', values: ValueCode, address: Code): Code {
  const sum = code.local('v128');
  const half = (value: Code, offset: number): Code => {
    const isOther = op('f64x2.ne', op('f64x2.sub', get(sum), doubles(magic)), value);
    const isSmall =
      type === 'int64'
        ? op('f64x2.lt', op('f64x2.abs', value), doubles(2 ** 51))
        : op('v128.and', op('f64x2.ge', value, doubles(0)), op('f64x2.lt', value, doubles(2 ** 51)));
    return [
      set(sum, op('f64x2.add', value, doubles(magic))),
      values.refuse(op('v128.or', isOther, op('v128.not', isSmall))),
      store('v128.store', address, op('i64x2.sub', get(sum), longs(magicBits)), offset),
    ];
  };
  return [half(values.low, 0), half(values.high, 16)];
}

/** Bits of the halves nearest to two float64, in the lower words: as `float16Bits` has them, without its branches. */
function halfBits(code: WasmFunction, value: Code): Code {
  const [magnitude, bits, normal] = [code.local('v128'), code.local('v128'), code.local('v128')];
  const isBelow = (bound: number): Code => op('f64x2.lt', get(magnitude), doubles(bound));
  const small = op('f64x2.add', op('f64x2.mul', get(magnitude), doubles(2 ** 24)), doubles(2 ** 52));
  const isOdd = op('v128.and', op('i64x2.shr_u', get(magnitude), i32(42)), longs(1n));
  const carried = op('i64x2.add', op('i64x2.add', get(magnitude), longs(2n ** 41n - 1n)), isOdd);
  const rebiased = op('i64x2.sub', op('i64x2.shr_u', carried, i32(42)), longs(BigInt((1023 - 15) << 10)));
  const sign = op('v128.and', op('i64x2.shr_u', value, i32(48)), longs(0x8000n));
  return [
    set(magnitude, op('f64x2.abs', value)),
    set(normal, op('v128.bitselect', rebiased, longs(0x7c00n), isBelow(65520))),
    // In units of the smallest half, 2^52 more leaves the rounded number in the lowest bits.
    set(bits, op('v128.bitselect', op('v128.xor', small, doubles(2 ** 52)), get(normal), isBelow(2 ** -14))),
    set(bits, op('v128.or', get(bits), sign)),
    op('v128.bitselect', get(bits), longs(0x7e00n), op('f64x2.eq', value, value)),
  ];
}
