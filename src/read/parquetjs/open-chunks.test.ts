import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { codeNull, codeUnknown, isValid, type Chunk, type ColumnRequest, type ColumnVector } from '../../batch.ts';
import type { Feature } from '../../contract/contract.ts';
import { quoteText } from '../../engines/duckdb/database.ts';
import { duckDbType, vectorRows } from '../../engines/duckdb/types.ts';
import { readParquetFile } from '../../engines/parquetjs/file.ts';
import { ParquetJsError } from '../../engines/parquetjs/library.ts';
import { TandemError } from '../../errors.ts';
import { createKernelMemory } from '../../engines/wasm.ts';
import { SchemaPlanner } from '../../planning/schemas.ts';
import { DuckDbTables } from '../../planning/tables.ts';
import { corruptPage, tempDir, withConnection, writeShard } from '../../testing/shards.ts';
import { readFooters } from '../footers.ts';
import { openChunks, type ChunkSource } from '../shard-reader.ts';
import { createVectorPlaces, vectorPlaceBytes } from '../vector-places.ts';
import { readParquetJsFooters } from './footers.ts';
import { openParquetJsChunks } from './open-chunks.ts';

const require = createRequire(import.meta.url);
const flights = join(import.meta.dirname, '../../../../node_modules/vega-datasets/data/flights-3m.parquet');

function numberOf(column: string, exactIntegers = false): ColumnRequest {
  return {
    feature: { kind: 'number', source: { column }, missing: undefined, steps: [] },
    as: 'number',
    exactIntegers,
  };
}

function listOf(column: string, exactIntegers = false): ColumnRequest {
  const feature: Feature = { kind: 'list', source: { column }, length: undefined, missing: undefined, steps: [] };
  return { feature, as: 'list', exactIntegers };
}

function lengthOf(column: string): ColumnRequest {
  return { feature: { kind: 'length', source: { column }, missing: undefined }, as: 'list', exactIntegers: false };
}

function textOf(column: string): ColumnRequest {
  return { feature: { kind: 'text', source: { column }, missing: undefined }, as: 'text', exactIntegers: false };
}

function codeOf(column: string, categories: readonly string[] | readonly number[]): ColumnRequest {
  const feature: Feature = { kind: 'index', source: { column }, categories, unknown: 'error', missing: undefined };
  return { feature, as: 'category', exactIntegers: false };
}

/** One row of a vector: null, number, bigint, code or text; a list as an array; of a list to count, its length. */
function rowOf(vector: ColumnVector, request: ColumnRequest, row: number): unknown {
  switch (vector.kind) {
    case 'category':
      return vector.codes[row];
    case 'text':
      return vector.values[row];
    case 'number':
      return isValid(vector.validity, row) ? vector.values[row] : null;
    case 'list': {
      if (!isValid(vector.validity, row)) return null;
      if (request.feature.kind === 'length') return vector.lengths[row];
      return Array.from({ length: vector.lengths[row]! }, (_, index) => {
        const at = vector.offsets[row]! + index;
        return isValid(vector.valueValidity, at) ? vector.values[at] : null;
      });
    }
  }
}

function allRows(source: ChunkSource, requests: readonly ColumnRequest[]): unknown[][] {
  const rows: unknown[][] = [];
  const add = (chunk: Chunk): void => {
    for (let row = 0; row < chunk.rowCount; row++)
      rows.push(requests.map((request, index) => rowOf(chunk.vectors[index]!, request, row)));
  };
  for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) add(chunk);
  source.close();
  return rows;
}

