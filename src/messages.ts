/** What crosses a thread: plain data and addresses, never rows. */
import type { MessagePort } from 'node:worker_threads';
import type { NumberArray, TakenSpan } from './batch.ts';
import type { Pointer } from './engines/native.ts';
import type { ModelDescription } from './engines/onnxruntime/session.ts';
import type { SharedMemory } from './engines/wasm.ts';
import type { ErrorRecord } from './errors.ts';
import type {
  BatchSizeDecision,
  CheckReport,
  DeviceOptions,
  DeviceReport,
  KernelOptions,
  Progress,
  ReaderName,
  ScoreOptions,
} from './options.ts';
import type { FeatureFiles } from './output-options.ts';
import type { InspectReport } from './inspect-report.ts';
import type { DeviceSheetMemory } from './measure/device-sheet.ts';
import type { ProfiledMessage } from './measure/thread-profiler.ts';
import type { TimeSheetMemory } from './measure/time-sheet.ts';
import type { DevicePlan, DeviceProfile, RunPlan } from './plan.ts';
import type { SelectionOptions } from './relation.ts';
import type { Feature } from './contract/contract.ts';
import type { FitQuestion } from './fit/feature-fit.ts';
import type { DigitCounts } from './fit/digits.ts';
import type { FitPlan } from './planning/fit-plan.ts';
import type { KnownComparison, KnownRequest } from './check/against-report.ts';
import type { RowReport, RowRequest, RowWay } from './check/row-report.ts';
import type { KernelModel } from './score/kernels/kernel.ts';

/** What is compared; where it was scored, the caller knows. */
export type GoldenComparison = Omit<CheckReport, 'device' | 'precision'>;

/** Options without the functions that cannot cross a thread. */
export interface PlainScoreOptions extends Omit<
  ScoreOptions,
  'signal' | 'onProgress' | 'onWarning' | 'onSelection' | 'onScorer' | 'onDecision' | 'onRecord' | 'onRun' | 'metrics'
> {
  /** Others will be scored than those of the shards, which stand for them. */
  readonly rowsFollow?: boolean;
  /** What the model would get is written, and no model runs; undefined: scores are. */
  readonly features?: FeatureFiles;
}

/** Engines that the planner opened: addresses that are good in every thread of the process. */
export interface Engines {
  /** 0n where parquetjs-lite reads. */
  readonly database: Pointer;
  /** Of what ONNX Runtime has to score, or would have to if no kernel did; 0n where features are written and there is no model. */
  readonly session: Pointer;
  /** The model, or its part, as a kernel of ours scores it; undefined: ONNX Runtime does. */
  readonly kernel: KernelModel | undefined;
}

/** What `init` asks of shards and a model that have no contract yet. */
export interface SurveyRequest {
  /** Undefined: only the model is looked at. */
  readonly shards: string | readonly string[] | undefined;
  /** A model file; undefined: only the shards are looked at. */
  readonly modelPath: string | undefined;
  /** Where some rows of the shards are written, as Parquet; undefined: nowhere. */
  readonly sample: { readonly path: string; readonly rows: number; readonly shards: number } | undefined;
}

export interface Survey {
  /** Of the first shard. `nulls`: in all shards; undefined: the footers do not say. */
  readonly columns: readonly { readonly name: string; readonly type: string; readonly nulls: number | undefined }[];
  readonly rowCount: number;
  readonly model: ModelDescription | undefined;
}

/** What the main thread asks of the planner's thread. */
export type PlannerRequest =
  | {
      readonly kind: 'plan';
      readonly options: PlainScoreOptions;
      readonly dryRun: boolean;
      /** Folder for files that are no Parquet. Default: below the output. */
      readonly stagedIn?: string;
    }
  /** Ends the reading of files that are no Parquet. Nothing is answered. */
  | { readonly kind: 'stop' }
  | {
      readonly kind: 'inspect';
      readonly shards: string | readonly string[];
      readonly model: string | undefined;
      readonly reader: ReaderName | undefined;
      readonly selection: SelectionOptions;
      readonly scorers: KernelOptions;
    }
  | {
      readonly kind: 'planFit';
      readonly shards: string | readonly string[];
      /** Whose contract names columns and chooses rows. */
      readonly model: string;
      readonly selection: SelectionOptions;
      readonly features: readonly Feature[];
      readonly threads: number | undefined;
      readonly memoryBytes: number | undefined;
      /** Folder for files that are no Parquet, as Parquet. */
      readonly stagedIn: string;
    }
  | { readonly kind: 'survey'; readonly request: SurveyRequest }
  /** Scores against golden ones, row by row. */
  | {
      readonly kind: 'compare';
      readonly golden: string;
      readonly scores: string;
      readonly tolerance: number;
      /** Whose contract chose the rows. */
      readonly model: string;
    }
  /** It has nothing else to do until the run is over: its `WorkerMessage`s come through the port. */
  | { readonly kind: 'prepare'; readonly start: WorkerStart; readonly port: MessagePort }
  /** Scores against what somebody else knows of the same rows. */
  | { readonly kind: 'compareKnown'; readonly request: KnownRequest }
  | { readonly kind: 'followRow'; readonly request: RowRequest }
  /** Of the first row of an output file. */
  | { readonly kind: 'readScores'; readonly path: string }
  /** All other threads are gone: disconnect, close, end. */
  | { readonly kind: 'close'; readonly connections: readonly Pointer[] };

