/** Values, labels and keys of differing types: what is equal, and what is not. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { compare, one, rows, type Changes } from '../testing/known-scores.ts';
import { tempDir } from '../testing/shards.ts';

/** One score and one known column, both from an expression of i, joined by `id`. */
async function compareOne(t: TestContext, score: string, known: string, changes: Changes = {}) {
  const sides = { scores: one(score, 20), known: one(known, 20) };
  return (await compare(t, sides, { key: ['id'], ...changes })).columns[0]!;
}

test('infinities, zeros of both signs, and float32 against float64', async (t) => {
  const special = "[0.0, -0.0, 'inf'::DOUBLE, '-inf'::DOUBLE, 'nan'::DOUBLE, NULL, 1e300][1 + i % 7]";
  assert.equal((await compareOne(t, special, special)).rowsBeyond, 0);
  assert.deepEqual((await compareOne(t, '0.0::FLOAT', '-0.0::DOUBLE')).differenceMax, 0);
  for (const [score, known] of [
    ["'inf'::DOUBLE", "'-inf'::DOUBLE"],
    ["'inf'::DOUBLE", '1e308'],
    ['1e308', "'inf'::DOUBLE"],
    ["'nan'::DOUBLE", "'inf'::DOUBLE"],
    ["'nan'::DOUBLE", 'NULL::DOUBLE'],
  ] as const) {
    const found = await compareOne(t, score, known, { tolerance: 1e9 });
    assert.deepEqual([found.rowsBeyond, found.differenceMax], [20, Infinity], `${score}, ${known}`);
  }
  const single = await compareOne(t, '0.1::FLOAT', '0.1::DOUBLE');
  assert.ok(single.rowsBeyond === 0 && single.differenceMax > 1e-9 && single.differenceMax < 2e-9);
});

test('lists of differing lengths, with nulls and NaN', async (t) => {
  const cases: readonly (readonly [string, string, number])[] = [
    ['[1.0, 2.0]', '[1.0, 2.0, 3.0]', 20],
    ['[]::DOUBLE[]', 'NULL::DOUBLE[]', 20],
    ['[]::DOUBLE[]', '[]::DOUBLE[]', 0],
    ["[1.0, 'nan'::DOUBLE, NULL]", "[1.0, 'nan'::DOUBLE, NULL]", 0],
    ["[1.0, 'nan'::DOUBLE]", '[1.0, NULL]::DOUBLE[]', 20],
    ['[1.0, 2.0]::FLOAT[2]', '[1, 2]::INTEGER[]', 0],
  ];
  for (const [score, known, beyond] of cases) {
    assert.equal((await compareOne(t, score, known)).rowsBeyond, beyond, `${score}, ${known}`);
  }
});

test('labels of differing types', async (t) => {
  const equal: readonly (readonly [string, string])[] = [
    ['(i % 3)::BIGINT', '(i % 3)::VARCHAR'],
    ['(i % 3)::BIGINT', "(i % 3) || '.0'"],
    ['(i % 2)::BIGINT', '(i % 2 = 1)'],
    ['(i % 2 = 1)', '(i % 2)::INTEGER'],
    ['(i % 2 = 1)', "['False', 'True'][1 + i % 2]"],
    ['(i % 2)::BIGINT', '[-0.0, 1][1 + i % 2]::DOUBLE'],
    ['(i % 3)::UTINYINT', '(i % 3)::DECIMAL(10, 2)'],
    ['(9007199254740993 + i)::BIGINT', '(9007199254740993 + i)::VARCHAR'],
    ['(i % 3)::VARCHAR', '(i % 3)::TINYINT'],
    ["['a', 'b', NULL][1 + i % 3]", "['a', 'b', NULL][1 + i % 3]"],
  ];
  for (const [score, known] of equal) {
    const found = await compareOne(t, score, known);
    assert.deepEqual([found.kind, found.rowsBeyond], ['label', 0], `${score}, ${known}`);
  }
  const wide = await compareOne(t, '(9007199254740993 + i)::BIGINT', '(9007199254740992 + i)::BIGINT');
  assert.equal(wide.rowsBeyond, 20);
  const coded = await compareOne(t, "['on time', 'late'][1 + i % 2]", '(i % 2)::INTEGER');
  assert.deepEqual(coded.confusion, [
    { known: '0', score: 'on time', rows: 10 },
    { known: '1', score: 'late', rows: 10 },
  ]);
  const spark = await compareOne(t, '(i % 2)::BIGINT', '0::DOUBLE');
  assert.deepEqual(spark.confusion, [{ known: '0', score: '1', rows: 10 }]);
  assert.deepEqual([spark.differenceMedian, spark.worst.length, spark.worst[0]!.score], [undefined, 10, '1']);
});

