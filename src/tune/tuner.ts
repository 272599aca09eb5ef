/** Coordinate descent over the settings of a job: one setting after the other, each measured in turn on short jobs. */
import { TandemError } from '../errors.ts';
import { tuneTrialSecondsMax, tuneTrialSecondsMin, tuneTrialsPlanned } from '../limits.ts';
import type { BatchSizeFinding, PlainScoreOptions } from '../messages.ts';
import type { Precision, TunedSetting, TuneOptions } from '../options.ts';
import type { RunPlan } from '../plan.ts';
import { runTrial, type Trial } from './trial.ts';
import { chooseLeast, mayTry, measureInTurn, median, noiseOf } from './turns.ts';

/** Undefined: as it is by default. */
export interface JobSetting {
  readonly batchSize: number | undefined;
  readonly threads: number;
  readonly slotsPerThread: number | undefined;
  readonly precision: Precision;
}

type SettingName = TunedSetting['setting'];

const keys = {
  'batch size': 'batchSize',
  threads: 'threads',
  'slots per thread': 'slotsPerThread',
  precision: 'precision',
} as const satisfies Record<SettingName, keyof JobSetting>;

/** Of the whole time, what one setting may take beyond the trials that it needs at least. */
const shareOfTime = 0.3;

export class Tuner {
  readonly settings: TunedSetting[] = [];
  readonly notes: string[] = [];
  setting: JobSetting;
  readonly #options: TuneOptions;
  readonly #shards: readonly string[];
  readonly #stagedIn: string;
  readonly #seconds: number;
  readonly #startMs = performance.now();
  readonly #samples: (readonly number[])[] = [];
  /** The latest of each setting. */
  readonly #trials = new Map<string, Trial>();

  /** @param shards paths of those that the trials read */
  /** @param stagedIn as in `TrialLimits` */
  constructor(
    options: TuneOptions,
    shards: readonly string[],
    stagedIn: string,
    seconds: number,
    start: JobSetting,
  ) {
    this.#options = options;
    this.#shards = shards;
    this.#stagedIn = stagedIn;
    this.#seconds = seconds;
    this.setting = start;
  }

