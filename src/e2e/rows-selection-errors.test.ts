/** Conditions that are none, rows that cannot be used among those that are taken, and going on with another selection. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { check, inspect } from '../inspect.ts';
import { identityModel } from '../testing/models.ts';
import { writeShard } from '../testing/shards.ts';
import { assertFailure, caught, columnOf, Workplace } from './workplace.ts';

const contract = { inputs: { x: [{ column: 'x' }] }, keep: ['id'] };
const shardSql = "SELECT i AS id, i::FLOAT AS x, i % 3 AS k, 'n' || i AS s FROM range(5000) rows(i)";

const refused: readonly (readonly [where: string, message: RegExp, remedy: RegExp, atShard: boolean])[] = [
  ['k = 1 AND random() < 0.5', /the same answer .* got random/, /--sample/, false],
  ['id > epoch(now())', /got now/, /Write the value itself/, false],
  ["DATE '2020-01-01' < current_date", /got current_date/, /DATE/, false],
  ["age(DATE '2020-01-01' + id::INTEGER) > INTERVAL 1 YEAR", /got age/, /Write the value itself/, false],
  ["DATE '2020-01-01' < ago(INTERVAL 1 DAY)", /got ago/, /Write the value itself/, false],
  ["DATE '2020-01-01' < current_localtimestamp()", /got current_localtimestamp/, /DATE/, false],
  ['k = 1) OR (k = 2', /one condition on a row, got: .*syntax/i, /--where/, false],
  ['k = 1 LIMIT 3', /one condition on a row, got: .*syntax/i, /--where/, false],
  ["filename LIKE '%a%'", /one condition on a row, got: .*filename/, /The shard has: id, x, k, s\./, true],
  ['id IN (SELECT 1)', /a query inside it/, /IN \(1, 2, 3\)/, false],
  ['k = 1)', /one condition on a row, got: .*syntax/i, /--where/, false],
  ['', /one condition on a row, got: .*syntax/i, /--where/, false],
  ['nothing = 1', /one condition on a row, got: .*nothing/, /The shard has: id, x, k, s\./, true],
  ['sum(k) > 1', /aggregate/i, /each row gives by itself/, true],
  ['k', /true or false for each row, got `k`, which gives BIGINT/, /Compare/, true],
];

for (const [where, message, remedy, atShard] of refused) {
  test(`--where ${JSON.stringify(where)} is refused, and as \`where\` of a contract`, async (t) => {
    const here = new Workplace(t);
    here.writeModel(identityModel('float32'), contract);
    here.shard('a.parquet', shardSql);
    const place = atShard ? { shard: 'a.parquet' } : {};
    await here.failsToPlan({ code: 'USAGE', place, message, remedy }, { where });
    if (where === '') return;
    here.writeContract({ ...contract, where });
    await here.failsToPlan({ code: 'BAD_CONTRACT', place, message, remedy });
  });
}

test('numbers that are no limit and no share', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), contract);
  here.shard('a.parquet', shardSql);
  for (const limit of [0, 1.5, NaN])
    assert.match((await caught(inspect({ shards: here.data, limit }))).message, /limit/);
  for (const sample of [0, -1, 1.01, NaN])
    assert.match((await caught(inspect({ shards: here.data, sample }))).message, /sample/);
});

test('a condition that fails in a row names the row of the file', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), contract);
  here.shard(
    'a.parquet',
    "SELECT i::FLOAT AS x, i AS id, CASE WHEN i = 3333 THEN 'oh' ELSE '1' END AS t FROM range(5000) rows(i)",
    {
      rowGroupRows: 2048,
    },
  );
  await here.failsToPlan(
    {
      code: 'BAD_ROW',
      place: { shard: 'a.parquet', rowGroup: 1, row: 3333, column: 'sql t::INTEGER = 1' },
      message: /Could not convert string 'oh'/,
      remedy: /TRY_CAST/,
    },
    { where: 't::INTEGER = 1' },
  );
});

/** A row that cannot be used, at its place in the file; by the kernel's own check and by SQL. */
const badRows = [
  ['a null', { column: 'x' }, 'NULL', 'x'],
  ['a text that is no number', { sql: 'CAST(t AS FLOAT)' }, '0', 'sql CAST(t AS FLOAT)'],
] as const;