/** Rows 0 to 9 by a key of its own type on each side. */
const keyed = (key: string) => ({ 'a.parquet': `SELECT ${key} AS k, i::DOUBLE AS y FROM range(10) AS rows(i)` });

test('keys of differing types', async (t) => {
  const minutes = 'INTERVAL (i) MINUTE';
  const equal: readonly (readonly [string, string])[] = [
    ['i::INTEGER', 'i::VARCHAR'],
    ['i::VARCHAR', 'i::DOUBLE'],
    ['i::BIGINT', 'i::DECIMAL(20, 2)'],
    ['i::DECIMAL(20, 2)::VARCHAR', '(i / 1)::DECIMAL(20, 2)::VARCHAR'],
    ['i::DECIMAL(20, 2)', 'i::VARCHAR'],
    ['(i * 0.1)::FLOAT', '(i * 0.1)::DOUBLE'],
    ['(i * 0.1)::DECIMAL(5, 1)', '(i * 0.1)::FLOAT'],
    [`TIMESTAMPTZ '2026-01-01 00:00:00+00' + ${minutes}`, `TIMESTAMP '2026-01-01 00:00:00' + ${minutes}`],
    [
      `TIMESTAMPTZ '2026-01-01 02:00:00+02' + ${minutes}`,
      `(TIMESTAMP '2026-01-01 00:00:00' + ${minutes})::TIMESTAMP_NS`,
    ],
    [`TIMESTAMP '2026-01-01 00:00:00' + ${minutes}`, "'2026-01-01T02:0' || i || ':00+02:00'"],
    ["DATE '2026-01-01' + i::INTEGER", "TIMESTAMP '2026-01-01' + INTERVAL (i) DAY"],
    ["(DATE '2026-01-01' + i::INTEGER)::VARCHAR", "DATE '2026-01-01' + i::INTEGER"],
    ["('00000000-0000-0000-0000-00000000000' || i)::UUID", "'00000000-0000-0000-0000-00000000000' || i"],
    ['NULLIF(i, 3)', 'NULLIF(i, 3)::VARCHAR'],
    [
      "[0.0, 'nan'::DOUBLE, NULL, 3, 4, 5, 6, 7, 8, 9][1 + i]",
      "[-0.0, 'nan'::DOUBLE, NULL, 3, 4, 5, 6, 7, 8, 9][1 + i]",
    ],
  ];
  const zone = process.env['TZ'];
  process.env['TZ'] = 'America/New_York';
  t.after(() => (zone === undefined ? delete process.env['TZ'] : (process.env['TZ'] = zone)));
  for (const [ours, theirs] of equal) {
    const found = await compare(t, { scores: keyed(ours), known: keyed(theirs) }, { key: ['k'] });
    assert.deepEqual([found.rows.both, found.rows.shards, found.rows.known, found.passed], [10, 10, 10, true], ours);
  }
  const none = compare(t, { scores: keyed('i'), known: keyed("DATE '2026-01-01' + i::INTEGER") }, { key: ['k'] });
  await assert.rejects(none, { code: 'BAD_COLUMN', message: /key k to be BIGINT, as in the shards, got DATE/ });
  const text = compare(
    t,
    { scores: keyed("DATE '2026-01-01' + i::INTEGER"), known: keyed("'x' || i") },
    { key: ['k'] },
  );
  await assert.rejects(text, { code: 'BAD_COLUMN', message: /keys that can be compared .*x0/ });
  const place = compare(t, { scores: keyed('i'), known: keyed('i') }, { key: ['file_index'] });
  await assert.rejects(place, { code: 'BAD_COLUMN', message: /another name than file_index/ });
});

test('keys that only one side tells apart', async (t) => {
  const scores = keyed('9007199254740992 + i');
  const known = {
    'a.parquet': 'SELECT (9007199254740992 + 2 * i)::DOUBLE AS k, i::DOUBLE AS y FROM range(5) AS rows(i)',
  };
  await assert.rejects(compare(t, { scores, known }, { key: ['k'] }), {
    code: 'BAD_ROW',
    message: /one row of the shards, got 2 rows/,
  });
  // No scored row meets these: nothing is compared wrongly.
  const others = {
    'a.parquet':
      'SELECT i % 15 AS k, i::DOUBLE AS y FROM range(10, 25) AS rows(i) UNION ALL FROM (VALUES (99, 1), (99, 2))',
  };
  const found = await compare(t, { scores: keyed('i'), known: others }, { key: ['k'], tolerance: 100 });
  assert.deepEqual(found.rows, { shards: 10, known: 17, both: 10, onlyShards: 0, onlyKnown: 7 });
});

