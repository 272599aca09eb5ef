/** Models that do not load or do not fit, and contracts that name what does not exist. */
import assert from 'node:assert/strict';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  batchSumModel,
  externalDataModel,
  filterModel,
  identityModel,
  mixedInputsModel,
  rowSumModel,
  squareRootModel,
  unknownOperatorModel,
} from '../testing/models.ts';
import type { ModelSpec } from '../testing/onnx.ts';
import { rawBytes } from '../testing/onnx.ts';
import { Workplace, type Failure } from './workplace.ts';

const feedX = { inputs: { x: [{ column: 'x' }] } };

function place(t: { after(remove: () => void): void }, spec?: ModelSpec, contract: object = feedX): Workplace {
  const made = new Workplace(t);
  made.shard('a.parquet', 'SELECT i::FLOAT AS x, i AS kept FROM range(100) rows(i)');
  if (spec !== undefined) made.writeModel(spec, contract);
  return made;
}

test('no model folder, no model in it, no model that tandem.json names', async (t) => {
  const here = place(t);
  await here.failsToPlan({
    code: 'BAD_MODEL',
    place: {},
    message: /Expected the model folder or model file to be at .*model, got nothing/,
  });
  mkdirSync(here.model);
  writeFileSync(join(here.model, 'other.onnx'), '');
  await here.failsToPlan({
    code: 'BAD_MODEL',
    place: {},
    message: /model\.onnx, got nothing/,
    remedy: /holds other\.onnx/,
  });
  here.writeContract({ ...feedX, model: 'another.onnx' });
  await here.failsToPlan({ code: 'BAD_MODEL', place: {}, message: /another\.onnx, got nothing/ });
});

const fileCases: readonly (readonly [string, string | Uint8Array, RegExp, RegExp])[] = [
  ['an HTML page', '<!DOCTYPE html><html><body>Sign in</body></html>', /got an HTML page/, /web page/],
  ['an HTML page with a blank line first', '\n<html>', /got an HTML page/, /web page/],
  [
    'a Git LFS pointer',
    'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n',
    /got a Git LFS pointer/,
    /git lfs pull/,
  ],
  ['an empty file', '', /Expected .*model\.onnx to be a model/, /Export/],
  ['random bytes', Uint8Array.from({ length: 999 }, (_, index) => (index * 31) % 256), /no ONNX model/, /Export/],
];

for (const [what, bytes, message, remedy] of fileCases) {
  test(`the model is ${what}`, async (t) => {
    const here = place(t, identityModel('float32'));
    writeFileSync(join(here.model, 'model.onnx'), bytes);
    await here.failsToPlan({ code: 'BAD_MODEL', place: {}, message, remedy });
  });
}

test('an operator that nobody knows', async (t) => {
  const here = place(t, unknownOperatorModel());
  await here.failsToPlan({
    code: 'BAD_MODEL',
    place: {},
    message: /operator that ONNX Runtime does not know.*NoSuchOperator/,
    remedy: /standard operators/,
  });
});

test('external data that is missing or too short', async (t) => {
  const here = place(t, externalDataModel([1, 2], 'weights.data'), {
    inputs: { x: [{ column: 'x' }, { column: 'kept' }] },
  });
  await here.failsToPlan({
    code: 'BAD_MODEL',
    place: {},
    message: /external data file is missing/,
    remedy: /beside the model/,
  });
  writeFileSync(join(here.model, 'weights.data'), rawBytes('float32', [1]));
  await here.failsToPlan({ code: 'BAD_MODEL', place: {}, message: /external data file is missing or too short/ });
});

test('an output that is a list of maps', async (t) => {
  const classifier = {
    countries: ['de'],
    labels: [0, 1],
    coefficients: [
      [1, 0, 0, 0],
      [0, 1, 0, 0],
    ],
    intercepts: [0, 0],
  };
  const here = new Workplace(t);
  here.shard('a.parquet', "SELECT 1 AS age, 2 AS visits, true AS member, 'de' AS country");
  here.writeModel(mixedInputsModel(classifier, true));
  await here.failsToPlan({
    code: 'BAD_MODEL',
    place: { field: 'outputs.probabilities' },
    message: /Expected output probabilities to be a tensor, got a sequence/,
    remedy: /zipmap.*label/i,
  });
  const inputs = Object.fromEntries(['age', 'visits', 'member', 'country'].map((column) => [column, [{ column }]]));
  here.writeContract({ inputs, outputs: { label: 'label' }, keep: [] });
  await here.score();
  assert.deepEqual(here.rows('a.parquet'), [{ label: 1n }]);
});

