/** `tune`: which batch size, threads, slots and precision a job is fastest with, on the user's own shards, and why. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { profileFolder } from '../engines/cuda/libraries.ts';
import { bug, TandemError } from '../errors.ts';
import { check } from '../inspect.ts';
import { slotsPerThreadMax, slotsPerThreadMin, tuneRoundsMin, tuneSecondsDefault, tuneShardsMax } from '../limits.ts';
import type { BatchSizeFinding } from '../messages.ts';
import type { Precision, TuneOptions, TuneReport } from '../options.ts';
import { planScore } from '../pipeline.ts';
import type { Profile, RunPlan } from '../plan.ts';
import { writeProfile } from '../planning/profile.ts';
import { startSweep } from '../score/batch-size.ts';
import { explain, type Rates } from './explain.ts';
import { stoppedTuning, type Trial } from './trial.ts';
import { modelRate, sizesAround, storageRate, threadCounts, Tuner, type JobSetting } from './tuner.ts';
import { goodEnough, median } from './turns.ts';

/**
 * Measures short jobs, and leaves a profile that later runs start with.
 * @throws what `score` throws; STOPPED after an abort, and then nothing is left
 */
export async function tune(options: TuneOptions): Promise<TuneReport> {
  const stagedIn = mkdtempSync(join(tmpdir(), 'tandem-tune-staged-'));
  try {
    return await tuneJob(options, stagedIn);
  } catch (error) {
    // Its parts speak of runs that go on where they stopped.
    throw error instanceof TandemError && error.code === 'STOPPED' ? stoppedTuning() : error;
  } finally {
    rmSync(stagedIn, { recursive: true, force: true });
  }
}

async function tuneJob(options: TuneOptions, stagedIn: string): Promise<TuneReport> {
  const seconds = options.seconds ?? tuneSecondsDefault;
  const { seconds: _, onProgress: _onProgress, ...common } = options;
  const plan = await planScore({ ...common, output: resolve('tandem-tune-no-such-folder'), useProfile: false });
  const sample = plan.shards.filter(({ rowCount }) => rowCount > 0).slice(0, tuneShardsMax);
  if (sample.length === 0) {
    throw new TandemError('BAD_SHARD', 'Expected shards with rows to tune on, got only empty ones.', {
      remedy: 'Give shards like those that will be scored.',
    });
  }
  const start: JobSetting = {
    batchSize: undefined,
    threads: plan.threads,
    slotsPerThread: undefined,
    precision: 'float32',
  };
  const paths = sample.map(({ path, sourcePath }) => sourcePath ?? path);
  const tuner = new Tuner(options, paths, stagedIn, seconds, start);
  const search = plan.devices.length > 0 ? await descendOnGpu(tuner, plan) : await descendOnCpu(tuner, plan);
  const inFull = tuner.setting;
  const golden = plan.devices.length > 0 ? await tryPrecisions(tuner, options) : [];
  const rates = await compareWithDefault(tuner, search.standard);
  if (options.signal?.aborted === true) throw stoppedTuning();
  const profiles = leaveAll(tuner, inFull, rates, search);
  const trial = tuner.trialOf()!;
  noteLimits(tuner, rates, trial.wholeSample, storageRate(trial.plan, rates.chosen));
  return {
    version: 1,
    device: plan.device,
    label: plan.devices[0]?.label ?? plan.profiles.keys[0]!.device,
    sample: { shards: sample.length, rows: sample.reduce((sum, { rowCount }) => sum + rowCount, 0) },
    seconds: tuner.secondsElapsed,
    settings: tuner.settings,
    defaultRowsPerSecond: rates.standard,
    chosen: {
      batchSize: batchSizeOf(trial),
      threads: trial.plan.threads,
      slotsPerThread: trial.plan.slotsPerThread,
      precision: tuner.setting.precision,
      rowsPerSecond: rates.chosen,
    },
    noise: tuner.noise,
    explanation: explainJob(tuner, search.findings, plan.devices.length > 0),
    notes: tuner.notes,
    golden,
    profiles,
  };
}

interface Descent {
  /** The job as it is without a profile. */
  readonly standard: JobSetting;
  readonly findings: readonly BatchSizeFinding[];
}

