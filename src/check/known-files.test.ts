import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compare, one, rows } from '../testing/known-scores.ts';
import { tempDir, withConnection, writeShard } from '../testing/shards.ts';

test('files of known scores whose columns differ', async (t) => {
  const scores = { 'a.parquet': 'SELECT i AS id, i + 0.5 AS y FROM range(20) AS rows(i)' };
  const known = {
    'a.parquet': 'SELECT i AS id, 7 AS z, (i + 0.5)::DOUBLE AS y FROM range(10, 20) AS rows(i)',
    '0.parquet': 'SELECT i::INTEGER AS y, i::INTEGER AS id FROM range(10) AS rows(i)',
  };
  for (const key of [['id'], []]) {
    const { columns } = await compare(t, { scores, known: key.length === 0 ? oneFile(known) : known }, { key });
    const y = columns.find(({ name }) => name === 'y')!;
    assert.deepEqual([y.rowsBeyond, y.differenceMax], [10, 0.5], key.join());
  }
  const lacking = { ...known, 'b.parquet': 'SELECT 50 AS id' };
  await assert.rejects(compare(t, { scores, known: lacking }, { key: ['id'] }), {
    code: 'BAD_COLUMN',
    message: /column y in every file/,
    place: { shard: 'b.parquet', column: 'y' },
  });
});

/** As a notebook writes one file of them. */
function oneFile(known: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const parts = Object.keys(known)
    .sort()
    .map((name) => `SELECT * FROM (${known[name]})`);
  return { 'all.parquet': parts.join(' UNION ALL BY NAME ') };
}

test('keys of Hive folders join, whichever side has them in its files', async (t) => {
  const day = (date: string, y: string) => `SELECT i AS id, ${y} AS y FROM range(10) AS rows(i)`.replace('DATE', date);
  const known = {
    'dt=2026-05-01/b.parquet': day('2026-05-01', 'i'),
    'dt=2026-05-02/b.parquet': day('2026-05-02', 'i + 100'),
    'dt=2026-05-02/c.parquet': 'SELECT 10 AS id, 110 AS y',
  };
  const scored = (type: string) => ({
    'a.parquet': `SELECT dt::${type} AS dt, i AS id, y::DOUBLE AS y FROM (VALUES ('2026-05-01', 0), ('2026-05-02', 100)) AS days(dt, base),
      LATERAL (SELECT i, base + i AS y FROM range(11) AS rows(i)) WHERE base = 100 OR i < 10`,
  });
  for (const type of ['DATE', 'VARCHAR']) {
    const found = await compare(t, { scores: scored(type), known }, { key: ['dt', 'id'], worst: 1 });
    assert.deepEqual([found.passed, found.rows.both, found.rows.onlyKnown], [true, 21, 0], type);
  }
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

test('known scores in files of other formats, of several at once', async (t) => {
  const folder = tempDir(t);
  const parts = [
    ['a.csv', 'HEADER'],
    ['b.jsonl', 'FORMAT json'],
    ['c.tsv.gz', "HEADER, DELIMITER '\t', COMPRESSION gzip"],
    ['d.parquet', 'FORMAT parquet'],
  ] as const;
  withConnection((connection) => {
    parts.forEach(([name, settings], index) =>
      connection.execute(
        `COPY (FROM (${rows('p')}) WHERE id % 4 = ${index} ORDER BY y) TO '${join(folder, name)}' (${settings})`,
      ),
    );
  });
  const against = parts.map(([name]) => join(folder, name));
  const { passed, rows: counted } = await compare(t, { scores: one('p'), known: {} }, { against, key: ['id'] });
  assert.deepEqual([passed, counted.both, counted.onlyKnown], [true, 1000, 0]);
  await assert.rejects(compare(t, { scores: one('p'), known: {} }, { against: join(folder, 'a.csv') }), {
    code: 'BAD_SHARD',
    place: { shard: 'a.csv' },
    message: /1000 rows, as many as are scored, got 250/,
  });
});

test('a damaged file of known scores is named', async (t) => {
  const folder = tempDir(t);
  writeShard(join(folder, 'a.parquet'), rows('p', 500), { rowGroupRows: 2048 });
  writeShard(join(folder, 'b.parquet'), `SELECT id + 500 AS id, y FROM (${rows('p', 500)})`);
  const path = join(folder, 'b.parquet');
  const bytes = readFileSync(path);
  bytes.fill(0xff, 8, 200);
  writeFileSync(path, bytes);
  await assert.rejects(compare(t, { scores: one('p'), known: {} }, { against: folder, key: ['id'] }), {
    code: 'BAD_SHARD',
    place: { shard: 'b.parquet' },
  });
});

test('files pair by name, in the order of the shards', async (t) => {
  const scores = { 'a.d.parquet': 'SELECT 2 AS y', 'a.parquet': 'SELECT 1 AS y UNION ALL SELECT 1' };
  const shardNames = ['a.csv', 'a.d.csv'];
  const whole = { 'all.parquet': 'FROM (VALUES (1), (1), (2)) AS rows(y)' };
  assert.equal((await compare(t, { scores, known: whole }, { shardNames })).passed, true);
  const known = { 'a.d.parquet': 'SELECT 2 AS y', 'a.parquet': 'SELECT 1 AS y UNION ALL SELECT 1' };
  assert.equal((await compare(t, { scores, known }, { shardNames })).passed, true);
});