  get secondsElapsed(): number {
    return (performance.now() - this.#startMs) / 1000;
  }

  /** Of all trials that were repeated. */
  get noise(): number {
    return noiseOf(this.#samples);
  }

  /** The latest trial of the setting in use, or of another. */
  trialOf(setting = this.setting): Trial | undefined {
    return this.#trials.get(JSON.stringify(setting));
  }

  /** A trial that is no candidate; the first one brings the shards into the page cache. @throws what `score` throws */
  async run(what: string, setting: JobSetting, seconds = this.#trialSeconds): Promise<Trial> {
    this.#tell(what, undefined);
    const { shards: _, seconds: _budget, signal, onProgress: _onProgress, onWarning, ...common } = this.#options;
    const { batchSize, slotsPerThread, threads, precision } = setting;
    const options: Omit<PlainScoreOptions, 'output'> = {
      ...common,
      shards: this.#shards,
      threads,
      precision,
      ...(batchSize === undefined ? {} : { batchSize }),
      ...(slotsPerThread === undefined ? {} : { slotsPerThread }),
    };
    const trial = await runTrial(options, {
      seconds,
      signal,
      stagedIn: this.#stagedIn,
      onWarning: onWarning ?? (() => {}),
    });
    if (trial.rowsPerSecond === 0) throw nothingScored(seconds);
    this.#trials.set(JSON.stringify(setting), trial);
    this.#tell(what, trial.rowsPerSecond);
    return trial;
  }

  /**
   * Tries values of one setting, those that take least first, and goes on with the least that is good enough. When the time
   * is up it does not, but for the first setting, and for precision, which may gain more than all others.
   */
  async descend<Name extends SettingName>(
    name: Name,
    values: readonly NonNullable<JobSetting[(typeof keys)[Name]]>[],
  ): Promise<void> {
    if (values.length < 2) {
      if (values[0] !== undefined) this.setting = { ...this.setting, [keys[name]]: values[0] };
      return;
    }
    const isMust = this.settings.length === 0 || name === 'precision';
    if (!isMust && this.secondsElapsed > this.#seconds) {
      const again = this.settings.some(({ setting }) => setting === name);
      if (!again) this.notes.push(`${name}: not tried, the time was up; more --seconds try it`);
      return;
    }
    const candidates = values.map((value) => ({ ...this.setting, [keys[name]]: value }));
    const rates = await this.measure(candidates, (candidate) => `${name} ${String(candidate[keys[name]])}`);
    const chosen = chooseLeast(rates.map(median));
    this.setting = candidates[chosen]!;
    const best = Math.max(...rates.map(median));
    // Of a setting that is looked at again, the later figures count: the others have changed meanwhile.
    const others = this.settings.filter(({ setting }) => setting !== name);
    const tried = values.flatMap((value, index): TunedSetting[] => {
      const rowsPerSecond = median(rates[index]!);
      const trials = rates[index]!.length;
      if (trials === 0) return [];
      return [
        { setting: name, value, rowsPerSecond, shareOfBest: rowsPerSecond / best, trials, chosen: index === chosen },
      ];
    });
    this.settings.splice(0, this.settings.length, ...others, ...tried);
  }

  /**
   * Rates of each candidate, in the order of its trials.
   * @param isLast nothing will be measured after these
   */
  async measure(
    candidates: readonly JobSetting[],
    describe: (candidate: JobSetting, index: number) => string,
    isLast = false,
  ): Promise<readonly (readonly number[])[]> {
    const shareEndSeconds = this.secondsElapsed + shareOfTime * this.#seconds;
    const time = { allSeconds: this.#seconds, shareEndSeconds, isLast };
    const { samples } = await measureInTurn(
      candidates,
      async (candidate) =>
        (await this.run(describe(candidate, candidates.indexOf(candidate)), candidate)).rowsPerSecond,
      (round) => mayTry(round, this.secondsElapsed, time),
    );
    this.#samples.push(...samples);
    return samples;
  }

  /** What the GPUs find out about their batch sizes by themselves, in a quarter of the time. */
  async search(
    setting: JobSetting,
  ): Promise<{ readonly trial: Trial; readonly findings: readonly BatchSizeFinding[] }> {
    const trial = await this.run('search for the batch size', setting, this.#seconds / 4);
    return { trial, findings: trial.findings };
  }

  get #trialSeconds(): number {
    return Math.min(tuneTrialSecondsMax, Math.max(tuneTrialSecondsMin, this.#seconds / tuneTrialsPlanned));
  }

  #tell(setting: string, rowsPerSecond: number | undefined): void {
    this.#options.onProgress?.({ setting, rowsPerSecond, secondsElapsed: this.secondsElapsed });
  }
}

function nothingScored(seconds: number): TandemError {
  return new TandemError('USAGE', `Expected a trial of ${seconds.toFixed(1)} s to score rows, got none.`, {
    remedy: 'Give more --seconds: one batch of this model takes longer than a trial.',
  });
}

/** Powers of two up to the most, and the most. */
export function threadCounts(most: number): number[] {
  const counts = Array.from({ length: Math.ceil(Math.log2(most)) }, (_, power) => 2 ** power);
  return [...counts, most];
}

/** A batch size, and of the sizes that the search has timed those nearest to half and to twice as many rows. */
export function sizesAround(center: number, finding: BatchSizeFinding | undefined): number[] {
  const timed = (finding?.sizes ?? []).map(({ rows }) => rows);
  const nearest = (target: number, sizes: readonly number[]): number[] => {
    const distance = (rows: number): number => Math.abs(Math.log2(rows / target));
    return [...sizes].sort((one, other) => distance(one) - distance(other)).slice(0, 1);
  };
  const below = timed.filter((rows) => rows < center && rows >= center / 4);
  const above = timed.filter((rows) => rows > center && rows <= center * 4);
  return [...nearest(center / 2, below), center, ...nearest(center * 2, above)];
}

/** Rows a second that the model alone reaches on all GPUs at a batch size; undefined where one has not timed it. */
export function modelRate(batchSize: number | undefined, findings: readonly BatchSizeFinding[]): number | undefined {
  const rates = findings.map(({ sizes }) => sizes.find(({ rows }) => rows === batchSize)?.rowsPerSecond);
  if (rates.length === 0 || rates.includes(undefined)) return undefined;
  return rates.reduce((sum: number, rate) => sum + rate!, 0);
}

/** Compressed bytes a second that storage must deliver for a rate. */
export function storageRate({ featureBytes, keepBytes, rowsTotal }: RunPlan, rowsPerSecond: number): number {
  return ((featureBytes + keepBytes) / Math.max(1, rowsTotal)) * rowsPerSecond;
}
