/** One run of Spark, SynapseML or Tandem: how it ended, how fast, and what each kind of process took. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compareOutputs } from './compare.ts';
import { jobOf, type JobFeature, type JobFile, type PeerCommand, type PeerResult } from './peer.ts';
import { runTree, type Line, type TreeRun } from './process-tree.ts';
import {
  parseJvmPoints,
  ProcessWatch,
  thin,
  type JvmPoint,
  type MemoryPoint,
  type ProcessKind,
} from './spark-processes.ts';
import { sparkArgs, type SparkWay } from './spark.ts';
import { tandem } from './tandem.ts';

export type Contestant = SparkWay | 'tandem';

/** Shards and model of a study. */
export interface StudyTable {
  readonly name: string;
  readonly shards: readonly string[];
  /** Folder. */
  readonly model: string;
  readonly rowCount: number;
  /** Float32 values of a row. */
  readonly width: number;
  /** Of the one column that holds a list of `width` values; undefined: `width` columns. */
  readonly listColumn: string | undefined;
}

export interface TrialSettings {
  readonly contestant: Contestant;
  readonly table: StudyTable;
  readonly python: string;
  /** What the run leaves behind; emptied before. */
  readonly folder: string;
  /** Settings of Spark. */
  readonly conf: Readonly<Record<string, string>>;
  /** Of SynapseML. */
  readonly miniBatchRows?: number;
  readonly secondsMax: number;
  /** Folder with Tandem's scores of the same rows, with which what was written is compared; undefined: this is Tandem. */
  readonly reference: string | undefined;
  /** Samples the stacks: slower, so that such a run's times are not compared. */
  readonly profiler?: { readonly library: string; readonly pythonRate: number };
}

/** Largest at one moment. Bytes that are resident, unless it says otherwise. */
export interface MemoryPeaks {
  readonly jvm: number;
  readonly heapUsed: number;
  /** Of the JVM's resident memory what its heap does not account for. */
  readonly jvmBeyondHeap: number;
  /** Given out by Arrow's allocator in the JVM. */
  readonly arrow: number;
  readonly largestWorker: number;
  readonly workers: number;
  readonly total: number;
}

export interface Trial {
  readonly contestant: Contestant;
  readonly table: string;
  readonly outcome: 'done' | 'failed' | 'timedOut';
  /** Why it did not end well: the first line that says so. */
  readonly reason?: string;
  readonly rows: number;
  /** From Tandem's scores. */
  readonly differenceMax?: number;
  readonly wallSeconds: number;
  /** From the first batch at the scorer to the closed output; NaN where it did not get there. */
  readonly steadySeconds: number;
  readonly cpuSeconds: number;
  readonly cpuSecondsByKind: Readonly<Record<ProcessKind, number>>;
  readonly peaks: MemoryPeaks;
  readonly othersShare: number;
  readonly versions: Readonly<Record<string, string>>;
  readonly memory: readonly MemoryPoint[];
  readonly jvmMemory: readonly JvmPoint[];
}

/** Files of a run, in its folder. */
export const outputFolder = 'output';
export const planName = 'plan.txt';
export const jvmStacksName = 'jvm.collapsed';
export const pythonStacksName = 'python.collapsed';
const memoryName = 'memory.jsonl';

const pointsKept = 100;
/**
 * Of CPU time, of a JVM's thread between two samples. By each thread's own timer (`ctimer`): it needs no rights, and where
 * the kernel's performance events found a busy machine, it took away all but one in seventy of the samples (measured).
 */
const jvmInterval = '5ms';

export async function runTrial(settings: TrialSettings): Promise<Trial> {
  const { contestant, table, folder, secondsMax } = settings;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const job = studyJob(settings);
  const jobPath = join(folder, 'job.json');
  writeFileSync(jobPath, JSON.stringify(job));
  const command = contestant === 'tandem' ? tandem.command(job, '', jobPath) : sparkCommand(settings, jobPath);
  const watch = new ProcessWatch(Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'latin1' })), argsOf);
  const onSample: Parameters<typeof runTree>[0]['onSample'] = (members) => watch.take(members, Date.now() / 1000);
  const run = await runTree({ ...command, secondsMax, onSample });
  const memoryPath = join(folder, memoryName);
  const jvmMemory = existsSync(memoryPath) ? parseJvmPoints(readFileSync(memoryPath, 'utf8')) : [];
  const result = resultOf(contestant, job, run);
  return {
    contestant,
    table: table.name,
    ...endOf(run, result, settings, job.output),
    rows: result?.rows ?? 0,
    wallSeconds: run.wallSeconds,
    steadySeconds: result === undefined ? NaN : result.closedAt - result.firstBatchAt,
    cpuSeconds: run.cpuSeconds,
    cpuSecondsByKind: watch.cpuSeconds(),
    peaks: peaksOf(watch.points, jvmMemory),
    othersShare: run.othersShare,
    versions: result?.versions ?? {},
    memory: thin(watch.points, pointsKept, ({ bytes }) => bytes.jvm + bytes.worker + bytes.tandem),
    jvmMemory: thin(jvmMemory, pointsKept, ({ heapUsed, arrow }) => heapUsed + arrow),
  };
}

