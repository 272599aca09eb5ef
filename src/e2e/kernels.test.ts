/** Models that kernels of ours score in place of ONNX Runtime: when they do, when they do not, and that it makes no difference. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect, planScore, readShards, score } from '../index.ts';
import { slotBytesMax } from '../limits.ts';
import { classifierModel } from '../testing/linear-models.ts';
import { linearNetwork, networkModel, randomNetwork, scoreNetwork } from '../testing/networks.ts';
import { rowSumModel } from '../testing/models.ts';
import { mlDomain, type ModelSpec, type NodeSpec } from '../testing/onnx.ts';
import { scoreAll, valuesOf } from './arrow-batches.ts';
import { columnOf, Workplace } from './workplace.ts';

const width = 20;
const features = Array.from({ length: width }, (_, index) => ({ column: `f${index}` }));
/** Column f of row r. */
const valueOf = (row: number, column: number): number => ((row * (column + 3)) % 97) / 50 - 1;
const columnsSql = features.map((_, index) => `((row * ${index + 3}) % 97) / 50 - 1 AS f${index}`).join(', ');

function shardSql(rowCount: number, extra = ''): string {
  return `SELECT row AS id, ${columnsSql}${extra} FROM range(${rowCount}) AS t(row)`;
}

/** A logistic regression behind a Scaler that changes nothing but the time that ONNX Runtime takes: the kernel wins by far. */
function scaledModel(): ModelSpec {
  const { nodes, ...rest } = networkModel(network);
  const same = { offset: { floats: features.map(() => 0) }, scale: { floats: features.map(() => 1) } };
  const scaler: NodeSpec = { op: 'Scaler', domain: mlDomain, inputs: ['x'], outputs: ['scaled'], attributes: same };
  const read = (name: string): string => (name === 'x' ? 'scaled' : name);
  return { ...rest, nodes: [scaler, ...nodes.map((node) => ({ ...node, inputs: node.inputs.map(read) }))] };
}

/** It over a shard. The rows are few: `auto` would not look for a kernel. */
function linearPlace(t: { after(remove: () => void): void }, rowCount: number, contract: object = {}): Workplace {
  const place = new Workplace(t, { kernels: 'kernel' });
  place.writeModel(scaledModel(), { inputs: { x: features }, outputs: { y: 'p' }, ...contract });
  place.shard('a.parquet', shardSql(rowCount));
  return place;
}

const network = randomNetwork([width, 1], 3);
const expected = (row: number): number =>
  scoreNetwork(
    network,
    features.map((_, column) => Math.fround(valueOf(row, column))),
  )[0]!;

function assertScores(found: readonly unknown[], first = 0): void {
  found.forEach((value, row) => {
    const difference = Math.abs(Number(value) - expected(first + row));
    assert.ok(difference < 1e-6, `row ${first + row}: ${String(value)} instead of ${expected(first + row)}`);
  });
}

for (const batchSize of [undefined, 1, 7, 4096]) {
  test(`a linear model is scored by its kernel, batch size ${batchSize ?? 'measured'}`, async (t) => {
    const rowCount = batchSize === 1 ? 700 : 20_000;
    const place = linearPlace(t, rowCount);
    const batch = batchSize === undefined ? {} : { batchSize };
    const result = await place.score({ keep: ['id'], threads: 2, ...batch });
    assert.match(result.scorer, /^linear: 20 columns to 1 target, 16 rows at once, as asked for$/);
    assert.deepEqual(result.warnings, []);
    const rows = place.rows('a.parquet');
    assert.deepEqual(
      columnOf(rows, 'id').map(Number),
      rows.map((_, row) => row),
    );
    assertScores(columnOf(rows, 'p'));
    const report = JSON.parse(readFileSync(join(place.output, '_report.json'), 'utf8')) as Record<string, object>;
    assert.equal((report['settings'] as Record<string, string>)['scorer'], result.scorer);
  });
}

test('a shard that threads share, and one with parquetjs-lite', async (t) => {
  const place = linearPlace(t, 700_000);
  const plan = await planScore(place.options({ threads: 2 }));
  assert.equal(plan.shards[0]!.mode, 'split');
  await place.score({ keep: [], threads: 2 });
  assertScores(columnOf(place.rows('a.parquet'), 'p'));
  const small = linearPlace(t, 3000);
  const { scorer } = await small.score({ keep: [], reader: 'parquetjs' });
  assert.match(scorer, /^linear: /);
  assertScores(columnOf(small.rows('a.parquet'), 'p'));
});