export type PlannerReply =
  | { readonly kind: 'connected'; readonly connection: Pointer }
  | { readonly kind: 'planned'; readonly plan: RunPlan; readonly engines: Engines }
  | { readonly kind: 'inspected'; readonly report: InspectReport }
  | { readonly kind: 'surveyed'; readonly survey: Survey }
  | { readonly kind: 'fitPlanned'; readonly plan: FitPlan; readonly database: Pointer }
  | { readonly kind: 'compared'; readonly comparison: GoldenComparison }
  | { readonly kind: 'knownCompared'; readonly comparison: KnownComparison }
  | { readonly kind: 'rowFollowed'; readonly way: RowWay }
  | { readonly kind: 'scoresRead'; readonly scores: RowReport['scores'] }
  | { readonly kind: 'warning'; readonly text: string }
  /** Before the first row is scored. */
  | { readonly kind: 'progress'; readonly progress: Progress }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  | { readonly kind: 'closed' };

/** How far files that are no Parquet have been read. */
export type StagingProgress = NonNullable<Progress['reading']> & Pick<Progress, 'secondsElapsed'>;

/** What prep threads and the writer tell the main thread. */
export type WorkerMessage =
  /** Addresses for stopping what runs. They stay valid until the planner closes them. */
  | { readonly kind: 'connected'; readonly connections: readonly Pointer[]; readonly runOptions: readonly Pointer[] }
  | { readonly kind: 'warning'; readonly text: string }
  | { readonly kind: 'shardDone'; readonly shardIndex: number; readonly rowCount: number; readonly bytes: number }
  | { readonly kind: 'decided'; readonly decision: BatchSizeDecision }
  | { readonly kind: 'deviceDone'; readonly report: DeviceReport }
  | ProfiledMessage
  /** A GPU's thread, at its end. */
  | { readonly kind: 'batchSizeSearched'; readonly finding: BatchSizeFinding }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  | { readonly kind: 'finished' };

/** What the search for a GPU's batch size has found out. */
export interface BatchSizeFinding {
  /** Position in the plan's devices. */
  readonly deviceIndex: number;
  /** Undefined: the run ended before the search did. */
  readonly chosen: DeviceProfile | undefined;
  /** Sizes that were timed, ascending, with the rate of the model alone. */
  readonly sizes: readonly { readonly rows: number; readonly rowsPerSecond: number }[];
  readonly memory: { readonly fixedBytes: number; readonly perRowBytes: number } | undefined;
  /** Model runs that the search took. */
  readonly searchRuns: number;
  /** The run's profile has proved right, and nothing new was found. */
  readonly provesProfile: boolean;
}

/** What a prep or writer thread starts with. */
export interface WorkerStart {
  readonly threadIndex: number;
  readonly plan: RunPlan;
  readonly engines: Engines;
  /** See {@link control}. */
  readonly control: Int32Array;
  readonly rowsScored: BigInt64Array;
  readonly timeSheet: TimeSheetMemory;
  /** Slots of all threads, then the memory of their kernels. */
  readonly slots: SharedMemory;
  /** Number of the thread's first one. */
  readonly firstSlot: number;
  /** Undefined where the threads score in place. */
  readonly queues: SlotQueueMemory | undefined;
  /** One per split shard, in the order of the plan's split shards. */
  readonly rings: readonly RingMemory[];
  /** Distinguishes the temporary files of this run. */
  readonly attempt: string;
}

/** What a GPU's thread starts with. */
export interface DeviceStart {
  /** Position in the plan's devices, and in the queues. */
  readonly deviceIndex: number;
  readonly plan: DevicePlan;
  readonly control: Int32Array;
  readonly slots: SharedMemory;
  readonly queues: SlotQueueMemory;
  readonly sheets: CrewSheets;
  /** Of this device, see {@link deviceFigures}. */
  readonly figures: Float64Array;
}

/** Indices of what a GPU's thread tells of itself meanwhile. */
export const deviceFigures = {
  /** Bytes that this process held there when it last looked. */
  heldBytes: 0,
  /** Batches that did not fit and were scored in parts. */
  splits: 1,
  length: 2,
} as const;

export function createDeviceFigures(): Float64Array {
  return new Float64Array(new SharedArrayBuffer(deviceFigures.length * Float64Array.BYTES_PER_ELEMENT));
}

/** Where the threads of a run note their time. */
export interface CrewSheets {
  readonly prep: readonly TimeSheetMemory[];
  /** Undefined: no shard is split. */
  readonly writer: TimeSheetMemory | undefined;
  /** In the order of the plan's devices. */
  readonly devices: readonly DeviceSheetMemory[];
}

