import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compare, one, rows } from '../testing/known-scores.ts';

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

test('a position of the scores, and scores that nothing is known of', async (t) => {
  const scores = {
    'a.parquet':
      'SELECT i AS id, [1 - i / 10, i / 10]::FLOAT[2] AS p, i AS label, 0.5 AS margin FROM range(10) AS rows(i)',
  };
  const known = { 'a.parquet': 'SELECT i AS id, i / 10 AS late, i AS LABEL FROM range(10) AS rows(i)' };
  const { columns, notCompared, passed } = await compare(
    t,
    { scores, known },
    { key: ['id'], map: { 'P[1]': 'late' } },
  );
  assert.deepEqual(
    columns.map(({ name, known: other, kind }) => [name, other, kind]),
    [
      ['P[1]', 'late', 'number'],
      ['label', 'LABEL', 'label'],
    ],
  );
  assert.deepEqual([notCompared, passed], [['margin'], true]);
  await assert.rejects(compare(t, { scores, known }, { key: ['id'], map: { p: 'late' } }), {
    code: 'BAD_COLUMN',
    remedy: /--map 'p\[1\]=late'/,
  });
});

test('rows within the tolerance are named only when asked for', async (t) => {
  for (const [worst, count] of [
    [undefined, 0],
    [3, 3],
  ] as const) {
    const { passed, columns } = await compare(
      t,
      { scores: one('p'), known: one('p + i * 1e-10') },
      { key: ['id'], worst },
    );
    assert.deepEqual([passed, columns[0]!.worst.map(({ key }) => key)], [true, ['999', '998', '997'].slice(0, count)]);
  }
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
