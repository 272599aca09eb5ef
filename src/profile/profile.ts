/** `profile`: a measured stretch of a real run, warm-up left out, with CPU profiles of its threads. Its output is gone afterwards. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { bug, TandemError } from '../errors.ts';
import { hotFunctionsShown, profileSecondsDefault, profileWarmUpMsMax } from '../limits.ts';
import { hottest } from '../measure/flame.ts';
import type { ProfileOptions, ProfileReport, Progress, RunningScore, ScoreResult } from '../options.ts';
import { score } from '../pipeline.ts';
import { peakBytes } from '../report/comparison.ts';
import type { RunProfile, RunRecord } from '../run-record.ts';
import { writeProfileFiles } from './profile-files.ts';

/**
 * Scores into a temporary folder for as long as the profile takes, as `score` would with the same options.
 * @throws what `score` throws; BAD_OUTPUT where the folder holds something, BAD_SHARD where the shards are too few to see
 * anything, STOPPED after an abort. Then nothing is left.
 */
export async function profile(options: ProfileOptions): Promise<ProfileReport> {
  const { output: folder = defaultFolder(new Date()), ...common } = options;
  const isOurs = makeEmptyFolder(folder);
  const scratch = mkdtempSync(join(tmpdir(), 'tandem-profile-'));
  try {
    const measured = await measure(common, scratch);
    const files = await writeProfileFiles(folder, measured.taken);
    return reportOf(resolve(folder), files, measured);
  } catch (error) {
    if (isOurs) rmSync(folder, { recursive: true, force: true });
    throw error;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

interface Measured {
  readonly taken: RunProfile;
  /** The shards were scored to their end before the time was up. */
  readonly wholeInput: boolean;
}

/** Runs until the profile is complete, or the shards are. */
async function measure(options: Omit<ProfileOptions, 'output'>, output: string): Promise<Measured> {
  const { seconds = profileSecondsDefault, signal, onProgress, ...common } = options;
  const end = new AbortController();
  const stop = (): void => end.abort();
  signal?.addEventListener('abort', stop);
  if (signal?.aborted === true) stop();
  let record: RunRecord | undefined;
  const taker = new ProfileTaker(seconds);
  try {
    const run = score({
      ...common,
      output,
      signal: end.signal,
      onRun: (started) => taker.begin(started),
      onRecord: (made) => (record = made),
      onProgress: (progress) => {
        onProgress?.(progress);
        taker.look(progress);
      },
    });
    taker.taken.then(stop, stop);
    const result = await run.catch((error: unknown) => {
      if (signal?.aborted === true || !taker.isTaking || !isStopped(error)) throw error;
      return undefined;
    });
    if (!taker.isTaking) throw tooFewRows(result);
    const taken = await taker.taken;
    if (record === undefined) throw bug('A run that was profiled has no record');
    // GPUs tell what they held when they have ended.
    const withDevices = { ...taken.record.result, devices: record.result.devices };
    return { taken: { ...taken, record: { ...taken.record, result: withDevices } }, wholeInput: result !== undefined };
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** Takes the profile once the run has warmed up. */
class ProfileTaker {
  readonly taken: Promise<RunProfile>;
  isTaking = false;
  readonly #seconds: number;
  #run: RunningScore | undefined;
  #firstRowsMs: number | undefined;
  #settle: (profile: Promise<RunProfile>) => void = () => {};

  constructor(seconds: number) {
    this.#seconds = seconds;
    this.taken = new Promise((resolve) => (this.#settle = resolve));
  }

  begin(run: RunningScore): void {
    this.#run = run;
  }

  /** Rows are there and the batch size is found; a search that takes long is part of the picture. */
  look({ phase, rowsDone, batchSize }: Progress): void {
    if (this.isTaking || this.#run === undefined || phase !== 'scoring' || rowsDone === 0) return;
    const nowMs = performance.now();
    this.#firstRowsMs ??= nowMs;
    if (batchSize === undefined && nowMs - this.#firstRowsMs < profileWarmUpMsMax) return;
    this.isTaking = true;
    this.#settle(this.#run.profile(this.#seconds));
  }
}

function isStopped(error: unknown): boolean {
  return error instanceof TandemError && error.code === 'STOPPED';
}

function tooFewRows(result: ScoreResult | undefined): TandemError {
  const { rowsIn = 0, wallSeconds = 0 } = result ?? {};
  return new TandemError(
    'BAD_SHARD',
    `Expected shards that take longer to score than threads take to start, got ${rowsIn} rows that took ${wallSeconds.toFixed(1)} s in all.`,
    { remedy: 'Give more shards: a few seconds of work show what there is to see.' },
  );
}

/** `profile-2026-05-31T12-30-05` in the current folder. */
function defaultFolder(now: Date): string {
  return `profile-${now.toISOString().slice(0, 19).replaceAll(':', '-')}`;
}

/** @returns whether it was not there before. @throws BAD_OUTPUT */
function makeEmptyFolder(folder: string): boolean {
  try {
    const wasThere = existsSync(folder);
    if (!wasThere) mkdirSync(folder, { recursive: true });
    else if (readdirSync(folder).length > 0) throw new Error('it holds something already');
    return !wasThere;
  } catch (cause) {
    throw new TandemError(
      'BAD_OUTPUT',
      `Expected ${folder} to be a new or empty folder, got: ${(cause as Error).message}.`,
      { remedy: 'Choose another --output.', cause },
    );
  }
}

function reportOf(folder: string, files: readonly string[], { taken, wholeInput }: Measured): ProfileReport {
  const { seconds, ledger, missing, heaps, profiles, record } = taken;
  const { result, samples } = record;
  return {
    version: 1,
    device: result.device,
    seconds,
    rowsPerSecond: result.rowsPerSecond,
    threads: result.threads,
    batchSize: result.batchSize,
    ledger,
    functions: hottest(profiles, hotFunctionsShown),
    memory: {
      peakBytes: peakBytes(record),
      samples: samples.map(({ atSeconds, residentBytes }) => ({ atSeconds, residentBytes })),
      heaps,
    },
    missing,
    wholeInput,
    folder,
    files,
  };
}