test('switched off, and of the kernel for trees only', async (t) => {
  const place = linearPlace(t, 5000);
  const off = await planScore(place.options({ kernels: 'onnxruntime' }));
  assert.deepEqual(off.scorer, { kind: 'onnxruntime', words: 'ONNX Runtime: as asked for' });
  assert.equal(off.model.kernel, undefined);
  assert.equal(off.model.inputs[0]!.order, undefined);
  assert.equal((await planScore(place.options({ trees: 'onnxruntime' }))).scorer.kind, 'linear');
  await place.score({ keep: [], kernels: 'onnxruntime' });
  assertScores(columnOf(place.rows('a.parquet'), 'p'));
});

test('so few rows that ONNX Runtime is through before a kernel is chosen', async (t) => {
  const place = linearPlace(t, 5000);
  const { scorer } = await place.score({ kernels: 'auto' });
  assert.equal(scorer, 'ONNX Runtime: so few rows are scored sooner than a kernel is chosen');
  assertScores(columnOf(place.rows('a.parquet'), 'p'));
  // As many as make up for it: the longer the machine takes for them, the better for the kernel.
  place.shard(
    'a.parquet',
    shardSql(4_000_000).replace(columnsSql, features.map(({ column }) => `0.5::FLOAT AS ${column}`).join(', ')),
  );
  const { scorer: many } = await planScore(place.options({ kernels: 'auto', overwrite: true }));
  assert.match(many.words, /^linear: 20 columns to 1 target, 16 rows at once, \d+(\.\d)? times ONNX Runtime$/);
  assert.ok(many.timesOnnxRuntime! > 1);
});

test('the plan has its memory, and inspect the choice', async (t) => {
  const place = linearPlace(t, 5000);
  const plan = await planScore(place.options({ threads: 2, batchSize: 100 }));
  assert.equal(plan.scorer.kind, 'linear');
  assert.equal(plan.scorer.agreement!.rowCount, 4096);
  assert.ok(plan.scorer.agreement!.differenceMax <= 1e-6);
  assert.deepEqual([plan.batchSize, plan.slotRows], [100, 128]);
  const line = plan.memory.find(({ what }) => what.startsWith("the model's kernel"));
  assert.deepEqual([line!.count, line!.bytesEach], [2, plan.model.kernel!.tableBytes]);
  const { model, problems } = await inspect({ shards: place.data, model: place.model });
  assert.deepEqual(problems, []);
  assert.match(model!.scorer!, /^linear: 20 columns to 1 target, 16 rows at once, \d+(\.\d)? times ONNX Runtime$/);
  const off = await inspect({ shards: place.data, model: place.model, kernels: 'onnxruntime' });
  assert.equal(off.model!.scorer, 'ONNX Runtime: as asked for');
});

test('a kernel that does not agree is not taken, and a warning says by how much', async (t) => {
  const place = linearPlace(t, 5000, { kernels: { tolerance: 0 } });
  const said: string[] = [];
  const { scorer, warnings } = await place.score({ keep: [], onScorer: (words) => said.push(words) });
  assert.deepEqual(said, [scorer]);
  assert.equal(scorer, 'ONNX Runtime: the linear kernel gives other scores');
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0]!,
    /^ONNX Runtime scores: the linear kernel would give y of row \d+ of a\.parquet as 0\.\d+, ONNX Runtime gives 0\.\d+\. /,
  );
  assert.match(warnings[0]!, / That is more than the tolerance of 0 \(`"kernels": \{ "tolerance"/);
  assertScores(columnOf(place.rows('a.parquet'), 'p'));
});

test('rows are compared from all over the shards, and named by shard and row', async (t) => {
  const place = linearPlace(t, 10, { kernels: { tolerance: 0 } });
  // Nothing differs where the sum has one term; so it is until the last row group of the last shard.
  const zeros = features.map((_, index) => `0 AS f${index}`).join(', ');
  const alike = `SELECT row AS id, ${zeros} FROM range(6144) AS t(row)`;
  place.shard('a.parquet', alike, { rowGroupRows: 2048 });
  place.shard('b.parquet', `${alike} WHERE row < 4096 UNION ALL ${shardSql(2048)}`, { rowGroupRows: 2048 });
  const { scorer, warnings } = await place.score({ keep: [] });
  assert.equal(scorer, 'ONNX Runtime: the linear kernel gives other scores');
  const found = /y of row (\d+) of b\.parquet as 0\.\d+, ONNX Runtime gives (0\.\d+)\./.exec(warnings[0]!)!;
  assert.ok(Number(found[1]) >= 4096, warnings[0]);
  assert.equal(Number(columnOf(place.rows('b.parquet'), 'p')[Number(found[1])]), Number(found[2]));
});

test('a tolerance that is no rounding is taken, with a warning, or refused', async (t) => {
  const place = linearPlace(t, 100, { kernels: { tolerance: 0.5 } });
  const { warnings } = await planScore(place.options());
  assert.equal(warnings.length, 1);
  assert.match(
    warnings[0]!,
    /"tolerance": 0\.5 \}` in tandem\.json\) is wide: it lets scores differ by 50 % of the largest one/,
  );
  place.writeContract({ inputs: { x: features }, kernels: { tolerance: 1.5 } });
  await place.fails({
    code: 'BAD_CONTRACT',
    place: { field: 'kernels.tolerance' },
    message: /^Expected tolerance to be at most 1, got `1\.5`\.$/,
  });
});

