/** Boosted trees by their kernel through whole runs: the same scores as ONNX Runtime's, on the CPU also where there are GPUs. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { planScore, readShards, score } from '../index.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import { softwareGpusVariable, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { randomTrees, scoreTrees, treeClassifierModel, treeRegressorModel } from '../testing/trees.ts';
import { scoreAll, valuesOf } from './arrow-batches.ts';
import { columnOf, Workplace } from './workplace.ts';

const width = 6;
const features = Array.from({ length: width }, (_, index) => ({ column: `f${index}` }));
const valueOf = (row: number, column: number): number => Math.fround(((row * (column + 3)) % 97) / 97);
const ranges = features.map(() => [0, 1] as const);
const trees = randomTrees({ treeCount: 60, leafCount: 24, ranges, seed: 5 });
const expected = (row: number): number =>
  scoreTrees(
    trees,
    features.map((_, column) => valueOf(row, column)),
  );

function treesPlace(t: { after(remove: () => void): void }, rowCount: number, contract: object = {}): Workplace {
  const place = new Workplace(t, { kernels: 'kernel' });
  place.writeModel(treeRegressorModel(trees, width), { inputs: { x: features }, outputs: { y: 's' }, ...contract });
  const columns = features.map((_, index) => `(((row * ${index + 3}) % 97)::FLOAT / 97)::FLOAT AS f${index}`);
  place.shard('a.parquet', `SELECT row AS id, ${columns.join(', ')} FROM range(${rowCount}) AS t(row)`);
  return place;
}

function assertScores(found: readonly unknown[]): void {
  assert.ok(found.length > 0);
  found.forEach((value, row) => {
    assert.ok(Math.abs(Number(value) - expected(row)) < 1e-5, `row ${row}: ${String(value)}, not ${expected(row)}`);
  });
}

const byTrees = /^trees: 60 trees, \d+ rows at once, as asked for$/;

test('trees are scored by their kernel, whatever the threads and the batch size', async (t) => {
  // Equal in every bit: no tolerance is needed.
  const place = treesPlace(t, 9000, { kernels: { tolerance: 0 } });
  for (const [threads, batchSize] of [[1, undefined] as const, [2, 700] as const, [2, 1] as const]) {
    const output = join(place.folder, `scores-${threads}-${batchSize ?? 'measured'}`);
    const batch = batchSize === undefined ? {} : { batchSize };
    const result = await score(place.options({ keep: ['id'], threads, output, ...batch }));
    assert.match(result.scorer, byTrees);
    const rows = place.rows(join('..', output.slice(place.folder.length + 1), 'a.parquet'));
    assert.deepEqual(
      columnOf(rows, 'id').map(Number),
      rows.map((_, row) => row),
    );
    assertScores(columnOf(rows, 's'));
  }
});

test('switched off, by itself or with all kernels, ONNX Runtime gives the same scores', async (t) => {
  const place = treesPlace(t, 3000);
  const found = [];
  for (const off of [{}, { trees: 'onnxruntime' } as const, { kernels: 'onnxruntime' } as const]) {
    const output = join(place.folder, `scores-${Object.keys(off).join()}`);
    const { scorer } = await score(place.options({ keep: [], output, ...off }));
    if (Object.keys(off).length === 0) assert.match(scorer, byTrees);
    else assert.equal(scorer, 'ONNX Runtime: as asked for');
    found.push(columnOf(place.rows(join('..', output.slice(place.folder.length + 1), 'a.parquet')), 's'));
  }
  assert.deepEqual(found[0], found[1]);
  assert.deepEqual(found[0], found[2]);
});

test('a classifier: labels and probabilities', async (t) => {
  const place = treesPlace(t, 3000);
  const outputs = { label: 'label', probabilities: { column: 'p', select: 1 } };
  place.writeModel(treeClassifierModel(trees, width), { inputs: { x: features }, outputs });
  const { scorer } = await place.score({ keep: [] });
  assert.match(scorer, byTrees);
  place.rows('a.parquet').forEach(({ label, p }, row) => {
    const probability = 1 / (1 + Math.exp(-expected(row)));
    assert.ok(Math.abs(Number(p) - probability) < 1e-5, `row ${row}: ${String(p)}, not ${probability}`);
    if (Math.abs(probability - 0.5) > 1e-5) assert.equal(Number(label), probability > 0.5 ? 1 : 0);
  });
});

test('batches from anywhere', async (t) => {
  const place = treesPlace(t, 5000);
  const batches = readShards(join(place.data, 'a.parquet'), { batchRows: 1300 });
  assertScores(valuesOf(await scoreAll(batches, { model: place.model, threads: 2 }), 's'));
});

test('with a GPU, `auto` scores trees on the CPU by the kernel and says why', async (t) => {
  const place = treesPlace(t, 3000);
  process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;
  const gpu: SoftwareGpuOptions = { memoryBytes: 2 ** 26, cpuOperators: ['ai.onnx.ml.TreeEnsembleRegressor'] };
  process.env[softwareGpusVariable] = JSON.stringify([gpu]);
  t.after(() => {
    delete process.env[driverModuleVariable];
    delete process.env[softwareGpusVariable];
  });
  const plan = await planScore(place.options({ device: 'auto' }));
  assert.equal(plan.device, 'cpu');
  assert.match(plan.scorer.words, byTrees);
  assert.match(
    plan.warnings.join('\n'),
    /^Scoring on the CPU: ONNX Runtime has no CUDA code for 1 node of the model: /,
  );
  await place.score({ keep: [], device: 'auto' });
  assertScores(columnOf(place.rows('a.parquet'), 's'));
});
