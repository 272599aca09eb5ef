import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir, withConnection, writeShard } from '../../testing/shards.ts';
import { quotePath } from '../duckdb/database.ts';
import { readColumn, readParquetFile } from './file.ts';
import { ParquetFileWriter, type WriterCompression } from './writer.ts';

const columns: Readonly<Record<string, string>> = {
  tiny: '(i % 256 - 128)::TINYINT',
  small: '(i % 60000 - 30000)::SMALLINT',
  normal: '(i - 2147483648)::INTEGER',
  big: '9223372036854775807 - i',
  utiny: '(i % 256)::UTINYINT',
  usmall: '(i % 65536)::USMALLINT',
  unormal: '(4294967295 - i)::UINTEGER',
  ubig: '(18446744073709551615 - i)::UBIGINT',
  single: `CASE i % 4 WHEN 0 THEN '-0.0' WHEN 1 THEN 'nan' ELSE i::VARCHAR END::FLOAT`,
  double: `CASE i % 4 WHEN 0 THEN '-0.0' WHEN 1 THEN 'inf' ELSE (i / 3)::VARCHAR END::DOUBLE`,
  flag: 'i % 3 = 0',
  text: `CASE i % 3 WHEN 0 THEN '' ELSE 'é😀' || i END`,
  bytes: `encode('b' || i)`,
  json: `('{"a":' || i || '}')::JSON`,
  day: `DATE '1969-12-30' + (i % 1000)::INTEGER`,
  hour: `TIME '12:34:56.789012' + INTERVAL (i) SECOND`,
  moment: `TIMESTAMP '1969-12-31 23:59:59.999999' + INTERVAL (i) SECOND`,
  list: `CASE i % 3 WHEN 0 THEN [] WHEN 1 THEN [i, NULL, -i] ELSE [i] END`,
  words: `['a' || i, NULL, '']`,
};

function copy(from: string, to: string, compression: WriterCompression): void {
  const file = readParquetFile(from);
  const writer = new ParquetFileWriter(to, file.columns, compression);
  for (const group of file.rowGroups)
    writer.writeRowGroup(
      group.rowCount,
      file.columns.map((column) => readColumn(from, group, column.leaf!)),
    );
  writer.finish();
  writer.close();
}

for (const [rowCount, compression] of [
  [0, 'SNAPPY'],
  [1, 'SNAPPY'],
  [8191, 'SNAPPY'],
  [8192, 'UNCOMPRESSED'],
  [8193, 'SNAPPY'],
  [20000, 'UNCOMPRESSED'],
] as const) {
  test(`a file read and written is the same to DuckDB: ${rowCount} rows, ${compression}`, (t) => {
    const folder = tempDir(t);
    const [from, to] = [join(folder, 'from.parquet'), join(folder, 'to.parquet')];
    const nullable = Object.entries(columns).map(
      ([name, sql], index) => `CASE WHEN i % 11 = ${index % 11} THEN NULL ELSE ${sql} END AS "${name}"`,
    );
    // Two row groups where there are 20,000 rows; no dictionary, which for most of these columns would be refused.
    withConnection((connection) =>
      connection.execute(
        `COPY (SELECT ${nullable.join(', ')} FROM range(${rowCount}) rows(i)) TO '${from}' (FORMAT parquet, ROW_GROUP_SIZE 12288, DICTIONARY_SIZE_LIMIT 0)`,
      ),
    );
    copy(from, to, compression);
    withConnection((connection) => {
      const rows = (path: string): string => `SELECT * FROM read_parquet(${quotePath(path)}, file_row_number=true)`;
      const count = (sql: string): number => Number(connection.rows(`SELECT count(*) FROM (${sql})`)[0]![0]);
      const types = (path: string): unknown[][] =>
        connection.rows(`SELECT column_name, column_type FROM (DESCRIBE ${rows(path)})`);
      assert.equal(count(rows(to)), rowCount);
      assert.equal(count(`(${rows(from)}) EXCEPT ALL (${rows(to)})`), 0);
      assert.deepEqual(types(to), types(from));
      // EXCEPT holds 0 and -0 for equal.
      const signs = (path: string): unknown =>
        connection.rows(
          `SELECT count(*) FILTER (signbit(single)), count(*) FILTER (signbit(double)) FROM (${rows(path)})`,
        );
      assert.deepEqual(signs(to), signs(from));
    });
  });
}

test('columns keep their order, whatever their names', (t) => {
  const folder = tempDir(t);
  const [from, to] = [join(folder, 'from.parquet'), join(folder, 'to.parquet')];
  const names = ['z', '2024', 'a "b"', '1', '__proto__', 'c,d', 'é', 'constructor'];
  writeShard(from, `SELECT ${names.map((name, index) => `${index} AS "${name.replaceAll('"', '""')}"`).join(', ')}`);
  copy(from, to, 'SNAPPY');
  const rows = withConnection((connection) =>
    connection.rows(`SELECT column_name FROM (DESCRIBE SELECT * FROM read_parquet(${quotePath(to)}))`),
  );
  assert.deepEqual(rows.flat(), names);
  assert.deepEqual(
    withConnection((connection) => connection.rows(`SELECT * FROM read_parquet(${quotePath(to)})`)),
    [names.map((_, index) => index)],
  );
});