function readNative(path: string, requests: readonly ColumnRequest[]): unknown[][] {
  return withConnection((connection) => {
    const [footer] = readFooters(connection, [{ path, name: 'a' }]);
    const projection = new SchemaPlanner(new DuckDbTables(connection), [footer!]).projection(footer!, requests);
    const sql = `SELECT ${projection} FROM ${footer!.from} AS shard`;
    const rows = allRows(openChunks(connection, sql, requests), requests);
    // Once more into kernel memory, each stream over what the one before it left there.
    const places = createVectorPlaces(requests, createKernelMemory(vectorPlaceBytes(requests)));
    for (const [index, place] of places.entries()) {
      const type = requests[index]!.as === 'category' ? duckDbType.INTEGER : duckDbType.DOUBLE;
      if (requests[index]!.as === 'text' || requests[index]!.as === 'list') continue;
      assert.ok(place.values(type, vectorRows).buffer instanceof SharedArrayBuffer, 'kernels reach the column');
    }
    for (let round = 0; round < 2; round++) {
      assert.deepEqual(allRows(openChunks(connection, sql, requests, places), requests), rows);
    }
    return rows;
  });
}

function readJs(path: string, requests: readonly ColumnRequest[]): unknown[][] {
  return allRows(openParquetJsChunks(readParquetFile(path), requests), requests);
}

const numbers: Readonly<Record<string, string>> = {
  tiny: '(i % 256 - 128)::TINYINT',
  small: '(i * 7 - 9000)::SMALLINT',
  normal: '(i * 100003 - 2147483648)::INTEGER',
  big: 'i - 9223372036854775807',
  flag: 'i % 3 = 0',
  utiny: '(i % 256)::UTINYINT',
  usmall: '(i % 65536)::USMALLINT',
  unormal: '(4294967295 - i)::UINTEGER',
  ubig: '(18446744073709551615 - i)::UBIGINT',
  single: `CASE i % 5 WHEN 0 THEN '-0.0' WHEN 1 THEN 'nan' WHEN 2 THEN '-inf' ELSE (i / 3)::VARCHAR END::FLOAT`,
  double: `CASE i % 5 WHEN 0 THEN '-0.0' WHEN 1 THEN 'nan' WHEN 2 THEN 'inf' ELSE (i / 3)::VARCHAR END::DOUBLE`,
};
const texts: Readonly<Record<string, string>> = {
  name: `CASE i % 6 WHEN 0 THEN '' WHEN 1 THEN 'é😀"' ELSE 'n' || (i % 40) END`,
  word: `'word ' || i`,
};
const lists: Readonly<Record<string, string>> = {
  floats: `CASE i % 4 WHEN 0 THEN [] WHEN 1 THEN [i, NULL, -i] ELSE [i] END::FLOAT[]`,
  longs: `[i, 9007199254740993 + i]`,
  doubles: '[i, i + 1, i + 2]::DOUBLE[]',
  words: `['a' || i, NULL]`,
};
const requests: readonly ColumnRequest[] = [
  ...Object.keys(numbers).map((name) => numberOf(name)),
  numberOf('big', true),
  numberOf('ubig', true),
  numberOf('double'),
  ...Object.keys(texts).map(textOf),
  ...['tiny', 'ubig', 'unormal', 'flag', 'big'].map(textOf),
  codeOf('name', ['', 'n3', 'é😀"', 'n7']),
  codeOf('normal', [-2147483648, -2147383645]),
  codeOf('flag', ['true']),
  listOf('floats'),
  listOf('longs'),
  listOf('longs', true),
  listOf('doubles'),
  lengthOf('words'),
  lengthOf('floats'),
];

/** Rows `i`; every column is null in a row of its own out of seven, where `nulls`. */
function writeTyped(path: string, rowCount: number, settings: string, nulls: boolean): void {
  const columns = Object.entries({ ...numbers, ...texts, ...lists }).map(
    ([name, sql], index) => `${nulls ? `CASE WHEN i % 7 = ${index % 7} THEN NULL ELSE ${sql} END` : sql} AS ${name}`,
  );
  withConnection((connection) =>
    connection.execute(
      `COPY (SELECT ${columns.join(', ')} FROM range(${rowCount}) rows(i)) TO ${quoteText(path)} (FORMAT parquet, ROW_GROUP_SIZE 2048, ${settings})`,
    ),
  );
}

