/** The plan: what a run will read, score and write, in what order and under which bounds. Plain data. */
import type { TensorLayout } from './batch.ts';
import type { Cut } from './engines/onnxruntime/cut-model.ts';
import type { Precision } from './options.ts';
import type { FeatureFiles, OutputFiles } from './output-options.ts';
import type { PlannedSelection, Relation, RelationPart } from './relation.ts';
import type { Agreement } from './score/kernels/agreement.ts';

export interface PlannedShard extends Relation {
  readonly index: number;
  /** The file that was turned into the Parquet file at `path`; undefined: it is Parquet itself. */
  readonly sourcePath?: string;
  /** Path under the pattern's fixed part, with forward slashes, ending as the file does. */
  readonly name: string;
  readonly bytes: number;
  /** Of the file, in milliseconds; a shard that changes while it is read is an error. */
  readonly modifiedMs: number;
  /** Rows that are taken: all, where the run has no selection. */
  readonly rowCount: number;
  /** Of them, those in each stretch of `countedBlocks`; undefined: every row is taken. */
  readonly takenBlocks?: readonly number[] | undefined;
  /** Rows of each row group of the file. */
  readonly rowGroupRows: readonly number[];
  /** Largest compressed size of one row group's used columns. */
  readonly rowGroupBytesMax: number;
  /** Index into {@link RunPlan.schemas}. */
  readonly schema: number;
  /** Whole by one thread, or in spans by all threads with one more that writes. */
  readonly mode: 'whole' | 'split';
  /** An earlier run finished it. */
  readonly done: boolean;
  /** What it is gathered from, in row order; path and schema are those of the first. Undefined: it is a file by itself. */
  readonly parts?: readonly PlannedPart[];
}

/** Consecutive rows of one file. */
export interface PlannedPart extends RelationPart {
  /** As in {@link PlannedShard}. */
  readonly sourcePath?: string;
  readonly bytes: number;
  readonly modifiedMs: number;
  readonly rowGroupRows: readonly number[];
  /** As in {@link PlannedShard}; then the number of a row does not say where it lies. */
  readonly takenBlocks?: readonly number[] | undefined;
  readonly schema: number;
}

export interface PlannedFeatures extends FeatureFiles {
  /** Of names, sizes, times and rows of the files that output shards are gathered from. */
  readonly inputsSha256?: string;
}

/** Shards with the same columns and types share the SQL that reads them. */
export interface PlannedSchema {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  /** SELECT list: one result column for each requested column, in the form that its kernel reads. */
  readonly projection: string;
  /** SELECT list of the kept columns, qualified with `shard.`; empty: none. */
  readonly keepProjection: string;
}

/** One column of scores in the output file. */
export interface ScoreColumn {
  readonly name: string;
  /** Index into the model's used outputs. */
  readonly output: number;
  /** Position in the row's values; undefined: the whole row. */
  readonly position: number | undefined;
}

/** One used output of the model. */
export interface OutputLayout {
  readonly name: string;
  readonly elementType: TensorLayout['elementType'];
  /** Dimensions without the batch's. Empty or [1]: one value a row. */
  readonly rowShape: readonly number[];
  /** Values per row: the product of rowShape. */
  readonly width: number;
  /** The model declares another shape than it gives, so ONNX Runtime refuses memory for it: allocated by it, then copied. */
  readonly copied?: true;
  /** It is this input, in the same memory, and no model runs: what `featurize` writes. */
  readonly input?: number;
}

export interface ConstantInput {
  readonly name: string;
  readonly elementType: TensorLayout['elementType'];
  readonly shape: readonly (number | 'N')[];
  readonly value: number | string | boolean | readonly (number | string | boolean)[];
}

export interface ModelPlan {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
  readonly contractSha256: string;
  readonly inputs: readonly TensorLayout[];
  readonly constants: readonly ConstantInput[];
  readonly outputs: readonly OutputLayout[];
  readonly columns: readonly ScoreColumn[];
  /** Rows of every run where the model fixes them; the last batch is padded. */
  readonly fixedBatchRows: number | undefined;
  /** Where a kernel of ours scores it: bytes of its tables, once, and of what each thread's kernel keeps. */
  readonly kernel?: { readonly tableBytes: number; readonly scratchBytes: number };
  /** What ONNX Runtime runs behind the kernel; undefined: one of the two scores the whole model. */
  readonly rest?: ModelRest;
}

/** What is left of a model whose trees a kernel scores. */
export interface ModelRest {
  readonly cut: Cut;
  /** Its inputs, some of which the kernel gives. */
  readonly inputs: readonly string[];
}

/** What runs the model, and why. */
export interface ChosenScorer {
  readonly kind: 'onnxruntime' | 'features' | 'linear' | 'trees';
  /** One line: `linear: 32 columns to 1 target, 16 rows at once, 3.4 times ONNX Runtime`, `ONNX Runtime: Conv has no kernel`. */
  readonly words: string;
  /** Of rates on one thread, over the same rows; undefined: not measured. */
  readonly timesOnnxRuntime?: number;
  /** Of the kernel's scores with ONNX Runtime's on rows of the shards; undefined: no kernel knows the model. */
  readonly agreement?: Agreement;
}

/** What must be the same for a profile to say anything. */
export interface ProfileKey {
  readonly modelSha256: string;
  readonly contractSha256: string;
  /** Label of the GPU (`NVIDIA H200`), or model of the CPU and its cores. */
  readonly device: string;
  /** `580.65.06`; undefined on a CPU, and where nobody can tell. */
  readonly driverVersion?: string | undefined;
  readonly onnxRuntimeVersion: string;
  readonly precision: Precision;
  /** A kernel likes another batch size than ONNX Runtime. */
  readonly scorer: ChosenScorer['kind'];
}

