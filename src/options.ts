/** What the public functions take and give: plain data, the same for the command line and for TypeScript. */

import type { OutputOptions } from './output-options.ts';
import type { Reported } from './engines/nvml/reported-share.ts';
import type { PlannedSelection, SelectionOptions } from './relation.ts';
import type { HotFunction, Ledger, RunProfile, RunRecord } from './run-record.ts';

export type ReaderName = 'duckdb' | 'parquetjs';
/**
 * How a GPU multiplies float32: in full, or with factors rounded to 10 bits of mantissa (TensorFloat-32), which is faster
 * and gives other scores.
 */
export type Precision = 'float32' | 'tf32';

export interface InputOptions extends SelectionOptions {
  /** Paths, folders or glob patterns of Parquet files. */
  readonly shards: string | readonly string[];
  /** A model folder (model.onnx, tandem.json, golden.parquet), or an .onnx file. */
  readonly model: string;
}

/** Bytes, or a share (0 to 1) of each card's memory. */
export type GpuMemory = { readonly bytes: number } | { readonly share: number };

/**
 * What scores a model that a kernel of ours knows: whatever is through sooner and agrees with ONNX Runtime, the kernel
 * wherever it agrees (then it is the same on every run), or ONNX Runtime.
 */
export type KernelChoice = 'auto' | 'kernel' | 'onnxruntime';

/** Of what is scored on the CPU: models, and the trees of models whose rest GPUs score. */
export interface KernelOptions {
  /** All kernels: boosted trees, linear models. Default: auto. */
  readonly kernels?: KernelChoice;
  /** That of boosted trees alone. Default: auto. */
  readonly trees?: Exclude<KernelChoice, 'kernel'>;
}

export interface RunOptions extends KernelOptions {
  /** Prep threads, each of which reads, featurizes, scores and writes. Default: the cores that this process may use. */
  readonly threads?: number;
  /** Rows of a model run. Default: measured at the start of the run. */
  readonly batchSize?: number;
  /** Bytes that the process may use. Default: what the machine or the container leaves free, less a tenth. */
  readonly memoryBytes?: number;
  readonly reader?: ReaderName;
  /**
   * What scores: `cpu`, `cuda` (all GPUs), `cuda:0,2`, `cuda:GPU-1f4c` (the start of a UUID, of a MIG slice `MIG-...`), or
   * `auto` (GPUs where there are any). Default: `cpu`.
   */
  readonly device?: string;
  /** Folder with ONNX Runtime's CUDA provider. Default: where `tandem setup cuda` or pip put it. */
  readonly ortDir?: string;
  /**
   * Memory of each GPU that the run may hold, all included: a promise to whoever shares the card. Default: 90 % of what is
   * free.
   */
  readonly gpuMemory?: GpuMemory;
  /** Scores on a GPU although the batch passes nodes that ONNX Runtime leaves to the CPU. Default: that is an error. */
  readonly allowCpuNodes?: boolean;
  /** Of float32 models on a GPU. Default: float32. */
  readonly precision?: Precision;
  /** Slots of each thread that hands them to a GPU. Default: enough for two batches in all. */
  readonly slotsPerThread?: number;
  /** False: starts with no profile of an earlier run or of `tune`, and leaves none. What is given here always wins over one. */
  readonly useProfile?: boolean;
  /** Stops the run; what is whole stays. The promise is rejected with STOPPED. */
  readonly signal?: AbortSignal;
  /** Told about what is odd but no error. */
  readonly onWarning?: (text: string) => void;
}

export interface ScoreOptions extends InputOptions, RunOptions, OutputOptions {
  /** Folder for the scores; made if it is missing. */
  readonly output: string;
  /** Columns to copy from the shards. Overrides the contract's list; default: that list, or all columns. */
  readonly keep?: readonly string[] | 'all';
  /** Removes what Tandem wrote under the output folder before it starts. */
  readonly overwrite?: boolean;
  /** A plan says how each tensor is made, and measures how fast. Default: false. */
  readonly explain?: boolean;
  /** Called a few times a second, and once at the end. */
  readonly onProgress?: (progress: Progress) => void;
  /** Told which rows are taken, and how many, before the first one is scored; not called where all are. */
  readonly onSelection?: (selection: PlannedSelection, rowCount: number) => void;
  /** Told what runs the model and why, in one line, before the first row is scored. */
  readonly onScorer?: (words: string) => void;
  /** Told each decision about a GPU's batch size. */
  readonly onDecision?: (decision: BatchSizeDecision) => void;
  /** Told everything that is known of the run when it ends, in whatever way, if it had been planned by then. */
  readonly onRecord?: (record: RunRecord) => void;
  /** The command line, for the record. */
  readonly command?: readonly string[];
  /** File for what each thread did when, as trace events that Perfetto and Chrome open; outside of the output folder. */
  readonly trace?: string;
  /** Serves the run's metrics while it lasts. */
  readonly metrics?: MetricsOptions;
  /** Given the run once its threads have started. */
  readonly onRun?: (run: RunningScore) => void;
}

