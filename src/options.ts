/** What the public functions take and give: plain data, the same for the command line and for TypeScript. */

export type Compression = 'snappy' | 'zstd' | 'none';
export type ReaderName = 'duckdb' | 'parquetjs';

export interface InputOptions {
  /** Paths, folders or glob patterns of Parquet files. */
  readonly shards: string | readonly string[];
  /** A model folder (model.onnx, tandem.json, golden.parquet), or an .onnx file. */
  readonly model: string;
}

/** Bytes, or a share (0 to 1) of each card's memory. */
export type GpuMemory = { readonly bytes: number } | { readonly share: number };

export interface RunOptions {
  /** Prep threads, each of which reads, featurizes, scores and writes. Default: the cores that this process may use. */
  readonly threads?: number;
  /** Rows of a model run. Default: measured at the start of the run. */
  readonly batchSize?: number;
  /** Bytes that the process may use. Default: what the machine or the container leaves free, less a tenth. */
  readonly memoryBytes?: number;
  readonly reader?: ReaderName;
  /** What scores: `cpu`, `cuda` (all GPUs), `cuda:0,2`, or `auto` (GPUs where there are any). Default: `cpu`. */
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
  /** Stops the run; what is whole stays. The promise is rejected with STOPPED. */
  readonly signal?: AbortSignal;
  /** Told about what is odd but no error. */
  readonly onWarning?: (text: string) => void;
}

export interface ScoreOptions extends InputOptions, RunOptions {
  /** Folder for the scores; made if it is missing. */
  readonly output: string;
  /** Columns to copy from the shards. Overrides the contract's list; default: that list, or all columns. */
  readonly keep?: readonly string[] | 'all';
  /** Default: snappy. */
  readonly compression?: Compression;
  /** Removes what Tandem wrote under the output folder before it starts. */
  readonly overwrite?: boolean;
  /** Called a few times a second, and once at the end. */
  readonly onProgress?: (progress: Progress) => void;
  /** Told each decision about a GPU's batch size. */
  readonly onDecision?: (decision: BatchSizeDecision) => void;
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

/** What a GPU has done in a run. */
export interface DeviceReport {
  /** `cuda:0` */
  readonly name: string;
  /** For people: `NVIDIA H200`. */
  readonly label: string;
  readonly rowCount: number;
  readonly batchCount: number;
  /** The last one. */
  readonly batchSize: number;
  /** The most that this process held there, its context and libraries included; looked at a few times a second. */
  readonly memoryPeakBytes: number;
  /** As promised; undefined: nothing was. */
  readonly memoryBudgetBytes: number | undefined;
  /**
   * Nodes of the model that ran on the CPU: those that work on shapes, which ONNX Runtime keeps there, and those that the
   * batch passes, which are none unless `allowCpuNodes` was given.
   */
  readonly cpuNodes: { readonly shape: number; readonly data: number };
}

/** Where a run stands. Totals are exact: they come from the shards' footers. */
export interface Progress {
  readonly phase: 'planning' | 'scoring' | 'done';
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
  /** Undefined while nothing has been measured. */
  readonly secondsLeft: number | undefined;
  /** Undefined while it is being chosen. */
  readonly batchSize: number | undefined;
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
  /** One for each GPU; empty on the CPU. */
  readonly devices: readonly DeviceReport[];
  /** How the GPUs' batch sizes came about, in the order of time. */
  readonly decisions: readonly BatchSizeDecision[];
  readonly output: string;
  readonly outputBytes: number;
  readonly warnings: readonly string[];
}

/** One column as the shards have it and what becomes of it. */
export interface InspectedColumn {
  readonly name: string;
  /** DuckDB's name of the type; several where the shards differ. */
  readonly types: readonly string[];
  /** Shards that hold the column. */
  readonly shards: number;
  /** For example `x[0]`, `dest`; empty: feeds nothing. */
  readonly feeds: readonly string[];
  readonly kept: boolean;
}

export interface InspectReport {
  readonly version: 1;
  readonly shards: readonly {
    readonly name: string;
    readonly rowCount: number;
    readonly rowGroups: number;
    readonly bytes: number;
  }[];
  readonly rowCount: number;
  readonly bytes: number;
  readonly rowGroups: {
    readonly count: number;
    readonly rowsMin: number;
    readonly rowsMax: number;
    readonly compressedBytesMax: number;
  };
  readonly columns: readonly InspectedColumn[];
  /** One line for each way in which shards differ from the first one. Empty: none does. */
  readonly drift: readonly string[];
  /** Undefined without a model. */
  readonly model:
    | undefined
    | {
        readonly path: string;
        readonly inputs: readonly {
          readonly name: string;
          readonly type: string;
          readonly features: readonly string[];
        }[];
        readonly outputs: readonly {
          readonly name: string;
          readonly type: string;
          readonly columns: readonly string[];
        }[];
      };
  /** Why `score` would refuse, as formatted errors. Empty: it would start. */
  readonly problems: readonly string[];
}

export interface CheckReport {
  readonly version: 1;
  readonly rowCount: number;
  readonly tolerance: number;
  readonly passed: boolean;
  /** One for each output column that golden.parquet holds. */
  readonly columns: readonly {
    readonly name: string;
    /** Largest |score - golden|; Infinity where one of the two is NaN or a text differs. */
    readonly differenceMax: number;
    readonly rowsBeyond: number;
    /** The worst rows, at most ten, worst first; only rows that differ. */
    readonly worst: readonly {
      readonly row: number;
      readonly golden: string;
      readonly score: string;
      readonly difference: number;
    }[];
  }[];
}
