/** Rows with a value that cannot be used: the run fails and names the row. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identityModel, rowSumModel, squareRootModel } from '../testing/models.ts';
import { assertOnlyWholeShards, columnOf, Workplace } from './workplace.ts';

/** Rows of 0, 1, 2, ... with `bad` (SQL) at one of them. */
function shardWith(bad: string, row: number, rowCount: number): string {
  return `SELECT CASE WHEN i = ${row} THEN ${bad} ELSE i END AS x FROM range(${rowCount}) rows(i)`;
}

const plainContract = { inputs: { x: [{ column: 'x' }] } };

for (const row of [0, 1, 2047, 2048, 2500, 4999]) {
  test(`a null at row ${row} without "missing"`, async (t) => {
    const here = new Workplace(t);
    here.writeModel(identityModel('float32'), plainContract);
    here.shard('a.parquet', shardWith('NULL', row, 5000), { rowGroupRows: 2048 });
    await here.fails(
      {
        code: 'BAD_ROW',
        place: { shard: 'a.parquet', rowGroup: Math.floor(row / 2048), row, column: 'x' },
        message: /Expected column x .*got null/i,
        remedy: /missing/,
      },
      { batchSize: 700 },
    );
    assert.deepEqual(assertOnlyWholeShards(here.output), []);
  });
}

test('a null in the second shard: the first one stays', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), plainContract);
  here.shard('1.parquet', 'SELECT i AS x FROM range(6000) rows(i)');
  here.shard('2.parquet', shardWith('NULL', 3333, 5000));
  await here.fails({
    code: 'BAD_ROW',
    place: { shard: '2.parquet', rowGroup: 0, row: 3333, column: 'x' },
    message: /x/,
  });
  assert.deepEqual(assertOnlyWholeShards(here.output), ['1.parquet']);
});

for (const row of [5, 250_000, 529_999]) {
  test(`a null at row ${row} of a shard that threads share`, async (t) => {
    const here = new Workplace(t);
    here.writeModel(identityModel('float32'), plainContract);
    const groupRows = 30 * 2048;
    here.shard('a.parquet', shardWith('NULL', row, 530_000), { rowGroupRows: groupRows });
    await here.fails(
      {
        code: 'BAD_ROW',
        place: { shard: 'a.parquet', rowGroup: Math.floor(row / groupRows), row, column: 'x' },
        message: /x/,
      },
      {
        threads: 2,
        batchSize: 1000,
      },
    );
    assert.deepEqual(assertOnlyWholeShards(here.output), []);
  });
}

test('a null with "missing" is no error', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x', missing: -1 }] } });
  here.shard('a.parquet', shardWith('NULL', 3, 5));
  await here.score({ keep: [] });
  assert.deepEqual(columnOf(here.rows('a.parquet'), 'y'), [0, 1, 2, -1, 4]);
});

for (const row of [0, 2, 1000, 4500]) {
  test(`a value that cannot be cast in an expression, at row ${row}`, async (t) => {
    const here = new Workplace(t);
    here.writeModel(identityModel('float32'), { inputs: { x: [{ sql: 'CAST(name AS DOUBLE)' }] } });
    here.shard(
      'a.parquet',
      `SELECT CASE WHEN i = ${row} THEN 'abc' ELSE i::VARCHAR END AS name FROM range(5000) rows(i)`,
      { rowGroupRows: 2048 },
    );
    await here.fails({
      code: 'BAD_ROW',
      place: { shard: 'a.parquet', rowGroup: Math.floor(row / 2048), row, column: 'sql CAST(name AS DOUBLE)' },
      message: /Could not convert string 'abc'/,
      remedy: /TRY_CAST/,
    });
    assert.deepEqual(assertOnlyWholeShards(here.output), []);
  });
}