/** A run under way. */
export interface RunningScore {
  /**
   * CPU profiles of every thread, and the ledger of that time; the run goes on meanwhile. A run that ends earlier ends the
   * profile too. `leaveProfile` writes it beside the output.
   * @param seconds default: 10
   * @throws USAGE for a second one at the same time, or after the end of the run
   */
  profile(seconds?: number): Promise<RunProfile>;
}

/** Where Prometheus finds a run's metrics: `http://host:port/metrics`. */
export interface MetricsOptions {
  readonly host: string;
  /** 0: whichever is free. */
  readonly port: number;
  /** Told the address before work starts. */
  readonly onListening?: (url: string) => void;
}

/** A GPU's batch size from now on, and why. */
export interface BatchSizeDecision {
  /** `cuda:0` */
  readonly device: string;
  readonly rows: number;
  readonly reason: string;
  /** A step of the search for the best size; false: what it found, and whatever changes later. */
  readonly isSearch: boolean;
}

/** The search for a GPU's batch size in one run. */
export interface BatchSizeSearch {
  /** Undefined: the run ended before the search did. */
  readonly found: number | undefined;
  /** Model runs that it took; they scored rows like any other. */
  readonly runs: number;
}

/** What a GPU has done in a run. */
export interface DeviceReport {
  /** `cuda:0` */
  readonly name: string;
  /** For people: `NVIDIA H200`. */
  readonly label: string;
  readonly rowCount: number;
  readonly batchCount: number;
  /** Of these, the ones that did not fit into the device's memory and were scored in parts. */
  readonly splitCount: number;
  /** The last one. */
  readonly batchSize: number;
  /** What the search for it took; undefined: it was given. */
  readonly search: BatchSizeSearch | undefined;
  /** The most that this process held there, its context and libraries included; looked at a few times a second. */
  readonly memoryPeakBytes: number;
  /** The same model and batch size fed from device memory, measured at the end; undefined: the run was too short for it. */
  readonly fedRowsPerSecond: number | undefined;
  /** How busy the driver says that it was, from the end of the first batch to the end of the last one. */
  readonly reported: Reported;
  /** As promised; undefined: nothing was. */
  readonly memoryBudgetBytes: number | undefined;
  /**
   * Nodes of the model that ran on the CPU: those that work on shapes, which ONNX Runtime keeps there, and those that the
   * batch passes, which are none unless `allowCpuNodes` was given.
   */
  readonly cpuNodes: { readonly shape: number; readonly data: number };
}

/** What says where a run scores, and how. */
export type DeviceOptions = Pick<RunOptions, 'device' | 'precision' | 'ortDir' | 'gpuMemory' | 'allowCpuNodes'>;

/** Where a run stands. Totals are exact: they come from the shards' footers. */
export interface Progress {
  /** While rows that a condition takes are counted (`counting`) `rowsDone` are those that have been looked at. */
  readonly phase: 'planning' | 'reading' | 'counting' | 'scoring' | 'featurizing' | 'done';
  /** Of shards that are no Parquet and are turned into it before the first row is scored; undefined: none is, or all are. */
  readonly reading?: {
    readonly filesDone: number;
    readonly filesTotal: number;
    readonly bytesDone: number;
    readonly bytesTotal: number;
  };
  readonly rowsDone: number;
  readonly rowsTotal: number;
  readonly shardsDone: number;
  readonly shardsTotal: number;
  /** Shards whose output was whole already; not counted in the other figures. */
  readonly shardsSkipped: number;
  /** Over the last few seconds. */
  readonly rowsPerSecondNow: number;
  /** Since scoring began. */
  readonly rowsPerSecondMean: number;
  readonly secondsElapsed: number;
  /** Undefined while the rate is not known. */
  readonly secondsLeft: number | undefined;
  /** Undefined while it is being chosen. */
  readonly batchSize: number | undefined;
  /** What held the run up in the last few seconds, in words; undefined while that cannot be told. */
  readonly bottleneck: string | undefined;
}

export interface ScoreResult {
  readonly version: 1;
  readonly rowsIn: number;
  readonly rowsOut: number;
  readonly shards: number;
  /** Shards that an earlier run had finished. */
  readonly shardsSkipped: number;
  /** From the call to the last manifest. */
  readonly wallSeconds: number;
  readonly rowsPerSecond: number;
  readonly batchSize: number | undefined;
  readonly threads: number;
  readonly device: string;
  /** What ran the model, in one line. */
  readonly scorer: string;
  /** One for each GPU; empty on the CPU. */
  readonly devices: readonly DeviceReport[];
  /** How the GPUs' batch sizes came about, in the order of time. */
  readonly decisions: readonly BatchSizeDecision[];
  readonly precision: Precision;
  readonly output: string;
  readonly outputBytes: number;
  /** Where every second went; undefined: there was nothing to do. */
  readonly ledger: Ledger | undefined;
  readonly warnings: readonly string[];
}

