/** From the rows of each leaf to the number of each row's leaf. */
import { get, i64, i32, load, op, set, shuffle, store, WasmFunction, type Code } from '../../engines/wasm-code.ts';
import type { SlicedLayout } from './sliced-layout.ts';

const bytesOfRow = [0, 1, 2, 3, 4, 5, 6, 7] as const;

/**
 * `leaves<n>(slots, numbers)`: 128 bytes, one for each row, from n slots of 128 bits. Bit b of a leaf's number says that
 * it lies in the upper half of its 2^(b+1) neighbours, so the rows with that bit are found by merging halves.
 */
export function leafNumbers(layout: SlicedLayout, leafCount: number): WasmFunction {
  const fn = new WasmFunction(`leaves${leafCount}`, ['i32', 'i32']);
  const levels = Math.ceil(Math.log2(leafCount));
  const planes = Array.from({ length: levels }, () => fn.local('v128'));
  const filled = new Set<number>();
  const merged = Array.from({ length: levels + 1 }, () => fn.local('v128'));
  const held = Array.from({ length: levels + 1 }, () => fn.local('v128'));
  /** Leaves the rows of 2^level leaves in `merged[level]`. */
  const merge = (first: number, level: number): Code => {
    if (level === 0) return set(merged[0]!, load('v128.load', get(0), first * layout.entryBytes));
    const half = level - 1;
    const lower = [...merge(first, half), ...set(held[level]!, get(merged[half]!))];
    const upper = first + 2 ** half;
    if (upper >= leafCount) return [...lower, ...set(merged[level]!, get(held[level]!))];
    const before = filled.has(half) ? [get(planes[half]!)] : [];
    const upperCode = merge(upper, half);
    filled.add(half);
    const plane = before.length === 0 ? get(merged[half]!) : op('v128.or', get(planes[half]!), get(merged[half]!));
    return [
      ...lower,
      ...upperCode,
      ...set(planes[half]!, plane),
      ...set(merged[level]!, op('v128.or', get(held[level]!), get(merged[half]!))),
    ];
  };
  const bits = (from: number): (number | undefined)[] =>
    bytesOfRow.map((bit) => (bit < layout.indexShift ? undefined : planes[from + bit - layout.indexShift]));
  const upperBytes = layout.runBytes;
  return fn.body(merge(0, levels), spread(fn, bits(0), 0), ...(layout.isWide ? [spread(fn, bits(8), upperBytes)] : []));
}

/** Stores, at an offset from parameter 1, a byte for each of 128 rows, whose bits come from 8 vectors. */
function spread(fn: WasmFunction, planes: readonly (number | undefined)[], offset: number): Code {
  const none = op('i64x2.splat', i64(0n));
  const plane = (bit: number): Code => (planes[bit] === undefined ? none : get(planes[bit]));
  const keep = (value: Code): { readonly local: number; readonly code: Code } => {
    const local = fn.local('v128');
    return { local, code: set(local, value) };
  };
  const code: Code[] = [];
  /** Both halves of two vectors, dealt out in turns of `size` bytes. */
  const deal = (one: Code, other: Code, size: number): [Code, Code] => {
    const halves = [0, 8].map((start) => {
      const lanes = Array.from({ length: 16 }, (_, byte) => {
        const turn = Math.floor(byte / size);
        return start + Math.floor(turn / 2) * size + (byte % size) + (turn % 2) * 16;
      });
      const kept = keep(shuffle(lanes, one, other));
      code.push(kept.code);
      return get(kept.local);
    });
    return [halves[0]!, halves[1]!];
  };
  const pairs = [0, 2, 4, 6].map((bit) => deal(plane(bit), plane(bit + 1), 1));
  const quads = [0, 2].map((pair) => [0, 1].flatMap((half) => deal(pairs[pair]![half]!, pairs[pair + 1]![half]!, 2)));
  const eights = [0, 1, 2, 3].flatMap((part) => deal(quads[0]![part]!, quads[1]![part]!, 4));
  eights.forEach((bytes, group) => {
    const rows = fn.local('v128');
    code.push(set(rows, bytes), ...transpose(fn, rows), store('v128.store', get(1), get(rows), offset + 16 * group));
  });
  return code.flat();
}

/**
 * In each half of the vector, 8 bytes of 8 bits: bit i of byte j becomes bit j of byte i.
 * (Warren: Hacker's Delight, 2nd edition, section 7-3)
 */
function transpose(fn: WasmFunction, rows: number): Code[] {
  const moved = fn.local('v128');
  const steps = [
    { by: 7, mask: 0x00aa00aa00aa00aan },
    { by: 14, mask: 0x0000cccc0000ccccn },
    { by: 28, mask: 0x00000000f0f0f0f0n },
  ];
  return steps.map(({ by, mask }) => {
    const difference = op('v128.xor', get(rows), op('i64x2.shr_u', get(rows), i32(by)));
    return [
      ...set(moved, op('v128.and', difference, op('i64x2.splat', i64(mask)))),
      ...set(rows, op('v128.xor', op('v128.xor', get(rows), get(moved)), op('i64x2.shl', get(moved), i32(by)))),
    ];
  });
}
