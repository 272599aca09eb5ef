/** Random numbers that are the same in every run. */

export { seededRandom } from '../score/kernels/seeded-random.ts';

/** `length` float32 values, uniform in [low, high). */
export function randomFloats(random: () => number, length: number, low: number, high: number): Float32Array {
  const values = new Float32Array(length);
  // Not by Float32Array.from, which takes ten times as long: models have millions of weights.
  for (let index = 0; index < length; index++) values[index] = low + (high - low) * random();
  return values;
}
