/** Words of the kernels' code that stand for several instructions. */
import { block, brIf, get, i32, loop, op, set, shuffle, v128, type Code } from '../../engines/wasm-code.ts';

export function doubles(value: number): Code {
  return v128(new Uint8Array(Float64Array.of(value, value).buffer));
}

export function words(first: number, second = first, third = first, fourth = first): Code {
  return v128(new Uint8Array(Int32Array.of(first, second, third, fourth).buffer));
}

export function longs(low: bigint, high = low): Code {
  return v128(new Uint8Array(BigInt64Array.of(low, high).buffer));
}

/** Lanes of `bytes` bytes each, numbered through both vectors. */
export function shuffleLanes(bytes: number, lanes: readonly number[], first: Code, second: Code = first): Code {
  const positions: number[] = [];
  for (const lane of lanes) for (let byte = 0; byte < bytes; byte++) positions.push(lane * bytes + byte);
  return shuffle(positions, first, second);
}

/** The lower halves of both. */
export function joinLow(low: Code, high: Code): Code {
  return shuffleLanes(8, [0, 2], low, high);
}

export function add(first: Code, ...rest: readonly Code[]): Code {
  return rest.reduce((code, next) => op('i32.add', code, next), first);
}

/** That many times so many bytes, a power of two. */
export function scaled(count: Code, bytes: number): Code {
  return bytes === 1 ? count : op('i32.shl', count, i32(Math.log2(bytes)));
}

/** Repeats the body while the condition, an i32, holds. */
export function whileTrue(condition: Code, body: Code): Code {
  return block(brIf(0, op('i32.eqz', condition)), loop(body, brIf(0, condition)));
}

/**
 * Repeats the body for `at` = 0, 4, 8, ... below `count` (at least 4), the last time with the last four: nothing is left
 * over and nothing beyond is touched, but some are done twice.
 * @param at, last, before numbers of i32 locals
 */
export function byFours(at: number, last: number, before: number, count: Code, body: Code): Code {
  const next = op('i32.add', get(at), i32(4));
  const isInside = op('i32.lt_s', next, get(last));
  return [
    set(last, op('i32.sub', count, i32(4))),
    set(at, i32(0)),
    loop(
      body,
      set(before, get(at)),
      set(at, op('select', next, get(last), isInside)),
      brIf(0, op('i32.ne', get(at), get(before))),
    ),
  ];
}
