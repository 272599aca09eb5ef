/** Element types, shapes and contracts: what goes into the model and what its outputs become. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ElementType } from '../contract/contract.ts';
import { quotePath } from '../engines/duckdb/database.ts';
import {
  defaultInputModel,
  externalDataModel,
  identityModel,
  mixedInputsModel,
  rowSumModel,
  scoreMixed,
  stateModel,
  type MixedClassifier,
  type MixedRow,
} from '../testing/models.ts';
import { rawBytes } from '../testing/onnx.ts';
import { withConnection } from '../testing/shards.ts';
import { columnOf, countTo, Workplace, type Row } from './workplace.ts';

function typeOf(path: string, column: string): unknown {
  return withConnection(
    (connection) =>
      connection.rows(
        `SELECT column_type FROM (DESCRIBE SELECT * FROM read_parquet(${quotePath(path)})) WHERE column_name = '${column}'`,
      )[0]?.[0],
  );
}

interface TypeCase {
  readonly elementType: ElementType;
  /** DuckDB's name of the score column's type. */
  readonly column: string;
  /** The shard's values as SQL, and as they come out (booleans as 0 and 1). */
  readonly sql: readonly string[];
  readonly values: readonly (number | bigint | string)[];
}

const typeCases: readonly TypeCase[] = [
  {
    elementType: 'float32',
    column: 'FLOAT',
    sql: ['0.1::DOUBLE', '-1', "'inf'::DOUBLE"],
    values: [Math.fround(0.1), -1, Infinity],
  },
  { elementType: 'float64', column: 'DOUBLE', sql: ['0.1::DOUBLE', '1e300', '-1'], values: [0.1, 1e300, -1] },
  {
    elementType: 'float16',
    column: 'FLOAT',
    sql: ['0.1::DOUBLE', '65504', '-2'],
    values: [0.0999755859375, 65504, -2],
  },
  { elementType: 'int8', column: 'TINYINT', sql: ['-128', '127', '0'], values: [-128, 127, 0] },
  { elementType: 'int16', column: 'SMALLINT', sql: ['-32768', '32767', '0'], values: [-32768, 32767, 0] },
  {
    elementType: 'int32',
    column: 'INTEGER',
    sql: ['-2147483648', '2147483647', '0'],
    values: [-2147483648, 2147483647, 0],
  },
  {
    elementType: 'int64',
    column: 'BIGINT',
    sql: ['(-9223372036854775807 - 1)::BIGINT', '9223372036854775807', '9007199254740993'],
    values: [-9223372036854775808n, 9223372036854775807n, 9007199254740993n],
  },
  { elementType: 'uint8', column: 'UTINYINT', sql: ['0', '255', '7'], values: [0, 255, 7] },
  { elementType: 'uint16', column: 'USMALLINT', sql: ['0', '65535', '7'], values: [0, 65535, 7] },
  { elementType: 'uint32', column: 'UINTEGER', sql: ['0', '4294967295', '7'], values: [0, 4294967295, 7] },
  {
    elementType: 'uint64',
    column: 'UBIGINT',
    sql: ['0::UBIGINT', '18446744073709551615', '9007199254740993'],
    values: [0n, 18446744073709551615n, 9007199254740993n],
  },
  { elementType: 'bool', column: 'BOOLEAN', sql: ['true', 'false', 'true'], values: [1, 0, 1] },
  {
    elementType: 'string',
    column: 'VARCHAR',
    sql: ["'a'", "''", "'日本 é 😀, longer than twelve bytes'"],
    values: ['a', '', '日本 é 😀, longer than twelve bytes'],
  },
];

for (const { elementType, column, sql, values } of typeCases) {
  test(`${elementType} goes through unchanged`, async (t) => {
    const place = new Workplace(t);
    place.writeModel(identityModel(elementType), { inputs: { x: [{ column: 'x' }] } });
    place.shard('a.parquet', `SELECT unnest([${sql.join(', ')}]) AS x`);
    await place.score({ keep: [] });
    assert.deepEqual(columnOf(place.rows('a.parquet'), 'y'), values);
    assert.equal(typeOf(join(place.output, 'a.parquet'), 'y'), column);
  });
}

test('without tandem.json the inputs are the columns of their names', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'));
  place.shard('a.parquet', 'SELECT i AS other, (i * 2)::FLOAT AS x FROM range(5) rows(i)');
  await place.score({ model: join(place.model, 'model.onnx') });
  const expected = countTo(5).map((row) => ({ other: BigInt(row), x: row * 2, y: row * 2 }));
  assert.deepEqual(place.rows('a.parquet'), expected);
  rmSync(place.output, { recursive: true });
  await place.score();
  assert.deepEqual(place.rows('a.parquet'), expected);
});

test('without tandem.json a vector that no column feeds is named with its shape, and what to write', async (t) => {
  const place = new Workplace(t);
  place.writeModel(rowSumModel(3));
  place.shard('a.parquet', 'SELECT 1 AS a, 2 AS b, 3 AS c');
  const error = await place.fails({
    code: 'BAD_COLUMN',
    place: { shard: 'a.parquet', column: 'x' },
    message: /^Expected column x in the shard, got none of that name\.$/,
  });
  assert.match(
    error.remedy!,
    /feeds each input: x \(float32 \[N, 3\]\)\. Write a tandem\.json .*`tandem init` .*has: a, b, c\.$/,
  );
});