/** Shared memory of one split shard's scores on their way to the writer. */
export interface RingMemory {
  readonly shardIndex: number;
  readonly spans: readonly TakenSpan[];
  readonly capacityRows: number;
  /** Rows written, next span to take, then for each span the rows that are in the ring or beyond. */
  readonly state: Int32Array;
  /** One stretch for each score column's output tensor, capacityRows rows each. */
  readonly values: SharedArrayBuffer;
}

/** Slots and the queues of the devices that score them. */
export interface SlotQueueMemory {
  readonly slotCount: number;
  /** For each slot: phase, rows, shard, first row. */
  readonly slots: Int32Array;
  /** One for each device. */
  readonly queues: readonly Int32Array[];
  /** Threads that hand over slots. */
  readonly producers: number;
  /** Of these, the ones that sleep until a slot comes back, or have ended. */
  readonly producersIdle: Int32Array;
  /** Devices whose thread has not ended. */
  readonly devicesAtWork: Int32Array;
}

/** Indices of the shared control array. */
export const control = {
  /** 1: end soon, leave nothing half-written. */
  stop: 0,
  /** Position in the list of whole shards that the next free thread takes. */
  nextWhole: 1,
  /** Rows of a batch; 0 while the sweep is still measuring. */
  batchSize: 2,
  /** Odd: CPU profiles are wanted; even: they are over. It only grows. */
  profile: 3,
  length: 4,
} as const;

/** The way from the threads of `scoreBatches` to the devices. */
export interface BatchHandOver {
  /** Slots of all threads, those of a thread side by side, then the memory of their kernels. */
  readonly slots: SharedMemory;
  readonly slotsPerThread: number;
  readonly queues: SlotQueueMemory;
}

/** What the first thread of `scoreBatches` finds out for the others. */
export interface BatchPlan extends DevicePlan {
  readonly engines: Engines;
  readonly batchSize: number | undefined;
  /** SELECT list over a batch, which is called `shard` in it. */
  readonly projection: string;
  /** Undefined where the threads score in place. */
  readonly handOver: BatchHandOver | undefined;
  readonly warnings: readonly string[];
}

export interface BatchWorkerStart {
  readonly threadIndex: number;
  /** How many there may be; all hand over slots where devices score. */
  readonly threads: number;
  readonly model: string;
  readonly batchSize: number | undefined;
  readonly deviceOptions: DeviceOptions;
  readonly kernelOptions: KernelOptions;
  readonly control: Int32Array;
  /** Undefined for the first thread, which makes it. */
  readonly plan: BatchPlan | undefined;
}

export type BatchRequest =
  /** One batch to score, as an Arrow IPC stream. */
  | { readonly kind: 'score'; readonly index: number; readonly ipc: Uint8Array }
  /** Free everything and end. The first thread, which opened the engines, is asked last and frees `runOptions` too. */
  | { readonly kind: 'close'; readonly runOptions: readonly Pointer[] };

/** Values of one output tensor for all rows of a batch. */
export type ScoredValues = NumberArray | string[];

export type BatchReply =
  | { readonly kind: 'planned'; readonly plan: BatchPlan }
  | { readonly kind: 'scored'; readonly index: number; readonly values: readonly ScoredValues[] }
  | { readonly kind: 'failed'; readonly index: number; readonly error: ErrorRecord };

/** What a thread of a fit starts with. */
export interface FitStart {
  readonly plan: FitPlan;
  readonly database: Pointer;
  /** See {@link fitControl}. */
  readonly control: Int32Array;
  /** Rows that all threads have read in this pass. */
  readonly rowsRead: BigInt64Array;
}

/** Indices of the control array of a fit. */
export const fitControl = {
  /** 1: end soon. */
  stop: 0,
  /** Position in the plan's units that the next free thread takes. */
  nextUnit: 1,
  length: 2,
} as const;

/** A question about one of the plan's features. */
export interface FitTask {
  readonly featureIndex: number;
  readonly question: FitQuestion;
}

export type FitRequest =
  | { readonly kind: 'pass'; readonly tasks: readonly FitTask[] }
  /** The connection stays for the planner to close. */
  | { readonly kind: 'close' };

/** What one thread has found out about a task's feature in the units that it took. */
export interface FitPart {
  /** Of each unit, see `fit/moments.ts`. */
  readonly tallies: readonly Float64Array[];
  readonly digits: DigitCounts | undefined;
  readonly categories: ReadonlyMap<string | number, number> | undefined;
}

export type FitReply =
  | { readonly kind: 'connected'; readonly connection: Pointer }
  /** `units`: positions of those that the thread took; `parts`: in the order of the tasks. */
  | { readonly kind: 'passed'; readonly units: readonly number[]; readonly parts: readonly FitPart[] }
  | { readonly kind: 'failed'; readonly error: ErrorRecord };
