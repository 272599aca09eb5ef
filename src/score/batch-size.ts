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
  /** Samples taken. */
  readonly samples: number;
  readonly rounds: number;
}

export interface BatchSample {
  readonly rowCount: number;
  readonly seconds: number;
}

/** Each size is measured this often; its best time counts, since everything else only ever adds to it. */
const roundsDefault = 6;
/** The first round also pays for memory and code that are touched for the first time. */
const roundsDropped = 1;
/** Of two sizes within this factor the smaller one wins: it needs less memory and its results are there sooner. */
const goodEnough = 1.03;

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
  return { candidates, secondsPerRow: candidates.map(() => Infinity), samples: 0, rounds: rounds + roundsDropped };
}

/** The size to run next. Once the sweep is over: the chosen one. */
export function nextBatchSize(state: BatchSizeState): number {
  return chosenBatchSize(state) ?? state.candidates[state.samples % state.candidates.length]!;
}

/** A batch of the size that {@link nextBatchSize} named took so long; others (the tail of a shard) do not count. */
export function addSample(state: BatchSizeState, sample: BatchSample): BatchSizeState {
  const index = state.samples % state.candidates.length;
  if (chosenBatchSize(state) !== undefined || sample.rowCount !== state.candidates[index]) return state;
  const dropped = state.samples < roundsDropped * state.candidates.length;
  const secondsPerRow = state.secondsPerRow.map((best, at) =>
    at === index && !dropped ? Math.min(best, sample.seconds / sample.rowCount) : best,
  );
  return { ...state, secondsPerRow, samples: state.samples + 1 };
}

/** Undefined while the sweep is measuring. */
export function chosenBatchSize(state: BatchSizeState): number | undefined {
  if (state.samples < state.rounds * state.candidates.length) return undefined;
  const best = Math.min(...state.secondsPerRow);
  return state.candidates[state.secondsPerRow.findIndex((seconds) => seconds <= best * goodEnough)];
}
