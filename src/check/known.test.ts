import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { closeDatabase, Connection, openDatabase } from '../engines/duckdb/database.ts';
import { tempDir, withConnection, writeShard } from '../testing/shards.ts';
import { compareKnown } from './known.ts';
import type { KnownComparison, KnownRequest } from './report.ts';

interface Sides {
  /** Queries, by name of the file. */
  readonly scores: Readonly<Record<string, string>>;
  readonly known: Readonly<Record<string, string>>;
}

function compare(
  t: TestContext,
  sides: Sides,
  changes: Partial<Omit<KnownRequest, 'shards' | 'model' | 'selection'>> = {},
): Promise<KnownComparison> {
  const folder = tempDir(t);
  mkdirSync(join(folder, 'scratch'));
  for (const side of ['scores', 'known'] as const) {
    for (const [name, sql] of Object.entries(sides[side])) writeShard(join(folder, side, name), sql);
  }
  const request = {
    against: join(folder, 'known'),
    key: [],
    map: {},
    tolerance: 1e-6,
    scores: join(folder, 'scores'),
    scratch: join(folder, 'scratch'),
    ...changes,
  };
  return withOpen((connection) => compareKnown(connection, request));
}

async function withOpen<T>(use: (connection: Connection) => Promise<T>): Promise<T> {
  const database = openDatabase();
  const connection = new Connection(database);
  try {
    return await use(connection);
  } finally {
    connection.close();
    closeDatabase(database);
  }
}

/** Rows 0 to count - 1: `id`, and y from an expression of p, a probability that is its own for each row. */
function rows(y: string, count = 1000): string {
  return `SELECT i AS id, ${y} AS y FROM (SELECT i::INTEGER AS i, ((i * 7919) % 1000 + 0.5) / 1001 AS p FROM range(${count}) AS r(i))`;
}

const one = (y: string, count?: number) => ({ 'a.parquet': rows(y, count) });

test('equal scores pass, by position and by key', async (t) => {
  for (const key of [[], ['id']]) {
    const {
      passed,
      rows: counted,
      columns,
    } = await compare(t, { scores: one('p'), known: one('p + 1e-9') }, { key, map: { y: 'y' } });
    assert.equal(passed, true);
    assert.deepEqual(counted, { shards: 1000, known: 1000, both: 1000, onlyShards: 0, onlyKnown: 0 });
    const [y] = columns.filter(({ name }) => name === 'y');
    assert.ok(y!.differenceMax > 0.9e-9 && y!.differenceMax < 1.1e-9, String(y!.differenceMax));
    assert.ok(y!.differenceMedian! > 0.9e-9 && y!.differenceP99! <= y!.differenceMax);
    assert.deepEqual([y!.rowsBeyond, y!.hints], [0, []]);
  }
});

const patterns: readonly (readonly [string, string, RegExp | undefined])[] = [
  ['p + 0.25', 'p', /is -0\.25 in all rows: an offset/],
  ['p * 100', 'p', /is 0\.01 in all rows: a factor/],
  ['p', '1 - p', /known = 1 - score/],
  ['p', '-p', /known = -score/],
  ['p', '1 / (1 + exp(-p))', /known = sigmoid\(score\)/],
  ['1 / (1 + exp(-p))', 'p', /score = sigmoid\(known\)/],
  ['p', 'exp(p)', /known = exp\(score\)/],
  ['ln(1 + p)', 'p', /known = expm1\(score\)/],
  ['p', 'CASE WHEN p >= 0.5 THEN 1 ELSE 0 END::DOUBLE', /labels are known/],
  ['p', 'round(p, 3)', /rounded to 3 digits/],
  ['p', 'sqrt(p)', /rank the rows alike/],
  ['p', '(i * 104729 % 1000 + 0.5) / 1001', /permuted/],
  ['p', 'CASE WHEN i = 500 THEN p + 0.01 ELSE p END', undefined],
  ['p', 'sin(1000 * p)', undefined],
];

for (const [score, known, hint] of patterns) {
  test(`score ${score}, known ${known}: ${hint?.source ?? 'no hint'}`, async (t) => {
    const { passed, columns } = await compare(
      t,
      { scores: one(`(${score})::DOUBLE`), known: one(known) },
      { map: {}, key: [] },
    );
    assert.equal(passed, false);
    const { hints } = columns.find(({ name }) => name === 'y')!;
    if (hint === undefined) assert.deepEqual(hints, []);
    else assert.match(hints.join('\n'), hint);
    assert.equal(hints.length, hint === undefined ? 0 : 1);
  });
}

test('half the precision, where the tolerance is as tight', async (t) => {
  const sides = { scores: one('p::DOUBLE * 1000'), known: one('(p * 1000)::FLOAT') };
  const { columns } = await compare(t, sides, { tolerance: 1e-12 });
  assert.match(columns.find(({ name }) => name === 'y')!.hints[0]!, /rounded to float32/);
});