/** Settings of the whole job. They depend on each other: slots without their threads say nothing. */
export interface TunedJob {
  readonly threads: number;
  /** GPUs that shared the work; 0: the threads scored in place. */
  readonly devices: number;
  /** Rows of a slot, and slots of each thread; on a CPU a slot holds one batch, and there is one. */
  readonly slotRows: number;
  readonly slotsPerThread: number;
  /** Of the job with these settings. */
  readonly rowsPerSecond: number;
}

export interface Profile {
  readonly version: 1;
  readonly key: ProfileKey;
  readonly batchSize: number;
  /** Of the model alone at this batch size on a GPU, which the next run compares; of the whole job on a CPU. */
  readonly rowsPerSecond: number;
  /** Of the GPU: bytes = fixed + perRow x rows. Without it the batch size is searched again. */
  readonly memory?: { readonly fixedBytes: number; readonly perRowBytes: number } | undefined;
  /** Only `tandem tune` finds these. */
  readonly job?: TunedJob | undefined;
  readonly writtenBy: 'run' | 'tune';
  /** ISO 8601 */
  readonly writtenAt: string;
}

/** A profile that was found, and what it decides in this run, in words: what the caller says comes first. */
export interface UsedProfile {
  readonly path: string;
  readonly profile: Profile;
  /** `batch size 4096`, `threads 8`; empty: the caller said all of it. */
  readonly sets: readonly string[];
}

export interface MemoryLine {
  readonly what: string;
  /** Page-locked memory is the host's too; a device's is its own, whatever the host's limit. */
  readonly where: 'host' | 'pinned' | 'device';
  readonly count: number;
  readonly bytesEach: number;
}

/** A GPU that scores. */
export interface PlannedDevice {
  /** `cuda:0` */
  readonly name: string;
  /** For people: `NVIDIA H200`. */
  readonly label: string;
  /** Module that drives it (see `DriverModule`), and what it needs to open it. */
  readonly driver: { readonly module: string; readonly options: unknown };
  readonly buffers: number;
  /** Rows that a device buffer holds. */
  readonly bufferRows: number;
  /** By the caller or the model; undefined: found during the run. */
  readonly fixedBatchSize: number | undefined;
  /** The most that this process may hold there, all included; undefined: nothing is promised. */
  readonly memoryBudgetBytes: number | undefined;
  /** Where the search for it starts, and what it should find there. */
  readonly profile?: DeviceProfile | undefined;
}

/** A batch size with the rate at which the model alone runs at it; bytes on the device = fixed + perRow x rows. */
export interface DeviceProfile {
  readonly rows: number;
  readonly rowsPerSecond: number;
  readonly fixedBytes: number;
  readonly perRowBytes: number;
}

/** What a GPU's thread has to know of a plan, wherever its rows come from. */
export interface DevicePlan {
  readonly model: ModelPlan;
  /** Empty: every thread scores in place. */
  readonly devices: readonly PlannedDevice[];
  /** Whether a batch on a GPU may pass nodes that run on the CPU. */
  readonly allowCpuNodes: boolean;
  /** The ONNX Runtime of all threads; undefined: the one that Tandem brings. */
  readonly onnxRuntimePath: string | undefined;
  /** Rows that a slot holds. */
  readonly slotRows: number;
}

/** How a tensor is made, as the first rows of the first shard show. */
export interface TensorExplanation {
  readonly name: string;
  /** Of one core, measured on these rows: columns to tensor, without reading them. */
  readonly rowsPerSecond: number;
  readonly rowCount: number;
  /** In the order of the tensor's features. */
  readonly features: readonly {
    /** What is selected of the shard. */
    readonly sql: string;
    /** What comes of it: `float32`, `float64 with nulls`, `codes`. */
    readonly vector: string;
    /** Why a JavaScript loop makes it and no SIMD kernel; undefined: a kernel does. */
    readonly loopBecause: string | undefined;
  }[];
}

export interface RunPlan extends DevicePlan {
  readonly version: 1;
  /** Words: `cpu`, `cuda:0`, `cuda:0, cuda:1`. */
  readonly device: string;
  readonly precision: Precision;
  readonly scorer: ChosenScorer;
  /** What earlier runs left for this one; keys and used ones in the order of the devices, or of the CPU alone. */
  readonly profiles: {
    /** Undefined: none is wanted, and none is left. */
    readonly folder: string | undefined;
    readonly keys: readonly ProfileKey[];
    readonly used: readonly (UsedProfile | undefined)[];
  };
  readonly shards: readonly PlannedShard[];
  readonly schemas: readonly PlannedSchema[];
  /** Undefined: every row of every shard is taken. */
  readonly selection?: PlannedSelection;
  readonly rowsTotal: number;
  readonly keep: readonly string[];
  /** True: no list was given and every column is copied. */
  readonly keepsAll: boolean;
  /** Compressed bytes that the kept columns and the features' columns take in the shards. */
  readonly keepBytes: number;
  readonly featureBytes: number;
  readonly output: string;
  /** Undefined: scores are written. */
  readonly features?: PlannedFeatures;
  readonly files: OutputFiles;
  readonly threads: number;
  /** What set the number of threads, in words. */
  readonly threadsBound: string;
  /** Fixed by the caller or the model; undefined: measured at the start. */
  readonly batchSize: number | undefined;
  /** Slots of each thread: 1 where it scores in place. */
  readonly slotsPerThread: number;
  readonly memory: readonly MemoryLine[];
  readonly memoryLimitBytes: number;
  /** What set the memory limit, in words. */
  readonly memoryBound: string;
  readonly warnings: readonly string[];
  /** For each of the model's inputs, where it was asked for and there are rows. */
  readonly explanation?: readonly TensorExplanation[];
}
