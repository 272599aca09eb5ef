/** Row k holds k: whatever the sizes, threads and row groups, row k of the scores belongs to row k of the shard. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { planScore } from '../pipeline.ts';
import { Connection, quotePath } from '../engines/duckdb/database.ts';
import { registerTableFunction } from '../engines/duckdb/table-function.ts';
import { duckDbType } from '../engines/duckdb/types.ts';
import { identityModel, rowSumModel } from '../testing/models.ts';
import { withConnection, writeShard } from '../testing/shards.ts';
import { copyContract, countShard, misplaced } from './counting.ts';
import { assertOnlyWholeShards, columnOf, countTo, Workplace } from './workplace.ts';

test('every size around the batch, the vector and the row group comes out in order', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  const batch = 1000;
  const vector = 2048;
  const sizes = [
    0,
    1,
    batch - 1,
    batch,
    batch + 1,
    vector - 1,
    vector,
    vector + 1,
    2 * vector - 1,
    2 * vector,
    2 * vector + 1,
  ];
  for (const size of sizes) place.shard(`rows-${size}.parquet`, countShard(size), { rowGroupRows: vector });
  const result = await place.score({ batchSize: batch });
  const total = sizes.reduce((sum, size) => sum + size, 0);
  assert.deepEqual(
    [result.rowsIn, result.rowsOut, result.shards, result.shardsSkipped, result.batchSize, result.warnings],
    [total, total, sizes.length, 0, batch, []],
  );
  for (const size of sizes) {
    const rows = place.rows(`rows-${size}.parquet`);
    assert.deepEqual(columnOf(rows, 'y'), countTo(size));
    assert.deepEqual(columnOf(rows, 'x'), countTo(size));
  }
});

for (const batchSize of [1, 3, 5000]) {
  test(`batches of ${batchSize} rows do not move rows`, async (t) => {
    const place = new Workplace(t);
    place.writeModel(identityModel('float32'), copyContract);
    place.shard('a.parquet', countShard(4099), { rowGroupRows: 2048 });
    await place.score({ batchSize });
    assert.deepEqual(columnOf(place.rows('a.parquet'), 'y'), countTo(4099));
  });
}

test('a batch size that is chosen during the run does not move rows', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('a.parquet', countShard(300_000));
  const result = await place.score();
  assert.ok(
    result.batchSize !== undefined && result.batchSize >= 256 && result.batchSize <= 8192,
    `${result.batchSize}`,
  );
  assert.deepEqual(misplaced(join(place.output, 'a.parquet')), { rowCount: 300_000, wrong: 0 });
});

for (const threads of [1, 2, 5]) {
  test(`${threads} threads share twelve shards`, async (t) => {
    const place = new Workplace(t);
    place.writeModel(identityModel('float32'), copyContract);
    const sizes = Array.from({ length: 12 }, (_, index) => index * 517);
    sizes.forEach((size, index) => place.shard(`${index}.parquet`, countShard(size)));
    const result = await place.score({ threads, batchSize: 400 });
    assert.equal(result.shards, 12);
    sizes.forEach((size, index) => assert.deepEqual(columnOf(place.rows(`${index}.parquet`), 'y'), countTo(size)));
  });

  test(`${threads} threads share one large shard`, async (t) => {
    const place = new Workplace(t);
    place.writeModel(identityModel('float32'), copyContract);
    const rowCount = 550_001;
    place.shard('a.parquet', countShard(rowCount), { rowGroupRows: 30 * 2048 });
    const plan = await planScore(place.options({ threads, batchSize: 1500 }));
    assert.equal(plan.shards[0]!.mode, threads === 1 ? 'whole' : 'split');
    await place.score({ threads, batchSize: 1500 });
    assert.deepEqual(misplaced(join(place.output, 'a.parquet')), { rowCount, wrong: 0 });
  });
}

test('split and whole shards in one run', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('large.parquet', countShard(530_000));
  place.shard('larger.parquet', countShard(800_000), { rowGroupRows: 2048 });
  place.shard('small.parquet', countShard(5));
  place.shard('empty.parquet', countShard(0));
  const plan = await planScore(place.options({ threads: 2 }));
  assert.deepEqual(
    plan.shards.map((shard) => shard.mode),
    ['whole', 'split', 'split', 'whole'],
  );
  await place.score({ threads: 2 });
  assert.deepEqual(misplaced(join(place.output, 'large.parquet')), { rowCount: 530_000, wrong: 0 });
  assert.deepEqual(misplaced(join(place.output, 'larger.parquet')), { rowCount: 800_000, wrong: 0 });
  assert.deepEqual(misplaced(join(place.output, 'small.parquet')), { rowCount: 5, wrong: 0 });
  assert.deepEqual(misplaced(join(place.output, 'empty.parquet')), { rowCount: 0, wrong: 0 });
});

/** DuckDB closes a row group at a chunk's end: chunks of `groupRows` rows make row groups as small as that. */
function writeTinyRowGroups(path: string, groups: number, groupRows: number): void {
  withConnection((connection: Connection) => {
    let group = 0;
    const values = new Float32Array(groupRows);
    const source = registerTableFunction(
      connection,
      'tiny',
      [{ name: 'x', type: duckDbType.FLOAT, arrayLength: undefined }],
      () => {
        if (group === groups) return { rowCount: 0, columns: [] };
        for (let row = 0; row < groupRows; row++) values[row] = group * groupRows + row;
        group++;
        return { rowCount: groupRows, columns: [values] };
      },
    );
    connection.execute(`COPY (SELECT x FROM tiny()) TO '${path}' (FORMAT parquet, ROW_GROUP_SIZE 1)`);
    source.dispose();
  });
}

