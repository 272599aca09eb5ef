/**
 * Count, mean, sum of squared differences, least and greatest of the values of a feature, and how many were left out. Those
 * of two parts are merged by Chan, Golub and LeVeque's formula ("Updating formulae and a pairwise algorithm for computing
 * sample variances", 1979); within a part the mean is known before the differences are summed.
 */

/** Positions in what is noted of the values of one part, a Float64Array. */
export const tally = {
  count: 0,
  mean: 1,
  squares: 2,
  min: 3,
  max: 4,
  /** Left out: nulls (of a list's values too), lists that are null, NaN, infinite values. */
  nulls: 5,
  nullLists: 6,
  nans: 7,
  infinite: 8,
  /** Values of a list. */
  listLength: 9,
  length: 10,
} as const;

export function emptyTally(): Float64Array {
  const empty = new Float64Array(tally.length);
  empty[tally.min] = Infinity;
  empty[tally.max] = -Infinity;
  return empty;
}

/**
 * Adds the first `count` values to `into`; false: they have no finite sum, and nothing was added. Sums go in several lanes,
 * since each addition waits for the one before it.
 */
export function addValues(into: Float64Array, values: Float64Array, count: number): boolean {
  if (count === 0) return true;
  const sum = sumOf(values, count);
  if (!Number.isFinite(sum)) return false;
  const mean = sum / count;
  // What rounding has left in the mean shows in the differences: their sum would be 0.
  let rest0 = 0.0,
    rest1 = 0.0,
    squares0 = 0.0,
    squares1 = 0.0;
  let min = values[0]!,
    max = values[0]!;
  const even = count - (count % 2);
  for (let i = 0; i < even; i += 2) {
    const value0 = values[i]!;
    const value1 = values[i + 1]!;
    const difference0 = value0 - mean;
    const difference1 = value1 - mean;
    rest0 += difference0;
    rest1 += difference1;
    squares0 += difference0 * difference0;
    squares1 += difference1 * difference1;
    if (value0 < min) min = value0;
    if (value0 > max) max = value0;
    if (value1 < min) min = value1;
    if (value1 > max) max = value1;
  }
  if (even < count) {
    const value = values[even]!;
    rest0 += value - mean;
    squares0 += (value - mean) * (value - mean);
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  const rest = rest0 + rest1;
  addMoments(into, count, mean + rest / count, squares0 + squares1 - (rest * rest) / count, min, max);
  return true;
}

function sumOf(values: Float64Array, count: number): number {
  let sum0 = 0.0,
    sum1 = 0.0,
    sum2 = 0.0,
    sum3 = 0.0;
  const whole = count - (count % 4);
  for (let i = 0; i < whole; i += 4) {
    sum0 += values[i]!;
    sum1 += values[i + 1]!;
    sum2 += values[i + 2]!;
    sum3 += values[i + 3]!;
  }
  for (let i = whole; i < count; i++) sum0 += values[i]!;
  return sum0 + sum1 + (sum2 + sum3);
}

/** Adds so many times the same value; none where it is NaN. */
export function addRepeated(into: Float64Array, value: number, count: number): void {
  if (count > 0 && Number.isFinite(value)) addMoments(into, count, value, 0, value, value);
}

export function mergeTally(into: Float64Array, from: Float64Array): void {
  const [count, mean, squares, min, max] = from as unknown as [number, number, number, number, number];
  addMoments(into, count, mean, squares, min, max);
  for (const counter of [tally.nulls, tally.nullLists, tally.nans, tally.infinite]) into[counter]! += from[counter]!;
  into[tally.listLength] = Math.max(into[tally.listLength]!, from[tally.listLength]!);
}

function addMoments(into: Float64Array, count: number, mean: number, squares: number, min: number, max: number): void {
  if (count === 0) return;
  const before = into[tally.count]!;
  const total = before + count;
  const difference = mean - into[tally.mean]!;
  into[tally.count] = total;
  into[tally.mean]! += (difference * count) / total;
  into[tally.squares]! += squares + difference * difference * ((before * count) / total);
  into[tally.min] = Math.min(into[tally.min]!, min);
  into[tally.max] = Math.max(into[tally.max]!, max);
}
