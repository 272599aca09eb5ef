/** `fit` over shards: what it finds and what it writes. */
import assert from 'node:assert/strict';
import { chmodSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { inspect } from '../inspect.ts';
import { rowSumModel } from '../testing/models.ts';
import { seededRandom } from '../testing/random.ts';
import { momentsOf, quantileOf } from '../testing/statistics.ts';
import { FitPlace, type Json } from './fit-place.ts';

/** Rows that a shard is made of, as SQL. */
function values(rows: readonly (readonly (number | string | null)[])[], columns: string): string {
  const cell = (value: number | string | null): string =>
    value === null ? 'NULL' : typeof value === 'string' ? `'${value}'` : `'${value}'::DOUBLE`;
  return `SELECT * FROM (VALUES ${rows.map((row) => `(${row.map(cell).join(', ')})`).join(', ')}) AS rows(${columns})`;
}

function near(actual: unknown, expected: number, scale: number): void {
  assert.ok(Math.abs((actual as number) - expected) <= 1e-12 * scale, `${String(actual)} instead of ${expected}`);
}

const next = seededRandom(5);
/** Of three shards: a number with nulls, NaN and no infinity. */
const numbers = Array.from({ length: 5_000 }, () => {
  const kind = next();
  if (kind < 0.05) return null;
  return kind < 0.08 ? NaN : 100 * (next() + next()) - 37;
});
const valid = numbers.filter((value): value is number => value !== null && !Number.isNaN(value));
const nulls = numbers.filter((value) => value === null).length;
const nans = numbers.length - nulls - valid.length;

function writeNumbers(here: FitPlace): void {
  [0, 1_500, 1_501].forEach((from, i, starts) => {
    const rows = numbers.slice(from, starts[i + 1]);
    here.shard(
      `${i}.parquet`,
      values(
        rows.map((value, row) => [value, from + row]),
        'v, id',
      ),
      { rowGroupRows: 2048 },
    );
  });
}

test('each parameter is that of all rows, with the nulls as the contract has them', async (t) => {
  const here = new FitPlace(t, [
    { column: 'v', standardize: 'fit' },
    { column: 'v', missing: 50, standardize: { fit: 'population' } },
    { column: 'v', missing: 'mean', standardize: 'fit' },
    { column: 'v', minMax: 'fit', missing: 1e4 },
    { column: 'v', bucketize: { quantiles: 7 } },
    { column: 'v', missing: 'median', clip: { quantiles: [0.02, 0.9] } },
    { sql: 'v + id', missing: 'nan', standardize: 'fit' },
  ]);
  writeNumbers(here);
  const report = await here.fit();
  const x = (JSON.parse(here.text) as { inputs: { x: Json[] } }).inputs.x;
  const expectStandardize = (found: unknown, all: readonly number[], which: 'sample' | 'population'): void => {
    const { mean, [which]: std } = momentsOf(all);
    near((found as { mean: number }).mean, mean, 100);
    near((found as { std: number }).std, std, 100);
  };
  const filled = (value: number): number[] => [...valid, ...Array<number>(nulls).fill(value)];
  expectStandardize(x[0]!['standardize'], valid, 'sample');
  expectStandardize(x[1]!['standardize'], filled(50), 'population');
  expectStandardize(x[2]!['standardize'], filled(momentsOf(valid).mean), 'sample');
  assert.equal(x[2]!['missing'], 'mean');
  assert.deepEqual(x[3]!['minMax'], [Math.min(...valid), 1e4]);
  assert.deepEqual(
    x[4]!['bucketize'],
    [1, 2, 3, 4, 5, 6].map((i) => quantileOf(valid, i / 7)),
  );
  const median = quantileOf(valid, 0.5);
  assert.equal(x[5]!['missing'], median);
  assert.deepEqual(
    x[5]!['clip'],
    [0.02, 0.9].map((share) => quantileOf(filled(median), share)),
  );
  expectStandardize(
    x[6]!['standardize'],
    numbers.flatMap((v, id) => (v === null || Number.isNaN(v) ? [] : [v + id])),
    'sample',
  );
  assert.deepEqual((JSON.parse(here.text) as Json)['fitted'], { rows: 5_000, shards: 3 });
  const [first] = report.parameters;
  assert.deepEqual([first!.count, first!.nulls, first!.nans], [valid.length, nulls, nans]);
  assert.match(first!.notes.join(), /nulls are left out, and stop a run: "missing" is not set/);
  assert.deepEqual(
    report.parameters.map(({ count }) => count),
    [
      valid.length,
      valid.length + nulls,
      valid.length + nulls,
      valid.length + nulls,
      valid.length,
      valid.length,
      valid.length + nulls,
      valid.length,
    ],
  );
});

test('a step sees what the steps before it give, fitted ones too', async (t) => {
  const here = new FitPlace(t, [
    { column: 'v', missing: 9, log1p: true, standardize: 'fit', clip: { quantiles: [0.1, 0.8] } },
    {
      column: 'v',
      missing: 'median',
      steps: [{ clip: { quantiles: [0.25, 0.75] } }, { minMax: 'fit' }, { standardize: { fit: 'population' } }],
    },
  ]);
  const rows = Array.from({ length: 300 }, (_, i) => (i % 7 === 0 ? null : (i * 37) % 101));
  here.shard(
    'a.parquet',
    values(
      rows.map((value) => [value]),
      'v',
    ),
  );
  const [first, second] = (await here.fitted()) as [Json, { missing: number; steps: Json[] }];
  const logs = rows.map((value) => Math.log1p(value ?? 9));
  const { mean, sample } = momentsOf(logs);
  const standardize = first['standardize'] as { mean: number; std: number };
  near(standardize.mean, mean, 1);
  near(standardize.std, sample, 1);
  const scaled = logs.map((value) => (value - standardize.mean) / standardize.std);
  assert.deepEqual(first['clip'], [quantileOf(scaled, 0.1), quantileOf(scaled, 0.8)]);

  const known = rows.filter((value) => value !== null);
  assert.equal(second.missing, quantileOf(known, 0.5));
  const filled = rows.map((value) => value ?? second.missing);
  const clip = [quantileOf(filled, 0.25), quantileOf(filled, 0.75)] as const;
  assert.deepEqual(second.steps[0], { clip: [...clip], fit: { clip: { quantiles: [0.25, 0.75] } } });
  assert.deepEqual(second.steps[1], { minMax: [...clip], fit: { minMax: true } });
  const last = filled.map((value) => (Math.min(Math.max(value, clip[0]), clip[1]) - clip[0]) / (clip[1] - clip[0]));
  near((second.steps[2]!['standardize'] as { mean: number }).mean, momentsOf(last).mean, 1);
  near((second.steps[2]!['standardize'] as { std: number }).std, momentsOf(last).population, 1);
});

test('lists: over all of their values, nulls and null lists as long as the others', async (t) => {
  const rows = '([1, 2, 4]), ([NULL, 8, 16]), (NULL), ([32, 64, 128])';
  for (const type of ['FLOAT[]', 'BIGINT[3]', 'DOUBLE[3]']) {
    const here = new FitPlace(t, [
      { column: 'l', list: 3, missing: 5, standardize: 'fit' },
      { column: 'l', list: true, missing: 'median', minMax: 'fit' },
    ]);
    here.shard('a.parquet', `SELECT l::${type} AS l FROM (VALUES ${rows}) AS rows(l)`);
    const [first, second] = (await here.fitted()) as [Json, Json];
    const all = [1, 2, 4, 5, 8, 16, 5, 5, 5, 32, 64, 128];
    near((first['standardize'] as { mean: number }).mean, momentsOf(all).mean, 100);
    near((first['standardize'] as { std: number }).std, momentsOf(all).sample, 100);
    assert.deepEqual([second['missing'], second['minMax']], [12, [1, 128]], type);
  }
});

test('categories: texts, numbers and dates of all shards, nulls as what replaces them', async (t) => {
  const here = new FitPlace(t, [
    { column: 's', index: 'fit', unknown: 'own', missing: '(none)' },
    { column: 's', oneHot: { fit: { max: 2 } }, unknown: 'zeros' },
    { column: 'n', index: { fit: { order: 'alphabet' } } },
    { column: 'd', index: { fit: { order: 'alphabet' } } },
    { sql: "upper(s) || '!'", oneHot: { fit: { order: 'alphabet', minCount: 2 } }, unknown: 'last' },
  ]);
  const shard = (name: string, rows: string): string =>
    here.shard(
      name,
      `SELECT s, n::${name[0] === 'a' ? 'TINYINT' : 'DOUBLE'} AS n, d::DATE AS d FROM (VALUES ${rows}) AS rows(s, n, d)`,
    );
  shard('a.parquet', "('b', 3, '2026-01-02'), ('é', 3, '2026-01-02'), (NULL, -1, '2025-01-02')");
  shard('b.parquet', "('b', '2.5', '2026-01-02'), ('a', 'nan', NULL), ('a', '-1', NULL), (NULL, '-1', '2026-01-01')");
  const report = await here.fit();
  const x = (JSON.parse(here.text) as { inputs: { x: Json[] } }).inputs.x;
  assert.deepEqual(x[0]!['index'], ['(none)', 'a', 'b', 'é']);
  assert.deepEqual(x[1]!['oneHot'], ['a', 'b']);
  assert.deepEqual(x[1]!['fit'], { oneHot: { max: 2 } });
  assert.deepEqual(x[2]!['index'], [-1, 2.5, 3]);
  assert.deepEqual(x[3]!['index'], ['2025-01-02', '2026-01-01', '2026-01-02']);
  assert.deepEqual(x[4]!['oneHot'], ['A!', 'B!']);
  assert.deepEqual(
    report.parameters.map(({ nulls: n, nans: m }) => [n, m]),
    [
      [2, 0],
      [2, 0],
      [0, 1],
      [2, 0],
      [2, 0],
    ],
  );
});

test('the same bytes for any number of threads, in row groups of any size', async (t) => {
  const texts = new Set<string>();
  const x = [
    { column: 'v', standardize: 'fit', clip: { quantiles: [0.013, 0.987] } },
    { column: 'w', missing: 'mean', bucketize: { quantiles: 20 } },
    { column: 'g', index: 'fit' },
  ];
  const here = new FitPlace(t, x);
  const sql = (from: number, count: number): string =>
    `SELECT sin(i * 12.9898) * 43758.5453 AS v, if(i % 11 = 0, NULL, (hash(i) % 100000)::FLOAT / 7) AS w, 'g' || (i * i % 97) AS g
     FROM range(${from}, ${from + count}) rows(i)`;
  // Two units of work in the first shard.
  here.shard('a.parquet', sql(0, 1_400_000), { rowGroupRows: 122_880 });
  here.shard('b.parquet', sql(1_400_000, 3_000), { rowGroupRows: 2048 });
  here.shard('c.parquet', sql(0, 0));
  here.shard('d/e.parquet', sql(1_403_000, 50_000));
  const asked = here.text;
  for (const threads of [1, 2, 4]) {
    writeFileSync(here.contractPath, asked);
    const report = await here.fit({ threads });
    assert.equal(report.rowCount, 1_453_000);
    texts.add(here.text);
  }
  assert.equal(texts.size, 1);
  const [first] = (JSON.parse(here.text) as { inputs: { x: Json[] } }).inputs.x;
  const all = Array.from({ length: 1_453_000 }, (_, i) => Math.sin(i * 12.9898) * 43758.5453);
  const { mean, sample } = momentsOf(all);
  // The sine is another library's: it may differ in the last bit.
  assert.ok(Math.abs((first!['standardize'] as { mean: number }).mean - mean) < 1e-8);
  assert.ok(Math.abs((first!['standardize'] as { std: number }).std / sample - 1) < 1e-12);
});

test('what is written is scored; all fits it again, and nothing else of the text changes', async (t) => {
  const here = new FitPlace(t, []);
  here.writeModel(rowSumModel(3));
  const text = `{
  "model": "model.onnx",
  "inputs": { "x": [ { "column": "v", "standardize": "fit", "minMax": [0, 120] },
                     { "column": "w", "minMax": "fit", "clip": { "quantiles": [0, 0.5] } },   
                     { "column": "w", "clip": [ -1,1 ] } ] }
}`;
  writeFileSync(here.contractPath, text);
  here.shard('a.parquet', 'SELECT i::DOUBLE AS v, (i * 2)::DOUBLE AS w FROM range(5) rows(i)');
  await here.failsToPlan({
    code: 'BAD_CONTRACT',
    place: { field: 'inputs.x[0].standardize' },
    message: /Expected standardize to be fitted to shards before rows are scored, got `"fit"`\./,
    remedy: /Run `tandem fit '<shards>' --model/,
  });
  const { problems, model } = await inspect({ shards: here.data, model: here.model });
  assert.match(problems.join(), /to be fitted to shards/);
  assert.deepEqual(model!.inputs[0]!.features, ['v, standardize, minMax', 'w, minMax, clip', 'w, clip']);

  const dry = await here.fit({ dryRun: true });
  assert.equal(here.text, text);
  assert.deepEqual([dry.written, dry.parameters.length], [false, 3]);
  chmodSync(here.contractPath, 0o640);
  await here.fit();
  const std = Math.sqrt(2.5);
  const once = text
    .replace('"standardize": "fit"', `"standardize": { "mean": 2, "std": ${std} }`)
    .replace('[0, 120]', '[0, 120], "fit": { "standardize": "sample" }')
    .replace('"minMax": "fit"', '"minMax": [0, 8]')
    .replace('{ "quantiles": [0, 0.5] }', '[0, 0.5], "fit": { "minMax": true, "clip": { "quantiles": [0, 0.5] } }')
    .replace(' ] }\n}', ' ] },\n  "fitted": { "rows": 5, "shards": 1 }\n}');
  assert.equal(here.text, once);
  assert.equal(statSync(here.contractPath).mode & 0o777, 0o640);
  await here.score();
  assert.deepEqual((await here.fit()).parameters, []);
  assert.equal(here.text, once);

  here.shard('a.parquet', 'SELECT i::DOUBLE AS v, (i * 2)::DOUBLE AS w FROM range(5, 8) rows(i)');
  const again = await here.fit({ all: true });
  assert.equal(
    here.text,
    once
      .replace(`"mean": 2, "std": ${std}`, '"mean": 6, "std": 1')
      .replace('[0, 8]', '[10, 14]')
      .replace('[0, 0.5],', '[0, 0.5],')
      .replace('"rows": 5', '"rows": 3'),
  );
  assert.deepEqual(again.parameters[0]!.before, { mean: 2, std });
});

test('constants and ties are said', async (t) => {
  const here = new FitPlace(t, [
    { column: 'c', standardize: 'fit' },
    { column: 'c', minMax: 'fit' },
    { column: 'v', bucketize: { quantiles: 4 } },
    { column: 'v', bucketize: [50], clip: { quantiles: [0.1, 0.9] } },
    { column: 'v', steps: [{ bucketize: [50] }, { clip: { quantiles: [0.1, 0.9] } }] },
  ]);
  here.shard('a.parquet', 'SELECT 0.1::DOUBLE AS c, if(i < 80, 0, i) AS v FROM range(100) rows(i)');
  const { parameters } = await here.fit();
  assert.deepEqual(
    parameters.map(({ value }) => value),
    [{ mean: 0.1, std: 1 }, [0.1, 1.1], [0], [0, 1], [0, 1]],
  );
  assert.match(parameters[0]!.notes.join(), /constant 0\.1: its deviation is 0, 1 stands for it/);
  assert.match(parameters[2]!.notes.join(), /ties leave 1 of 3/);
  assert.match(parameters[3]!.notes.join(), /^clip comes after bucketize: these are bounds of bucket numbers/);
  assert.deepEqual(parameters[4]!.notes, []);
});
