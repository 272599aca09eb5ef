/** A run from options to result: the one file, with the threads' entries, that knows every stage. */
import { coreBound } from './machine.ts';
import { threadsNowMs } from './measure/clock.ts';
import { ledgerOf } from './measure/ledger.ts';
import { planning, ProgressMeter } from './measure/progress.ts';
import { Recorder } from './measure/recorder.ts';
import { announceRun } from './measure/run-profile.ts';
import { progressIntervalMs, threadsAheadMax } from './limits.ts';
import { asTandemError, TandemError } from './errors.ts';
import { featureFiles, type FeaturizeOptions } from './feature-options.ts';
import type { PlainScoreOptions } from './messages.ts';
import type { Progress, ScoreOptions, ScoreResult } from './options.ts';
import type { FeatureFiles } from './output-options.ts';
import type { RunPlan } from './plan.ts';
import { rememberFindings } from './planning/profile.ts';
import type { Ledger, RunRecord } from './run-record.ts';
import { Crew, type CrewListener } from './threads/crew.ts';
import { PlannerClient } from './threads/planner-client.ts';
import { endIdleWorkers, startWorkersAhead } from './threads/start-worker.ts';
import { removeStaged } from './write/staged-files.ts';
import { cleanOutput, finishOutput, forgetInFlight, writeReport } from './write/output-folder.ts';

/**
 * Scores shards into a folder. Running it again finishes what is missing and redoes nothing.
 * @throws TandemError, see `errorCodes`; what is whole by then stays
 */
export function score(options: ScoreOptions): Promise<ScoreResult> {
  return carryOut(options);
}

/**
 * Writes what the model would get: each input that columns feed as a column, bit for bit what `score` gives the model
 * (float16 as FLOAT, which holds it exactly). Running it again finishes what is missing.
 * @throws TandemError, see `errorCodes`; what is whole by then stays
 */
export async function featurize(options: FeaturizeOptions): Promise<ScoreResult> {
  const { scoring, features } = featureRun(options);
  return carryOut(scoring, features);
}

/** The plan of features that are not written. */
export async function planFeaturize(options: FeaturizeOptions): Promise<RunPlan> {
  const { scoring, features } = featureRun(options);
  return makePlan(scoring, features);
}

/** A run whose threads pass on what they would have scored. */
function featureRun(options: FeaturizeOptions): { readonly scoring: ScoreOptions; readonly features: FeatureFiles } {
  return { scoring: { ...options, useProfile: false }, features: featureFiles(options) };
}

async function carryOut(options: ScoreOptions, features?: FeatureFiles): Promise<ScoreResult> {
  const begun = { atMs: threadsNowMs(), usage: process.cpuUsage() };
  const { atMs: startMs } = begun;
  const warnings: string[] = [];
  const warn = (text: string): void => {
    warnings.push(text);
    options.onWarning?.(text);
  };
  const recorder = await Recorder.open(options, startMs, warn);
  const planner = new PlannerClient(options.signal, warn, options.onProgress);
  if (features?.format !== 'arrow') startThreadsAhead(options);
  let plan: RunPlan | undefined;
  let crew: Crew | undefined;
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> => (closing ??= planner.close(crew?.connections ?? []));
  const summary = (of: RunPlan): ScoreResult => summarize(of, crew, begun, warnings);
  let record: RunRecord;
  try {
    options.onProgress?.(planning);
    const planned = await planner.ask(
      { kind: 'plan', options: plainOptions(options, features), dryRun: false },
      'planned',
    );
    plan = planned.plan;
    plan.warnings.forEach(warn);
    if (plan.selection !== undefined) options.onSelection?.(plan.selection, rowsTaken(plan));
    options.onScorer?.(plan.scorer.words);
    recorder.begin(plan);
    if (plan.rowsTotal > 0 || plan.shards.some((shard) => !shard.done)) {
      const { keepsEvents } = recorder;
      const hears = withoutStaged(planned.plan, recorder.hears);
      crew = new Crew(plan, planned.engines, { reader: options.reader, planner, hears, startMs, keepsEvents });
      const soFar = (): RunRecord => recorder.record('done', summary(planned.plan));
      await work(plan, crew, recorder, options, soFar).finally(() => rememberFindings(plan!.profiles, crew!.findings));
    }
    // While the record is made.
    void close();
    record = recorder.record('done', summary(plan));
    finishOutput(plan.output, crew === undefined ? undefined : withoutTimeline(record));
  } catch (error) {
    if (plan !== undefined) leaveRecord(plan, recorder, error, summary, options.onRecord);
    throw error;
  } finally {
    endIdleWorkers();
    await close();
    await recorder.close();
  }
  try {
    options.onRecord?.(record);
  } catch (cause) {
    warn(`onRecord failed: ${String(cause)}`);
  }
  return record.result;
}

/** A run's start: on the clock of all threads, and what the process had used by then. */
interface Begun {
  readonly atMs: number;
  readonly usage: NodeJS.CpuUsage;
}

/** Threads get ready while the planner plans, which becomes one of them. One whose rows a GPU scores has minutes of work before it. */
function startThreadsAhead({ device = 'cpu', reader = 'duckdb', threads = coreBound().value }: ScoreOptions): void {
  if (device === 'cpu' && reader === 'duckdb') startWorkersAhead('./prep.js', Math.min(threads - 1, threadsAheadMax));
}

/** What a whole shard was read from is removed, where it had to be made. */
function withoutStaged(plan: RunPlan, hears: CrewListener): CrewListener {
  return {
    ...hears,
    onShard: (shardIndex, bytes) => {
      removeStaged(plan.output, plan.shards[shardIndex]!);
      hears.onShard?.(shardIndex, bytes);
    },
  };
}

