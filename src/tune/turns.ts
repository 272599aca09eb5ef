/** Measures candidates in turn, and says which one is worth it. The clock and the measuring are passed in. */
import { tuneRoundsMax, tuneRoundsMin } from '../limits.ts';

/** Of two settings within this factor the one that takes less wins. */
export const goodEnough = 0.03;
/** Whose best trial is so far below the best median is out: noise does not explain that twice. */
const dropShare = 0.7;
const roundsBeforeDrop = 2;
/** Rates are compared as soon as noise leaves this open. */
const precision = 0.02;

export interface Turns {
  /** Rows a second of each candidate, in the order of the trials; empty: it was not tried. */
  readonly samples: readonly (readonly number[])[];
}

/**
 * Every candidate once, then again in the other order, so that what drifts favours none, until noise no longer decides.
 * @param goesOn asked before each trial, with the round that it is of (0: none has been measured yet)
 */
export async function measureInTurn<Candidate>(
  candidates: readonly Candidate[],
  measure: (candidate: Candidate) => Promise<number>,
  goesOn: (round: number) => boolean,
): Promise<Turns> {
  const samples = candidates.map((): number[] => []);
  let order = candidates.map((_, index) => index);
  for (let round = 0; round < tuneRoundsMax; round++) {
    for (const index of order) {
      if (!goesOn(round)) return { samples };
      samples[index]!.push(await measure(candidates[index]!));
    }
    order.reverse();
    const best = Math.max(...samples.map(median));
    const mayWin = (index: number): boolean => Math.max(...samples[index]!) >= dropShare * best;
    if (round + 1 >= roundsBeforeDrop) order = order.filter(mayWin);
    const isClear = order.length === 1 || noiseOf(samples) / Math.sqrt(round + 1) <= precision;
    if (round + 1 >= tuneRoundsMin && isClear) break;
  }
  return { samples };
}

/** Kept for the comparison with the default at the end. */
const shareKept = 0.15;

/**
 * Whether another trial is begun. One of each candidate always is, and while the time lasts as many as a median needs; noise
 * is answered until the candidates' own share of the time is over.
 * @param round that it is of, from 0
 */
export function mayTry(
  round: number,
  elapsedSeconds: number,
  time: { readonly allSeconds: number; readonly shareEndSeconds: number; readonly isLast: boolean },
): boolean {
  const lastSeconds = time.allSeconds * (time.isLast ? 1 : 1 - shareKept);
  const end = round < tuneRoundsMin ? lastSeconds : Math.min(lastSeconds, time.shareEndSeconds);
  return round === 0 || elapsedSeconds < end;
}

/** Index of the first candidate within 3 % of the best; the first ones take least. -1: none was tried. */
export function chooseLeast(rates: readonly number[]): number {
  const best = Math.max(...rates);
  return rates.findIndex((rate) => rate >= best * (1 - goodEnough));
}

/** Median of how far trials of one candidate that follow each other are apart, as a share; 0 where nothing was repeated. */
export function noiseOf(samples: readonly (readonly number[])[]): number {
  return median(samples.flatMap((rates) => rates.slice(1).map((rate, index) => Math.abs(rate / rates[index]! - 1))));
}

/** 0 of nothing. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((one, other) => one - other);
  const middle = sorted.length >> 1;
  if (sorted.length === 0) return 0;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