export interface TuneOptions
  extends InputOptions, Omit<DeviceOptions, 'precision'>, Pick<RunOptions, 'memoryBytes' | 'signal' | 'onWarning'> {
  /** About what it takes in all. Default: 60. */
  readonly seconds?: number;
  /** Told each trial. */
  readonly onProgress?: (progress: TuneProgress) => void;
}

export interface TuneProgress {
  readonly setting: string;
  /** Undefined: it begins. */
  readonly rowsPerSecond: number | undefined;
  readonly secondsElapsed: number;
}

/** One value of one setting; the others were as far as they had been found by then. */
export interface TunedSetting {
  readonly setting: 'batch size' | 'threads' | 'slots per thread' | 'precision';
  readonly value: number | Precision;
  /** Median over the trials. */
  readonly rowsPerSecond: number;
  /** Of the best value of this setting. */
  readonly shareOfBest: number;
  readonly trials: number;
  readonly chosen: boolean;
}

export interface TuneReport {
  readonly version: 1;
  readonly device: string;
  /** For people: `NVIDIA H200`; model and cores of a CPU. */
  readonly label: string;
  /** What the trials read, in part or whole. */
  readonly sample: { readonly shards: number; readonly rows: number };
  readonly seconds: number;
  readonly settings: readonly TunedSetting[];
  /** The job as it is without a profile, and with this one, in turn. */
  readonly defaultRowsPerSecond: number;
  readonly chosen: {
    readonly batchSize: number;
    readonly threads: number;
    readonly slotsPerThread: number;
    readonly precision: Precision;
    readonly rowsPerSecond: number;
  };
  /** How far two trials of one setting are apart, as a share; half of them are nearer. */
  readonly noise: number;
  /** Why it is this batch size, and what the limit is. */
  readonly explanation: string;
  /** What was not tried and why, and what the figures do not say. */
  readonly notes: readonly string[];
  /** Scores of golden.parquet with each precision that was tried. */
  readonly golden: readonly {
    readonly precision: Precision;
    readonly passed: boolean;
    readonly differenceMax: number;
    readonly tolerance: number;
    readonly rowsBeyond: number;
  }[];
  readonly profiles: readonly { readonly precision: Precision; readonly path: string }[];
}

export interface ProfileOptions extends InputOptions, Omit<RunOptions, 'slotsPerThread'> {
  /** Of the profile, after the warm-up. Default: 10. */
  readonly seconds?: number;
  /** Folder for the profile, new or empty. Default: `profile-<date>`. The scores go to a temporary one. */
  readonly output?: string;
  readonly keep?: readonly string[] | 'all';
  readonly command?: readonly string[];
  readonly onProgress?: (progress: Progress) => void;
}

export interface ProfileReport {
  readonly version: 1;
  readonly device: string;
  /** Of the profile. All that follows is about this time, but `memory`, which is of the whole run. */
  readonly seconds: number;
  readonly rowsPerSecond: number;
  readonly threads: number;
  readonly batchSize: number | undefined;
  readonly ledger: Ledger;
  /** The functions that took most of all threads' time, most first. */
  readonly functions: readonly HotFunction[];
  readonly memory: {
    readonly peakBytes: number;
    readonly samples: readonly { readonly atSeconds: number; readonly residentBytes: number }[];
    /** V8's heap of each thread at the end. */
    readonly heaps: RunProfile['heaps'];
  };
  /** Threads that did not come by between two batches in that time, and are left out. */
  readonly missing: readonly string[];
  /** The shards were scored to their end before the time was up. */
  readonly wholeInput: boolean;
  readonly folder: string;
  /** Names of what lies there. */
  readonly files: readonly string[];
}

export interface CheckReport {
  readonly version: 1;
  readonly rowCount: number;
  readonly device: string;
  readonly precision: Precision;
  readonly tolerance: number;
  readonly passed: boolean;
  /** One for each output column that golden.parquet holds. */
  readonly columns: readonly {
    readonly name: string;
    /** Largest |score - golden|; Infinity where one of the two is NaN or a text differs. */
    readonly differenceMax: number;
    readonly rowsBeyond: number;
    /** At most ten rows beyond the tolerance, worst first. */
    readonly worst: readonly {
      readonly row: number;
      readonly golden: string;
      readonly score: string;
      readonly difference: number;
    }[];
  }[];
}
