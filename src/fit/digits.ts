/**
 * Counting values by the digits of their order, so that the k-th smallest of any number of values is found exactly in a few
 * passes and bounded memory (radix selection). A float64 as an unsigned integer of 64 bits, the sign bit turned over and
 * all bits of negative ones, is ordered as the numbers are. It is cut into digits of 16, 12, 12, 12 and 12 bits: one pass
 * counts the first digit, the next pass the second one of the values whose first one is wanted, and so on.
 */
import { fitCollectedMax } from '../limits.ts';

export const digitBits: readonly number[] = [16, 12, 12, 12, 12];

/** What a pass looks for. */
export interface DigitSearch {
  readonly level: number;
  /** Digits before this level's, as one number of at most 52 bits, ascending; level 0 has the one prefix 0. */
  readonly prefixes: readonly number[];
  /** For each prefix: whether its values are so few that they are collected instead of counted. */
  readonly collects: readonly boolean[];
}

export interface DigitCounts {
  /** For each prefix as many as the level has digits; those of prefixes that are collected stay 0. */
  readonly counts: Float64Array;
  /** For each prefix. */
  readonly collected: readonly number[][];
  /** Bits behind this level's digit that any value has set: 0 means that the digits are all there is of the values. */
  rest: number;
}

/** Bytes that counting takes in each thread. */
export function digitBytes({ level, prefixes }: DigitSearch): number {
  return prefixes.length * 2 ** digitBits[level]! * Float64Array.BYTES_PER_ELEMENT;
}

export class DigitCounter implements DigitCounts {
  readonly counts: Float64Array;
  readonly collected: readonly number[][];
  rest = 0;
  readonly #search: DigitSearch;
  readonly #digits: number;
  /** Of each first digit, whether a prefix starts with it. */
  readonly #isWanted = new Uint8Array(2 ** 16);

  constructor(search: DigitSearch) {
    this.#search = search;
    this.#digits = 2 ** digitBits[search.level]!;
    this.counts = new Float64Array(search.prefixes.length * this.#digits);
    this.collected = search.prefixes.map(() => []);
    const later = 2 ** (12 * Math.max(0, search.level - 1));
    for (const prefix of search.prefixes) this.#isWanted[Math.floor(prefix / later)] = 1;
  }

  /** Adds the first `count` values, `weight` times each; none is NaN. */
  add(values: Float64Array, count: number, weight = 1): void {
    const { level } = this.#search;
    const words = new Uint32Array(values.buffer, values.byteOffset, count * 2);
    const { counts } = this;
    let rest = 0;
    for (let i = 0; i < count; i++) {
      const low = words[2 * i]!;
      // -0 is the 0 that it equals.
      const high = low === 0 && words[2 * i + 1] === 0x8000_0000 ? 0 : words[2 * i + 1]!;
      const isNegative = high >>> 31 === 1;
      const upper = (isNegative ? ~high : high | 0x8000_0000) >>> 0;
      if (level === 0) {
        counts[upper >>> 16]! += weight;
        rest |= (high & 0xffff) | low;
        continue;
      }
      if (this.#isWanted[upper >>> 16] === 0) continue;
      const lower = (isNegative ? ~low : low) >>> 0;
      const index = this.#find(prefixOf(level, upper, lower));
      if (index < 0) continue;
      if (this.#search.collects[index]!) for (let n = 0; n < weight; n++) this.collected[index]!.push(values[i]!);
      else counts[index * this.#digits + digitOf(level, upper, lower)]! += weight;
      rest |= restOf(level, high, low);
    }
    this.rest |= rest;
  }

  /** Adds what another thread has counted for the same search. */
  merge(other: DigitCounts): void {
    other.counts.forEach((count, i) => (this.counts[i]! += count));
    other.collected.forEach((values, i) => this.collected[i]!.push(...values));
    this.rest |= other.rest;
  }

  #find(prefix: number): number {
    const { prefixes } = this.#search;
    let [low, high] = [0, prefixes.length - 1];
    while (low <= high) {
      const middle = (low + high) >>> 1;
      if (prefixes[middle] === prefix) return middle;
      if (prefixes[middle]! < prefix) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}

/** Bits before the level's digit, of the ordered form. */
function prefixOf(level: number, upper: number, lower: number): number {
  if (level === 1) return upper >>> 16;
  if (level === 2) return upper >>> 4;
  return level === 3 ? upper * 2 ** 8 + (lower >>> 24) : upper * 2 ** 20 + (lower >>> 12);
}

function digitOf(level: number, upper: number, lower: number): number {
  if (level === 1) return (upper >>> 4) & 0xfff;
  if (level === 2) return ((upper & 0xf) << 8) | (lower >>> 24);
  return level === 3 ? (lower >>> 12) & 0xfff : lower & 0xfff;
}

/** Bits behind the level's digit, as the number has them. */
function restOf(level: number, high: number, low: number): number {
  if (level === 1) return (high & 0xf) | low;
  if (level === 2) return low & 0xff_ffff;
  return level === 3 ? low & 0xfff : 0;
}

/** One of the values that are looked for: the `rank`-th smallest, from 0, of those that start with the prefix. */
export interface Rank {
  readonly prefix: number;
  readonly rank: number;
}

/** A value that has been found, or what the next pass has to look for. */
export type Narrowed = { readonly value: number } | (Rank & { readonly collects: boolean });

/** What the counts of a search say of a rank within one of its prefixes. */
export function narrow(search: DigitSearch, found: DigitCounts, { prefix, rank }: Rank): Narrowed {
  const index = search.prefixes.indexOf(prefix);
  if (search.collects[index]!) return { value: Float64Array.from(found.collected[index]!).sort()[rank]! };
  const digits = 2 ** digitBits[search.level]!;
  let [digit, left] = [0, rank];
  for (let count = 0; left >= (count = found.counts[index * digits + digit]!); digit++) left -= count;
  const bits = digitBits.slice(0, search.level + 1).reduce((sum, each) => sum + each, 0);
  if (found.rest === 0 || bits === 64) return { value: numberOf(prefix, digit, search.level) };
  return {
    prefix: prefix * digits + digit,
    rank: left,
    collects: found.counts[index * digits + digit]! <= fitCollectedMax,
  };
}

/** The number whose ordered form starts with these digits and whose own bits behind them are 0. */
function numberOf(prefix: number, digit: number, level: number): number {
  const restBits = BigInt(64 - digitBits.slice(0, level + 1).reduce((sum, each) => sum + each, 0));
  const ordered = ((BigInt(prefix) << BigInt(digitBits[level]!)) | BigInt(digit)) << restBits;
  const isNegative = ordered >> 63n === 0n;
  const bits = isNegative ? ~(ordered | ((1n << restBits) - 1n)) : ordered ^ (1n << 63n);
  return new Float64Array(new BigUint64Array([BigInt.asUintN(64, bits)]).buffer)[0]!;
}
