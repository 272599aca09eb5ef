/** What a step of the GPU benchmark is, what it is given and what it gives back. Plain data crosses its process. */

/** Costs of one hour, in whatever currency. */
export interface Prices {
  /** The machine with the GPU. */
  readonly gpuPerHour: number;
  /** A machine with the same cores and no GPU. */
  readonly cpuPerHour: number;
}

/** What every step is given. */
export interface StepInput {
  /** As `--device` takes it; one GPU is measured. */
  readonly device: string;
  readonly ortDir: string | undefined;
  /** Models and shards lie here; a step may write under `work`. */
  readonly data: string;
  readonly work: string;
  /** Sizes for a test of the benchmark itself. */
  readonly tiny: boolean;
  /** Rows of the generated shards. */
  readonly rows: number;
  /** What the step should take; it is ended at `secondsMax`. */
  readonly seconds: number;
  readonly secondsMax: number;
  readonly prices: Prices;
}

export interface StepContext extends StepInput {
  /** A figure, or a table of them, with its unit in the name; it is kept even if the step dies after it. */
  record(name: string, value: unknown): void;
  /** Seconds of the step's share that are left; a step does less rather than longer. */
  secondsLeft(): number;
}

export type RunStep = (context: StepContext) => Promise<void> | void;

/** What cannot be measured here; thrown, and recorded with its reason. */
export class SkippedStep extends Error {
  override readonly name = 'SkippedStep';
}

export interface StepSpec {
  readonly number: number;
  readonly name: string;
  readonly question: string;
  /** At the default budget; see `--seconds`. */
  readonly secondsMax: number;
}

/** In the order in which they run; 0 makes what the others need. */
export const stepSpecs: readonly StepSpec[] = [
  { number: 0, name: 'prepare', question: 'models and shards are generated', secondsMax: 55 },
  { number: 1, name: 'provider', question: 'does the provider load, does the model run on the GPU', secondsMax: 25 },
  { number: 2, name: 'pinned', question: 'rates of pinned and pageable copies', secondsMax: 30 },
  { number: 3, name: 'streams', question: 'do copies hide behind the computation', secondsMax: 35 },
  { number: 4, name: 'ceiling', question: 'rate of each model fed from device memory', secondsMax: 60 },
  { number: 5, name: 'memory', question: 'is memory fixed + per row', secondsMax: 20 },
  { number: 6, name: 'out-of-memory', question: 'what happens when memory runs out', secondsMax: 30 },
  { number: 7, name: 'batch-size', question: 'the controller against a full sweep', secondsMax: 35 },
  { number: 8, name: 'jobs', question: 'whole jobs from Parquet to Parquet', secondsMax: 65 },
  { number: 9, name: 'counters', question: 'do the counters of the driver agree with the events', secondsMax: 15 },
  { number: 10, name: 'flat-memory', question: 'does memory grow over many batches', secondsMax: 15 },
  { number: 11, name: 'variants', question: 'options worth one line each', secondsMax: 25 },
  { number: 12, name: 'python', question: 'the same job in pyarrow and PyTorch', secondsMax: 30 },
  { number: 13, name: 'fuse', question: 'preparing and scoring side by side or one after the other', secondsMax: 45 },
];

export type StepStatus = 'done' | 'skipped' | 'failed' | 'timedOut' | 'crashed';

export interface StepRecord {
  readonly number: number;
  readonly name: string;
  readonly question: string;
  readonly status: StepStatus;
  /** Why it was skipped, or how it ended. */
  readonly reason?: string;
  readonly seconds: number;
  readonly secondsMax: number;
  readonly figures: Readonly<Record<string, unknown>>;
}

/** One line from the step's process to whoever started it. */
export type StepLine =
  | { readonly kind: 'figure'; readonly name: string; readonly value: unknown }
  | { readonly kind: 'skipped'; readonly reason: string }
  | { readonly kind: 'failed'; readonly reason: string };

/** File descriptor of these lines. */
export const linesTo = 3;
