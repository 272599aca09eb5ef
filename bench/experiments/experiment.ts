/** What the classic experiments share: each asks one question, checks its answers, then measures. */
import type { InferredOptionTypes, Options } from 'yargs';
import type { VegaLiteSpec } from '../chart.ts';

export type Flags = Readonly<Record<string, Options>>;

export interface Experiment<Given extends Flags> {
  readonly name: string;
  readonly question: string;
  /** For its help: what is compared, and how. */
  readonly explain: string;
  readonly flags: Given;
  /** @throws Error when an answer is not the one that another way of computing it gives */
  run(given: InferredOptionTypes<Given>, say: (text: string) => void): Promise<Outcome>;
}

export interface Outcome {
  readonly table: string;
  /** What the figures mean, below the table. */
  readonly sentences: readonly string[];
  /** All rounds, as JSON. */
  readonly figures: object;
  readonly chart: VegaLiteSpec;
  /** CPU time of processes that the experiment started. */
  readonly childSeconds?: number;
}

/** For `coerce`: a whole number from 1 on. */
export function whole(flag: string): (value: number) => number {
  return (value) => {
    if (Number.isInteger(value) && value >= 1) return value;
    throw new RangeError(`Expected --${flag} to be a whole number of at least 1, got \`${value}\`.`);
  };
}

/** For `coerce`: a number above 0; undefined where the flag is not given. */
export function positive(flag: string): (value: number) => number {
  return (value) => {
    if (value === undefined || (value > 0 && Number.isFinite(value))) return value;
    throw new RangeError(`Expected --${flag} to be a number above 0, got \`${value}\`.`);
  };
}

export const roundsFlag = {
  type: 'number',
  default: 3,
  describe: 'Rounds; in each, all ways take turns',
  coerce: whole('rounds'),
} as const;

/** Flag for the least time of one way in one round. */
export function secondsFlag(seconds: number) {
  return {
    type: 'number',
    default: seconds,
    describe: 'Least time of one way in one round',
    coerce: positive('seconds'),
  } as const;
}

/**
 * Largest |found - expected|. NaN equals NaN and nothing else.
 * @throws RangeError when there are not as many values
 */
export function largestDifference(found: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (found.length !== expected.length) {
    throw new RangeError(`Expected ${expected.length} values, got ${found.length}.`);
  }
  let largest = 0;
  for (let index = 0; index < expected.length; index++) {
    const [one, other] = [found[index]!, expected[index]!];
    if (one === other || (one !== one && other !== other)) continue;
    const difference = Math.abs(one - other);
    if (!(difference <= largest)) largest = difference === difference ? difference : Infinity;
  }
  return largest;
}

/** @throws Error naming the way whose answers differ by more than `tolerance` */
export function expectSame(way: string, difference: number, tolerance = 0): number {
  if (difference <= tolerance) return difference;
  throw new Error(`Expected the answers of ${way} to differ by at most ${tolerance}, got ${difference}.`);
}
