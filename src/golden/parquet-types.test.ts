/** Parquet as pyarrow writes it: every type, encoding and codec is read as written and kept as it was. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Data, DataType, type Decimal, TimeUnit, Vector } from 'apache-arrow';
import { Workplace } from '../e2e/workplace.ts';
import { quoteIdentifier, quotePath } from '../engines/duckdb/database.ts';
import { readShards } from '../index.ts';
import { identityModel } from '../testing/models.ts';
import { withConnection } from '../testing/shards.ts';
import { goldenPath, readJson } from './folders.ts';

type Text = string | boolean | null | readonly Text[] | { readonly [name: string]: Text };

const expected = readJson<readonly Readonly<Record<string, Text>>[]>('parquet-types', 'expected.json');
const files = readdirSync(goldenPath('parquet-types')).filter((name) => name.endsWith('.parquet'));

const nanosecondsPer: Readonly<Record<TimeUnit, bigint>> = {
  [TimeUnit.SECOND]: 10n ** 9n,
  [TimeUnit.MILLISECOND]: 10n ** 6n,
  [TimeUnit.MICROSECOND]: 10n ** 3n,
  [TimeUnit.NANOSECOND]: 1n,
};

/** A value in the form of expected.json. */
function asText(data: Data, row: number): Text {
  const type: DataType = data.type;
  if (DataType.isNull(type) || !data.getValid(row)) return null;
  if (DataType.isDictionary(type)) return asText(data.dictionary!.data[0]!, Number(data.values[row]));
  if (DataType.isInt(type) || DataType.isDate(type)) return String(data.values[row]);
  if (DataType.isTime(type) || DataType.isTimestamp(type)) {
    return String(BigInt(data.values[row]) * nanosecondsPer[type.unit]);
  }
  if (DataType.isStruct(type)) {
    return Object.fromEntries(type.children.map((field, at) => [field.name, asText(data.children[at]!, row)]));
  }
  if (DataType.isList(type) || DataType.isMap(type)) {
    const items = listText(data.children[0]!, data.valueOffsets[row]!, data.valueOffsets[row + 1]!);
    return DataType.isMap(type) ? items.map((entry) => Object.values(entry as object) as Text[]) : items;
  }
  if (DataType.isFixedSizeList(type)) {
    return listText(data.children[0]!, row * type.listSize, (row + 1) * type.listSize);
  }
  return leafText(type, new Vector([data]).get(row));
}

function listText(items: Data, from: number, to: number): Text[] {
  return Array.from({ length: to - from }, (_, at) => asText(items, from + at));
}

function leafText(type: DataType, value: unknown): Text {
  if (typeof value === 'number') {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleBE(value);
    return bytes.toString('hex');
  }
  if (DataType.isDecimal(type)) return unscaled(value as Uint32Array, type);
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : (value as string | boolean);
}

/** Little-endian words in two's complement. */
function unscaled(words: Uint32Array, { bitWidth }: Decimal): string {
  const bits = words.reduceRight((value, word) => (value << 32n) | BigInt(word), 0n);
  return BigInt.asIntN(bitWidth, bits).toString();
}

/** DuckDB reads INT96, which holds nanoseconds, as microseconds. */
function asDuckDbReads(file: string, name: string, text: Text): Text {
  const isCut = file === 'flat-int96.parquet' && name === 'ts_ns' && typeof text === 'string';
  return isCut ? text.replace(/\d{3}$/, '000') : text;
}

test('every file is here, and expected values of every column', () => {
  assert.equal(files.length, 14);
  assert.equal(expected.length, 21);
  assert.equal(Object.keys(expected[0]!).length, 44);
});

for (const file of files) {
  test(`${file} is read as it was written`, async () => {
    let rows = 0;
    for await (const batch of readShards(goldenPath('parquet-types', file), { batchRows: 8 })) {
      batch.schema.fields.forEach(({ name, type }, column) => {
        for (let row = 0; row < batch.numRows; row++) {
          const where = `${name} ${String(type)}, row ${rows + row}`;
          const wanted = asDuckDbReads(file, name, expected[rows + row]![name]!);
          assert.deepEqual(asText(batch.data.children[column]!, row), wanted, where);
        }
      });
      rows += batch.numRows;
    }
    assert.ok(rows >= 5, `${rows} rows`);
  });
}

test('all columns of every file are kept as they were', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('int64'), { inputs: { x: { column: 'row' } }, outputs: { y: 'score' } });
  await place.score({ shards: goldenPath('parquet-types'), keep: 'all' });
  withConnection((connection) => {
    for (const file of files) {
      const [shard, output] = [goldenPath('parquet-types', file), join(place.output, file)];
      const columnsOf = (path: string): string[][] =>
        connection
          .rows(`SELECT column_name, column_type FROM (DESCRIBE FROM ${quotePath(path)})`)
          .map((column) => column.map(String));
      const before = columnsOf(shard);
      assert.deepEqual(columnsOf(output), [...before, ['score', 'BIGINT']], file);
      const names = before.map(([name]) => quoteIdentifier(name!));
      const rowsOf = (path: string): string => `(SELECT ${names.join(', ')} FROM ${quotePath(path)})`;
      const different = connection.rows(`SELECT (SELECT count(*) FROM (${rowsOf(shard)} EXCEPT ALL ${rowsOf(output)})),
        (SELECT count(*) FROM (${rowsOf(output)} EXCEPT ALL ${rowsOf(shard)})),
        (SELECT count(*) FROM ${quotePath(output)} WHERE score IS DISTINCT FROM row)`);
      assert.deepEqual(different, [[0n, 0n, 0n]], file);
    }
  });
});