async function descendOnCpu(tuner: Tuner, plan: RunPlan): Promise<Descent> {
  const standard = tuner.setting;
  await tuner.run('first look, as it is by default', standard);
  const sizes = plan.model.fixedBatchRows === undefined ? startSweep(plan.slotRows).candidates : [];
  await tuner.descend('batch size', sizes);
  await tuner.descend('threads', threadCounts(standard.threads));
  if (tuner.setting.threads !== standard.threads) await tuner.descend('batch size', neighbours(tuner, sizes));
  return { standard, findings: [] };
}

async function descendOnGpu(tuner: Tuner, plan: RunPlan): Promise<Descent> {
  const { trial, findings } = await tuner.search(tuner.setting);
  const isFixed = plan.model.fixedBatchRows !== undefined;
  const [finding] = findings;
  const center = finding?.chosen?.rows ?? trial.batchSize;
  if (!isFixed && finding?.chosen === undefined) {
    tuner.notes.push('the search for the batch size did not end in a quarter of the time: more --seconds let it');
  }
  const standard = { ...tuner.setting, batchSize: isFixed ? undefined : center };
  const sizes = isFixed || center === undefined ? [] : sizesAround(center, finding);
  await tuner.descend('batch size', sizes);
  const { threads } = standard;
  await tuner.descend('threads', threadCounts(threads));
  const slots = tuner.trialOf()?.plan.slotsPerThread ?? slotsPerThreadMin;
  const slotCounts = [slotsPerThreadMin, slots, Math.min(slotsPerThreadMax, 2 * slots)];
  await tuner.descend(
    'slots per thread',
    [...new Set(slotCounts)].sort((one, other) => one - other),
  );
  if (tuner.setting.threads !== threads) await tuner.descend('batch size', neighbours(tuner, sizes));
  return { standard, findings };
}

/** The batch size in use and those beside it. */
function neighbours(tuner: Tuner, sizes: readonly number[]): readonly number[] {
  const at = sizes.indexOf(tuner.setting.batchSize ?? -1);
  return at < 0 ? [] : sizes.slice(Math.max(0, at - 1), at + 2);
}

/** Golden scores decide whether a precision may be taken at all, the rate whether it is worth it. */
async function tryPrecisions(tuner: Tuner, options: TuneOptions): Promise<TuneReport['golden']> {
  // Validating takes a library that nothing else here needs.
  const { loadContract } = await import('../contract/load.ts');
  const { golden } = loadContract(options.model).contract;
  if (!existsSync(golden.path)) {
    tuner.notes.push(`precision: only float32, since there is no ${golden.path} to hold tf32 against`);
    return [];
  }
  const reports: TuneReport['golden'][number][] = [];
  for (const precision of ['float32', 'tf32'] as const) reports.push(await compareGolden(options, precision));
  const beyond = reports.filter(({ passed }) => !passed);
  for (const { precision, rowsBeyond, differenceMax, tolerance } of beyond) {
    const off = `${rowsBeyond} golden rows are beyond the tolerance of ${tolerance}, by up to ${differenceMax}`;
    tuner.notes.push(`precision ${precision}: refused, ${off}`);
  }
  if (beyond.length === 0) await tuner.descend('precision', ['float32', 'tf32']);
  return reports;
}

async function compareGolden(options: TuneOptions, precision: Precision): Promise<TuneReport['golden'][number]> {
  const { shards: _, seconds: _seconds, onProgress: _onProgress, ...common } = options;
  const { passed, tolerance, columns } = await check({ ...common, precision });
  return {
    precision,
    passed,
    tolerance,
    differenceMax: Math.max(0, ...columns.map((column) => column.differenceMax)),
    rowsBeyond: Math.max(0, ...columns.map((column) => column.rowsBeyond)),
  };
}

interface Compared {
  readonly standard: number;
  readonly chosen: number;
}

/** The job without and with all that was chosen, in turn; the default stays where the rest is slower after all. */
async function compareWithDefault(tuner: Tuner, standard: JobSetting): Promise<Compared> {
  const words = ['as it is by default', 'as it was chosen'];
  const samples = await tuner.measure([standard, tuner.setting], (_, index) => words[index]!, true);
  const [before = 0, after = 0] = samples.map(median);
  // Shards that are over before the default has found its batch size say nothing for it.
  const isKnown = tuner.trialOf(standard)?.batchSize !== undefined;
  if (after >= before * (1 - goodEnough) || !isKnown) return { standard: before, chosen: after };
  tuner.setting = standard;
  tuner.notes.push('what was chosen setting by setting was slower than the default in the end: the default stays');
  return { standard: before, chosen: before };
}