/** What was known of a run that failed, for whoever looks into its output folder later. */
function leaveRecord(
  plan: RunPlan,
  recorder: Recorder,
  error: unknown,
  summary: (of: RunPlan) => ScoreResult,
  onRecord: ScoreOptions['onRecord'],
): void {
  try {
    const record = recorder.record(asTandemError(error).code, summary(plan));
    writeReport(plan.output, withoutTimeline(record));
    onRecord?.(record);
  } catch {
    // The run has failed already, and that is what its caller hears.
  }
}

/** What the output folder gets: a timeline is large, and was asked for elsewhere. */
function withoutTimeline(record: RunRecord): RunRecord {
  return { ...record, timeline: undefined };
}

function rowsTaken({ shards }: RunPlan): number {
  return shards.reduce((sum, { rowCount }) => sum + rowCount, 0);
}

/** The plan of a run that is not carried out. */
export function planScore(options: ScoreOptions): Promise<RunPlan> {
  return makePlan(options);
}

async function makePlan(options: ScoreOptions, features?: FeatureFiles): Promise<RunPlan> {
  const planner = new PlannerClient(options.signal, options.onWarning ?? (() => {}));
  try {
    return (await planner.ask({ kind: 'plan', options: plainOptions(options, features), dryRun: true }, 'planned'))
      .plan;
  } finally {
    await planner.close([]);
  }
}

/** Waits for the crew, tells how far it is, stops it when asked to, leaves only whole shards. */
async function work(
  plan: RunPlan,
  crew: Crew,
  recorder: Recorder,
  options: ScoreOptions,
  soFar: () => RunRecord,
): Promise<void> {
  recorder.watch(crew);
  const meter = new ProgressMeter(
    {
      rowsTotal: plan.rowsTotal,
      shardsTotal: plan.shards.filter((shard) => !shard.done).length,
      shardsSkipped: plan.shards.filter((shard) => shard.done).length,
    },
    performance.now(),
  );
  const working = plan.features === undefined ? 'scoring' : 'featurizing';
  const look = (phase: Progress['phase']): void => {
    try {
      recorder.tick();
      const { rowsScored, shardsDone, batchSize } = crew.tally;
      const { bottleneck, rowsPerSecond } = recorder;
      const sample = { atMs: performance.now(), rowsDone: rowsScored };
      tell(options, meter.measure(phase, sample, { shardsDone, batchSize, bottleneck, rowsPerSecond }));
    } catch (error) {
      crew.stop(asTandemError(error));
    }
  };
  const stop = (): void => {
    forgetInFlight(plan.output);
    crew.stop(
      new TandemError('STOPPED', 'The run was stopped.', {
        remedy: 'Run the same command again: it goes on with the shards that are missing.',
      }),
    );
  };
  options.signal?.addEventListener('abort', stop);
  if (options.signal?.aborted === true) stop();
  announceRun(crew, plan, soFar, options.onRun);
  const timer = setInterval(() => look(working), progressIntervalMs);
  try {
    await crew.finished();
    look('done');
    // Again, for a callback that threw just now.
    await crew.finished();
  } catch (error) {
    look(working);
    cleanOutput(plan.output, crew.attempt);
    throw error;
  } finally {
    clearInterval(timer);
    options.signal?.removeEventListener('abort', stop);
    await recorder.endTrace();
  }
}

function tell({ onProgress }: ScoreOptions, progress: Progress): void {
  try {
    onProgress?.(progress);
  } catch (cause) {
    throw new TandemError('USAGE', `Expected onProgress not to throw, got ${String(cause)}.`, { cause });
  }
}

function summarize(plan: RunPlan, crew: Crew | undefined, begun: Begun, warnings: string[]): ScoreResult {
  const tally = crew?.tally;
  const wallSeconds = (threadsNowMs() - begun.atMs) / 1000;
  return {
    version: 1,
    rowsIn: plan.rowsTotal,
    rowsOut: tally?.rowsScored ?? 0,
    shards: tally?.shardsDone ?? 0,
    shardsSkipped: plan.shards.filter((shard) => shard.done).length,
    wallSeconds,
    rowsPerSecond: (tally?.rowsScored ?? 0) / wallSeconds,
    batchSize: tally?.batchSize,
    threads: plan.threads,
    device: plan.device,
    scorer: plan.scorer.words,
    devices: crew?.devices ?? [],
    decisions: crew?.decisions ?? [],
    precision: plan.precision,
    output: plan.output,
    outputBytes: tally?.bytesWritten ?? 0,
    ledger: crew === undefined ? undefined : ledgerOfCrew(crew, plan, begun, warnings),
    warnings,
  };
}

/** Options without what cannot cross a thread. */
function plainOptions(options: ScoreOptions, features: FeatureFiles | undefined): PlainScoreOptions {
  const {
    signal: _signal,
    onProgress: _onProgress,
    onWarning: _onWarning,
    onSelection: _onSelection,
    onScorer: _onScorer,
    onDecision: _onDecision,
    onRun: _onRun,
    onRecord: _onRecord,
    metrics: _metrics,
    ...plain
  } = options;
  return features === undefined ? plain : { ...plain, features };
}

/** A fault in the account of time is no reason to fail a run whose shards are whole. */
function ledgerOfCrew(crew: Crew, { threadsBound }: RunPlan, { usage }: Begun, warnings: string[]): Ledger | undefined {
  try {
    const { user, system } = process.cpuUsage(usage);
    const cpuSeconds = (user + system) / 1e6;
    return ledgerOf(crew.read(), { cores: coreBound().value, threadsBound, cpuSeconds, devices: crew.devices });
  } catch (error) {
    warnings.push(`There is no ledger of this run: ${(error as Error).message}`);
    return undefined;
  }
}
