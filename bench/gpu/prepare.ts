/** Step 0: models and shards, made on the machine that is measured. Made again only when something else is asked for. */
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { writeModel } from '../../src/testing/onnx.ts';
import { chooseDevices } from '../../src/planning/devices.ts';
import { contractOf, workloadNames, writeModelFolder, type WorkloadName } from '../data.ts';
import { modelNames, specOf } from './models.ts';
import { modelPath } from './rig.ts';
import type { StepContext, StepInput } from './step.ts';

/** Those of the other benchmark, and one whose model computes for longer than its rows are prepared. */
export const jobNames = [...workloadNames, 'w4-wide'] as const;
export type JobName = (typeof jobNames)[number];

/** Copies of the shards in the large input: links to the same bytes, so the page cache is the small input's. */
export const linkedCopies = 10;

export function shardCountOf({ tiny }: Pick<StepInput, 'tiny'>): number {
  return tiny ? 4 : 16;
}

export function rowsPerShardOf({ rows, tiny }: Pick<StepInput, 'rows' | 'tiny'>): number {
  return Math.ceil(rows / shardCountOf({ tiny }));
}

/** In row order: shard k begins with id k x rows per shard. */
export function shardPaths(input: Pick<StepInput, 'data' | 'tiny'>, count = shardCountOf(input)): string[] {
  return Array.from({ length: count }, (_, index) => join(input.data, 'shards', `s${index}.parquet`));
}

/** A few rows, for scores of the CPU to compare with. */
export function checkShard({ data }: Pick<StepInput, 'data'>): string {
  return join(data, 'check', 'check.parquet');
}

export function linkedFolder({ data }: Pick<StepInput, 'data'>): string {
  return join(data, 'linked');
}

export function jobFolder({ data }: Pick<StepInput, 'data'>, name: JobName): string {
  return join(data, name);
}

export async function prepare(context: StepContext): Promise<void> {
  const { data, tiny, rows } = context;
  // Data for a GPU that is not there would be made for nothing.
  await chooseDevices(context.device, context.ortDir, process.env);
  const stamp = join(data, 'complete.json');
  const wanted = JSON.stringify({ version: 1, tiny, rows });
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) {
    context.record('data', { reused: true, rows, shards: shardCountOf(context) });
    return;
  }
  rmSync(stamp, { force: true });
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  // First, and while nothing else runs: threads write shards, this one makes the models.
  const shards = writeShards(context);
  for (const name of modelNames) writeModel(modelPath(context, name), specOf(name, tiny));
  for (const name of workloadNames) writeModelFolder(jobFolder(context, name), name);
  writeModel(join(jobFolder(context, 'w4-wide'), 'model.onnx'), specOf('mlp2048', tiny));
  const features: WorkloadName = 'w1-network';
  writeFileSync(join(jobFolder(context, 'w4-wide'), 'tandem.json'), JSON.stringify(contractOf(features), null, 2));
  const modelSeconds = seconds();
  await shards;
  linkShards(context);
  writeFileSync(stamp, wanted);
  const figures = { rows, shards: shardCountOf(context), modelSeconds, seconds: seconds() };
  context.record('data', figures);
}

async function writeShards(context: StepContext): Promise<void> {
  const rowsPerShard = rowsPerShardOf(context);
  const tasks = [
    ...shardPaths(context).map((path, index) => ({ path, index, rowsPerShard, seed: (index + 1) / 100 })),
    { path: checkShard(context), index: 0, rowsPerShard: context.tiny ? 64 : 4_096, seed: 0.5 },
  ];
  const next = new Int32Array(new SharedArrayBuffer(4));
  const threads = Math.min(tasks.length, availableParallelism());
  await Promise.all(
    Array.from({ length: threads }, () => {
      const worker = new Worker(new URL('./shard-thread.js', import.meta.url), { workerData: { tasks, next } });
      return new Promise<void>((resolve, reject) => {
        worker.once('error', reject);
        worker.once('exit', (code) =>
          code === 0 ? resolve() : reject(new Error(`a shard's thread ended with ${code}`)),
        );
      });
    }),
  );
}

function linkShards(context: StepContext): void {
  rmSync(linkedFolder(context), { recursive: true, force: true });
  for (let copy = 0; copy < linkedCopies; copy++) {
    const folder = join(linkedFolder(context), `copy${copy}`);
    mkdirSync(folder, { recursive: true });
    shardPaths(context).forEach((path, index) => linkSync(path, join(folder, `s${index}.parquet`)));
  }
}