for (const [rowCount, settings, nulls] of [
  [0, 'COMPRESSION snappy', true],
  [1, 'COMPRESSION snappy', false],
  [1, 'COMPRESSION uncompressed', true],
  [200, 'COMPRESSION snappy', true],
  [200, 'COMPRESSION snappy', false],
  [2047, 'COMPRESSION uncompressed, DICTIONARY_SIZE_LIMIT 0', true],
  [2048, 'COMPRESSION snappy, DICTIONARY_SIZE_LIMIT 0', false],
  [2049, 'COMPRESSION gzip, DICTIONARY_SIZE_LIMIT 0', true],
  [5000, 'COMPRESSION snappy, DICTIONARY_SIZE_LIMIT 0', true],
] as const) {
  test(`both readers give the same vectors: ${rowCount} rows${nulls ? ' with nulls' : ''}, ${settings}`, (t) => {
    const path = join(tempDir(t), 'a.parquet');
    writeTyped(path, rowCount, settings, nulls);
    const rows = readJs(path, requests);
    assert.equal(rows.length, rowCount);
    assert.deepEqual(rows, readNative(path, requests));
  });
}

test('both footers agree', (t) => {
  const path = join(tempDir(t), 'a.parquet');
  writeTyped(path, 5000, 'COMPRESSION snappy', true);
  const files = [{ path, name: 'a' }];
  const native = withConnection((connection) => readFooters(connection, files));
  const { columns, rowCount, rowGroupRows, columnSizes, bytes, modifiedMs } = native[0]!;
  assert.deepEqual(
    readParquetJsFooters(files).map((footer) => ({
      columns: footer.columns,
      rowCount: footer.rowCount,
      rowGroupRows: footer.rowGroupRows,
      columnSizes: footer.columnSizes,
      bytes: footer.bytes,
      modifiedMs: footer.modifiedMs,
    })),
    [{ columns, rowCount, rowGroupRows, columnSizes, bytes, modifiedMs }],
  );
});

test('types have the names that DuckDB gives them', (t) => {
  const path = join(tempDir(t), 'a.parquet');
  writeShard(
    path,
    `SELECT 1.5::DECIMAL(9, 2) AS decimal, TIMESTAMP '2026-01-01' AS moment, '2026-01-01'::TIMESTAMPTZ AS zoned,
    '2026-01-01'::TIMESTAMP_NS AS nanos, DATE '2026-01-01' AS day, TIME '01:00:00' AS hour, 'x'::BLOB AS bytes,
    {'a': 1, 'b': [2.5::FLOAT]} AS pair, [['x']] AS nested, 'x' AS text`,
  );
  const files = [{ path, name: 'a' }];
  const native = withConnection((connection) => readFooters(connection, files));
  const plain = (type: string): string => type.replace(/["(), ]/g, '');
  assert.deepEqual(
    readParquetJsFooters(files)[0]!.columns.map(({ name, type }) => [name, plain(type)]),
    native[0]!.columns.map(({ name, type }) => [name, plain(type)]),
  );
});

interface RowWriter {
  appendRow(row: object): Promise<void>;
  close(): Promise<void>;
}

interface ForeignWriter {
  readonly ParquetSchema: new (schema: object) => object;
  readonly ParquetWriter: { openFile(schema: object, path: string, options: object): Promise<RowWriter> };
}

for (const useDataPageV2 of [false, true]) {
  test(`files of parquetjs-lite's own writer, pages of version ${useDataPageV2 ? 2 : 1}`, async (t) => {
    const path = join(tempDir(t), 'a.parquet');
    const { ParquetSchema, ParquetWriter } = require('parquetjs-lite') as ForeignWriter;
    const schema = new ParquetSchema({
      name: { type: 'UTF8', optional: true, compression: 'SNAPPY' },
      id: { type: 'INT64' },
      ratio: { type: 'DOUBLE', compression: 'GZIP' },
      scores: { type: 'FLOAT', repeated: true },
    });
    const writer = await ParquetWriter.openFile(schema, path, { useDataPageV2, rowGroupSize: 100, pageSize: 30 });
    const expected: unknown[][] = [];
    for (let k = 0; k < 250; k++) {
      const name = k % 3 === 0 ? null : `n${k % 5}`;
      const scores = Array.from({ length: k % 4 }, (_, index) => k + index / 2);
      await writer.appendRow({ ...(name === null ? {} : { name }), id: k, ratio: k / 3, scores });
      expected.push([name, k, BigInt(k), k / 3, scores, name === null ? codeNull : name === 'n2' ? 0 : codeUnknown]);
    }
    await writer.close();
    const asked = [
      textOf('name'),
      numberOf('id'),
      numberOf('id', true),
      numberOf('ratio'),
      listOf('scores'),
      codeOf('name', ['n2']),
    ];
    assert.deepEqual(readJs(path, asked), expected);
    assert.deepEqual(readNative(path, asked), expected);
  });
}

function refused(code: string, message: RegExp, remedy = /native reader/) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof TandemError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.match(error.remedy ?? '', remedy);
    return true;
  };
}

