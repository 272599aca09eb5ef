/** From counters to what people and schedulers want to know. Pure: the clock is passed in. */
import { rateWindowMs } from '../limits.ts';
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

/** Keeps the samples of the last few seconds. */
export class ProgressMeter {
  readonly #totals: Totals;
  readonly #startMs: number;
  #window: Sample[];

  constructor(totals: Totals, startMs: number) {
    this.#totals = totals;
    this.#startMs = startMs;
    this.#window = [{ atMs: startMs, rowsDone: 0 }];
  }

  measure(
    phase: Progress['phase'],
    sample: Sample,
    state: Pick<Progress, 'shardsDone' | 'batchSize' | 'bottleneck'>,
  ): Progress {
    const seconds = (sample.atMs - this.#startMs) / 1000;
    this.#window = [...this.#window.filter((old) => sample.atMs - old.atMs <= rateWindowMs), sample];
    const oldest = this.#window[0]!;
    const mean = seconds > 0 ? sample.rowsDone / seconds : 0;
    const windowSeconds = (sample.atMs - oldest.atMs) / 1000;
    const now = windowSeconds > 0 ? (sample.rowsDone - oldest.rowsDone) / windowSeconds : mean;
    const left = this.#totals.rowsTotal - sample.rowsDone;
    return {
      phase,
      rowsDone: sample.rowsDone,
      ...state,
      ...this.#totals,
      rowsPerSecondNow: now,
      rowsPerSecondMean: mean,
      secondsElapsed: seconds,
      secondsLeft: left === 0 ? 0 : now > 0 ? left / now : undefined,
    };
  }
}
