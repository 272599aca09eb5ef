/** Models with trees and other parts through whole runs: the trees by their kernel, the rest by ONNX Runtime. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect, planScore, readShards, score } from '../index.ts';
import { fixedTo, treeStacks } from '../testing/tree-stacks.ts';
import type { ModelSpec } from '../testing/onnx.ts';
import { scoreAll, valuesOf } from './arrow-batches.ts';
import { columnOf, countTo, Workplace } from './workplace.ts';

const width = 6;
const features = Array.from({ length: width }, (_, index) => ({ column: `f${index}` }));
/** So many that ONNX Runtime is slower by far, whatever else the machine does. */
const stacks = treeStacks({ width, treeCount: 150, leafCount: 24 });

function stackPlace(
  t: { after(remove: () => void): void },
  rowCount: number,
  spec: ModelSpec,
  contract: object = {},
): Workplace {
  const place = new Workplace(t, { kernels: 'kernel' });
  place.writeModel(spec, { inputs: { x: features }, ...contract });
  const columns = features.map((_, index) => `((row * ${index + 3}) % 97) / 97 AS f${index}`);
  place.shard('a.parquet', `SELECT row AS id, ${columns.join(', ')} FROM range(${rowCount}) AS t(row)`);
  return place;
}

const inParts =
  /^trees: \d+ trees, \d+ rows at once; the rest by ONNX Runtime, (as asked for|\d+(\.\d)? times ONNX Runtime)$/;

/** Scores of a column by the kernel and ONNX Runtime, and by ONNX Runtime alone. */
async function bothWays(place: Workplace, column: string, changes: object = {}): Promise<[unknown[], unknown[]]> {
  const found = [];
  for (const trees of ['auto', 'onnxruntime'] as const) {
    const output = join(place.folder, trees);
    const { scorer, warnings } = await score(place.options({ keep: ['id'], trees, output, ...changes }));
    assert.deepEqual(warnings, []);
    if (trees === 'auto') assert.match(scorer, inParts);
    else assert.equal(scorer, 'ONNX Runtime: as asked for');
    const rows = place.rows(join('..', trees, 'a.parquet'));
    assert.deepEqual(columnOf(rows, 'id').map(Number), countTo(rows.length));
    found.push(columnOf(rows, column));
  }
  return found as [unknown[], unknown[]];
}

function assertClose(ours: readonly unknown[], theirs: readonly unknown[]): void {
  assert.ok(ours.length > 0 && ours.length === theirs.length);
  ours.forEach((value, row) => {
    const difference = Math.abs(Number(value) - Number(theirs[row]));
    assert.ok(difference <= 1e-6, `row ${row}: ${String(value)}, not ${String(theirs[row])}`);
  });
}

test('a network behind the trees, whatever the threads and the batch size', async (t) => {
  const place = stackPlace(t, 9000, stacks['a network behind them']!, { outputs: { y: 's' } });
  for (const changes of [{}, { threads: 2, batchSize: 700 }, { threads: 2, batchSize: 1 }]) {
    const [ours, theirs] = await bothWays(place, 's', { ...changes, overwrite: true });
    assertClose(ours, theirs);
  }
});

test('a shard that threads share, and one with parquetjs-lite', async (t) => {
  const spec = treeStacks({ width, treeCount: 60, leafCount: 16 })['scaled inputs for both']!;
  const place = stackPlace(t, 600_000, spec, { outputs: { y: 's' } });
  assert.equal((await planScore(place.options({ threads: 2 }))).shards[0]!.mode, 'split');
  const [ours, theirs] = await bothWays(place, 's', { threads: 2 });
  assertClose(ours, theirs);
  const small = stackPlace(t, 3000, spec, { outputs: { y: 's' } });
  const { scorer } = await small.score({ keep: [], reader: 'parquetjs' });
  assert.match(scorer, inParts);
  assertClose(columnOf(small.rows('a.parquet'), 's'), theirs.slice(0, 3000));
});