test('what the library cannot read is refused, with the way out', (t) => {
  const path = join(tempDir(t), 'a.parquet');
  writeShard(
    path,
    `SELECT 1.5::DECIMAL(9, 2) AS decimal, '2026-01-01'::TIMESTAMP_NS AS nanos, {'a': 1} AS pair, [[1]] AS nested,
    (i % 2)::VARCHAR::ENUM('0', '1') AS kind, i / 3 AS ratio, DATE '2026-01-01' AS day, uuid() AS id, 'x' AS text FROM range(100) rows(i)`,
  );
  const open =
    (request: ColumnRequest, from = path) =>
    () =>
      openParquetJsChunks(readParquetFile(from), [request]);
  assert.throws(open(numberOf('distance'), flights), refused('BAD_COLUMN', /compression ZSTD/));
  assert.throws(open(numberOf('decimal')), refused('BAD_COLUMN', /DECIMAL\(9,2\)/));
  assert.throws(open(numberOf('nanos')), refused('BAD_COLUMN', /TIMESTAMP_NS/));
  assert.throws(open(textOf('pair')), refused('BAD_COLUMN', /nested type STRUCT/));
  assert.throws(open(listOf('nested')), refused('BAD_COLUMN', /nested type INTEGER\[\]\[\]/));
  assert.throws(open(textOf('kind')), refused('BAD_COLUMN', /encoding RLE_DICTIONARY/));
  assert.throws(open(textOf('id')), refused('BAD_COLUMN', /FIXED_LEN_BYTE_ARRAY/));
  assert.throws(open(textOf('ratio')), refused('BAD_COLUMN', /the text of type DOUBLE/));
  assert.throws(open(numberOf('text')), refused('BAD_COLUMN', /text to be a number, got VARCHAR/, /"index"/));
  const sql: Feature = { kind: 'number', source: { sql: 'month(day)' }, missing: undefined, steps: [] };
  assert.throws(
    open({ feature: sql, as: 'number', exactIntegers: false }),
    refused('BAD_CONTRACT', /sql month\(day\)/),
  );
});

test('what the library would get wrong, or finds damaged, ends the read', (t) => {
  const path = join(tempDir(t), 'a.parquet');
  for (const [values, expected] of [
    [256, undefined],
    [257, /dictionary of 257 values/],
  ] as const) {
    // Sorted, so that indices come in runs.
    writeShard(path, `SELECT i // 100 AS x FROM range(${values * 100}) rows(i)`);
    const read = (): unknown[][] => readJs(path, [numberOf('x')]);
    if (expected === undefined)
      assert.deepEqual(
        read(),
        Array.from({ length: values * 100 }, (_, row) => [Math.floor(row / 100)]),
      );
    else assert.throws(read, (error) => error instanceof ParquetJsError && expected.test(error.message));
  }
  writeShard(path, 'SELECT i AS x FROM range(5000) rows(i)', { rowGroupRows: 2048 });
  corruptPage(path, 1, 'x');
  const source = openParquetJsChunks(readParquetFile(path), [numberOf('x')]);
  assert.equal(source.next()!.rowCount, 2048);
  assert.throws(() => source.next(), ParquetJsError);
});
