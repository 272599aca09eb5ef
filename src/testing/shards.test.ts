import assert from 'node:assert/strict';
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { quotePath } from '../engines/duckdb/database.ts';
import {
  corruptPage,
  findPage,
  overwrite,
  readRows,
  tempDir,
  truncateShard,
  withConnection,
  writeEncryptedShard,
  writeShard,
} from './shards.ts';

const rowsSql = (count: number) =>
  `SELECT range AS id, (range * 0.5)::FLOAT AS x, 'row ' || range AS name FROM range(${count})`;

test('rows come back in order, whatever the path', (t) => {
  const folder = tempDir(t);
  for (const name of ['plain.parquet', "it's [1] *?.parquet", 'new/k=v/ä ;".parquet']) {
    const path = join(folder, name);
    writeShard(path, rowsSql(3));
    assert.deepEqual(
      readRows(path),
      [0, 1, 2].map((k) => ({ id: BigInt(k), x: k * 0.5, name: `row ${k}` })),
    );
  }
});

test('row groups have the asked size, other types come as text', (t) => {
  const path = join(tempDir(t), 'groups.parquet');
  for (const [rowCount, groupCount] of [
    [2047, 1],
    [2048, 1],
    [2049, 2],
    [5000, 3],
  ] as const) {
    writeShard(path, rowsSql(rowCount), { rowGroupRows: 2048, compression: 'zstd' });
    assert.equal(findPage(path, 0, 'id').rowGroupCount, groupCount, `${rowCount} rows`);
  }
  writeShard(
    path,
    `SELECT [1.5, NULL]::FLOAT[] AS l, 1.10::DECIMAL(9, 2) AS d, NULL::INTEGER AS n,
    TIMESTAMP '2026-01-02 03:04:05' AS t`,
  );
  assert.deepEqual(readRows(path), [{ l: '[1.5, NULL]', d: '1.10', n: null, t: '2026-01-02 03:04:05' }]);
  writeShard(path, rowsSql(0));
  assert.deepEqual(readRows(path), []);
});

test('a corrupt page is noticed in its row group and column only', (t) => {
  const path = join(tempDir(t), 'corrupt.parquet');
  writeShard(path, rowsSql(10_000), { rowGroupRows: 2048 });
  const sizeBefore = statSync(path).size;
  corruptPage(path, 2, 'x');
  assert.equal(statSync(path).size, sizeBefore);
  // Statistics in the footer answer count and max without decoding a page.
  const source = `read_parquet(${quotePath(path)}, file_row_number=true)`;
  const sum = (column: string, where: string) =>
    withConnection(
      (connection) => connection.rows(`SELECT sum(${column})::DOUBLE FROM ${source} WHERE ${where}`)[0]![0],
    );
  const sumBelow = (n: number) => (n * (n - 1)) / 2;
  assert.equal(sum('id', 'true'), sumBelow(10_000));
  assert.equal(sum('x', 'file_row_number < 4096'), sumBelow(4096) / 2);
  assert.throws(() => sum('x', 'true'), /Snappy/i);
  writeShard(path, rowsSql(10), { compression: 'zstd' });
  assert.throws(() => corruptPage(path, 0, 'x'), /ZSTD/);
  assert.throws(() => corruptPage(path, 1, 'x'), /row group 1/);
});

test('truncated, overwritten and encrypted shards cannot be read', (t) => {
  const folder = tempDir(t);
  const path = join(folder, 'broken.parquet');
  for (const bytes of [0, 100, -1]) {
    writeShard(path, rowsSql(1000));
    truncateShard(path, bytes);
    assert.throws(() => readRows(path), `${bytes} bytes`);
  }
  writeShard(path, rowsSql(1000));
  overwrite(path, -4, Buffer.from('NOPE'));
  assert.throws(() => readRows(path), /magic bytes/i);
  writeEncryptedShard(path, rowsSql(10));
  assert.throws(() => readRows(path), /encrypt/i);
});

test('a temporary folder is gone after its test', async (t) => {
  let folder = '';
  await t.test('inner', (inner) => {
    folder = tempDir(inner);
    assert.ok(existsSync(folder));
  });
  assert.ok(!existsSync(folder));
});
