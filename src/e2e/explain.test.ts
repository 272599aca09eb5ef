/** `--explain`: what SQL selects, which kernel computes, and a rate. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderPlan } from '../cli/render-plan.ts';
import { planScore } from '../pipeline.ts';
import { identityModel, rowSumModel } from '../testing/models.ts';
import { Workplace } from './workplace.ts';

const features = [
  { column: 'whole', standardize: { mean: 1, std: 2 } },
  { column: 'half', missing: 0, clip: [0, 1] },
  { column: 'half', missing: 0, log1p: true },
  { column: 'city', oneHot: ['a', 'b'], unknown: 'zeros' },
  { sql: 'whole % 7', index: [0, 1, 2], unknown: 'own' },
  { column: 'city', hash: 10 },
  { lengthOf: 'stops' },
];

test('a plan that explains itself names the kernel of each feature, or why a loop makes it', async (t) => {
  const place = new Workplace(t);
  place.shard(
    'a.parquet',
    `SELECT range AS whole, CASE WHEN range % 2 = 0 THEN range / 2 END::DOUBLE AS half,
      CASE WHEN range % 2 = 0 THEN 'a' ELSE 'c' END AS city, ['x', 'y'] AS stops FROM range(3000)`,
  );
  place.writeModel(identityModel('float32', ['N', 8]), { inputs: { x: features } });
  const plan = await planScore(place.options({ explain: true, keep: [] }));
  const [tensor] = plan.explanation!;
  assert.equal(tensor!.name, 'x');
  assert.equal(tensor!.rowCount, 2048);
  assert.ok(tensor!.rowsPerSecond > 1000);
  assert.deepEqual(
    tensor!.features.map(({ vector, loopBecause }) => [vector, loopBecause]),
    [
      ['int64', undefined],
      ['float64 with nulls', undefined],
      ['float64 with nulls', 'log1p'],
      ['codes of categories', undefined],
      ['float64', 'categories that are numbers are looked up in a map'],
      ['text', 'text'],
      ['lists of int8', undefined],
    ],
  );
  assert.equal(tensor!.features[0]!.sql, 'shard."whole"');
  const text = renderPlan(plan);
  assert.match(text, /\nhow x is made\n/);
  assert.match(text, /shard\."whole" +int64 +standardize +float32 +SIMD kernel\n/);
  assert.match(text, /M rows\/s a core without reading: measured just now on the first 2,048 rows/);
  assert.equal((await planScore(place.options({ keep: [] }))).explanation, undefined);
});

test('rows of megabytes are tried as many at a time as a slot holds', async (t) => {
  const place = new Workplace(t);
  // 2,048 of them would not fit into one WebAssembly.Memory.
  const width = 600_000;
  place.shard('a.parquet', `SELECT list_resize([1::FLOAT], ${width}, range::FLOAT) AS x FROM range(3)`);
  place.writeModel(rowSumModel(width), { inputs: { x: [{ column: 'x', list: width }] } });
  const [tensor] = (await planScore(place.options({ explain: true, keep: [] }))).explanation!;
  assert.equal(tensor!.rowCount, 3);
});
