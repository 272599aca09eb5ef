/** Step 8: whole jobs, from Parquet to Parquet, by the public API in a process of its own, its device's streams timed. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { quotePath, type Value } from '../../src/engines/duckdb/database.ts';
import { driverModuleVariable } from '../../src/planning/devices.ts';
import type { ScoreOptions, ScoreResult } from '../../src/options.ts';
import { withConnection } from '../../src/testing/shards.ts';
import { runJob } from '../job.ts';
import { expectClose } from '../measure.ts';
import {
  checkShard,
  jobFolder,
  linkedCopies,
  linkedFolder,
  shardCountOf,
  shardPaths,
  type JobName,
} from './prepare.ts';
import { findDevice } from './rig.ts';
import type { StepContext } from './step.ts';
import { timedSettingsVariable, type DeviceTimes, type TimedSettings } from './timed-devices.ts';

export interface JobCase {
  readonly workload: JobName;
  /** How many of the shards; default: all. */
  readonly shards?: number;
  /** Ten links to every shard in place of the shards. */
  readonly linked?: boolean;
  readonly batchSize?: number;
  readonly settings?: Partial<TimedSettings>;
  readonly environment?: NodeJS.ProcessEnv;
  /** Compares every row with the CPU's score of it, not only a few. */
  readonly checkRows?: boolean;
}

/** Of a job besides its rows: Node, footers, session, the last file. */
const startSeconds = 3;
/** Scores of float32 sums in another order; those of the tables' models are between 0 and 1, or sums of leaves. */
const jobTolerance = 1e-4;

const cudaModule = new URL('../../src/engines/cuda/cuda-devices.js', import.meta.url).href;

export function timedEnvironment({ settings, environment }: Partial<JobCase>, file: string): NodeJS.ProcessEnv {
  rmSync(file, { force: true });
  const own: TimedSettings = { module: process.env[driverModuleVariable] ?? cudaModule, file, ...settings };
  return {
    ...process.env,
    ...environment,
    [driverModuleVariable]: new URL('./timed-devices.js', import.meta.url).href,
    [timedSettingsVariable]: JSON.stringify(own),
  };
}

export function optionsOf(context: StepContext, job: JobCase, output: string): ScoreOptions {
  const { workload, batchSize, linked } = job;
  return {
    shards: linked === true ? join(linkedFolder(context), '**/*.parquet') : shardPaths(context, job.shards),
    model: jobFolder(context, workload),
    output,
    overwrite: true,
    device: context.device,
    ...(context.ortDir === undefined ? {} : { ortDir: context.ortDir }),
    ...(batchSize === undefined ? {} : { batchSize }),
  };
}

/** Runs a job, checks what it wrote, and gives its figures. @throws Error when a row is missing or wrong */
export async function runDeviceJob(context: StepContext, job: JobCase): Promise<Record<string, unknown>> {
  const output = join(context.work, 'scores');
  const file = join(context.work, 'times.json');
  const run = await runJob(optionsOf(context, job, output), timedEnvironment(job, file));
  const { result, ...figures } = run;
  const rows = inPlace(join(output, '**/*.parquet'));
  expectClose('rows in place', rows, result.rowsIn, 0);
  const scoreDifferenceMax = job.checkRows === true ? await compareAll(context, job, output) : undefined;
  rmSync(output, { recursive: true, force: true });
  const { output: _output, ...counts } = result;
  const device = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as DeviceTimes) : undefined;
  return {
    ...counts,
    ...figures,
    rowsInPlace: rows,
    ...(scoreDifferenceMax === undefined ? {} : { scoreDifferenceMax }),
    device,
  };
}

/** Rows with a score whose id says that they are where they were; ids of a file are consecutive. */
function inPlace(pattern: string): number {
  const sql = `SELECT coalesce(sum(rows), 0)::BIGINT FROM (
    SELECT count(*) FILTER (score IS NOT NULL AND NOT isnan(score)) AS rows
    FROM read_parquet('${pattern.replaceAll("'", "''")}', file_row_number=true, filename=true)
    GROUP BY filename, id - file_row_number QUALIFY count(*) OVER (PARTITION BY filename) = 1)`;
  return Number(ask(sql)[0]![0]);
}

function ask(sql: string): Value[][] {
  return withConnection((connection) => connection.rows(sql));
}

