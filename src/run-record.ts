/** What a run tells about itself: plain data, for the result, the report, and whoever compares two runs. */
import type { Activity, TracedActivity } from './measure/activities.ts';
import type { ErrorCode } from './errors.ts';
import type { BatchSizeDecision, ScoreResult } from './options.ts';

/** Where a scorer's time goes. On a CPU the scorer is a thread that also prepares and writes its rows: no GPU waits. */
export const ledgerParts = {
  computing: 'the model ran',
  copyIn: 'tensors were copied to the GPU while nothing ran on it',
  copyOut: 'scores were copied back while nothing could run on the GPU',
  storage: 'storage was awaited, for bytes to read or for output to be safe',
  decode: 'Parquet was decoded: a GPU waited for it, a lane on the CPU did it',
  featurize: 'tensors were made: a GPU waited for them, a lane on the CPU made them',
  writer: 'output was written, or waited for room: a GPU waited for that, a lane on the CPU did it',
  warmUp: 'planning, loading libraries and model, starting threads, until the first batch',
  newShapes: 'numbers of rows that the model had not run before: graphs, algorithms and kernels were prepared',
  search: 'sizes that were tried on the way to the batch size (their rows were scored)',
  outOfMemory: 'batches that did not fit were split, memory was given back, sessions were opened again',
  handOver: 'work in between: opening shards, handing over, launching',
  idleTail: 'no rows were left for this scorer while others still worked',
} as const;

export type LedgerPartName = keyof typeof ledgerParts;

/** Of one scorer; `parts` add up to its wall time. */
export interface ScorerLedger {
  /** `cpu thread 0`, `cuda:0` */
  readonly name: string;
  readonly kind: 'cpu' | 'gpu';
  readonly wallSeconds: number;
  /** Every part, in the order of {@link ledgerParts}; shares of the wall time. */
  readonly parts: readonly { readonly name: LedgerPartName; readonly seconds: number; readonly share: number }[];
  readonly rowCount: number;
  /** Different numbers of rows that the model was run at. */
  readonly shapeCount: number;
}

/** Of a prep thread or a writer. */
export interface ThreadLedger {
  /** `prep 0`, `writer` */
  readonly name: string;
  readonly wallSeconds: number;
  /** Activities that took time; they add up to the wall time. */
  readonly parts: readonly { readonly activity: Activity; readonly seconds: number; readonly share: number }[];
  readonly rowCount: number;
}

/** What the run asked of storage. */
export interface StorageLedger {
  /** Bytes that threads read from files, and those of them that were not in the page cache. */
  readonly fetchedBytes: number;
  readonly storageBytes: number;
  /** While rows were scored. */
  readonly bytesPerSecond: number;
  /** At which no thread would have waited for storage, as far as the run shows. */
  readonly neededBytesPerSecond: number;
  /** False: the system does not tell waiting for storage from decoding, and the ledger counts both as decoding. */
  readonly isToldApart: boolean;
}

export type Bottleneck = 'model' | 'storage' | 'decode' | 'featurize' | 'writer' | 'copies' | 'warmUp' | 'idle';

/** What held the run up, derived from its ledger. */
export interface Verdict {
  readonly bottleneck: Bottleneck;
  /** One line. */
  readonly sentence: string;
  /** What would change it, and what it would bring as far as the measured rates say; undefined: nothing is known. */
  readonly whatIf:
    | undefined
    | {
        /** `6 more prep threads` */
        readonly change: string;
        readonly rowsPerSecond: number;
      };
}

/** Three measures of a GPU over the same time, or of the CPU; undefined: could not be measured, `notes` say why. */
export interface Utilization {
  readonly device: string;
  /** Share of the steady time in which the model ran, by the device's own events; on the CPU: of the lanes. */
  readonly computeBusy: number;
  /** What the driver reports for the same time, and what that counts; on the CPU: the cores' share that this process had. */
  readonly reported: { readonly share: number; readonly counts: string } | undefined;
  /** Rows a second over those of the same model fed from device memory. */
  readonly efficiency: number | undefined;
  readonly notes: readonly string[];
}

export interface Ledger {
  /** From the run's start to its end. */
  readonly wallSeconds: number;
  readonly scorers: readonly ScorerLedger[];
  /** Threads that prepare and write for GPUs; empty where the scorers do that themselves. */
  readonly prep: readonly ThreadLedger[];
  /** The thread that writes split shards; undefined: there was none. */
  readonly writer: ThreadLedger | undefined;
  readonly storage: StorageLedger;
  readonly utilization: readonly Utilization[];
  readonly verdict: Verdict;
}

