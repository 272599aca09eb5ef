/** What tests of models with trees and other parts on software GPUs share. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { driverModuleVariable } from '../planning/devices.ts';
import type { ModelSpec } from '../testing/onnx.ts';
import { softwareGpusVariable, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { treeStacks } from '../testing/tree-stacks.ts';
import { columnOf, countTo, Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;

export const gpu: SoftwareGpuOptions = { memoryBytes: 64 * 2 ** 20 };
export const width = 6;
const features = Array.from({ length: width }, (_, index) => ({ column: `f${index}` }));
export const stacks = treeStacks({ width, treeCount: 20, leafCount: 12 });
export const inParts = /^trees: 20 trees, \d+ rows at once; the rest on the GPU$/;

/** A model that reads six columns, and shards `0.parquet`, ... of so many rows, whose `id` counts them. */
export function stackPlace(
  t: { after(remove: () => void): void },
  spec: ModelSpec,
  rowCounts: readonly number[],
  contract: object = { outputs: { y: 's' } },
): Workplace {
  const place = new Workplace(t);
  place.writeModel(spec, { inputs: { x: features }, keep: ['id'], ...contract });
  const columns = features.map((_, index) => `(hash(row * ${width} + ${index}) % 10007)::FLOAT / 10007 AS f${index}`);
  rowCounts.forEach((rowCount, index) => {
    place.shard(`${index}.parquet`, `SELECT row AS id, ${columns.join(', ')} FROM range(${rowCount}) AS t(row)`);
  });
  return place;
}

export function useGpus(...gpus: readonly SoftwareGpuOptions[]): void {
  process.env[softwareGpusVariable] = JSON.stringify(gpus);
}

/** Into the folder `whole`: by ONNX Runtime alone, on the CPU. */
export async function wholeOnCpu(place: Workplace): Promise<void> {
  const { scorer } = await place.score({ output: join(place.folder, 'whole'), trees: 'onnxruntime' });
  assert.equal(scorer, 'ONNX Runtime: as asked for');
}

/** Scores of a column of a run's shard, whose rows must be in their places. */
export function scoresOf(place: Workplace, folder: string, name: string, column = 's'): readonly unknown[] {
  const rows = place.rows(join('..', folder, name));
  assert.deepEqual(columnOf(rows, 'id').map(Number), countTo(rows.length));
  return columnOf(rows, column);
}

export function assertClose(ours: readonly unknown[], theirs: readonly unknown[]): void {
  assert.equal(ours.length, theirs.length);
  // A row in another's place has another score, nearly always.
  assert.ok(new Set(theirs).size >= Math.min(theirs.length, 100));
  ours.forEach((value, row) => {
    const difference = Math.abs(Number(value) - Number(theirs[row]));
    assert.ok(difference <= 1e-6, `row ${row}: ${String(value)}, not ${String(theirs[row])}`);
  });
}
