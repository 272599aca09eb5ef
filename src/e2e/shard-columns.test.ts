/** Columns that shards have under other names, in another order or type, and those that their paths give. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { inspect } from '../inspect.ts';
import { planScore } from '../pipeline.ts';
import { readShards } from '../read-shards.ts';
import { identityModel, rowSumModel } from '../testing/models.ts';
import { columnOf, listFiles, Workplace } from './workplace.ts';

test('renamed, added, reordered and widened columns across shards', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), {
    inputs: { x: [{ column: 'amount' }] },
    renames: { sum: 'amount', Betrag: 'amount', cust: 'customer' },
    where: 'amount >= 1',
    keep: ['customer', 'amount'],
  });
  here.shard('1.parquet', "SELECT i::INTEGER AS sum, 'c' || i AS cust FROM range(4) rows(i)");
  here.shard('2.parquet', "SELECT 'c' || i AS customer, 7 AS extra, i::BIGINT AS amount FROM range(4) rows(i)");
  here.shard('3.parquet', "SELECT i::DOUBLE AS BETRAG, 'c' || i AS customer FROM range(4) rows(i)");
  await here.score({ threads: 2 });
  for (const name of ['1.parquet', '2.parquet', '3.parquet']) {
    const rows = here.rows(name);
    assert.deepEqual(columnOf(rows, 'y'), [1, 2, 3], name);
    assert.deepEqual(columnOf(rows, 'customer'), ['c1', 'c2', 'c3'], name);
    assert.deepEqual(columnOf(rows, 'amount').map(Number), [1, 2, 3], name);
  }
});

test('a shard with both names of a column is refused, whichever old ones they are', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] }, renames: { old: 'x', older: 'x' } });
  here.shard('1.parquet', 'SELECT 1 AS x');
  here.shard('2.parquet', 'SELECT 1 AS x, 2 AS old');
  const place = { shard: '2.parquet', column: 'old' };
  await here.failsToPlan({
    code: 'BAD_COLUMN',
    place,
    message: /old or x in the shard, .* got both/,
    remedy: /renames/,
  });
  here.shard('2.parquet', 'SELECT 1 AS old, 2 AS older');
  await here.failsToPlan({
    code: 'BAD_COLUMN',
    place: { shard: '2.parquet', column: 'older' },
    message: /older or x in the shard, .* got two old names of it/,
  });
  here.writeContract({ inputs: { x: [{ column: 'x' }] }, renames: { x: 'X' } });
  await here.failsToPlan({ code: 'BAD_CONTRACT', place: { field: 'renames.x' }, message: /another name than x/ });
});

/** `dt` is a date, `hour` a number, `city` a text with characters that paths escape, and null once. */
function fillPartitions(here: Workplace): void {
  const cities = ['S%C3%A3o%20Paulo', 'a%2Fb', '__HIVE_DEFAULT_PARTITION__'];
  cities.forEach((city, day) => {
    const folder = `dt=2026-05-0${day + 1}/hour=0${day}/city=${city}`;
    here.shard(`${folder}/part-0.parquet`, `SELECT i::FLOAT AS x, i AS id FROM range(${day + 2}) rows(i)`);
  });
}

test('keys of paths feed features, are kept where they are named, and lie in the same folders of the output', async (t) => {
  const here = new Workplace(t);
  const sql = 'coalesce(length(city), 0) + 100 * hour + 1000 * day(dt)';
  here.writeModel(rowSumModel(2), { inputs: { x: [{ column: 'x' }, { sql }] }, keep: ['id', 'city', 'dt'] });
  fillPartitions(here);
  const { shards } = await planScore(here.options());
  await here.score({ threads: 2 });
  const found = shards.map(({ name }) => [columnOf(here.rows(name), 'y'), columnOf(here.rows(name), 'city')[0]]);
  assert.deepEqual(found, [
    [[1009, 1010], 'São Paulo'],
    [[2103, 2104, 2105], 'a/b'],
    [[3200, 3201, 3202, 3203], null],
  ]);
  assert.deepEqual(columnOf(here.rows(shards[1]!.name), 'dt').map(String), new Array(3).fill('2026-05-02'));
  assert.deepEqual(
    listFiles(here.output).filter((path) => path.startsWith('dt=')),
    shards.map(({ name }) => name),
  );
});

test('all columns are those of the files; inspect tells which come from paths', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  fillPartitions(here);
  const report = await inspect({ shards: here.data, model: here.model, where: "dt > DATE '2026-05-01'" });
  assert.deepEqual(
    report.columns.map(({ name, types, isOfPath, kept }) => [name, types.join(), isOfPath ?? false, kept]),
    [
      ['x', 'FLOAT', false, true],
      ['id', 'BIGINT', false, true],
      ['dt', 'DATE', true, false],
      ['hour', 'BIGINT', true, false],
      ['city', 'VARCHAR', true, false],
    ],
  );
  assert.deepEqual([report.rowCount, report.shards.length, report.problems], [7, 2, []]);
  assert.deepEqual([report.selection!.rowsFound, report.selection!.countSeconds], [9, undefined]);
  await here.score();
  const [first] = listFiles(here.output).filter((path) => path.startsWith('dt='));
  assert.deepEqual(Object.keys(here.rows(first!)[0]!), ['x', 'id', 'y']);
});

