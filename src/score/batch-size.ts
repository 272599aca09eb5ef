/**
 * Chooses the batch size on a CPU: the first batches of the run are scored in several sizes, in turn, and the smallest
 * size within 3 % of the best rate stays. The batches are the run's own, so measuring costs nothing but their
 * differing speed. A pure function of its samples.
 */
import { batchSizeCandidates } from '../limits.ts';

export interface BatchSizeState {
  /** Ascending. */
  readonly candidates: readonly number[];
  /** Best seconds per row of each candidate so far. */
  readonly secondsPerRow: readonly number[];
  /** Measurements that are complete: one of each candidate is a round. */
  readonly measurements: number;
  /** Of the measurement that is being taken. */
  readonly current: BatchSample;
  readonly rounds: number;
}

export interface BatchSample {
  readonly rowCount: number;
  readonly seconds: number;
}

/**
 * Each size is measured this often, over as many rows as the largest has, so that chance favours none; its best time
 * counts, since everything else only ever adds to it.
 */
const roundsDefault = 3;
/** The first round also pays for memory and code that are touched for the first time. */
const roundsDropped = 1;
/** Of two sizes within this factor the smaller one wins: it needs less memory and its results are there sooner. */
const goodEnough = 1.03;

const nothing: BatchSample = { rowCount: 0, seconds: 0 };

/** Sizes to try: `rowsMax` and the powers of two below it. */
export function startSweep(rowsMax: number, rounds = roundsDefault): BatchSizeState {
  const candidates = [rowsMax];
  for (
    let size = 2 ** Math.floor(Math.log2(Math.max(1, rowsMax - 1)));
    size >= 1 && candidates.length < batchSizeCandidates;
    size /= 2
  ) {
    if (size < rowsMax) candidates.unshift(size);
  }
  const secondsPerRow = candidates.map(() => Infinity);
  return { candidates, secondsPerRow, measurements: 0, current: nothing, rounds: rounds + roundsDropped };
}

/** The size to run next. Once the sweep is over: the chosen one. */
export function nextBatchSize(state: BatchSizeState): number {
  return chosenBatchSize(state) ?? state.candidates[state.measurements % state.candidates.length]!;
}

/** A batch of the size that {@link nextBatchSize} named took so long; others (the tail of a shard) do not count. */
export function addSample(state: BatchSizeState, sample: BatchSample): BatchSizeState {
  const { candidates, measurements, current } = state;
  const index = measurements % candidates.length;
  if (chosenBatchSize(state) !== undefined || sample.rowCount !== candidates[index]) return state;
  const rowCount = current.rowCount + sample.rowCount;
  const seconds = current.seconds + sample.seconds;
  if (rowCount < candidates.at(-1)!) return { ...state, current: { rowCount, seconds } };
  const dropped = measurements < roundsDropped * candidates.length;
  const secondsPerRow = state.secondsPerRow.map((best, at) =>
    at === index && !dropped ? Math.min(best, seconds / rowCount) : best,
  );
  return { ...state, secondsPerRow, measurements: measurements + 1, current: nothing };
}

/** Undefined while the sweep is measuring. */
export function chosenBatchSize(state: BatchSizeState): number | undefined {
  if (state.measurements < state.rounds * state.candidates.length) return undefined;
  const best = Math.min(...state.secondsPerRow);
  return state.candidates[state.secondsPerRow.findIndex((seconds) => seconds <= best * goodEnough)];
}