test("an output whose row count is not the batch's", async (t) => {
  const here = place(t, batchSumModel(1));
  await here.failsToPlan({
    code: 'BAD_MODEL',
    place: { field: 'outputs.y' },
    message: /Expected output y to have one row for each of the 3 rows of a batch, got shape \[1, 1\]/,
    remedy: /Leave it out/,
  });
});

test("an output whose row count is not the batch's", async (t) => {
  const here = place(t, batchSumModel(1));
  await here.failsToPlan({
    code: 'BAD_MODEL',
    place: { field: 'outputs.y' },
    message: /Expected output y to have one row for each of the 3 rows of a batch, got shape \[1, 1\]/,
    remedy: /Leave it out/,
  });
});

test("an output whose row count is not the batch's", async (t) => {
  const here = place(t, batchSumModel(1));
  await here.failsToPlan({
    code: 'BAD_MODEL',
    place: { field: 'outputs.y' },
    message: /Expected output y to have one row for each of the 3 rows of a batch, got shape \[1, 1\]/,
    remedy: /Leave it out/,
  });
});

test("an output whose row count is not the batch's", async (t) => {
  const here = place(t, batchSumModel(1));
  await here.failsToPlan({
    code: 'BAD_MODEL',
    place: { field: 'outputs.y' },
    message: /Expected output y to have one row for each of the 3 rows of a batch, got shape \[1, 1\]/,
    remedy: /Leave it out/,
  });
});

test("an output whose row count is not the batch's later on", async (t) => {
  const here = place(t, filterModel(50));
  await here.fails(
    {
      code: 'BAD_MODEL',
      place: { shard: 'a.parquet', rowGroup: 0, row: 50 },
      message: /Expected the model to score the batch/,
      remedy: /another shape/,
    },
    { batchSize: 10 },
  );
});

test("a string output whose row count is not the batch's later on", async (t) => {
  const texts: ModelSpec = {
    ...filterModel(50),
    outputs: [{ name: 'text', elementType: 'string', shape: ['M', 1] }],
    nodes: [...filterModel(50).nodes, { op: 'Cast', inputs: ['y'], outputs: ['text'], attributes: { to: { int: 8 } } }],
  };
  const here = place(t, texts);
  await here.fails(
    { code: 'BAD_MODEL', place: { shard: 'a.parquet', rowGroup: 0, row: 50 }, message: /Expected/ },
    { batchSize: 10 },
  );
});

