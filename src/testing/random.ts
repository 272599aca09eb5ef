/** Random numbers that are the same in every run. */

/** Numbers in [0, 1) from a seed: mulberry32 (Tommy Ettinger, public domain), 2^32 steps long. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `length` float32 values, uniform in [low, high). */
export function randomFloats(random: () => number, length: number, low: number, high: number): Float32Array {
  const values = new Float32Array(length);
  // Not by Float32Array.from, which takes ten times as long: models have millions of weights.
  for (let index = 0; index < length; index++) values[index] = low + (high - low) * random();
  return values;
}
