import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { RecordBatch, Vector } from 'apache-arrow';
import { ArrowExport } from '../../engines/duckdb/arrow.ts';
import { closeDatabase, Connection, openDatabase } from '../../engines/duckdb/database.ts';
import { TandemError } from '../../errors.ts';
import { RecordBatchMaker } from './arrow-types.ts';
import { ColumnBuilder } from './column-builder.ts';

const database = openDatabase();
const connection = new Connection(database);
after(() => {
  connection.close();
  closeDatabase(database);
});

/** A query's rows as one batch per `pieceRows` rows of each chunk, through the converter only. */
function batchesOf(sql: string, pieceRows: number): RecordBatch[] {
  const stream = connection.stream(sql);
  const source = new ArrowExport(connection, stream);
  try {
    const builders = source.fields.map((field) => new ColumnBuilder(field));
    const batches: RecordBatch[] = [];
    for (let count = stream.next(); count > 0; count = stream.next()) {
      const pieces = builders.map((_, column) => source.piece(column, count));
      const dictionaries = source.fields.map((field, column) => {
        const dictionary = pieces[column]!.dictionary;
        if (field.dictionary === null || dictionary === null) return null;
        const builder = new ColumnBuilder(field.dictionary);
        builder.begin(0);
        builder.append(dictionary, 0, dictionary.length);
        return builder.finish();
      });
      const maker = new RecordBatchMaker(source.fields, dictionaries);
      for (let first = 0; first < count; first += pieceRows) {
        const rows = Math.min(pieceRows, count - first);
        builders.forEach((builder, column) => {
          builder.begin(0);
          builder.append(pieces[column]!, first, rows);
        });
        batches.push(
          maker.make(
            rows,
            builders.map((builder) => builder.finish()),
          ),
        );
      }
      source.release();
    }
    return batches;
  } finally {
    source.close();
    stream.close();
  }
}

const valuesOf = (batches: RecordBatch[], name: string): unknown[] =>
  batches.flatMap((batch) => [...batch.getChild(name)!]);

for (const pieceRows of [1, 7, 8, 9, 64, 3000]) {
  test(`types that Parquet does not hold, in pieces of ${pieceRows} rows`, () => {
    const batches = batchesOf(
      `SELECT
      (CASE range % 3 WHEN 0 THEN 'a' WHEN 1 THEN 'b' END)::ENUM('b', 'unused', 'a') AS e,
      range::HUGEINT * 1000000000000000000000 AS h, [range, NULL]::INTEGER[2] AS pair, NULL AS nothing,
      {'x': CASE WHEN range % 2 = 0 THEN range END, 'b': range % 5 = 0} AS s FROM range(200)`,
      pieceRows,
    );
    const rows = Array.from({ length: 200 }, (_, row) => row);
    assert.deepEqual(
      valuesOf(batches, 'e'),
      rows.map((row) => ['a', 'b', null][row % 3]),
    );
    assert.deepEqual(
      valuesOf(batches, 'h').map((value) => (value as { valueOf(): unknown }).toString()),
      rows.map((row) => (BigInt(row) * 10n ** 21n).toString()),
    );
    assert.deepEqual(
      valuesOf(batches, 'pair').map((value) => [...(value as Vector)]),
      rows.map((row) => [row, null]),
    );
    assert.deepEqual(
      valuesOf(batches, 'nothing'),
      rows.map(() => null),
    );
    assert.deepEqual(
      valuesOf(batches, 's').map((value) => ({ ...(value as object) })),
      rows.map((row) => ({ x: row % 2 === 0 ? BigInt(row) : null, b: row % 5 === 0 })),
    );
  });
}

test('a type that is not read is an error that names the column', () => {
  assert.throws(
    () => batchesOf('SELECT union_value(a := 1) AS u', 10),
    (error: unknown) => error instanceof TandemError && error.code === 'BAD_COLUMN' && error.place.column === 'u',
  );
});
