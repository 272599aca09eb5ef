import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TensorValues } from '../../batch.ts';
import { ParquetFileWriter } from '../../engines/parquetjs/writer.ts';
import { quotePath } from '../../engines/duckdb/database.ts';
import type { OutputLayout } from '../../plan.ts';
import { tempDir, withConnection } from '../../testing/shards.ts';
import { rawScores, scoreFields } from './score-columns.ts';

/** Six values of each element type, with the ends of its range, and DuckDB's type and texts for them. */
const cases: readonly [OutputLayout['elementType'], TensorValues, string, readonly string[]][] = [
  [
    'float32',
    Float32Array.of(-0, NaN, Infinity, 0.5, -1, 2 ** -149),
    'FLOAT',
    ['-0.0', 'nan', 'inf', '0.5', '-1.0', '1e-45'],
  ],
  [
    'float64',
    Float64Array.of(-0, NaN, -Infinity, 0.1, -1, 5e-324),
    'DOUBLE',
    ['-0.0', 'nan', '-inf', '0.1', '-1.0', '5e-324'],
  ],
  ['float16', Float32Array.of(0, 1, 2, 3, 4, 65504), 'FLOAT', ['0.0', '1.0', '2.0', '3.0', '4.0', '65504.0']],
  ['int8', Int8Array.of(-128, 127, 0, 1, 2, 3), 'TINYINT', ['-128', '127', '0', '1', '2', '3']],
  ['int16', Int16Array.of(-32768, 32767, 0, 1, 2, 3), 'SMALLINT', ['-32768', '32767', '0', '1', '2', '3']],
  [
    'int32',
    Int32Array.of(-2147483648, 2147483647, 0, 1, 2, 3),
    'INTEGER',
    ['-2147483648', '2147483647', '0', '1', '2', '3'],
  ],
  [
    'int64',
    BigInt64Array.of(-(2n ** 63n), 2n ** 63n - 1n, 0n, 1n, 2n, 3n),
    'BIGINT',
    ['-9223372036854775808', '9223372036854775807', '0', '1', '2', '3'],
  ],
  ['uint8', Uint8Array.of(255, 0, 1, 2, 3, 4), 'UTINYINT', ['255', '0', '1', '2', '3', '4']],
  ['uint16', Uint16Array.of(65535, 0, 1, 2, 3, 4), 'USMALLINT', ['65535', '0', '1', '2', '3', '4']],
  [
    'uint32',
    Uint32Array.of(4294967295, 2147483648, 1, 2, 3, 4),
    'UINTEGER',
    ['4294967295', '2147483648', '1', '2', '3', '4'],
  ],
  [
    'uint64',
    BigUint64Array.of(2n ** 64n - 1n, 2n ** 63n, 1n, 2n, 3n, 4n),
    'UBIGINT',
    ['18446744073709551615', '9223372036854775808', '1', '2', '3', '4'],
  ],
  ['bool', Uint8Array.of(1, 0, 1, 1, 0, 0), 'BOOLEAN', ['true', 'false', 'true', 'true', 'false', 'false']],
  ['string', ['', 'é😀', 'c', 'd', 'e', 'f'], 'VARCHAR', ['', 'é😀', 'c', 'd', 'e', 'f']],
];

for (const [elementType, values, type, texts] of cases) {
  test(`scores of ${elementType}, single and as lists of three`, (t) => {
    const path = join(tempDir(t), 'scores.parquet');
    const outputs = [1, 3].map((width): OutputLayout => ({
      name: `of ${width}`,
      elementType,
      rowShape: [width],
      width,
    }));
    const fields = scoreFields({
      outputs,
      columns: outputs.map(({ name }, output) => ({ name, output, position: undefined })),
    });
    const writer = new ParquetFileWriter(
      path,
      fields.map((field) => field.column),
      'SNAPPY',
    );
    // The first column in two pieces of one row each.
    const pieces = [[values.slice(0, 1), values.slice(1, 2)], [values]];
    writer.writeRowGroup(
      2,
      fields.map((field, index) => rawScores(field, 2, pieces[index]!)),
    );
    writer.finish();
    writer.close();
    withConnection((connection) => {
      const from = `read_parquet(${quotePath(path)})`;
      assert.deepEqual(connection.rows(`SELECT column_type FROM (DESCRIBE FROM ${from})`).flat(), [type, `${type}[]`]);
      const listed = ['1', '2', '3'].map((index) => `"of 3"[${index}]::VARCHAR`).join(', ');
      const [first, second] = connection.rows(`SELECT "of 1"::VARCHAR, ${listed} FROM ${from}`);
      assert.deepEqual([first![0], second![0]], texts.slice(0, 2));
      assert.deepEqual([...first!.slice(1), ...second!.slice(1)], texts);
    });
  });
}