for (const [what, feature, x, column] of badRows) {
  for (const rowCount of [5_000, 900_000]) {
    test(`${what} among the taken rows of ${rowCount} is named by its row in the file`, async (t) => {
      const here = new Workplace(t);
      here.writeModel(identityModel('float32'), { inputs: { x: [feature] }, keep: ['id'] });
      const bad = rowCount - 1_001;
      const sql = `SELECT i AS id, CASE WHEN i = ${bad} THEN ${x} ELSE i % 100 END::FLOAT AS x,
        CASE WHEN i = ${bad} THEN 'oh' ELSE '1' END AS t FROM range(${rowCount}) rows(i)`;
      here.shard('a.parquet', sql, { rowGroupRows: 2048 });
      const place = { shard: 'a.parquet', rowGroup: Math.floor(bad / 2048), row: bad, column };
      const threads = 3;
      await here.fails({ code: 'BAD_ROW', place, message: /Expected/ }, { where: 'id % 9 <> 2 OR id < 0', threads });
      await here.fails({ code: 'BAD_ROW', place, message: /Expected/ }, { limit: bad + 1, threads });
      await here.score({ where: `id <> ${bad}`, threads });
      assert.equal(here.rows('a.parquet').length, rowCount - 1);
      await here.score({ limit: bad, threads, overwrite: true });
    });
  }
}

test('another selection under the same output is refused by name; the same one goes on', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), contract);
  here.shard('a.parquet', shardSql);
  const selection = { where: 'k = 1', limit: 1000, sample: 0.5 };
  const first = await here.score(selection);
  assert.ok(first.rowsOut > 700 && first.rowsOut < 1000, String(first.rowsOut));
  const again = await here.score(selection);
  assert.deepEqual([again.shards, again.shardsSkipped, again.rowsOut], [0, 1, 0]);
  const other = (message: RegExp) => ({ code: 'BAD_OUTPUT', place: {}, message, remedy: /--overwrite/ }) as const;
  await here.refuses(other(/another --where \(k = 1\)\.$/), { ...selection, where: 'k = 2' });
  await here.refuses(other(/another --limit \(1000\)\.$/), { ...selection, limit: 1001 });
  await here.refuses(
    other(/another --where \(k = 1\) and another --limit \(1000\) and another --sample \(0\.5\)\.$/),
    {},
  );
  await here.score({ overwrite: true });
  await here.refuses(other(/no --sample\.$/), { sample: 0.5 });
});

test('a shard with a column file_row_number is scored whole, and refused in part', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { ...contract, keep: ['id', 'file_row_number'] });
  here.shard('a.parquet', 'SELECT i AS id, i::FLOAT AS x, 7 AS file_row_number FROM range(10) rows(i)');
  const expected = { code: 'BAD_COLUMN', place: { shard: 'a.parquet', column: 'file_row_number' } } as const;
  for (const selection of [{ where: 'id > 3' }, { limit: 3 }, { sample: 0.5 }])
    await here.failsToPlan({ ...expected, message: /no column file_row_number/, remedy: /without it/ }, selection);
  await here.score();
  assert.deepEqual(columnOf(here.rows('a.parquet'), 'file_row_number'), new Array(10).fill(7));
});

test('parquetjs-lite takes every row under its own name', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), contract);
  here.shard('a.parquet', shardSql);
  for (const [selection, flag] of [
    [{ where: 'k = 1' }, /--where/],
    [{ limit: 1 }, /--limit/],
    [{ sample: 0.5 }, /--sample/],
  ] as const) {
    await here.failsToPlan(
      { code: 'USAGE', place: {}, message: flag, remedy: /native/ },
      { ...selection, reader: 'parquetjs' },
    );
  }
  here.writeContract({ ...contract, renames: { old: 'x' } });
  const place = { field: 'renames' };
  await here.failsToPlan({ code: 'BAD_CONTRACT', place, message: /without `renames`/ }, { reader: 'parquetjs' });
});

test('golden rows are those that the contract takes', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { ...contract, where: 'k = 1', renames: { was: 'x' } });
  writeShard(
    join(here.model, 'golden.parquet'),
    'SELECT i::FLOAT AS was, i % 3 AS k, CASE WHEN i % 3 = 1 THEN i END::FLOAT AS y FROM range(100) rows(i)',
  );
  const report = await check({ model: here.model, threads: 1 });
  assert.deepEqual([report.passed, report.rowCount], [true, 33]);
});

test('a limit is refused without rows for it only where nothing is left at all', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), contract);
  here.shard('day=1/a.parquet', shardSql);
  const error = await caught(inspect({ shards: here.data, where: 'day = 2' }));
  assertFailure(error, {
    code: 'NO_SHARDS',
    place: {},
    message: /`day = 2` to leave a shard, got none of 1/,
    remedy: /inspect/,
  });
});
