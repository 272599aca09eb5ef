/** One short job for `tune`: planned and carried out as `score` does it, into a folder that is gone afterwards. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TandemError } from '../errors.ts';
import { tuneTickMs } from '../limits.ts';
import type { BatchSizeFinding, PlainScoreOptions } from '../messages.ts';
import type { RunPlan } from '../plan.ts';
import { Crew } from '../threads/crew.ts';
import { PlannerClient } from '../threads/planner-client.ts';

export interface TrialLimits {
  /** From the first scored row on; a sample that is scored sooner ends it. */
  readonly seconds: number;
  readonly signal: AbortSignal | undefined;
  /** Folder for shards that are no Parquet, which are turned into it once for all trials. */
  readonly stagedIn: string;
  readonly onWarning: (text: string) => void;
}

export interface Trial {
  /** 0: nothing was scored in the time. */
  readonly rowsPerSecond: number;
  /** Of the threads' time, in the model; of the CPU alone. */
  readonly modelShare: number | undefined;
  /** The size in use at the end. */
  readonly batchSize: number | undefined;
  readonly findings: readonly BatchSizeFinding[];
  readonly plan: RunPlan;
  /** The sample was scored to its end before the time was up. */
  readonly wholeSample: boolean;
}

/** When how many rows had been scored. */
export interface Moment {
  readonly atMs: number;
  readonly rows: number;
  /** Of all threads, in the model. */
  readonly modelSeconds: number;
}

/** The part of a trial that counts. */
export interface Steady {
  readonly rows: number;
  readonly seconds: number;
  readonly modelSeconds: number;
}

/** A trial goes on until it has seen so many changes of the counter: slots of slow models come seldom. */
const momentsMin = 6;
/** A slow model is given so many times the seconds for them. */
const patience = 5;
/** Share of a trial that counts as its start. */
const startShare = 0.25;
/** Between fewer milliseconds the clock's ticks show. */
const steadyMsMin = 5 * tuneTickMs;

/**
 * @param options without profiles: what they leave open is as it is by default
 * @throws what `score` throws; STOPPED after an abort
 */
export async function runTrial(options: Omit<PlainScoreOptions, 'output'>, limits: TrialLimits): Promise<Trial> {
  const output = mkdtempSync(join(tmpdir(), 'tandem-tune-'));
  const planner = new PlannerClient(limits.signal, limits.onWarning);
  let crew: Crew | undefined;
  try {
    const { stagedIn } = limits;
    const given = { ...options, output, useProfile: false, rowsFollow: true };
    const request = { kind: 'plan', options: given, dryRun: false, stagedIn } as const;
    const { plan, engines } = await planner.ask(request, 'planned');
    const startMs = performance.now();
    crew = new Crew(plan, engines, { planner, hears: { onWarning: limits.onWarning } });
    const { moments, wholeSample } = await watch(crew, limits);
    const endMs = performance.now();
    const { rows, seconds, modelSeconds } = steadyPart(moments, startMs, endMs);
    return {
      rowsPerSecond: rows / seconds,
      modelShare: plan.devices.length > 0 ? undefined : modelSeconds / plan.threads / seconds,
      batchSize: crew.tally.batchSize,
      findings: crew.findings,
      plan,
      wholeSample,
    };
  } finally {
    await planner.close(crew?.connections ?? []);
    rmSync(output, { recursive: true, force: true });
  }
}

/** Counts until the time is up or the sample is scored; every thread has ended then. */
async function watch(
  crew: Crew,
  { seconds, signal }: TrialLimits,
): Promise<{ readonly moments: readonly Moment[]; readonly wholeSample: boolean }> {
  const moments: Moment[] = [];
  const timeIsUp = new TandemError('STOPPED', 'The time of the trial is up.');
  const startMs = performance.now();
  const look = (): void => {
    const atMs = performance.now();
    const { rowsScored: rows } = crew.tally;
    if (rows !== (moments.at(-1)?.rows ?? 0)) moments.push({ atMs, rows, modelSeconds: crew.modelSeconds });
    const measuredMs = atMs - (moments[0]?.atMs ?? atMs);
    const isEnough = measuredMs >= seconds * 1000 && moments.length >= momentsMin;
    // Planning is over, but sessions, memory and threads of a GPU take a second or more before the first row.
    const isHopeless = moments.length === 0 ? atMs - startMs > startMsMax : measuredMs > patience * seconds * 1000;
    if (isEnough || isHopeless) crew.stop(timeIsUp);
  };
  const stop = (): void => crew.stop(stoppedTuning());
  signal?.addEventListener('abort', stop);
  if (signal?.aborted === true) stop();
  const timer = setInterval(look, tuneTickMs);
  try {
    await crew.finished();
    look();
    return { moments, wholeSample: true };
  } catch (error) {
    if (error !== timeIsUp) throw error;
    return { moments, wholeSample: false };
  } finally {
    clearInterval(timer);
    signal?.removeEventListener('abort', stop);
  }
}

/** Nobody tunes a job whose first rows take longer. */
const startMsMax = 60_000;

export function stoppedTuning(): TandemError {
  return new TandemError('STOPPED', 'Tuning was stopped; no profile was written.', {
    remedy: 'Run the same command again, with fewer --seconds if it takes too long.',
  });
}

/** From when the work was under way to the last rows; the whole job where that was over too soon to tell. */
export function steadyPart(moments: readonly Moment[], startMs: number, endMs: number): Steady {
  const none: Moment = { atMs: startMs, rows: 0, modelSeconds: 0 };
  const [first = none, last = none] = [moments[0], moments.at(-1)];
  const from = moments.find(({ atMs }) => atMs >= first.atMs + startShare * (last.atMs - first.atMs)) ?? none;
  const isLong = last.atMs - from.atMs >= steadyMsMin;
  const [begin, endsMs] = isLong ? [from, last.atMs] : [none, endMs];
  return {
    rows: last.rows - begin.rows,
    seconds: (endsMs - begin.atMs) / 1000,
    modelSeconds: last.modelSeconds - begin.modelSeconds,
  };
}