test('a moment that is no number comes with expressions that can be pasted', async (t) => {
  const place = new Workplace(t);
  place.writeModel(rowSumModel(1), { inputs: { x: [{ column: 'ts' }] } });
  place.shard('a.parquet', "SELECT TIMESTAMP '2024-05-06 07:08:09' AS ts");
  const { remedy } = await place.fails({
    code: 'BAD_COLUMN',
    place: { shard: 'a.parquet', column: 'ts' },
    message: /^Expected ts to be a number, got TIMESTAMP\.$/,
  });
  const [source] = /\{ "sql".*?\}/.exec(remedy!)!;
  assert.deepEqual(JSON.parse(source), { sql: 'hour("ts")' });
});

test('without tandem.json a list column fills an input of its length', async (t) => {
  const place = new Workplace(t);
  place.writeModel(rowSumModel(3));
  place.shard('a.parquet', 'SELECT [i, 10, 0.5]::FLOAT[] AS x FROM range(2500) rows(i)');
  await place.score({ keep: [] });
  assert.deepEqual(
    columnOf(place.rows('a.parquet'), 'y'),
    countTo(2500).map((row) => row + 10.5),
  );
});

const classifier: MixedClassifier = {
  countries: ['de', 'fr', 'jp'],
  labels: ['stays', 'leaves'],
  // No row lies on the line between the classes.
  coefficients: [
    [0.0113, -0.2, 0.5, 0.1, 0, -0.3],
    [-0.0217, 0.3, -0.5, 0, 0.2, 0.1],
  ],
  intercepts: [0.1037, -0.1],
};

function mixedRow(index: number): MixedRow {
  return {
    age: index % 90,
    visits: index % 11,
    member: index % 3 === 0,
    country: ['de', 'fr', 'jp', 'nowhere'][index % 4]!,
  };
}

const mixedShard = `SELECT i % 90 AS age, i % 11 AS visits, i % 3 = 0 AS member, ['de', 'fr', 'jp', 'nowhere'][i % 4 + 1] AS country
  FROM range(3000) rows(i)`;

function assertMixed(rows: readonly Row[], model: MixedClassifier): void {
  assert.equal(rows.length, 3000);
  rows.forEach((row, index) => {
    const { label, probabilities } = scoreMixed(model, mixedRow(index));
    assert.equal(typeof row['label'] === 'bigint' ? Number(row['label']) : row['label'], label);
    const scored = JSON.parse(String(row['probabilities'])) as number[];
    probabilities.forEach((value, k) => assert.ok(Math.abs(value - scored[k]!) < 1e-6));
  });
}

for (const labels of [
  ['stays', 'leaves'],
  [7, 9],
] as const) {
  test(`many named inputs of mixed types, labels ${labels.join(' and ')}, probabilities as a list`, async (t) => {
    const place = new Workplace(t);
    const model: MixedClassifier = { ...classifier, labels: [...labels] as string[] | number[] };
    place.writeModel(mixedInputsModel(model));
    place.shard('a.parquet', mixedShard);
    await place.score({ keep: ['country'] });
    assertMixed(place.rows('a.parquet'), model);
    assert.equal(
      typeOf(join(place.output, 'a.parquet'), 'label'),
      typeof labels[0] === 'string' ? 'VARCHAR' : 'BIGINT',
    );
  });
}

const mixedInputs = Object.fromEntries(['age', 'visits', 'member', 'country'].map((column) => [column, [{ column }]]));

test('one selected probability, several of them with names, and an output that is left out', async (t) => {
  const place = new Workplace(t);
  place.writeModel(mixedInputsModel(classifier), {
    inputs: mixedInputs,
    outputs: { label: false, probabilities: { column: 'p', select: 1 } },
    keep: [],
  });
  place.shard('a.parquet', mixedShard);
  await place.score({ batchSize: 700 });
  const expected = countTo(3000).map((row) => scoreMixed(classifier, mixedRow(row)).probabilities);
  const single = place.rows('a.parquet');
  assert.deepEqual(Object.keys(single[0]!), ['p']);
  single.forEach((row, index) => assert.ok(Math.abs((row['p'] as number) - expected[index]![1]!) < 1e-6));
  place.writeContract({
    inputs: mixedInputs,
    outputs: { probabilities: { columns: ['leaves', 'stays'], select: [1, 0] } },
    keep: [],
  });
  await place.score({ overwrite: true });
  const both = place.rows('a.parquet');
  assert.deepEqual(Object.keys(both[0]!), ['leaves', 'stays']);
  both.forEach((row, index) => {
    assert.ok(Math.abs((row['leaves'] as number) - expected[index]![1]!) < 1e-6);
    assert.ok(Math.abs((row['stays'] as number) - expected[index]![0]!) < 1e-6);
  });
});

