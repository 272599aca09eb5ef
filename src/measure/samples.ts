/** Samples of a run: as many as a picture needs, even over the whole run, however long it takes. Pure. */
import type { RunSample } from '../run-record.ts';
import { activities, type Activity } from './activities.ts';

/** Two samples that follow each other, as one. @param fromSeconds when the first one's time begins */
export function mergeSamples(fromSeconds: number, first: RunSample, second: RunSample): RunSample {
  const seconds = second.atSeconds - fromSeconds;
  const weight = seconds > 0 ? (first.atSeconds - fromSeconds) / seconds : 0.5;
  const mean = (one: number, other: number): number => one * weight + other * (1 - weight);
  const shares: Partial<Record<Activity, number>> = {};
  for (const activity of activities) {
    const share = mean(first.shares[activity] ?? 0, second.shares[activity] ?? 0);
    if (share > 0) shares[activity] = share;
  }
  return {
    atSeconds: second.atSeconds,
    rowsDone: second.rowsDone,
    rowsPerSecond: mean(first.rowsPerSecond, second.rowsPerSecond),
    shares,
    queueDepths: second.queueDepths.map((depth, device) => mean(first.queueDepths[device] ?? depth, depth)),
    batchSize: second.batchSize,
    // Peaks stay to be seen.
    residentBytes: Math.max(first.residentBytes, second.residentBytes),
    deviceBytes: second.deviceBytes.map((bytes, device) => Math.max(first.deviceBytes[device] ?? 0, bytes)),
  };
}

/** Keeps at most so many samples: when they are full, every two neighbours are merged, and new ones are as long as those. */
export class SampleSeries {
  readonly #max: number;
  #kept: RunSample[] = [];
  /** Samples that are merged into one. */
  #stride = 1;
  #last: RunSample | undefined;
  #lastCount = 0;

  /** @param max an even number */
  constructor(max: number) {
    this.#max = max;
  }

  add(sample: RunSample): void {
    const fromSeconds = this.#kept.at(-1)?.atSeconds ?? 0;
    this.#last = this.#last === undefined ? sample : mergeSamples(fromSeconds, this.#last, sample);
    if (++this.#lastCount < this.#stride) return;
    this.#kept.push(this.#last);
    this.#last = undefined;
    this.#lastCount = 0;
    if (this.#kept.length === this.#max) this.#halve();
  }

  /** The last one may be of a shorter time than the others. */
  get samples(): readonly RunSample[] {
    return this.#last === undefined ? this.#kept : [...this.#kept, this.#last];
  }

  #halve(): void {
    const kept = this.#kept;
    this.#kept = kept.flatMap((sample, index) =>
      index % 2 === 0 ? [] : [mergeSamples(kept[index - 2]?.atSeconds ?? 0, kept[index - 1]!, sample)],
    );
    this.#stride *= 2;
  }
}
