/** `check --row`: features of every kind, what a run makes of them, and rows that cannot be used. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { RowFeature } from '../check/row-report.ts';
import { explainRow } from '../check/explain-row.ts';
import { renderRow } from '../cli/render-row.ts';
import { identityModel } from '../testing/models.ts';
import { writeShard } from '../testing/shards.ts';
import { caught, Workplace } from './workplace.ts';

const features = [
  { column: 'a', missing: 7, standardize: { mean: 2, std: 4 }, clip: [-1, 1] },
  { column: 'b', log1p: true },
  { sql: 'hour(departed) + id', minMax: [0, 24] },
  { column: 'airport', oneHot: ['ATL', 'ORD'], unknown: 'zeros', missing: 'ORD' },
  { column: 'airport', index: ['ATL', 'ORD', 'SFO'], unknown: 'own', missing: '(none)' },
  { column: 'airport', hash: 16, missing: '' },
  { column: 'bins', bucketize: [1, 2, 3] },
  { column: 'list', list: true, missing: 0.5 },
  { lengthOf: 'words', missing: 0 },
];

const rowsSql = `SELECT i AS id, CASE WHEN i = 17 THEN NULL ELSE i END::INTEGER AS a, i::DOUBLE AS b,
  TIMESTAMP '2026-01-01 05:00:00' AS departed, ['ATL', 'ORD', 'JFK', NULL][1 + i % 4] AS airport, i % 5 AS bins,
  [i, NULL, 0.25]::FLOAT[] AS list, [i::VARCHAR, 'x'] AS words FROM range(1000) AS rows(i)`;

function makePlace(t: TestContext, inputs: object = { x: features }): Workplace {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32', ['N', 12]), { inputs, outputs: { y: { column: 'score', select: 0 } } });
  place.shard('part-0.parquet', `FROM (${rowsSql}) LIMIT 500`);
  place.shard('part-1.parquet', `FROM (${rowsSql}) OFFSET 500`);
  return place;
}

const base = (place: Workplace) => ({ model: place.model, shards: place.data });

function stepsOf({ steps, values }: RowFeature): unknown[] {
  return [...steps.map(({ step, values: made }) => [step, ...made]), values];
}

test('every kind of feature, step by step', async (t) => {
  const place = makePlace(t);
  const way = await explainRow({ ...base(place), row: { shard: 'part-0.parquet', row: 17 } });
  assert.deepEqual(way.columns.map(({ name, value }) => [name, value]).sort(), [
    ['a', null],
    ['airport', 'ORD'],
    ['b', '17.0'],
    ['bins', '2'],
    ['departed', '2026-01-01 05:00:00'],
    ['id', '17'],
    ['list', '[17.0, NULL, 0.25]'],
    ['words', '[17, x]'],
  ]);
  assert.deepEqual(way.features.map(stepsOf), [
    [['value', null], ['missing', '7'], ['standardize (x - 2) / 4', '1.25'], ['clip into [-1, 1]', '1'], ['1']],
    [['value', '17.0'], ['log1p', String(Math.log1p(17))], [String(Math.fround(Math.log1p(17)))]],
    [['value', '22'], ['minMax 0 to 24', String(22 / 24)], [String(Math.fround(22 / 24))]],
    [
      ['value', 'ORD'],
      ['category of 2', '1: "ORD"'],
      ['0', '1'],
    ],
    [['value', 'ORD'], ['category of 3', '1: "ORD"'], ['1']],
    [['value', 'ORD'], ['hash into 16'], [way.features[5]!.values[0]]],
    [['value', '2'], ['bucketize by 3 boundaries', '2'], ['2']],
    [
      ['value', '[17.0, NULL, 0.25]'],
      ['missing', '17', '0.5', '0.25'],
      ['17', '0.5', '0.25'],
    ],
    [['value', '[17, x]'], ['2']],
  ]);
  assert.deepEqual(
    way.features.map(({ position }) => position),
    [0, 1, 2, 3, 5, 6, 7, 8, 11],
  );
  assert.deepEqual(way.differences, []);
  const makers = new Set(way.features.map(({ madeBy }) => madeBy.split(':')[0]));
  assert.deepEqual([...makers].sort(), ['JavaScript loop', 'SIMD kernel']);
  const tensor = way.features.flatMap(({ values }) => values);
  assert.deepEqual(way.outputs, [{ name: 'y', type: 'float32 [1, 12]', values: tensor }]);
  assert.deepEqual([way.scores, way.device], [[{ name: 'score', value: '1.0' }], 'cpu']);
  assert.match(renderRow(way), /^row 17 of part-0\.parquet\n[^]*x\[0\] +a +value +null\n +missing +7\n/);
  assert.match(renderRow(way), /a run makes the same values, bit by bit/);
});

test('nulls, values that are not listed, and a row by its key', async (t) => {
  const place = makePlace(t);
  const way = await explainRow({ ...base(place), row: { column: 'ID', value: '502' } });
  assert.deepEqual([way.shard, way.row], ['part-1.parquet', 2]);
  assert.deepEqual(stepsOf(way.features[3]!), [
    ['value', 'JFK'],
    ['category of 2', 'not listed: zeros'],
    ['0', '0'],
  ]);
  const last = await explainRow({ ...base(place), row: { shard: 'part-1.parquet', row: 499 } });
  assert.deepEqual(stepsOf(last.features[4]!), [
    ['value', null],
    ['missing', '(none)'],
    ['category of 3', 'not listed: own'],
    ['3'],
  ]);
  assert.deepEqual(last.differences, []);
});

test('text for string tensors', async (t) => {
  const place = makePlace(t, { x: { column: 'airport', text: true, missing: 'none' } });
  place.writeModel(identityModel('string'), { inputs: { x: { column: 'airport', text: true, missing: 'none' } } });
  const way = await explainRow({ ...base(place), row: { shard: 'part-0.parquet', row: 3 } });
  assert.deepEqual(stepsOf(way.features[0]!), [['value', null], ['missing', 'none'], ['"none"']]);
  assert.deepEqual([way.outputs[0]!.values, way.scores[0]!.value], [['none'], 'none']);
});

test('a row that cannot be used says why; its neighbours do not matter', async (t) => {
  const strict = features.map((feature, index) => (index === 0 ? { column: 'a', clip: [-1, 1] } : feature));
  const place = makePlace(t, { x: strict });
  const bad = await explainRow({ ...base(place), row: { shard: 'part-0.parquet', row: 17 } });
  assert.match(bad.features[0]!.problem!, /Expected column a to be not null/);
  assert.deepEqual([bad.outputs, bad.scores, bad.features[0]!.values], [[], [], []]);
  const good = await explainRow({ ...base(place), row: { shard: 'part-0.parquet', row: 18 } });
  assert.deepEqual([good.features[0]!.problem, good.scores[0]!.value, good.differences], [undefined, '1.0', []]);
});

test('renamed columns, keys of the path, and rows that `where` leaves out', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32', ['N', 2]), {
    inputs: { x: [{ column: 'a' }, { column: 'hour' }] },
    outputs: { y: { column: 'score', select: 1 } },
    renames: { old: 'a' },
    where: 'a < 5',
  });
  place.shard('hour=7/part.parquet', 'SELECT i AS old FROM range(10) AS rows(i)');
  const taken = await explainRow({ ...base(place), row: { column: 'a', value: '4' } });
  assert.deepEqual([taken.shard, taken.row, taken.leftOutBy], ['hour=7/part.parquet', 4, undefined]);
  assert.deepEqual([taken.outputs[0]!.values, taken.scores], [['4', '7'], [{ name: 'score', value: '7.0' }]]);
  const out = await explainRow({ ...base(place), row: { shard: 'hour=7/part.parquet', row: 5 } });
  assert.deepEqual([out.leftOutBy, out.outputs[0]!.values, out.scores], ['a < 5', ['5', '7'], []]);
  assert.match(renderRow(out), /\n.*leaves it out: a < 5\n/);
});

test('what is known of the row, by key and by position', async (t) => {
  const place = makePlace(t);
  const known = join(place.folder, 'known.parquet');
  writeShard(known, 'SELECT i AS id, CASE WHEN i = 502 THEN 0.5 ELSE 1 END::DOUBLE AS p FROM range(1000) AS rows(i)');
  const options = { ...base(place), against: known, map: { score: 'p' } };
  const row = { column: 'id', value: '502' };
  for (const key of [['id'], []]) {
    const { known: found } = await explainRow({ ...options, key, row });
    assert.deepEqual([found!.passed, found!.rows.both], [false, 1]);
    const { shard, row: number, known: value } = found!.columns[0]!.worst[0]!;
    assert.deepEqual([shard, number, value], ['part-1.parquet', 2, '0.5']);
  }
  const same = await explainRow({ ...options, row: { shard: 'part-1.parquet', row: 3 } });
  assert.equal(same.known!.passed, true);
  assert.match(renderRow(same), /score +1\.0 +the same/);
});

test('rows that are not there', async (t) => {
  const place = makePlace(t);
  const asks = [
    [{ shard: 'part-0.parquet', row: 500 }, 'USAGE', /a row from 0 to 499, got `500`/],
    [{ shard: 'part-7.parquet', row: 0 }, 'NO_SHARDS', /one shard called `part-7\.parquet`, got none/],
    [{ column: 'id', value: '1000' }, 'USAGE', /a row with id = `1000` in the shards, got none/],
    [{ column: 'bins', value: '3' }, 'USAGE', /one row with bins = `3`, got part-0\.parquet:3 and part-0\.parquet:8/],
    [{ column: 'id', value: 'x' }, 'USAGE', /id to be a value of type BIGINT, got `x`/],
    [{ column: 'who', value: 'x' }, 'BAD_COLUMN', /column who in the shard/],
  ] as const;
  for (const [row, code, message] of asks) {
    const error = await caught(explainRow({ ...base(place), row }));
    assert.match(error.message, message);
    assert.equal(error.code, code);
  }
});