test('a key of a few values is refused before rows are joined by it', async (t) => {
  const many = { 'a.parquet': 'SELECT i % 3 AS k, i::DOUBLE AS y FROM range(200000) AS rows(i)' };
  await assert.rejects(compare(t, { scores: many, known: many }, { key: ['k'] }), {
    code: 'BAD_ROW',
    message: /one row of the shards, got 66667 rows of `0`, and 3 such keys in all/,
  });
});

test('labels: equality and which for which', async (t) => {
  const scores = { 'a.parquet': rows("CASE WHEN i % 10 = 0 THEN 'late' ELSE 'on time' END") };
  const known = { 'a.parquet': rows("CASE WHEN i % 20 = 0 THEN 'late' ELSE 'on time' END") };
  const [texts] = (await compare(t, { scores, known }, { key: ['id'] })).columns;
  assert.deepEqual([texts!.kind, texts!.rowsBeyond], ['label', 50]);
  assert.deepEqual(texts!.confusion, [{ known: 'on time', score: 'late', rows: 50 }]);
  // Spark writes labels as doubles.
  const numbers = { scores: one('(i % 3)::BIGINT'), known: one('(i % 3)::DOUBLE') };
  const [integers] = (await compare(t, numbers, { key: ['id'] })).columns;
  assert.deepEqual([integers!.kind, integers!.rowsBeyond], ['label', 0]);
});

test("lists, Spark's vectors dense and sparse, and one position of them", async (t) => {
  const vector = (sql: string): string =>
    `CASE WHEN i % 2 = 0 THEN {'type': 1::TINYINT, 'size': NULL::INTEGER, 'indices': NULL::INTEGER[], 'values': ${sql}}
     ELSE {'type': 0::TINYINT, 'size': 3::INTEGER, 'indices': [2]::INTEGER[], 'values': [p::DOUBLE]} END`;
  const dense = 'CASE WHEN i % 2 = 0 THEN [1 - p, 0.5, p] ELSE [0, 0, p] END::DOUBLE[]';
  const known = one(vector('[(1 - p)::DOUBLE, 0.5::DOUBLE, p::DOUBLE]'));
  const lists = await compare(t, { scores: one(`(${dense})::FLOAT[3]`), known }, { key: ['id'] });
  assert.deepEqual([lists.passed, lists.columns[0]!.kind], [true, 'list']);
  const picked = await compare(t, { scores: one('p'), known }, { key: ['id'], map: { y: 'y[2]' } });
  assert.deepEqual([picked.passed, picked.columns[0]!.known], [true, 'y[2]']);
  const reversed = one(`list_reverse(${dense})`);
  const other = await compare(t, { scores: one(dense), known: reversed }, { key: ['id'] });
  assert.match(other.columns[0]!.hints[0]!, /reversed/);
});

test('a key that names several rows', async (t) => {
  const twice = { 'a.parquet': `SELECT id % 998 AS id, y FROM (${rows('p')})` };
  await assert.rejects(compare(t, { scores: one('p'), known: twice }, { key: ['id'] }), {
    code: 'BAD_ROW',
    message: /one row of the known scores, got 2 rows of `0`, and 2 such keys/,
  });
  await assert.rejects(compare(t, { scores: twice, known: one('p') }, { key: ['id'] }), /one row of the shards/);
});

test("a vector of Spark's in JSON", async (t) => {
  const path = join(tempDir(t), 'part-0.jsonl');
  writeFileSync(
    path,
    '{"id":0,"y":{"type":1,"values":[0.25,0.75]}}\n{"id":1,"y":{"type":0,"size":2,"indices":[1],"values":[1.0]}}\n',
  );
  const scores = {
    'a.parquet': 'SELECT i AS id, [[0.25, 0.75], [0, 1]][1 + i]::FLOAT[2] AS y FROM range(2) AS rows(i)',
  };
  const { passed, columns } = await compare(t, { scores, known: {} }, { against: path, key: ['id'] });
  assert.deepEqual([passed, columns[0]!.kind, columns[0]!.differenceMax], [true, 'list', 0]);
});
