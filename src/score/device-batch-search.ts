/**
 * The search for a GPU's batch size: double while the rate gains, look between the sizes where the answer must lie,
 * then run those that are near the best in turn until noise no longer decides, and take the smallest within 3 % of the
 * best.
 * (Triton's Model Analyzer and Lightning's BatchSizeFinder climb the same way.)
 */
import {
  deviceMemoryMargin,
  deviceSamplesKept,
  deviceSamplesMin,
  deviceSearchRunsMax,
  deviceSizesMax,
  deviceStartRows,
  deviceRunSecondsMin,
} from '../limits.ts';
import { bytesAt, bytesText } from './memory-model.ts';
import {
  ceilingBytes,
  decide,
  fits,
  goTo,
  median,
  needBytes,
  recordOf,
  rowsText,
  sizeUpTo,
  withRun,
  type ControllerState,
  type SizeRecord,
} from './device-batch-state.ts';

/** A doubling that gains less is not worth its memory. */
const growthMin = 1.05;
/** One doubling without gain may be chance, two in a row are not. */
const strikesMax = 2;
/** A fall to this share of the best rate is no chance: a cliff. */
const cliffShare = 0.75;
/** Of two sizes within this factor the smaller one wins: it needs less memory and its results are there sooner. */
const goodEnough = 0.03;
/** Rates are compared as soon as this is what noise leaves open. */
const precision = 0.02;
/** Standard error of a median over that of one sample, times the root of their number: normal 1.25, uniform 1.73. */
const medianError = 1.5;
/** Standard deviation over the median difference of two samples: 1 / (0.6745 x sqrt 2) (normal distribution). */
const differenceScale = 1.0483;
/** Runs of a size while it is still to be seen whether it gains. */
const growthSamplesMax = 20;
/** A rate or a peak that differs from a profile's by more means that the profile is of something else. */
const profileRateTolerance = 0.25;

/** Where to go on, given all that has been observed: the size in use, or the next. */
export function search(state: ControllerState): ControllerState {
  if (state.phase === 'steady') return withRun(state);
  if (state.searchRuns >= deviceSearchRunsMax && eligible(state).length > 0)
    return choose(state, 'the search has an end');
  switch (state.phase) {
    case 'verify':
      return verify(state);
    case 'grow':
      return isProbed(state, state.rows) ? grow(state) : withRun(state);
    case 'refine':
      return isProbed(state, state.rows) ? refine(state) : withRun(state);
    case 'compare':
      return compare(state);
  }
}

/** A search from the smallest sizes on. */
export function startSearch(state: ControllerState, reason: string): ControllerState {
  const rows = sizeUpTo(state, Math.min(deviceStartRows, state.rowsMax, state.rowsMaxNow));
  return search(goTo({ ...state, phase: 'grow', prior: undefined, chosenRows: undefined }, rows, reason));
}

/** Sizes that may be chosen: timed, and not too large. */
export function eligible(state: ControllerState): readonly SizeRecord[] {
  const most = Math.min(state.rowsMax, state.rowsMaxNow);
  return state.records.filter(({ rows, secondsPerRow }) => rows <= most && secondsPerRow.length >= deviceSamplesMin);
}

/** Two runs show the memory, since the second allocates by the pattern of the first; the others show the rate. */
function isProbed(state: ControllerState, rows: number): boolean {
  const { runs, secondsPerRow } = recordOf(state, rows);
  return runs >= 2 && secondsPerRow.length >= deviceSamplesMin;
}

/** The profile's size has run twice: the second, at the latest, is prepared. */
function verify(state: ControllerState): ControllerState {
  const { profile } = state.limits;
  const { runs, peakBytes } = recordOf(state, state.rows);
  if (profile === undefined || runs < 2) return withRun(state);
  const rate = recordOf(state, state.rows).rowsPerSecond / profile.rowsPerSecond;
  const memory = (peakBytes ?? bytesAt(profile, state.rows)) / bytesAt(profile, state.rows);
  if (Math.abs(rate - 1) > profileRateTolerance || Math.abs(memory - 1) > deviceMemoryMargin) {
    const found = `the rate is ${percent(rate)} of the profile's, memory ${percent(memory)}`;
    const other = startSearch(state, `${found}: the profile is of something else, search`);
    // In this session, smaller sizes would show the peak of the profile's.
    return { ...other, step: { kind: 'newSession' } };
  }
  const steady: ControllerState = { ...state, phase: 'steady', chosenRows: state.rows };
  return withRun(decide(steady, state.rows, 'rate and memory are those of the profile'));
}

