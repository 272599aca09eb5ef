/** `check --against`: known scores of shards, through the whole path and by the command line. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { checkAgainst } from '../check/against.ts';
import { explainRow } from '../check/explain-row.ts';
import { renderKnown } from '../cli/render-known.ts';
import { identityModel } from '../testing/models.ts';
import { withConnection, writeShard } from '../testing/shards.ts';
import { copyContract, countShard } from './counting.ts';
import { assertFailure, caught, Workplace } from './workplace.ts';

function makePlace(t: TestContext): Workplace {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('a/part-0.parquet', countShard(3000), { rowGroupRows: 2048 });
  place.shard('a/part-1.parquet', `SELECT x + 3000 AS x FROM (${countShard(2000)})`);
  return place;
}

test('known scores of several shards, by key and by position', async (t) => {
  const place = makePlace(t);
  const known = join(place.folder, 'known.parquet');
  const sql = 'SELECT x::DOUBLE AS x, CASE WHEN x = 3017 THEN 9 ELSE x END::DOUBLE AS notebook';
  writeShard(known, `${sql} FROM (${countShard(5000)}) ORDER BY x DESC`);
  // Of its own: other tests leave theirs for a while.
  const scratch = join(place.folder, 'scratch');
  mkdirSync(scratch);
  process.env['TMPDIR'] = scratch;
  t.after(() => delete process.env['TMPDIR']);
  const options = { model: place.model, shards: place.data, against: known, map: { y: 'notebook' }, threads: 2 };
  const byKey = await checkAgainst({ ...options, key: ['x'] });
  assert.deepEqual(byKey.rows, { shards: 5000, known: 5000, both: 5000, onlyShards: 0, onlyKnown: 0 });
  assert.deepEqual([byKey.passed, byKey.device, byKey.columns.length], [false, 'cpu', 1]);
  const [y] = byKey.columns;
  assert.deepEqual(
    [y!.rowsBeyond, y!.worst],
    [1, [{ shard: 'a/part-1.parquet', row: 17, key: '3017.0', known: '9.0', score: '3017.0', difference: 3008 }]],
  );
  assert.match(renderKnown(byKey), /^FAILED: 5,000 rows by x.*\n.*\n +y +notebook +3010 +0 +0 +1\n/);
  assert.match(renderKnown(byKey), /part-1\.parquet:17 +3017\.0 +9\.0 +3017\.0 +3010/);
  const byPosition = await checkAgainst(options);
  assert.ok(byPosition.columns[0]!.rowsBeyond > 4000);
  writeShard(known, `${sql} FROM (${countShard(5000)})`);
  const sorted = await checkAgainst({ ...options, tolerance: 1000 });
  assert.deepEqual([sorted.passed, sorted.tolerance, sorted.columns[0]!.worst], [true, 1000, []]);
  const asked = await checkAgainst({ ...options, tolerance: 1000, worst: 3 });
  assert.deepEqual(
    asked.columns[0]!.worst.map(({ row }) => row),
    [17],
  );
  assert.deepEqual(readdirSync(scratch), []);
});

test('rows that are left out, and the numbers of those that are not', async (t) => {
  const place = makePlace(t);
  place.writeContract({ ...copyContract, where: 'x % 3 <> 0' });
  const known = join(place.folder, 'known.parquet');
  writeShard(known, `SELECT x, CASE WHEN x = 3017 THEN 9 ELSE x END::DOUBLE AS y FROM (${countShard(5000)})`);
  const asked = { model: place.model, shards: place.data, against: known, key: ['x'] };
  const report = await checkAgainst({ ...asked, limit: 2500 });
  assert.deepEqual(report.rows, { shards: 2500, known: 5000, both: 2500, onlyShards: 0, onlyKnown: 2500 });
  assert.deepEqual(
    report.columns[0]!.worst.map(({ shard, row, key }) => [shard, row, key]),
    [['a/part-1.parquet', 17, '3017.0']],
  );
});

test('what is wrong with the known scores is said before anything is scored', async (t) => {
  const place = makePlace(t);
  const none = checkAgainst({ model: place.model, shards: place.data, against: join(place.folder, 'none.parquet') });
  assertFailure(await caught(none), { code: 'NO_SHARDS', place: {}, message: /none\.parquet/ });
  const noKey = checkAgainst({ model: place.model, shards: place.data, against: place.data, key: ['id'], threads: 1 });
  assertFailure(await caught(noKey), {
    code: 'BAD_COLUMN',
    place: { shard: 'a/part-0.parquet', column: 'id' },
    message: /kept column id/,
  });
});

test('shards and known scores in CSV, some rows of them, and the way of one', async (t) => {
  const place = makePlace(t);
  const write = (name: string, sql: string): string => {
    const path = join(place.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    withConnection((connection) => connection.execute(`COPY (${sql}) TO '${path}' (HEADER)`));
    return path;
  };
  // In the order of their names a.csv comes first; of their scores, a.d.parquet.
  write('csv/a.csv', countShard(3000));
  write('csv/a.d.csv', `SELECT x + 3000 AS x FROM (${countShard(2000)})`);
  const y = 'CASE WHEN x = 3017 THEN 9 ELSE x END AS y';
  const known = write('known.csv', `SELECT ${y} FROM (${countShard(5000)}) WHERE x % 3 <> 0`);
  const common = { model: place.model, shards: join(place.folder, 'csv'), against: known, threads: 1 };
  const report = await checkAgainst({ ...common, where: 'x % 3 <> 0' });
  assert.deepEqual([report.rows.both, report.columns[0]!.rowsBeyond], [3333, 1]);
  const [worst] = report.columns[0]!.worst;
  assert.deepEqual([worst!.shard, worst!.row, worst!.known], ['a.d.csv', 17, '9.0']);
  place.writeContract({ ...copyContract, where: 'x % 3 <> 0' });
  const followed = await explainRow({ ...common, row: { shard: worst!.shard, row: worst!.row } });
  assert.deepEqual(
    [followed.columns[0]!.value, followed.known!.passed, followed.known!.columns[0]!.worst[0]!.known],
    ['3017.0', false, '9.0'],
  );
  const same = await explainRow({ ...common, row: { shard: 'a.csv', row: 1000 } });
  assert.deepEqual([same.scores[0]!.value, same.known!.passed], ['1000.0', true]);
  const all = write('known.csv', `SELECT x AS y FROM (${countShard(5000)})`);
  const error = await caught(explainRow({ ...common, against: all, row: { shard: 'a.csv', row: 1000 } }));
  assertFailure(error, {
    code: 'BAD_SHARD',
    place: { shard: 'known.csv' },
    message: /3333 rows, as many as are scored/,
  });
});

test('keys of Hive folders on both sides', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  for (const [day, base] of [
    ['2026-05-01', 0],
    ['2026-05-02', 100],
  ] as const) {
    place.shard(`dt=${day}/part.parquet`, `SELECT i AS id, (${base} + i)::FLOAT AS x FROM range(50) AS rows(i)`);
    const sql = `SELECT i AS id, ${base} + i AS y FROM range(50) AS rows(i) ORDER BY i DESC`;
    writeShard(join(place.folder, `known/dt=${day}/other.parquet`), sql);
  }
  const options = { model: place.model, shards: place.data, against: join(place.folder, 'known'), threads: 1 };
  const report = await checkAgainst({ ...options, key: ['dt', 'id'], worst: 1 });
  assert.deepEqual([report.passed, report.rows.both], [true, 100]);
  const twice = await caught(checkAgainst({ ...options, key: ['id'] }));
  assert.match(twice.message, /one row of the shards, got 2 rows of `0`, and 50 such keys/);
  assert.equal(renderKnown(report).split('\n').length, 3);
});