test('conditions on paths leave shards out, whatever they are joined with; a null key is taken by none', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] }, where: 'hour < 2' });
  fillPartitions(here);
  const names = async (where: string): Promise<(string | number)[][]> =>
    (await planScore(here.options({ where }))).shards.map(({ name, rowCount }) => [name.slice(3, 13), rowCount]);
  assert.deepEqual(await names("dt >= DATE '2026-05-02' AND id > 0"), [['2026-05-02', 2]]);
  assert.deepEqual(await names("city LIKE '%'"), [
    ['2026-05-01', 2],
    ['2026-05-02', 3],
  ]);
  assert.deepEqual(await names("dt = DATE '2026-05-01' OR id = 2"), [
    ['2026-05-01', 2],
    ['2026-05-02', 1],
  ]);
  assert.deepEqual(await names('id = 9'), [
    ['2026-05-01', 0],
    ['2026-05-02', 0],
  ]);
});

test("a file's own column is read where its path has the key too", async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'day' }] }, keep: ['day'] });
  here.shard('day=1/a.parquet', 'SELECT 7::FLOAT AS day');
  await here.score();
  assert.deepEqual(columnOf(here.rows('day=1/a.parquet'), 'y'), [7]);
});

test('readShards takes rows and gives keys of paths', async (t) => {
  const here = new Workplace(t);
  fillPartitions(here);
  const read = async (options: Parameters<typeof readShards>[1]): Promise<unknown[]> => {
    const rows: unknown[] = [];
    for await (const batch of readShards(join(here.data, '**/*.parquet'), options))
      rows.push(
        ...batch
          .toArray()
          .map((row) =>
            Object.values(row!.toJSON()).map((value) => (typeof value === 'bigint' ? Number(value) : value)),
          ),
      );
    return rows;
  };
  assert.deepEqual(await read({ where: 'hour >= 1 AND id > 0', columns: ['id', 'hour'], limit: 3 }), [
    [1, 1],
    [2, 1],
    [1, 2],
  ]);
  assert.deepEqual(await read({ where: 'id = 1' }), [
    [1, 1],
    [1, 1],
    [1, 1],
  ]);
  assert.deepEqual(await read({ columns: ['city'], limit: 3 }), [['São Paulo'], ['São Paulo'], ['a/b']]);
  const sampled = await read({ columns: ['id'], sample: 0.5 });
  assert.ok(sampled.length > 0 && sampled.length < 9);
  assert.deepEqual(await read({ columns: ['id'], sample: 0.5 }), sampled);
});

test('rows and columns of CSV files: keys of paths, renames, conditions, limits, and going on', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), {
    inputs: { x: [{ sql: 'v + 1000 * day' }] },
    renames: { was: 'v' },
    where: 'v % 2 = 0',
    keep: ['id'],
  });
  for (const day of [1, 2, 3]) {
    const path = join(here.data, `day=${day}/part.csv`);
    mkdirSync(dirname(path), { recursive: true });
    const rows = Array.from({ length: 3000 }, (_, row) => `${row},${row + day}`);
    writeFileSync(path, ['id,was', ...rows].join('\n'));
  }
  const selection = { shards: join(here.data, '**/*.csv'), where: 'day > 1', limit: 2_000 };
  const temporary = join(here.folder, 'temporary');
  mkdirSync(temporary);
  process.env['TMPDIR'] = temporary;
  const planned = await planScore(here.options(selection));
  assert.deepEqual([planned.shards.length, planned.rowsTotal, existsSync(here.output)], [2, 2_000, false]);
  assert.equal((await inspect({ ...selection, model: here.model })).rowCount, 2_000);
  assert.deepEqual(readdirSync(temporary), []);
  delete process.env['TMPDIR'];
  const first = await here.score(selection);
  assert.deepEqual([first.shards, first.rowsOut], [2, 2_000]);
  const even = Array.from({ length: 1_500 }, (_, row) => 2 * row);
  assert.deepEqual(
    columnOf(here.rows('day=2/part.parquet'), 'y'),
    even.map((row) => row + 2 + 2000),
  );
  assert.deepEqual(
    columnOf(here.rows('day=3/part.parquet'), 'id').map(Number),
    even.slice(0, 500).map((row) => row + 1),
  );
  rmSync(join(here.output, 'day=3/part.parquet'));
  const again = await here.score(selection);
  assert.deepEqual([again.shards, again.shardsSkipped, again.rowsOut], [1, 1, 500]);
  assert.deepEqual(
    listFiles(here.output).filter((path) => path.startsWith('_staged')),
    [],
  );
  const other = { code: 'BAD_OUTPUT', place: {}, message: /another --limit \(2000\)/ } as const;
  await here.refuses(other, { ...selection, limit: 1 });
});