function grow(state: ControllerState): ControllerState {
  const sizes = eligible(state);
  const top = sizes.at(-1)!;
  const next = sizeUpTo(state, 2 * top.rows);
  const mayGrow = next > top.rows && next <= state.rowsMax && fits(state, next);
  if (top.rows / top.rowsPerSecond < deviceRunSecondsMin && mayGrow) {
    return goTo(state, next, `a run of ${rowsText(top.rows)} is too short to tell its rate: grow`);
  }
  const unclear = unclearGain(sizes);
  if (unclear !== undefined) return withRun({ ...state, rows: unclear.rows });
  const { strikes, gain } = growth(sizes);
  if (strikes >= strikesMax) return startRefine(state, `larger sizes gain nothing (${gain})`);
  if (next <= top.rows || next > state.rowsMax) return startRefine(state, 'no larger size is allowed');
  if (!fits(state, next)) return startRefine(state, tooLarge(state, next));
  return goTo(state, next, gain === undefined ? `${rowsText(top.rows)} fit: grow` : `${gain}: grow`);
}

interface Growth {
  /** How many of the largest sizes gain nothing over the best before them. */
  readonly strikes: number;
  readonly gain: string | undefined;
  /** What the largest was compared with. */
  readonly reference: SizeRecord;
}

function growth(sizes: readonly SizeRecord[]): Growth {
  let best = sizes[0]!;
  let reference = best;
  let strikes = 0;
  let gain: string | undefined;
  for (const size of sizes.slice(1)) {
    const ratio = size.rowsPerSecond / best.rowsPerSecond;
    gain = `${rowsText(size.rows)} score at ${percent(ratio)} of the rate of ${rowsText(best.rows)}`;
    if (ratio < cliffShare) strikes = strikesMax;
    else strikes = ratio < growthMin ? strikes + 1 : 0;
    reference = best;
    if (ratio >= growthMin) best = size;
  }
  return { strikes, gain, reference };
}

/** The size to run again where noise could hide whether the largest gains, of the two the one with fewer samples. */
function unclearGain(sizes: readonly SizeRecord[]): SizeRecord | undefined {
  const top = sizes.at(-1)!;
  const { reference } = growth(sizes);
  const error = noiseOf(sizes);
  const open = 2 * Math.hypot(errorOf(top, error), errorOf(reference, error));
  const fewer = reference.secondsPerRow.length < top.secondsPerRow.length ? reference : top;
  const decided = Math.abs(top.rowsPerSecond / reference.rowsPerSecond - growthMin) >= open;
  return decided || fewer.secondsPerRow.length >= growthSamplesMax ? undefined : fewer;
}

function tooLarge(state: ControllerState, rows: number): string {
  return `${rowsText(rows)} need ${bytesText(needBytes(state, rows))}, ${bytesText(ceilingBytes(state))} may be used`;
}

function startRefine(state: ControllerState, reason: string): ControllerState {
  return refine(decide({ ...state, phase: 'refine' }, state.rows, `${reason}: look between the sizes around the best`));
}

/** Halves the two gaps in which the answer may lie: above the best size, and below the smallest that is good enough. */
function refine(state: ControllerState): ControllerState {
  const sizes = eligible(state);
  const best = bestOf(sizes);
  const rows = state.records.length >= deviceSizesMax ? undefined : (above(state, best) ?? below(state, best));
  if (rows !== undefined)
    return goTo(state, rows, `between sizes that are measured, best so far ${rowsText(best.rows)}`);
  return compare(decide({ ...state, phase: 'compare' }, best.rows, 'the sizes near the best run in turn'));
}