interface StudyJob extends JobFile {
  readonly features: readonly (JobFeature & { readonly width?: number })[];
  readonly miniBatchRows?: number;
}

function studyJob({ table, folder, miniBatchRows }: TrialSettings): StudyJob {
  const job = jobOf(table.model, table.shards, folder);
  const width = table.listColumn === undefined ? {} : { width: table.width };
  const features = job.features.map((feature) => ({ ...feature, ...width }));
  return { ...job, features, ...(miniBatchRows === undefined ? {} : { miniBatchRows }) };
}

function sparkCommand({ contestant, python, folder, conf, profiler }: TrialSettings, jobPath: string): PeerCommand {
  const memory = ['--memory', join(folder, memoryName), '--plan', join(folder, planName)];
  const env = { SPARK_LOCAL_DIRS: join(folder, 'spark'), ORT_DISABLE_TELEMETRY: '1' };
  const way = contestant as SparkWay;
  if (profiler === undefined) return { file: python, args: [...sparkArgs(way, jobPath, conf), ...memory], env };
  const agent = `start,event=ctimer,interval=${jvmInterval},lib,threads,collapsed,file=${join(folder, jvmStacksName)}`;
  const options = { 'spark.driver.extraJavaOptions': `-agentpath:${profiler.library}=${agent}` };
  const program = [...sparkArgs(way, jobPath, { ...conf, ...options }), ...memory];
  const record = ['record', '--subprocesses', '--native', '--format', 'raw', '--rate', String(profiler.pythonRate)];
  const output = ['--output', join(folder, pythonStacksName)];
  return {
    file: python.replace(/python[\d.]*$/, 'py-spy'),
    args: [...record, ...output, '--', python, ...program],
    env,
  };
}

/** Undefined: it wrote none. */
function resultOf(contestant: Contestant, job: JobFile, run: TreeRun): PeerResult | undefined {
  if (run.exitCode !== 0) return undefined;
  if (contestant === 'tandem') return tandem.resultOf!(run.lines);
  return existsSync(job.result) ? (JSON.parse(readFileSync(job.result, 'utf8')) as PeerResult) : undefined;
}

type TrialEnd = Pick<Trial, 'outcome' | 'reason' | 'differenceMax'>;

function endOf(run: TreeRun, result: PeerResult | undefined, settings: TrialSettings, output: string): TrialEnd {
  const { table, reference } = settings;
  if (run.timedOut) return { outcome: 'timedOut', reason: `not done after ${run.wallSeconds.toFixed(0)} s` };
  if (result === undefined) return { outcome: 'failed', reason: reasonOf(run.lines) };
  if (result.rows !== table.rowCount) {
    return { outcome: 'failed', reason: `Expected ${table.rowCount} rows, got ${result.rows}.` };
  }
  if (reference === undefined) return { outcome: 'done' };
  try {
    return { outcome: 'done', differenceMax: compareOutputs(reference, output).differenceMax };
  } catch (error) {
    return { outcome: 'failed', reason: (error as Error).message };
  }
}

/** What a lack of memory is called by those who may lack it: Arrow in the JVM, the JVM, Arrow in Python, NumPy, C++. */
const memoryWords =
  /OutOfMemory|OutOfDirectMemory|MemoryError|Unable to allocate|malloc of size|realloc of size|bad_alloc|allocate memory/;
const crashWords = /Python worker exited unexpectedly|crashed|exceeds|Error:|Exception:/;
const reasonLengthMax = 240;

/** The first line about memory, else the first about anything that went wrong, else the last. */
export function reasonOf(lines: readonly Pick<Line, 'text'>[]): string {
  const texts = lines.map(({ text }) => text.trim()).filter((text) => text !== '');
  const found = texts.find((text) => memoryWords.test(text)) ?? texts.find((text) => crashWords.test(text));
  return (found ?? texts.at(-1) ?? 'it said nothing').slice(0, reasonLengthMax);
}

function peaksOf(points: readonly MemoryPoint[], jvm: readonly JvmPoint[]): MemoryPeaks {
  const most = <Point>(all: readonly Point[], valueOf: (point: Point) => number): number =>
    all.reduce((peak, point) => Math.max(peak, valueOf(point)), 0);
  const jvmBytes = most(points, ({ bytes }) => bytes.jvm);
  return {
    jvm: jvmBytes,
    heapUsed: most(jvm, ({ heapUsed }) => heapUsed),
    jvmBeyondHeap: jvm.length === 0 ? NaN : Math.max(0, jvmBytes - most(jvm, ({ heapCommitted }) => heapCommitted)),
    arrow: most(jvm, ({ arrow }) => arrow),
    largestWorker: most(points, ({ largestWorker }) => largestWorker),
    workers: most(points, ({ bytes }) => bytes.worker),
    total: most(points, ({ bytes }) => bytes.jvm + bytes.worker + bytes.driver + bytes.tandem),
  };
}

function argsOf(pid: number): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
  } catch {
    return [];
  }
}