const contractCases: readonly (readonly [string, ModelSpec, object, Failure])[] = [
  [
    'a column that is not there',
    squareRootModel(),
    { inputs: { x: [{ column: 'nowhere' }] } },
    {
      code: 'BAD_COLUMN',
      place: { shard: 'a.parquet', column: 'nowhere' },
      message: /Expected column nowhere in the shard/,
      remedy: /has: x, kept/,
    },
  ],
  [
    'an input that is not there',
    squareRootModel(),
    { inputs: { x: [{ column: 'x' }], z: [{ column: 'x' }] } },
    {
      code: 'BAD_CONTRACT',
      place: { field: 'inputs.z' },
      message: /Expected inputs to name what the model has, got z/,
      remedy: /has: x/,
    },
  ],
  [
    'an output that is not there',
    squareRootModel(),
    { ...feedX, outputs: { score: 'score' } },
    {
      code: 'BAD_CONTRACT',
      place: { field: 'outputs.score' },
      message: /Expected outputs to name what the model has, got score/,
      remedy: /has: y/,
    },
  ],
  [
    'a kept column that is not there',
    squareRootModel(),
    { ...feedX, keep: ['nowhere'] },
    { code: 'BAD_COLUMN', place: { shard: 'a.parquet', column: 'nowhere' }, message: /Expected kept column nowhere/ },
  ],
  [
    'no column for an input',
    rowSumModel(1),
    { inputs: {} },
    {
      code: 'BAD_CONTRACT',
      place: { field: 'inputs.x' },
      message: /got nothing for x \(float32 \[N, 1\]\)/,
      remedy: /Add "x"/,
    },
  ],
  [
    'too few columns for an input',
    rowSumModel(3),
    { inputs: { x: [{ column: 'x' }, { column: 'kept' }] } },
    { code: 'BAD_CONTRACT', place: { field: 'inputs.x' }, message: /fill 3 values per row .* got 2/ },
  ],
  [
    'a position beyond the output',
    squareRootModel(),
    { ...feedX, outputs: { y: { column: 'p', select: 1 } } },
    { code: 'BAD_CONTRACT', place: { field: 'outputs.y.select' }, message: /below 1, got 1/ },
  ],
  [
    'an expression that is none',
    squareRootModel(),
    { inputs: { x: [{ sql: 'x +' }] } },
    { code: 'BAD_CONTRACT', place: { shard: 'a.parquet' }, message: /Expected sql x \+ to be a scalar expression/ },
  ],
  [
    'an expression over a column that is not there',
    squareRootModel(),
    { inputs: { x: [{ sql: 'nowhere + 1' }] } },
    { code: 'BAD_CONTRACT', place: { shard: 'a.parquet' }, message: /nowhere/, remedy: /has: x, kept/ },
  ],
  [
    'a window function',
    squareRootModel(),
    { inputs: { x: [{ sql: 'x - lag(x) OVER ()' }] } },
    {
      code: 'BAD_CONTRACT',
      place: { shard: 'a.parquet' },
      message: /cannot contain window functions/,
      remedy: /each row/,
    },
  ],
  [
    'an expression that gives more rows',
    squareRootModel(),
    { inputs: { x: [{ sql: 'unnest([x, x])' }] } },
    { code: 'BAD_CONTRACT', place: { shard: 'a.parquet' }, message: /UNNEST/, remedy: /each row/ },
  ],
  [
    'an aggregate',
    squareRootModel(),
    { inputs: { x: [{ sql: 'sum(x)' }] } },
    { code: 'BAD_CONTRACT', place: { shard: 'a.parquet' }, message: /cannot contain aggregates/, remedy: /each row/ },
  ],
  [
    'a score that is called like a kept column',
    squareRootModel(),
    { ...feedX, outputs: { y: 'Kept' } },
    { code: 'BAD_CONTRACT', place: { shard: 'a.parquet', column: 'Kept' }, message: /names of their own, got Kept/ },
  ],
  [
    'a key that is almost right',
    squareRootModel(),
    { inputs: { x: [{ colunm: 'x' }] } },
    { code: 'BAD_CONTRACT', place: { field: 'inputs.x[0].colunm' }, message: /colunm/ },
  ],
];

for (const [what, spec, contract, failure] of contractCases) {
  test(`the contract names ${what}`, async (t) => {
    const here = place(t, spec, contract);
    await here.failsToPlan(failure);
  });
}

test('tandem.json of a newer version, and one that is no JSON', async (t) => {
  const here = place(t, squareRootModel());
  here.writeContract({ ...feedX, version: 2 });
  await here.failsToPlan({ code: 'BAD_CONTRACT', place: { field: 'version' }, message: /newer Tandem/ });
  writeFileSync(join(here.model, 'tandem.json'), '{ "model": ');
  await here.failsToPlan({ code: 'BAD_CONTRACT', place: {}, message: /valid JSON/ });
  rmSync(join(here.model, 'tandem.json'));
  await here.score();
});

test('two dimensions that nothing fixes', async (t) => {
  const here = place(t, identityModel('float32', ['N', 'A', 'B']));
  await here.failsToPlan({
    code: 'BAD_MODEL',
    place: { field: 'inputs.x' },
    message: /leave open one dimension/,
    remedy: /fixed/,
  });
});