function above(state: ControllerState, best: SizeRecord): number | undefined {
  const next = eligible(state).find(({ rows }) => rows > best.rows);
  // Nearly as good as the best: the peak is flat, and the smallest size on it is looked for, not the highest.
  if (next !== undefined && next.rowsPerSecond > best.rowsPerSecond * (1 - 2 * goodEnough)) return undefined;
  return middle(state, best.rows, next?.rows ?? 2 * best.rows + 1);
}

function below(state: ControllerState, best: SizeRecord): number | undefined {
  const sizes = eligible(state);
  const good = sizes.find((size) => size.rowsPerSecond >= best.rowsPerSecond * (1 - goodEnough))!;
  const before = sizes.findLast(({ rows }) => rows < good.rows);
  return before === undefined ? undefined : middle(state, before.rows, good.rows);
}

/** The middle one of the sizes between two that have not run and should fit. */
function middle(state: ControllerState, low: number, high: number): number | undefined {
  const between = state.sizes.filter((rows) => rows > low && rows < high && !isTimed(state, rows) && fits(state, rows));
  return between[between.length >> 1];
}

function isTimed(state: ControllerState, rows: number): boolean {
  return recordOf(state, rows).secondsPerRow.length >= deviceSamplesMin;
}

function compare(state: ControllerState): ControllerState {
  const { finalists, noise } = contest(eligible(state));
  const least = finalists.reduce((fewest, size) =>
    size.secondsPerRow.length < fewest.secondsPerRow.length ? size : fewest,
  );
  const samples = least.secondsPerRow.length;
  const done =
    finalists.length === 1 || samples >= deviceSamplesKept || (samples > deviceSamplesMin && noise <= precision);
  if (!done) return withRun({ ...state, rows: least.rows });
  return choose(state, `${finalists.length} sizes compared over ${samples} runs, noise ${percent(noise)}`);
}

/** Those that noise may hide among the good ones, and the standard error of their rates as a share. */
function contest(sizes: readonly SizeRecord[]): { finalists: readonly SizeRecord[]; noise: number } {
  const deviation = noiseOf(sizes);
  const best = bestOf(sizes);
  const finalists = sizes.filter((size) => {
    const error = Math.hypot(errorOf(size, deviation), errorOf(best, deviation));
    return size.rowsPerSecond >= best.rowsPerSecond * (1 - goodEnough - 2 * error);
  });
  return { finalists, noise: Math.max(...finalists.map((size) => errorOf(size, deviation))) };
}

/** Standard deviation of a run's time as a share, by differences of runs that follow each other: drift is no noise. */
function noiseOf(sizes: readonly SizeRecord[]): number {
  const differences = sizes.flatMap(({ secondsPerRow }) =>
    secondsPerRow.slice(1).map((seconds, index) => Math.abs(seconds / secondsPerRow[index]! - 1)),
  );
  return differences.length === 0 ? 0 : differenceScale * median(differences);
}

function errorOf({ secondsPerRow }: SizeRecord, deviation: number): number {
  return (medianError * deviation) / Math.sqrt(secondsPerRow.length);
}

/**
 * Where noise leaves it open, the larger: rates rise with the size as a rule, and a cliff is no matter of noise. So
 * chance does not cost more than the 3 % either.
 */
function choose(state: ControllerState, reason: string): ControllerState {
  const sizes = eligible(state);
  const open = Math.SQRT2 * contest(sizes).noise;
  const best = bestOf(sizes);
  const quiet = 2 * open < goodEnough;
  const least = best.rowsPerSecond * (1 - (quiet ? goodEnough - 2 * open : open));
  const good = sizes.filter(({ rowsPerSecond }) => rowsPerSecond >= least);
  const { rows } = good.at(quiet ? 0 : -1)!;
  const kind = quiet ? `the smallest within ${percent(goodEnough)} of` : 'the largest that noise does not tell from';
  const text = rows === best.rows ? 'the best rate' : `${kind} ${rowsText(best.rows)}`;
  const steady: ControllerState = { ...state, phase: 'steady', chosenRows: rows };
  return goTo(steady, rows, `${text}; ${reason}`);
}

function bestOf(sizes: readonly SizeRecord[]): SizeRecord {
  return sizes.reduce((best, size) => (size.rowsPerSecond > best.rowsPerSecond ? size : best));
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share < 0.1 ? 1 : 0)} %`;
}