test('a run that finds everything scored compares nothing', async (t) => {
  const place = linearPlace(t, 100);
  await place.score({ keep: [] });
  const { scorer } = await place.score({ keep: [] });
  assert.equal(scorer, 'ONNX Runtime: all shards are scored already');
});

const refusals: readonly (readonly [string, ModelSpec, RegExp])[] = [
  ['a network', networkModel(randomNetwork([width, 8, 1], 1)), /^ONNX Runtime: Relu \(Relu_1\) has no kernel$/],
  ['a reduction', rowSumModel(width), /^ONNX Runtime: ReduceSum \(ReduceSum_0\) has no kernel$/],
];
for (const [what, spec, words] of refusals) {
  test(`no kernel, in words: ${what}`, async (t) => {
    const place = linearPlace(t, 10);
    place.writeModel(spec);
    const { scorer, warnings } = await planScore(place.options());
    assert.match(scorer.words, words);
    assert.deepEqual(warnings, []);
  });
}

test('an input that is a constant has no kernel', async (t) => {
  const place = linearPlace(t, 10);
  const { inputs, nodes, ...rest } = networkModel(linearNetwork(new Array<number>(width).fill(1), 0));
  const spec: ModelSpec = {
    ...rest,
    inputs: [...inputs, { name: 'by', elementType: 'float32', shape: [1] }],
    nodes: [
      ...nodes.map((node) => ({ ...node, outputs: ['sum'] })),
      { op: 'Mul', inputs: ['sum', 'by'], outputs: ['y'] },
    ],
  };
  place.writeModel(spec, { inputs: { x: features, by: { constant: 2 } }, outputs: { y: 'p' } });
  const { scorer } = await planScore(place.options());
  assert.equal(scorer.words, 'ONNX Runtime: input by is a constant');
});

test('a model with a fixed batch size takes any number of rows', async (t) => {
  const place = linearPlace(t, 333);
  const { inputs, outputs, ...rest } = scaledModel();
  const fixed = <Spec extends object>(spec: Spec, size: number): Spec => ({ ...spec, shape: [64, size] });
  const spec = { ...rest, inputs: [fixed(inputs[0]!, width)], outputs: [fixed(outputs[0]!, 1)] };
  place.writeModel(spec as ModelSpec);
  const plan = await planScore(place.options());
  assert.equal(plan.scorer.kind, 'linear');
  assert.deepEqual([plan.model.fixedBatchRows, plan.batchSize], [undefined, undefined]);
  await place.score({ keep: [] });
  assertScores(columnOf(place.rows('a.parquet'), 'p'));
});

