/** Statistics in the plainest way, over all values at once: what a fit must find. */

export interface Moments {
  readonly count: number;
  readonly mean: number;
  /** With n - 1. */
  readonly sample: number;
  /** With n. */
  readonly population: number;
}

/** In two passes over values that are all finite. */
export function momentsOf(values: readonly number[]): Moments {
  const count = values.length;
  // Sums of many numbers are kept in two parts (Kahan and Neumaier), so that what a fit adds may be judged by them.
  const mean = sumOf(values) / count;
  const squares = sumOf(values.map((value) => (value - mean) ** 2));
  return { count, mean, sample: Math.sqrt(squares / (count - 1)), population: Math.sqrt(squares / count) };
}

/** numpy.quantile of a list: linear between the two nearest. */
export function quantileOf(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort();
  const at = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.min(Math.floor(at) + 1, sorted.length - 1)]!];
  const part = at - Math.floor(at);
  if (low === high) return low;
  return part >= 0.5 ? high - (high - low) * (1 - part) : low + (high - low) * part;
}

function sumOf(values: readonly number[]): number {
  let [sum, lost] = [0, 0];
  for (const value of values) {
    const next = sum + value;
    lost += Math.abs(sum) >= Math.abs(value) ? sum - next + value : value - next + sum;
    sum = next;
  }
  return sum + lost;
}
