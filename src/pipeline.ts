/** A run from options to result: the one file, with the threads' entries, that knows every stage. */
import { coreBound } from './machine.ts';
import { threadsNowMs } from './measure/clock.ts';
import { ledgerOf, type LedgerContext } from './measure/ledger.ts';
import { ProgressMeter } from './measure/progress.ts';
import { progressIntervalMs } from './limits.ts';
import { TandemError } from './errors.ts';
import type { PlainScoreOptions } from './messages.ts';
import type { Progress, ScoreOptions, ScoreResult } from './options.ts';
import type { RunPlan } from './plan.ts';
import { rememberFindings } from './planning/profile.ts';
import { Crew } from './threads/crew.ts';
import { PlannerClient } from './threads/planner-client.ts';
import { cleanOutput, finishOutput, forgetInFlight } from './write/output-folder.ts';

/**
 * Scores shards into a folder. Running it again finishes what is missing and redoes nothing.
 * @throws TandemError, see `errorCodes`; what is whole by then stays
 */
export async function score(options: ScoreOptions): Promise<ScoreResult> {
  const startMs = threadsNowMs();
  const warnings: string[] = [];
  const warn = (text: string): void => {
    warnings.push(text);
    options.onWarning?.(text);
  };
  const planner = new PlannerClient(options.signal, warn);
  let crew: Crew | undefined;
  try {
    options.onProgress?.(planning);
    const { plan, engines } = await planner.ask(
      { kind: 'plan', options: plainOptions(options), dryRun: false },
      'planned',
    );
    plan.warnings.forEach(warn);
    if (plan.rowsTotal > 0 || plan.shards.some((shard) => !shard.done)) {
      const { onDecision, reader } = options;
      crew = new Crew(plan, engines, {
        reader,
        hears: { onWarning: warn, ...(onDecision && { onDecision }) },
        startMs,
      });
      await work(plan, crew, options).finally(() => rememberFindings(plan.profiles, crew!.findings));
    }
    const result = summarize(plan, crew, (threadsNowMs() - startMs) / 1000, warnings);
    finishOutput(plan.output, result);
    return result;
  } finally {
    await planner.close(crew?.connections ?? []);
  }
}

/** The plan of a run that is not carried out. */
export async function planScore(options: ScoreOptions): Promise<RunPlan> {
  const planner = new PlannerClient(options.signal, options.onWarning ?? (() => {}));
  try {
    return (await planner.ask({ kind: 'plan', options: plainOptions(options), dryRun: true }, 'planned')).plan;
  } finally {
    await planner.close([]);
  }
}

/** Nothing is known before the footers are read. */
const planning: Progress = {
  phase: 'planning',
  rowsDone: 0,
  rowsTotal: 0,
  shardsDone: 0,
  shardsTotal: 0,
  shardsSkipped: 0,
  rowsPerSecondNow: 0,
  rowsPerSecondMean: 0,
  secondsElapsed: 0,
  secondsLeft: undefined,
  batchSize: undefined,
};

/** Waits for the crew, tells how far it is, stops it when asked to, leaves only whole shards. */
async function work(plan: RunPlan, crew: Crew, options: ScoreOptions): Promise<void> {
  const meter = new ProgressMeter(
    {
      rowsTotal: plan.rowsTotal,
      shardsTotal: plan.shards.filter((shard) => !shard.done).length,
      shardsSkipped: plan.shards.filter((shard) => shard.done).length,
    },
    performance.now(),
  );
  const report = (phase: 'scoring' | 'done'): void => {
    const { rowsScored, shardsDone, batchSize } = crew.tally;
    try {
      options.onProgress?.(
        meter.measure(phase, { atMs: performance.now(), rowsDone: rowsScored }, shardsDone, batchSize),
      );
    } catch (cause) {
      crew.stop(new TandemError('USAGE', `Expected onProgress not to throw, got ${String(cause)}.`, { cause }));
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
  const timer = setInterval(() => report('scoring'), progressIntervalMs);
  try {
    await crew.finished();
    report('done');
    // Again, for a callback that threw just now.
    await crew.finished();
  } catch (error) {
    report('scoring');
    cleanOutput(plan.output, crew.attempt);
    throw error;
  } finally {
    clearInterval(timer);
    options.signal?.removeEventListener('abort', stop);
  }
}

function summarize(
  plan: RunPlan,
  crew: Crew | undefined,
  wallSeconds: number,
  warnings: readonly string[],
): ScoreResult {
  const tally = crew?.tally;
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
    devices: crew?.devices ?? [],
    decisions: crew?.decisions ?? [],
    precision: plan.precision,
    output: plan.output,
    outputBytes: tally?.bytesWritten ?? 0,
    ledger: crew === undefined ? undefined : ledgerOf(crew.read(), ledgerContext(crew)),
    warnings,
  };
}

/** Options without what cannot cross a thread. */
function plainOptions(options: ScoreOptions): PlainScoreOptions {
  const {
    signal: _signal,
    onProgress: _onProgress,
    onWarning: _onWarning,
    onDecision: _onDecision,
    ...plain
  } = options;
  return plain;
}

/** What the ledger has to know besides the threads' own time. */
function ledgerContext({ devices }: Crew): LedgerContext {
  const { user, system } = process.cpuUsage();
  return { cores: coreBound().value, cpuSeconds: (user + system) / 1e6, devices };
}