test('10,000 row groups of three rows', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  writeShard(join(place.data, 'other.parquet'), countShard(1));
  writeTinyRowGroups(join(place.data, 'tiny.parquet'), 10_000, 3);
  const plan = await planScore(place.options());
  assert.equal(plan.shards.find((shard) => shard.name === 'tiny.parquet')!.rowGroupRows.length, 10_000);
  const { wallSeconds } = await place.score({ threads: 2 });
  assert.deepEqual(misplaced(join(place.output, 'tiny.parquet')), { rowCount: 30_000, wrong: 0 });
  assert.ok(wallSeconds < 10, `${wallSeconds} s`);
});

test('shards in nested folders keep their relative names', async (t) => {
  const place = new Workplace(t);
  place.writeModel(rowSumModel(2), { inputs: { x: [{ column: 'a' }, { column: 'b' }] }, keep: ['a'] });
  const names = ['2025/12.parquet', '2026/01.parquet', '2026/02/a.parquet', 'top.parquet'];
  names.forEach((name, index) => place.shard(name, `SELECT i AS a, ${index} AS b FROM range(10) rows(i)`));
  await place.score({ shards: join(place.data, '**/*.parquet') });
  assert.deepEqual(assertOnlyWholeShards(place.output), names);
  names.forEach((name, index) =>
    assert.deepEqual(
      columnOf(place.rows(name), 'y'),
      countTo(10).map((row) => row + index),
    ),
  );
});

test('one file, and a file whose name does not end in .parquet', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  const path = place.shard('part-0001', countShard(3));
  await place.score({ shards: path });
  assert.deepEqual(columnOf(place.rows('part-0001.parquet'), 'y'), [0, 1, 2]);
});

test('a plan is made without touching the output', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('a.parquet', countShard(10));
  const plan = await planScore(place.options());
  assert.equal(plan.rowsTotal, 10);
  assert.equal(existsSync(place.output), false);
});

test('progress counts to the exact total', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('a.parquet', countShard(5000));
  place.shard('b.parquet', countShard(1));
  const seen: (readonly [string, number, number, number])[] = [];
  await place.score({
    batchSize: 100,
    onProgress: ({ phase, rowsDone, rowsTotal, shardsDone }) => seen.push([phase, rowsDone, rowsTotal, shardsDone]),
  });
  assert.deepEqual(seen.at(-1), ['done', 5001, 5001, 2]);
});
