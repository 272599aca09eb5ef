/**
 * What a model run takes of a device's memory: fixed + per row x rows, fitted to the peaks that were seen. Weights and
 * context are fixed; activations and device buffers grow with the rows (measured: exactly linear but for models whose
 * engines pick workspaces by shape, which adds steps, and those that compare rows with rows, which adds a square).
 */
import { deviceMemoryMargin } from '../limits.ts';

/** Device memory of this process, at its highest, when batches of so many rows ran. */
export interface MemoryPoint {
  readonly rows: number;
  readonly peakBytes: number;
}

export interface MemoryFit {
  readonly fixedBytes: number;
  readonly perRowBytes: number;
}

/** Least squares through points of at least two sizes, neither term below zero; undefined where there are fewer. */
export function fitMemory(points: readonly MemoryPoint[]): MemoryFit | undefined {
  if (new Set(points.map(({ rows }) => rows)).size < 2) return undefined;
  const meanRows = mean(points.map(({ rows }) => rows));
  const meanBytes = mean(points.map(({ peakBytes }) => peakBytes));
  let squares = 0;
  let products = 0;
  for (const { rows, peakBytes } of points) {
    squares += (rows - meanRows) ** 2;
    products += (rows - meanRows) * (peakBytes - meanBytes);
  }
  const perRowBytes = Math.max(0, products / squares);
  const fixedBytes = meanBytes - perRowBytes * meanRows;
  return fixedBytes >= 0 ? { fixedBytes, perRowBytes } : fitThroughZero(points);
}

/** A steeper line would start below zero bytes: memory grows faster than the rows do. */
function fitThroughZero(points: readonly MemoryPoint[]): MemoryFit {
  let squares = 0;
  let products = 0;
  for (const { rows, peakBytes } of points) {
    squares += rows ** 2;
    products += rows * peakBytes;
  }
  return { fixedBytes: 0, perRowBytes: products / squares };
}

export function bytesAt({ fixedBytes, perRowBytes }: MemoryFit, rows: number): number {
  return fixedBytes + perRowBytes * rows;
}

/**
 * What `rows` rows should stay below: the fit, 7 % for what an arena cannot use (measured: the exact prediction failed
 * by 1 %), and the fit's own errors. Of these the larger counts: the worst residual, or how far the largest size went
 * beyond what the sizes below it had predicted, scaled by the square of the rows, as it is where memory grows with
 * the square. Undefined while there is no fit.
 */
export function safeBytesAt(points: readonly MemoryPoint[], rows: number): number | undefined {
  const fit = fitMemory(points);
  if (fit === undefined) return undefined;
  const residualBytes = Math.max(...points.map((point) => point.peakBytes - bytesAt(fit, point.rows)));
  const largest = points.reduce((most, point) => (point.rows > most.rows ? point : most));
  const before = fitMemory(points.filter((point) => point.rows < largest.rows));
  const surpriseBytes = before === undefined ? 0 : largest.peakBytes - bytesAt(before, largest.rows);
  const errorBytes = Math.max(0, residualBytes, surpriseBytes * (rows / largest.rows) ** 2);
  return bytesAt(fit, rows) * (1 + deviceMemoryMargin) + errorBytes;
}

/** Bytes as people read them: `3.1 GiB`. */
export function bytesText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 2 ** (10 * power)).toFixed(power === 0 ? 0 : 1)} ${units[power]!}`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
