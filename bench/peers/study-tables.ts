/** Shards and models of the study of Spark: the benchmark's own, and rows so wide that "rows" is the wrong unit. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { networkModel, randomNetwork } from '../../src/testing/networks.ts';
import { writeModel } from '../../src/testing/onnx.ts';
import { writeShard } from '../../src/testing/shards.ts';
import { defaultFolder, ensureWorkloads, featureCount, shardCount, type WorkloadName } from '../data.ts';
import type { StudyTable } from './spark-trial.ts';
import { shardsWith } from './subset.ts';

/** The benchmark's rows of 32 floats. `rowCount`: of all shards together. */
export function narrowTable(workload: WorkloadName, rowCount: number): StudyTable {
  const workloads = ensureWorkloads();
  const rowsPerShard = Math.min(Math.ceil(rowCount / shardCount), workloads.rowsPerShard);
  return {
    name: `${featureCount} floats a row`,
    shards: shardsWith(workloads, rowsPerShard),
    model: workloads.models[workload],
    rowCount: rowsPerShard * shardCount,
    width: featureCount,
    listColumn: undefined,
  };
}

export const wideWidth = 2_048;
const hiddenWidth = 64;
/** Of 16 MiB: with DuckDB's 122,880 rows a row group would hold a GiB. */
const rowGroupRows = 2_048;
/** Grows when what is generated changes. */
const wideVersion = 1;
/** Values repeat, so that a row of 8 KiB takes 70 bytes of Parquet: this is about memory, not about storage. */
const levels = 16;

/** Embeddings, as it were: id and a list of 2,048 floats in [0, 1). Value j of the row with id k: ((31 k + 7 j) mod 16) / 16. */
export function wideTable(rowCount: number, folder = defaultFolder): StudyTable {
  const rowsPerShard = Math.ceil(rowCount / shardCount);
  const home = join(folder, `wide-${rowsPerShard}-rows`);
  const shards = Array.from({ length: shardCount }, (_, index) => join(home, 'shards', `w${index}.parquet`));
  const model = join(home, 'model');
  const made = { name: `${wideWidth} floats a row`, shards, model, rowCount: rowsPerShard * shardCount };
  const table: StudyTable = { ...made, width: wideWidth, listColumn: 'x' };
  const stamp = join(home, 'complete.json');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === String(wideVersion)) return table;
  rmSync(home, { recursive: true, force: true });
  shards.forEach((shard, index) => {
    const value = `((31 * id + 7 * j) % ${levels} / ${levels})::FLOAT`;
    const ids = `SELECT range + ${index * rowsPerShard} AS id FROM range(${rowsPerShard})`;
    const list = `[${value} FOR j IN range(${wideWidth})]`;
    writeShard(shard, `SELECT id::BIGINT AS id, ${list} AS x FROM (${ids})`, { rowGroupRows });
  });
  writeWideModel(model);
  mkdirSync(home, { recursive: true });
  writeFileSync(stamp, String(wideVersion));
  return table;
}

function writeWideModel(folder: string): void {
  writeModel(join(folder, 'model.onnx'), networkModel(randomNetwork([wideWidth, hiddenWidth, 1], 5)));
  const standardize = { mean: 0.46875, std: 0.28819 };
  const feature = { column: 'x', list: wideWidth, standardize, clip: [-3, 3] };
  const contract = { version: 1, model: 'model.onnx', inputs: { x: [feature] }, outputs: { y: 'score' }, keep: ['id'] };
  writeFileSync(join(folder, 'tandem.json'), `${JSON.stringify(contract, undefined, 2)}\n`);
}