test('labels that are text', async (t) => {
  const outputs = { label: 'label', probabilities: { column: 'p', select: 1 } };
  const place = stackPlace(t, 3000, stacks['labels that are text']!, { outputs });
  const [ours, theirs] = await bothWays(place, 'label');
  assert.deepEqual(ours, theirs);
  assert.deepEqual([...new Set(ours)].sort(), ['no', 'yes']);
});

test('an input that is a constant, and a weight that one replaces', async (t) => {
  const { inputs, nodes, initializers = [], ...rest } = stacks['a network beside them']!;
  const bias = initializers.find(({ name }) => name.startsWith('b1'))!;
  const spec: ModelSpec = {
    ...rest,
    initializers,
    inputs: [...inputs, { name: 'by', elementType: 'float32', shape: [1] }, { ...bias, shape: [1] }],
    nodes: [
      ...nodes.map((node) => ({ ...node, outputs: node.outputs.map((name) => (name === 'y' ? 'sum' : name)) })),
      { op: 'Mul', inputs: ['sum', 'by'], outputs: ['y'] },
    ],
  };
  const place = stackPlace(t, 3000, spec, { outputs: { y: 's' } });
  const found = [];
  for (const [by, given] of [[1, 0] as const, [2, 5] as const]) {
    place.writeContract({
      inputs: { x: features, by: { constant: by }, [bias.name]: { constant: given } },
      outputs: { y: 's' },
    });
    const [ours, theirs] = await bothWays(place, 's', { overwrite: true });
    assertClose(ours, theirs);
    found.push(ours);
  }
  assert.notDeepEqual(found[0], found[1]);
});

test('batches from anywhere', async (t) => {
  const place = stackPlace(t, 5000, stacks['a network beside them']!, { outputs: { y: 's' } });
  const [, theirs] = await bothWays(place, 's');
  const batches = readShards(join(place.data, 'a.parquet'), { batchRows: 1300 });
  assertClose(valuesOf(await scoreAll(batches, { model: place.model, threads: 2 }), 's'), theirs);
});

test('the plan says which inputs the rest reads, inspect the choice', async (t) => {
  const place = stackPlace(t, 5000, stacks['a network beside them']!);
  const { model, scorer, explanation } = await planScore(place.options({ explain: true }));
  assert.equal(scorer.kind, 'trees');
  assert.deepEqual([...model.rest!.inputs].sort(), ['trees: sums', 'x']);
  assert.deepEqual(
    model.inputs.map(({ name, order }) => [name, order]),
    [
      ['x', 'columns'],
      ['x', undefined],
      ['trees: sums', undefined],
    ],
  );
  assert.deepEqual(
    explanation!.map(({ name }) => name),
    ['x'],
  );
  assert.match((await inspect({ shards: place.data, model: place.model })).model!.scorer!, inParts);
});

for (const fixedRows of [100, 5000]) {
  test(`a model that takes ${fixedRows} rows at once`, async (t) => {
    const place = stackPlace(t, 3007, fixedTo(fixedRows, stacks['a network beside them']!), { outputs: { y: 's' } });
    const [ours, theirs] = await bothWays(place, 's', { threads: 2 });
    assertClose(ours, theirs);
  });
}

test('why ONNX Runtime scores them', async (t) => {
  const { nodes, ...rest } = stacks['an operator without a kernel']!;
  const [trees, tanh] = nodes;
  const before = { op: 'Tanh', inputs: ['x'], outputs: ['raw'] };
  const spec = { ...rest, nodes: [before, { ...trees!, inputs: ['raw'] }, tanh!] };
  const place = stackPlace(t, 100, spec);
  assert.equal((await planScore(place.options())).scorer.words, 'ONNX Runtime: Tanh comes before the trees');
});

test('a row that cannot be used is named as ever', async (t) => {
  const place = stackPlace(t, 10, stacks['a network beside them']!);
  const columns = features.map((_, index) => (index === 2 ? `if(row = 7000, NULL, 0.5) AS f2` : `0.25 AS f${index}`));
  place.shard('a.parquet', `SELECT row AS id, ${columns.join(', ')} FROM range(9000) AS t(row)`);
  const where = { shard: 'a.parquet', rowGroup: 0, row: 7000, column: 'f2' };
  await place.fails({ code: 'BAD_ROW', place: where, message: /f2/ });
});