test('permuted rows are the same rows by key', async (t) => {
  const sides = { scores: one('p'), known: { 'a.parquet': `${rows('p')} ORDER BY y` } };
  const byPosition = await compare(t, sides);
  assert.equal(byPosition.passed, false);
  assert.match(byPosition.columns.find(({ name }) => name === 'y')!.hints[0]!, /permuted; join them with --key/);
  assert.equal((await compare(t, sides, { key: ['ID'] })).passed, true);
});

test('rows that one side lacks, and worst rows by their address', async (t) => {
  const scores = {
    'a/0.parquet': `FROM (${rows('p')}) WHERE id < 400`,
    'a/1.parquet': `FROM (${rows('p')}) WHERE id >= 400`,
  };
  const known = {
    'x.parquet': `FROM (${rows('CASE WHEN i = 417 THEN p + 2 WHEN i = 3 THEN p - 1 ELSE p END', 1100)}) WHERE id >= 2`,
  };
  const { rows: counted, columns, passed } = await compare(t, { scores, known }, { key: ['id'] });
  assert.equal(passed, false);
  assert.deepEqual(counted, { shards: 1000, known: 1098, both: 998, onlyShards: 2, onlyKnown: 100 });
  const [y] = columns;
  assert.deepEqual(
    y!.worst.map(({ shard, row, key, difference }) => [shard, row, key, Math.round(difference * 1e6) / 1e6]),
    [
      ['a/1.parquet', 17, '417', 2],
      ['a/0.parquet', 3, '3', 1],
    ],
  );
  assert.equal(y!.rowsBeyond, 2);
  assert.equal(y!.differenceMedian, 0);
});

test('no rows in common do not pass', async (t) => {
  const known = { 'x.parquet': `SELECT id + 5000 AS id, y FROM (${rows('p')})` };
  const { passed, rows: counted } = await compare(t, { scores: one('p'), known }, { key: ['id'] });
  assert.deepEqual([passed, counted.both, counted.onlyKnown], [false, 0, 1000]);
});

test('nulls and NaN on one side, and on both', async (t) => {
  const scores = "CASE WHEN i < 5 THEN NULL WHEN i < 9 THEN 'nan'::DOUBLE ELSE p END";
  const known = "CASE WHEN i < 2 THEN NULL WHEN i < 7 THEN 'nan'::DOUBLE WHEN i < 10 THEN NULL ELSE p END";
  const { columns } = await compare(t, { scores: one(scores), known: one(known) }, { key: ['id'] });
  const [{ nulls, nans, rowsBeyond, differenceMax, differenceMedian, differenceP99 }] = columns as [
    (typeof columns)[0],
  ];
  // 0-1 both null; 2-4 null and NaN; 5-6 both NaN; 7-8 NaN and null; 9 a number and null.
  assert.deepEqual(
    [nulls, nans],
    [
      { known: 3, score: 3 },
      { known: 3, score: 2 },
    ],
  );
  assert.equal(rowsBeyond, 6);
  assert.deepEqual([differenceMax, differenceMedian, differenceP99], [Infinity, 0, 0]);
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

test('files that do not pair by position', async (t) => {
  const short = compare(t, { scores: one('p'), known: one('p', 999) });
  await assert.rejects(short, { code: 'BAD_SHARD', message: /1000 rows.*got 999/, remedy: /--key id/ });
  const scores = { 'a.parquet': rows('p'), 'b.parquet': rows('p') };
  const named = compare(t, { scores, known: { 'a.parquet': rows('p'), 'c.parquet': rows('p') } });
  await assert.rejects(named, { code: 'BAD_SHARD', message: /called like the shards.*got c\.parquet/ });
  const whole = await compare(t, { scores, known: { 'all.parquet': `${rows('p')} UNION ALL ${rows('p')}` } });
  assert.deepEqual([whole.passed, whole.rows.both], [true, 2000]);
});

test('known scores in a CSV file', async (t) => {
  const path = join(tempDir(t), 'notebook.csv');
  withConnection((connection) => connection.execute(`COPY (${rows('p')} ORDER BY y) TO '${path}' (HEADER)`));
  const { passed, rows: counted } = await compare(t, { scores: one('p'), known: {} }, { against: path, key: ['id'] });
  assert.deepEqual([passed, counted.both], [true, 1000]);
});

test('columns that cannot be compared', async (t) => {
  const text = { 'a.parquet': rows("'a'") };
  await assert.rejects(compare(t, { scores: one('p'), known: text }, { key: ['id'] }), {
    code: 'BAD_COLUMN',
    message: /known y to be comparable with scores of type DOUBLE|DECIMAL.*VARCHAR/,
  });
  const other = { 'a.parquet': 'SELECT 1 AS id, 2.0 AS z' };
  await assert.rejects(compare(t, { scores: one('p'), known: other }, { key: ['id'] }), {
    code: 'BAD_COLUMN',
    remedy: /--map y=z/,
  });
  await assert.rejects(compare(t, { scores: one('p'), known: other }, { map: { q: 'z' } }), { code: 'USAGE' });
  await assert.rejects(compare(t, { scores: one('p'), known: other }, { key: ['id'], map: { y: 'w' } }), /column w/);
});