test('a selected position of a shard that threads share', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('int64', ['N', 3]), {
    inputs: { x: [{ column: 'a' }, { column: 'b' }, { column: 'c' }] },
    outputs: { y: { columns: ['last', 'first'], select: [2, 0] } },
    keep: [],
  });
  place.shard('a.parquet', 'SELECT i AS a, -i AS b, 3 * i AS c FROM range(530000) rows(i)');
  await place.score({ threads: 2 });
  const [counts] = withConnection((connection) =>
    connection.rows(
      `SELECT count(*), count(*) FILTER (first = file_row_number AND last = 3 * file_row_number)
    FROM read_parquet(${quotePath(join(place.output, 'a.parquet'))}, file_row_number=true)`,
    ),
  );
  assert.deepEqual(counts, [530_000n, 530_000n]);
});

for (const rowCount of [1, 3, 4, 5, 4100]) {
  test(`a batch dimension fixed at 4, ${rowCount} rows`, async (t) => {
    const place = new Workplace(t);
    place.writeModel(rowSumModel(2, 4), { inputs: { x: [{ column: 'a' }, { column: 'b' }] }, keep: [] });
    place.shard('a.parquet', `SELECT i AS a, 1 AS b FROM range(${rowCount}) rows(i)`);
    await place.score();
    assert.deepEqual(
      columnOf(place.rows('a.parquet'), 'y'),
      countTo(rowCount).map((row) => row + 1),
    );
  });
}

test('constants: a scalar, and a state with the batch on another axis', async (t) => {
  const place = new Workplace(t);
  place.writeModel(stateModel(2), {
    inputs: {
      x: [{ column: 'a' }, { column: 'b' }],
      state: { constant: 0.5, shape: [2, 'N', 4] },
      rate: { constant: 4 },
    },
    outputs: { y: 'y' },
    keep: [],
  });
  place.shard('a.parquet', 'SELECT i AS a, 2 AS b FROM range(2500) rows(i)');
  await place.score({ batchSize: 999 });
  assert.deepEqual(
    columnOf(place.rows('a.parquet'), 'y'),
    countTo(2500).map((row) => (row + 2 + 4) / 4),
  );
});

test('an input with a default: left alone, as a constant', async (t) => {
  const place = new Workplace(t);
  place.writeModel(defaultInputModel(3), { inputs: { x: [{ column: 'x' }] }, keep: [] });
  place.shard('a.parquet', 'SELECT i AS x FROM range(10) rows(i)');
  await place.score();
  assert.deepEqual(
    columnOf(place.rows('a.parquet'), 'y'),
    countTo(10).map((row) => 3 * row),
  );
  place.writeContract({ inputs: { x: [{ column: 'x' }], factor: { constant: 5 } }, keep: [] });
  await place.score({ overwrite: true });
  assert.deepEqual(
    columnOf(place.rows('a.parquet'), 'y'),
    countTo(10).map((row) => 5 * row),
  );
});

test('weights in a file beside the model', async (t) => {
  const place = new Workplace(t);
  place.writeModel(externalDataModel([10, 20], 'weights.data'), {
    inputs: { x: [{ column: 'a' }, { column: 'b' }] },
    keep: [],
  });
  writeFileSync(join(place.model, 'weights.data'), rawBytes('float32', [10, 20]));
  place.shard('a.parquet', 'SELECT i AS a, i AS b FROM range(3) rows(i)');
  await place.score();
  assert.deepEqual(columnOf(place.rows('a.parquet'), 'y'), ['[10.0, 20.0]', '[11.0, 21.0]', '[12.0, 22.0]']);
});

test('features of many kinds side by side', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32', ['N', 9]), {
    inputs: {
      x: [
        { column: 'distance', missing: 'mean', standardize: { mean: 100, std: 50 }, clip: [-1, 1] },
        { sql: 'hour(moment)', minMax: [0, 24] },
        { column: 'origin', oneHot: ['ATL', 'ORD'], unknown: 'zeros' },
        { column: 'origin', index: ['ATL', 'ORD'], unknown: 'own' },
        { column: 'code', oneHot: [1, 2], unknown: 'last', dropLast: true },
        { column: 'pair' },
        { lengthOf: 'tags' },
      ],
    },
    keep: [],
  });
  place.shard(
    'a.parquet',
    `SELECT * FROM (VALUES
    (125.0, TIMESTAMP '2026-01-01 06:00:00', 'ATL', 1, [1, 2]::FLOAT[2], ['a']),
    (NULL, TIMESTAMP '2026-01-01 12:30:00', 'ORD', 2, [3, 4]::FLOAT[2], []),
    (900.0, TIMESTAMP '2026-01-01 18:59:59', 'JFK', 3, [5, 6]::FLOAT[2], ['a', NULL, 'c'])
  ) AS t(distance, moment, origin, code, pair, tags)`,
  );
  await place.score();
  assert.deepEqual(
    columnOf(place.rows('a.parquet'), 'y').map((list) => JSON.parse(String(list)) as number[]),
    [
      [0.5, 0.25, 1, 0, 0, 1, 1, 2, 1],
      [0, 0.5, 0, 1, 1, 0, 3, 4, 0],
      [1, 0.75, 0, 0, 2, 0, 5, 6, 3],
    ],
  );
});