test('labels and probabilities of several classes', async (t) => {
  const place = linearPlace(t, 6000);
  const spec = classifierModel({ width, classes: 3, transform: 'LOGISTIC', isScaled: true, isNormalized: true });
  place.writeModel(spec, { inputs: { x: features }, outputs: { label: 'label', probabilities: 'p' } });
  const found = [];
  for (const kernels of ['kernel', 'onnxruntime'] as const) {
    const output = join(place.folder, kernels);
    const { scorer } = await score(place.options({ keep: [], kernels, output }));
    assert.match(scorer, kernels === 'kernel' ? /^linear: 20 columns to 3 targets/ : /^ONNX Runtime/);
    found.push(place.rows(join('..', kernels, 'a.parquet')));
  }
  const [ours, theirs] = found;
  assert.deepEqual(columnOf(ours!, 'label'), columnOf(theirs!, 'label'));
  ours!.forEach(({ p }, row) => {
    const [a, b] = [p, theirs![row]!['p']].map((list) => JSON.parse(String(list)) as number[]);
    a!.forEach((value, at) => assert.ok(Math.abs(value - b![at]!) <= 1e-6, `row ${row}: ${a} and ${b}`));
  });
});

test('a row that cannot be used is no reason to fail while planning', async (t) => {
  const place = linearPlace(t, 5);
  place.shard(
    'a.parquet',
    `SELECT * REPLACE (CASE WHEN id = 3000 THEN NULL ELSE f4 END AS f4) FROM (${shardSql(5000)})`,
  );
  const plan = await planScore(place.options());
  assert.equal(plan.scorer.agreement!.rowCount, 3000 - (3000 % 2048));
  await place.fails({
    code: 'BAD_ROW',
    place: { shard: 'a.parquet', rowGroup: 0, row: 3000, column: 'f4' },
    message: /^Expected column f4 to be not null, got null\.$/,
  });
});

test('rows that are wide are tried as many as a slot holds', async (t) => {
  const place = new Workplace(t, { kernels: 'kernel' });
  const wide = 20_000;
  place.writeModel(networkModel(randomNetwork([wide, 1], 3)), { inputs: { x: [{ column: 'x', list: wide }] } });
  place.shard('a.parquet', `SELECT list_resize([1::FLOAT], ${wide}, 0::FLOAT) AS x FROM range(1000)`);
  const { scorer } = await planScore(place.options({ keep: [] }));
  assert.equal(scorer.agreement!.rowCount, Math.floor(slotBytesMax / (4 * (wide + 1))));
});

test('batches from anywhere', async (t) => {
  const place = linearPlace(t, 5000);
  const batches = readShards(join(place.data, 'a.parquet'), { batchRows: 1500 });
  const warnings: string[] = [];
  const scored = await scoreAll(batches, { model: place.model, threads: 2, onWarning: (text) => warnings.push(text) });
  assertScores(valuesOf(scored, 'p'));
  assert.equal(warnings.length, 0);
  place.writeContract({ inputs: { x: features }, outputs: { y: 'p' }, kernels: { tolerance: 0 } });
  const again = readShards(join(place.data, 'a.parquet'), { batchRows: 1500 });
  const others = await scoreAll(again, { model: place.model, threads: 1, onWarning: (text) => warnings.push(text) });
  assertScores(valuesOf(others, 'p'));
  assert.match(
    warnings.join('\n'),
    /^ONNX Runtime scores: the linear kernel would give y of row \d+ of the first batch as /,
  );
});

/** One list of so many numbers a row, times weights. */
function widePlace(t: { after(remove: () => void): void }, listWidth: number, rowCount: number): Workplace {
  const place = new Workplace(t, { kernels: 'kernel' });
  const wide = networkModel(linearNetwork(new Array<number>(listWidth).fill(1), 0));
  place.writeModel(wide, { inputs: { x: [{ column: 'v', list: listWidth }] }, outputs: { y: 's' } });
  const list = `list_transform(range(${listWidth}), x -> (x + row) % 2)::FLOAT[]`;
  place.shard('a.parquet', `SELECT ${list} AS v FROM range(${rowCount}) AS t(row)`);
  return place;
}

test('wide rows: as many are tried as a slot holds', async (t) => {
  const listWidth = 2 ** 17;
  const { scorer } = await planScore(widePlace(t, listWidth, 150).options());
  assert.equal(scorer.agreement?.rowCount, Math.floor(slotBytesMax / (4 * listWidth + 4)));
});

test('rows of which a slot does not hold a block have no kernel', async (t) => {
  const { scorer } = await planScore(widePlace(t, 2 ** 19, 2).options());
  assert.equal(scorer.words, 'ONNX Runtime: 32 of its rows take more than a slot');
});