/** The run at a moment; rates and shares are of the time since the sample before. */
export interface RunSample {
  /** Since the run's start. */
  readonly atSeconds: number;
  readonly rowsDone: number;
  readonly rowsPerSecond: number;
  /** Of all prep threads' time, by activity; they add up to 1. */
  readonly shares: Readonly<Partial<Record<Activity, number>>>;
  /** Slots that are with the GPUs, waiting or being scored; empty on the CPU. */
  readonly queueDepths: readonly number[];
  readonly batchSize: number | undefined;
  readonly residentBytes: number;
  /** Held on each GPU by this process. */
  readonly deviceBytes: readonly number[];
}

/** A shard as it was scored. */
export interface ShardRecord {
  readonly name: string;
  readonly rowCount: number;
  readonly bytes: number;
  readonly outputBytes: number;
  /** Since the run's start: its output was whole. */
  readonly doneAtSeconds: number;
}

/** A stretch of time of a thread or of a GPU's stream. */
export interface TimelineSpan {
  readonly activity: TracedActivity;
  /** Since the run's start. */
  readonly startMs: number;
  readonly durationMs: number;
  /** Index in the record's shards; undefined: about no rows in particular, or of a shard that is not listed. */
  readonly shardIndex?: number;
  readonly firstRow?: number;
  readonly rowCount?: number;
}

/** Who did what, in a window of the run. */
export interface TimelineTrack {
  /** `prep 0`, `cuda:0 copy in` */
  readonly name: string;
  readonly spans: readonly TimelineSpan[];
}

/** A window of the run, about its middle; all tracks over the same time. */
export interface Timeline {
  /** Since the run's start. */
  readonly fromMs: number;
  readonly toMs: number;
  readonly tracks: readonly TimelineTrack[];
}

/** A thread's CPU profile, as Chrome and other viewers read it (`.cpuprofile`). */
export interface ThreadProfile {
  /** `prep 0` */
  readonly thread: string;
  /** V8's Profile object: nodes, startTime and endTime in microseconds, samples, timeDeltas. */
  readonly profile: import('node:inspector').Profiler.Profile;
}

/** A function, over all threads and all ways to it. */
export interface HotFunction {
  readonly name: string;
  /** `libduckdb`, `featurize/kernels.js`, `node:fs`; empty: V8 itself. */
  readonly file: string;
  /** In the function itself, and in native code that it calls without a name of its own. */
  readonly selfSeconds: number;
  /** Of the sampled time of all threads. */
  readonly share: number;
  /** Threads in which it was seen. */
  readonly threads: number;
}

/** A stretch of a run that was profiled. */
export interface RunWindow {
  /** Since the run's start. */
  readonly fromSeconds: number;
  readonly seconds: number;
  /** Threads that did not come by between two batches in that time: their CPU profiles are missing. */
  readonly missing: readonly string[];
  /** V8's heap of each thread at its end. */
  readonly heaps: readonly { readonly thread: string; readonly bytes: number }[];
}

/** CPU profiles of a stretch of a run, and where its time went then. */
export interface RunProfile extends RunWindow {
  /** The main thread's first. */
  readonly profiles: readonly ThreadProfile[];
  readonly ledger: Ledger;
  /** Of this stretch, for a report. */
  readonly record: RunRecord;
}

/** Everything that a report shows. */
export interface RunRecord {
  readonly version: 1;
  /** The command line, or undefined from TypeScript. */
  readonly command: readonly string[] | undefined;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly environment: {
    readonly tandem: string;
    readonly node: string;
    readonly duckDb: string;
    readonly onnxRuntime: string;
    readonly cpu: string;
    readonly cores: number;
    readonly memoryBytes: number;
    readonly system: string;
    readonly gpus: readonly string[];
  };
  readonly model: { readonly path: string; readonly sha256: string; readonly contractSha256: string };
  /** Options that were given and what the plan made of the rest, as words. */
  readonly settings: Readonly<Record<string, string>>;
  /**
   * The stretch that the result's rows, seconds, rate and ledger, and the profiles, are about; the rest is of the run until
   * then. Undefined: all is about the whole run.
   */
  readonly window: RunWindow | undefined;
  /** How the run ended; after an error the rest is what was known by then. */
  readonly ended: 'done' | ErrorCode;
  readonly result: ScoreResult;
  /** In the order of time, the first ten thousand; without those that an earlier run had finished. */
  readonly shards: readonly ShardRecord[];
  /** At most a few hundred, evenly over the run. */
  readonly samples: readonly RunSample[];
  readonly decisions: readonly (BatchSizeDecision & { readonly atSeconds: number })[];
  /** Undefined: no trace was kept. */
  readonly timeline: Timeline | undefined;
  /** With one sample for each function, as long as all of them; empty: none was asked for. */
  readonly profiles: readonly ThreadProfile[];
}
