/** From counters to what people and schedulers want to know. Pure: the clock is passed in. */
import { timeLeftMsMin, timeLeftRisesMin } from '../limits.ts';
import type { Progress } from '../options.ts';

/** Nothing is known before the footers are read. */
export const planning: Progress = {
  phase: 'planning',
  rowsDone: 0,
  rowsTotal: 0,
  shardsDone: 0,
  shardsTotal: 0,
  shardsSkipped: 0,
  rowsPerSecondNow: 0,
  rowsPerSecondMean: 0,
  secondsElapsed: 0,
  secondsLeft: undefined,
  batchSize: undefined,
  bottleneck: undefined,
};

/** Counters at a moment, in milliseconds of a monotonic clock. */
export interface Sample {
  readonly atMs: number;
  readonly rowsDone: number;
}

export interface Totals {
  readonly rowsTotal: number;
  readonly shardsTotal: number;
  readonly shardsSkipped: number;
}

/** What others know of the run at that moment. */
export interface RunState extends Pick<Progress, 'shardsDone' | 'batchSize' | 'bottleneck'> {
  /** Over the last few seconds; undefined: that cannot be told yet. */
  readonly rowsPerSecond: number | undefined;
}

export class ProgressMeter {
  readonly #totals: Totals;
  readonly #startMs: number;
  #last: Sample;
  /** When there were rows for the first time, and how often there were more. */
  #firstRowsMs: number | undefined;
  #rises = 0;

  constructor(totals: Totals, startMs: number) {
    this.#totals = totals;
    this.#startMs = startMs;
    this.#last = { atMs: startMs, rowsDone: 0 };
  }

  measure(phase: Progress['phase'], sample: Sample, { rowsPerSecond, ...state }: RunState): Progress {
    const { atMs, rowsDone } = sample;
    if (rowsDone > this.#last.rowsDone) {
      this.#firstRowsMs ??= atMs;
      this.#rises++;
    }
    this.#last = sample;
    const seconds = (atMs - this.#startMs) / 1000;
    const mean = seconds > 0 ? rowsDone / seconds : 0;
    const now = rowsPerSecond ?? mean;
    const left = this.#totals.rowsTotal - rowsDone;
    const isKnown = atMs - (this.#firstRowsMs ?? atMs) >= timeLeftMsMin && this.#rises >= timeLeftRisesMin && now > 0;
    return {
      phase,
      rowsDone,
      ...state,
      ...this.#totals,
      rowsPerSecondNow: now,
      rowsPerSecondMean: mean,
      secondsElapsed: seconds,
      secondsLeft: left === 0 ? 0 : isKnown ? left / now : undefined,
    };
  }
}