/** The same shards by the CPU, row by row. @returns the largest difference */
async function compareAll(context: StepContext, job: JobCase, output: string): Promise<number> {
  const expected = join(context.work, 'expected');
  const { ortDir: _ortDir, batchSize: _batchSize, ...options } = optionsOf(context, job, expected);
  await runJob({ ...options, device: 'cpu' });
  const difference = Math.max(...shardPaths(context, job.shards).map((path) => compareOutputs(path, output, expected)));
  rmSync(expected, { recursive: true, force: true });
  return difference;
}

export function compareOutputs(path: string, output: string, expected: string): number {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const of = (folder: string): string => `read_parquet(${quotePath(join(folder, name))})`;
  const [row] = ask(`SELECT max(abs(a.score - b.score)), count(*) FILTER (a.id IS DISTINCT FROM b.id)
    FROM ${of(output)} a POSITIONAL JOIN ${of(expected)} b`);
  expectClose(`ids that differ in ${name}`, Number(row![1]), 0, 0);
  expectClose(`difference of scores in ${name}`, Number(row![0]), 0, jobTolerance);
  return Number(row![0]);
}

/** A few rows by device and CPU. @throws Error when they differ */
export async function checkJob(context: StepContext, workload: JobName): Promise<number> {
  const folders = ['device', 'cpu'].map((name) => join(context.work, `check-${name}`)) as [string, string];
  const { ortDir, ...common } = { ...optionsOf(context, { workload }, ''), shards: checkShard(context) };
  await runJob({ ...common, ...(ortDir === undefined ? {} : { ortDir }), output: folders[0] });
  await runJob({ ...common, device: 'cpu', output: folders[1] });
  return compareOutputs(checkShard(context), ...folders);
}

export async function jobs(context: StepContext): Promise<void> {
  const cases: readonly JobCase[] = [
    { workload: 'w1-network' },
    { workload: 'w2-logistic' },
    { workload: 'w4-wide' },
    // Trees have no kernel on the GPU: a share of the rows shows it.
    { workload: 'w3-trees', shards: Math.ceil(shardCountOf(context) / 8) },
  ];
  const rates = new Map<JobName, number>();
  for (const job of cases.filter(({ workload }) => !context.tiny || workload === 'w4-wide')) {
    const scoreDifferenceMax = await checkJob(context, job.workload);
    const figures = await runDeviceJob(context, job);
    rates.set(job.workload, (figures['device'] as DeviceTimes | undefined)?.steadyRowsPerSecond ?? 0);
    context.record(job.workload, { scoreDifferenceMax, ...figures });
  }
  await promisedMemory(context);
  for (const workload of context.tiny ? (['w1-network'] as const) : (['w1-network', 'w2-logistic'] as const)) {
    const name = `${workload}, ${linkedCopies} links to every shard`;
    const expected = (context.rows * linkedCopies) / (rates.get(workload) ?? 0) + startSeconds;
    if (!context.tiny && expected > context.secondsLeft())
      context.record(name, { skipped: `it would take ${expected.toFixed(0)} s` });
    else context.record(name, await runDeviceJob(context, { workload, linked: true }));
  }
}

/** `--gpu-memory`, by the command: what the process held at its highest against what it was allowed. */
async function promisedMemory(context: StepContext): Promise<void> {
  const { found } = await findDevice(context);
  const promisedBytes = context.tiny ? Math.floor(found.totalBytes / 2 ** 21) * 2 ** 20 : 4 * 2 ** 30;
  const output = join(context.work, 'scores');
  const file = join(context.work, 'times.json');
  const main = fileURLToPath(new URL('../../src/main.js', import.meta.url));
  const model = jobFolder(context, 'w1-network');
  const flags = ['--model', model, '--output', output, '--device', context.device, '--progress', 'none', '--json'];
  const ortDir = context.ortDir === undefined ? [] : ['--ort-dir', context.ortDir];
  const promise = ['--gpu-memory', `${promisedBytes / 2 ** 20}MiB`, '--overwrite'];
  const args = [main, 'score', ...shardPaths(context), ...flags, ...ortDir, ...promise];
  const env = timedEnvironment({}, file);
  const { stdout } = await promisify(execFile)(process.execPath, args, { env, maxBuffer: 2 ** 26 });
  const result = JSON.parse(stdout) as ScoreResult;
  const times = JSON.parse(readFileSync(file, 'utf8')) as DeviceTimes;
  rmSync(output, { recursive: true, force: true });
  const takenBytesMax = found.freeBytes - times.freeBytesMin;
  const heldBytesMax = result.devices[0]!.memoryPeakBytes;
  const { rowsPerSecond, batchSize } = result;
  context.record('promised memory', {
    promisedBytes,
    heldBytesMax,
    takenBytesMax,
    rowsPerSecond,
    batchSize,
    device: times,
  });
}
