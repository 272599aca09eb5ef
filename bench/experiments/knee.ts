/** What a measured curve of batch sizes says: cost of a call, cost of a row, where larger batches stop to help. Pure. */
import { counted, formatBytes, formatCount, formatRate } from '../../src/cli/format.ts';

export interface CurvePoint {
  /** Of the batch. */
  readonly rows: number;
  readonly secondsPerCall: number;
}

/** secondsPerCall = perCall + perRow * rows */
export interface CallCost {
  readonly perCallSeconds: number;
  readonly perRowSeconds: number;
  /** Largest |line / measured - 1| of the points that the line was fitted to. */
  readonly misfit: number;
}

/**
 * Least squares of the relative errors, so that a call of 4 µs counts as much as one of 40 ms. No cost is negative.
 * @throws RangeError below two points
 */
export function fitCallCost(points: readonly CurvePoint[]): CallCost {
  if (points.length < 2) throw new RangeError(`Expected at least 2 points for a line, got ${points.length}.`);
  // Minimizes the sum of (perCall * u + perRow * v - 1)^2 with u = 1 / seconds, v = rows / seconds.
  let [uu, uv, vv, u, v] = [0, 0, 0, 0, 0];
  for (const { rows, secondsPerCall } of points) {
    const [one, other] = [1 / secondsPerCall, rows / secondsPerCall];
    uu += one * one;
    uv += one * other;
    vv += other * other;
    u += one;
    v += other;
  }
  const determinant = uu * vv - uv * uv;
  let perCallSeconds = (u * vv - v * uv) / determinant;
  let perRowSeconds = (v * uu - u * uv) / determinant;
  if (!(perCallSeconds >= 0)) [perCallSeconds, perRowSeconds] = [0, v / vv];
  if (!(perRowSeconds >= 0)) [perCallSeconds, perRowSeconds] = [u / uu, 0];
  const misfits = points.map(({ rows, secondsPerCall }) =>
    Math.abs((perCallSeconds + perRowSeconds * rows) / secondsPerCall - 1),
  );
  return { perCallSeconds, perRowSeconds, misfit: Math.max(...misfits) };
}

/** Rates within this share of the best are as good: the same as in the product's own choice. */
const goodEnough = 0.03;

export interface Knee {
  readonly cost: CallCost;
  /** Rows of the batch for which the call costs as much as its rows. */
  readonly halfAtRows: number;
  /** Smallest batch whose rate is within 3 % of the best. */
  readonly kneeRows: number;
  readonly bestRows: number;
  /** Rows per second. */
  readonly bestRate: number;
  /** From this size on every batch is more than 3 % slower than the best; undefined: the rate does not fall again. */
  readonly fallsFromRows: number | undefined;
  readonly lastRows: number;
  /** Rate of the largest batch by the best. */
  readonly lastShare: number;
}

/**
 * @param points ascending by rows. The line is fitted up to the best batch: beyond it other things cost time too.
 * @throws RangeError where the best batch is the smallest
 */
export function findKnee(points: readonly CurvePoint[]): Knee {
  const rates = points.map(({ rows, secondsPerCall }) => rows / secondsPerCall);
  const bestRate = Math.max(...rates);
  const bestIndex = rates.indexOf(bestRate);
  const isGood = (rate: number): boolean => rate >= bestRate * (1 - goodEnough);
  const cost = fitCallCost(points.slice(0, bestIndex + 1));
  const lastGood = rates.findLastIndex(isGood);
  return {
    cost,
    halfAtRows: cost.perCallSeconds / cost.perRowSeconds,
    kneeRows: points[rates.findIndex(isGood)]!.rows,
    bestRows: points[bestIndex]!.rows,
    bestRate,
    fallsFromRows: points[lastGood + 1]?.rows,
    lastRows: points.at(-1)!.rows,
    lastShare: rates.at(-1)! / bestRate,
  };
}

export interface CacheLevel {
  /** `L2` */
  readonly name: string;
  readonly bytes: number;
}

/** What a batch holds in memory at its widest place. */
export interface Activation {
  /** `the hidden layer of 256 values` */
  readonly name: string;
  readonly bytesPerRow: number;
}

/** The knee in words. `caches`: of one core, from the smallest on; empty where the system does not tell. */
export function kneeSentences(knee: Knee, widest: Activation, caches: readonly CacheLevel[]): string {
  const { cost, halfAtRows, kneeRows, bestRows, bestRate } = knee;
  const callShare = cost.perCallSeconds / (cost.perCallSeconds + cost.perRowSeconds * kneeRows);
  const line =
    `A call costs ${micros(cost.perCallSeconds)} whatever its size, and ${micros(cost.perRowSeconds)} more for each row ` +
    `(up to ${formatCount(bestRows)} rows the measured times lie within ${percent(cost.misfit)} of this line): ` +
    `at ${counted(Math.max(1, Math.round(halfAtRows)), 'row')} half of the time is the call's.`;
  const good =
    `The smallest batch within 3 % of the best rate (${formatRate(bestRate)} at ${formatCount(bestRows)}) has ` +
    `${counted(kneeRows, 'row')}; the call then takes ${percent(callShare)} of the time.`;
  return `${line} ${good} ${fallSentence(knee, widest, caches)}`;
}

function fallSentence(knee: Knee, widest: Activation, caches: readonly CacheLevel[]): string {
  const { fallsFromRows, lastRows, lastShare } = knee;
  if (fallsFromRows === undefined) return `It does not fall again up to ${formatCount(lastRows)} rows.`;
  const bytes = fallsFromRows * widest.bytesPerRow;
  const set = `the widest activation of such a batch, ${widest.name}, takes ${formatBytes(bytes)}`;
  return (
    `From ${formatCount(fallsFromRows)} rows on it falls again, by ${percent(1 - lastShare)} at ${formatCount(lastRows)}: ` +
    `${set}${placeOf(bytes, caches)}.`
  );
}

/** Which cache the bytes have left, and which holds them. */
function placeOf(bytes: number, caches: readonly CacheLevel[]): string {
  const named = ({ name, bytes: size }: CacheLevel): string => `${name} (${formatBytes(size)})`;
  const left = caches.filter((cache) => cache.bytes < bytes).at(-1);
  const holds = caches.find((cache) => cache.bytes >= bytes);
  if (left === undefined) {
    return holds === undefined ? '' : `, which still fits into ${named(holds)}, so the widest activation is not why`;
  }
  return `, more than ${named(left)}${holds === undefined ? '' : `, less than ${named(holds)}`}`;
}

function micros(seconds: number): string {
  return `${Number((seconds * 1e6).toPrecision(2))} µs`;
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}