test('a value that cannot be cast behind many nulls, which are allowed', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { inputs: { x: [{ sql: 'CAST(name AS DOUBLE)', missing: 0 }] } });
  here.shard('a.parquet', "SELECT CASE WHEN i = 4000 THEN 'abc' END AS name FROM range(5000) rows(i)");
  await here.fails({
    code: 'BAD_ROW',
    place: { shard: 'a.parquet', rowGroup: 0, row: 4000, column: 'sql CAST(name AS DOUBLE)' },
    message: /'abc'/,
  });
});

test('a value that cannot be cast in a shard that threads share', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { inputs: { x: [{ sql: 'CAST(name AS DOUBLE)' }] }, keep: [] });
  here.shard('a.parquet', "SELECT CASE WHEN i = 400000 THEN 'abc' ELSE '1' END AS name FROM range(530000) rows(i)");
  await here.fails(
    {
      code: 'BAD_ROW',
      place: { shard: 'a.parquet', rowGroup: 3, row: 400_000, column: 'sql CAST(name AS DOUBLE)' },
      message: /'abc'/,
    },
    { threads: 2 },
  );
});

test('a list of the wrong length, in the list and in the array type', async (t) => {
  const here = new Workplace(t);
  here.writeModel(rowSumModel(3), { inputs: { x: [{ column: 'x' }] } });
  here.shard(
    'a.parquet',
    'SELECT CASE WHEN i = 2100 THEN [1, 2] ELSE [i, 1, 1] END::FLOAT[] AS x FROM range(3000) rows(i)',
    { rowGroupRows: 2048 },
  );
  await here.fails({
    code: 'BAD_ROW',
    place: { shard: 'a.parquet', rowGroup: 1, row: 2100, column: 'x' },
    message: /Expected column x .*3.*got .*2/,
  });
  here.writeModel(rowSumModel(3), { inputs: { x: [{ column: 'x', list: 3 }] } });
  await here.fails({
    code: 'BAD_ROW',
    place: { shard: 'a.parquet', rowGroup: 1, row: 2100, column: 'x' },
    message: /3/,
  });
});

test('a null list, and a null within a list', async (t) => {
  const here = new Workplace(t);
  here.writeModel(rowSumModel(2), { inputs: { x: [{ column: 'x' }] } });
  for (const bad of ['NULL', '[1, NULL]']) {
    here.shard('a.parquet', `SELECT CASE WHEN i = 77 THEN ${bad} ELSE [i, 1] END AS x FROM range(100) rows(i)`);
    await here.fails({
      code: 'BAD_ROW',
      place: { shard: 'a.parquet', rowGroup: 0, row: 77, column: 'x' },
      message: /null/i,
    });
  }
});

test('a category that is not listed, where that is an error', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('int64'), { inputs: { x: [{ column: 'origin', index: ['ATL', 'ORD'] }] } });
  here.shard('a.parquet', "SELECT CASE WHEN i = 9 THEN 'JFK' ELSE 'ORD' END AS origin FROM range(10) rows(i)");
  await here.fails({
    code: 'BAD_ROW',
    place: { shard: 'a.parquet', rowGroup: 0, row: 9, column: 'origin' },
    message: /Expected column origin to be one of/,
    remedy: /unknown/,
  });
});

test("a number that the input's type cannot hold", async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('int8'), plainContract);
  here.shard('a.parquet', 'SELECT i AS x FROM range(300) rows(i)');
  await here.fails({
    code: 'BAD_ROW',
    place: { shard: 'a.parquet', rowGroup: 0, row: 128, column: 'x' },
    message: /128/,
  });
});

test('NaN from the model is a score like any other', async (t) => {
  const here = new Workplace(t);
  here.writeModel(squareRootModel(), plainContract);
  here.shard('a.parquet', 'SELECT i - 1 AS x FROM range(3) rows(i)');
  await here.score({ keep: [] });
  assert.deepEqual(columnOf(here.rows('a.parquet'), 'y'), [NaN, 0, 1]);
});