function noteLimits(tuner: Tuner, { standard, chosen }: Compared, wholeSample: boolean, bytesPerSecond: number): void {
  const gain = chosen / standard - 1;
  if (gain <= Math.max(goodEnough, tuner.noise)) {
    const percent = (Math.max(goodEnough, tuner.noise) * 100).toFixed(0);
    tuner.notes.push(`no setting is faster than the default by more than ${percent} %; the profile saves the search`);
  }
  if (tuner.settings.some(({ chosen: isChosen, trials }) => isChosen && trials < tuneRoundsMin)) {
    tuner.notes.push(`some settings were tried less than ${tuneRoundsMin} times: more --seconds make it sure`);
  }
  if (wholeSample)
    tuner.notes.push('the shards are so few that a trial scored all of them: start and end are in the rates');
  const rate =
    bytesPerSecond < 1e9 ? `${Math.ceil(bytesPerSecond / 1e6)} MB/s` : `${(bytesPerSecond / 1e9).toFixed(1)} GB/s`;
  tuner.notes.push(`trials read from the page cache; storage that gives less than ${rate} would be the limit`);
}

function explainJob(tuner: Tuner, findings: readonly BatchSizeFinding[], onGpu: boolean): string {
  const trial = tuner.trialOf()!;
  const ratesOf = (name: string): Rates =>
    tuner.settings
      .filter(({ setting }) => setting === name)
      .map(({ value, rowsPerSecond }) => ({ value: Number(value), rowsPerSecond }));
  const alone = modelRate(trial.batchSize, findings);
  return explain({
    onGpu,
    batchSizes: ratesOf('batch size'),
    batchSize: trial.batchSize ?? 0,
    threadCounts: ratesOf('threads'),
    threads: tuner.setting.threads,
    modelShare: onGpu ? alone && trial.rowsPerSecond / alone : trial.modelShare,
  });
}

/**
 * A profile for each precision that was tuned. Those of another than float32 have none of its findings: each GPU searches
 * its batch size there again, and starts with the rest.
 */
function leaveAll(tuner: Tuner, inFull: JobSetting, rates: Compared, { findings }: Descent): TuneReport['profiles'] {
  const { setting } = tuner;
  const last = leaveProfiles(tuner, setting, rates.chosen, setting.precision === 'float32' ? findings : []);
  if (setting.precision === 'float32') return last;
  return [...leaveProfiles(tuner, inFull, tuner.trialOf(inFull)!.rowsPerSecond, findings), ...last];
}

function batchSizeOf({ batchSize }: Trial): number {
  if (batchSize === undefined) throw bug('A tuned job has no batch size');
  return batchSize;
}

/** @throws ENVIRONMENT where the cache folder cannot be written */
function leaveProfiles(
  tuner: Tuner,
  setting: JobSetting,
  rowsPerSecond: number,
  findings: readonly BatchSizeFinding[],
): TuneReport['profiles'] {
  const folder = profileFolder(process.env);
  const trial = tuner.trialOf(setting)!;
  const { threads, slotRows, slotsPerThread, devices, profiles } = trial.plan;
  const job = { threads, devices: devices.length, slotRows, slotsPerThread, rowsPerSecond };
  const writtenAt = new Date().toISOString();
  const paths = profiles.keys.map((key, index): string => {
    const finding = findings.find(({ deviceIndex }) => deviceIndex === index);
    const alone = finding?.sizes.find(({ rows }) => rows === trial.batchSize)?.rowsPerSecond;
    const profile: Profile = {
      version: 1,
      key,
      batchSize: batchSizeOf(trial),
      rowsPerSecond: alone ?? rowsPerSecond,
      memory: alone === undefined ? undefined : finding?.memory,
      job,
      writtenBy: 'tune',
      writtenAt,
    };
    try {
      return writeProfile(folder, profile);
    } catch (cause) {
      throw new TandemError('ENVIRONMENT', `Expected ${folder} to be writable, got ${(cause as Error).message}.`, {
        remedy: 'Set XDG_CACHE_HOME to a folder that you may write to, for this command and for the runs after it.',
        cause,
      });
    }
  });
  return [...new Set(paths)].map((path) => ({ precision: setting.precision, path }));
}
