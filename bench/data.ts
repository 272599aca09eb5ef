/**
 * The benchmark's shards and model folders, generated once. W1: a network of 32-256-64-1, standardized and clipped
 * features. W2: logistic regression on the same features. W3: 100 boosted trees of 31 leaves on the bare columns.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { networkModel, randomNetwork } from '../src/testing/networks.ts';
import { writeModel, type ModelSpec } from '../src/testing/onnx.ts';
import { writeShard } from '../src/testing/shards.ts';
import { randomTrees, treeRegressorModel } from '../src/testing/trees.ts';

/** Grows when what is generated changes; older data is then made anew. */
const dataVersion = 1;
const stampName = 'complete.json';

export const shardCount = 2;
export const featureCount = 32;
export const workloadNames = ['w1-network', 'w2-logistic', 'w3-trees'] as const;
export type WorkloadName = (typeof workloadNames)[number];
/** Values of a row from layer to layer. */
export const networkWidths = { 'w1-network': [featureCount, 256, 64, 1], 'w2-logistic': [featureCount, 1] } as const;

export interface Workloads {
  /** Absolute paths, in row order. */
  readonly shards: readonly string[];
  readonly rowsPerShard: number;
  /** Absolute path of the model folder of each workload. */
  readonly models: Readonly<Record<WorkloadName, string>>;
}

/** Beside this file's source, ignored by git. */
export const defaultFolder = fileURLToPath(new URL('../../bench/data', import.meta.url));

interface Stamp {
  readonly dataVersion: number;
  readonly rowsPerShard: number;
  /** Bytes by path relative to the folder. */
  readonly files: Readonly<Record<string, number>>;
}

/** Generates what is not there whole. Takes well under a minute for the default size, 1.3 GB on disk. */
export function ensureWorkloads(folder = defaultFolder, rowsPerShard = 5_000_000): Workloads {
  const root = resolve(folder);
  const workloads = layOut(root, rowsPerShard);
  if (isWhole(root, rowsPerShard)) return workloads;
  rmSync(join(root, stampName), { force: true });
  mkdirSync(root, { recursive: true });
  workloads.shards.forEach((shard, index) => {
    const unfinished = `${shard}.tmp`;
    writeShard(unfinished, shardSql(index, rowsPerShard), { before: `SELECT setseed(${(index + 1) / 10})` });
    renameSync(unfinished, shard);
  });
  for (const name of workloadNames) writeModelFolder(workloads.models[name], name);
  writeStamp(root, workloads);
  return workloads;
}

function layOut(root: string, rowsPerShard: number): Workloads {
  return {
    shards: Array.from({ length: shardCount }, (_, index) => join(root, 'shards', `s${index}.parquet`)),
    rowsPerShard,
    models: Object.fromEntries(workloadNames.map((name) => [name, join(root, name)])) as Record<WorkloadName, string>,
  };
}

/** SQL of a shard: row k of the whole holds id k; feature f is uniform in [-0.5, f + 0.5). */
export function shardSql(shardIndex: number, rowsPerShard: number): string {
  const features = Array.from({ length: featureCount }, (_, f) => `(random() * ${f + 1} - 0.5)::FLOAT AS f${f}`);
  const country = "['DE', 'FR', 'IT', 'ES', 'PL'][1 + range % 5] AS country";
  const id = `(range + ${shardIndex * rowsPerShard})::BIGINT AS id`;
  return `SELECT ${[id, country, ...features].join(', ')} FROM range(${rowsPerShard})`;
}

export function writeModelFolder(folder: string, name: WorkloadName): void {
  writeModel(join(folder, 'model.onnx'), modelOf(name));
  writeFileSync(join(folder, 'tandem.json'), `${JSON.stringify(contractOf(name), null, 2)}\n`);
}

function modelOf(name: WorkloadName): ModelSpec {
  switch (name) {
    case 'w1-network':
      return networkModel(randomNetwork(networkWidths[name], 1));
    case 'w2-logistic':
      return networkModel(randomNetwork(networkWidths[name], 2));
    case 'w3-trees': {
      const ranges = Array.from({ length: featureCount }, (_, f) => [-0.5, f + 0.5] as const);
      return treeRegressorModel(randomTrees({ treeCount: 100, leafCount: 31, ranges, seed: 3 }), featureCount);
    }
  }
}

export function contractOf(name: WorkloadName): object {
  const features = Array.from({ length: featureCount }, (_, f) => {
    const column = `f${f}`;
    if (name === 'w3-trees') return { column };
    // Mean and standard deviation of the uniform distribution, rounded as a person would write them.
    const std = Number(((f + 1) / Math.sqrt(12)).toFixed(4));
    return { column, standardize: { mean: f / 2, std }, clip: [-3, 3] };
  });
  return { version: 1, model: 'model.onnx', inputs: { x: features }, outputs: { y: 'score' }, keep: ['id'] };
}

function filesOf(workloads: Workloads): string[] {
  const folders = Object.values(workloads.models);
  const files = folders.flatMap((folder) => [join(folder, 'model.onnx'), join(folder, 'tandem.json')]);
  return [...workloads.shards, ...files];
}

function writeStamp(root: string, workloads: Workloads): void {
  const files = Object.fromEntries(filesOf(workloads).map((path) => [relative(root, path), statSync(path).size]));
  const stamp: Stamp = { dataVersion, rowsPerShard: workloads.rowsPerShard, files };
  writeFileSync(join(root, stampName), `${JSON.stringify(stamp, null, 2)}\n`);
}

function isWhole(root: string, rowsPerShard: number): boolean {
  const path = join(root, stampName);
  if (!existsSync(path)) return false;
  const stamp = JSON.parse(readFileSync(path, 'utf8')) as Stamp;
  if (stamp.dataVersion !== dataVersion || stamp.rowsPerShard !== rowsPerShard) return false;
  return Object.entries(stamp.files).every(
    ([file, bytes]) => statSync(join(root, file), { throwIfNoEntry: false })?.size === bytes,
  );
}

function main(): void {
  const startMs = performance.now();
  const workloads = ensureWorkloads(process.argv[2]);
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  for (const path of filesOf(workloads)) console.log(`${String(statSync(path).size).padStart(13)} bytes  ${path}`);
  console.log(`${shardCount} x ${workloads.rowsPerShard} rows, ${workloadNames.length} model folders: ${seconds} s`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
