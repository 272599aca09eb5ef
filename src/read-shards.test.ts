import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { DataType, type RecordBatch, type Vector } from 'apache-arrow';
import { closeDatabase, Connection, openDatabase, quotePath, quoteText } from './engines/duckdb/database.ts';
import { TandemError } from './errors.ts';
import { readShards, type ReadShardsOptions } from './read-shards.ts';

const folder = mkdtempSync(join(tmpdir(), 'tandem-arrow-'));
const database = openDatabase();
const connection = new Connection(database);
after(() => {
  connection.close();
  closeDatabase(database);
  rmSync(folder, { recursive: true });
});

/** Writes the rows of a query as a shard and gives its path. */
function shard(name: string, sql: string, options = ''): string {
  const path = join(folder, name);
  connection.execute(`COPY (${sql}) TO ${quoteText(path)} (FORMAT parquet${options})`);
  return path;
}

async function batchesOf(patterns: string | string[], options: ReadShardsOptions = {}): Promise<RecordBatch[]> {
  const batches: RecordBatch[] = [];
  for await (const batch of readShards(patterns, options)) batches.push(batch);
  return batches;
}

const failsWith =
  (code: string, place: object = {}) =>
  (error: unknown): boolean => {
    assert.ok(error instanceof TandemError, String(error));
    assert.equal(error.code, code);
    assert.deepEqual(error.place, place);
    return true;
  };

const rowCount = 10_000;
const counting = shard(
  'counting.parquet',
  `SELECT range AS k,
  CASE WHEN range % 3 = 0 THEN NULL ELSE range::FLOAT END AS f,
  CASE WHEN range % 5 = 0 THEN NULL ELSE 'row ' || range END AS s, range % 2 = 0 AS b,
  CASE WHEN range % 7 = 0 THEN NULL ELSE [range, range + 1][1:(range % 3)::INT] END AS l FROM range(${rowCount})`,
  ', ROW_GROUP_SIZE 3000',
);

for (const batchRows of [1, 7, 2047, 2048, 2049, rowCount - 1, rowCount, rowCount + 1]) {
  test(`row k holds k in batches of ${batchRows} rows`, async () => {
    let row = 0;
    for await (const batch of readShards(counting, { batchRows })) {
      assert.equal(batch.numRows, Math.min(batchRows, rowCount - row));
      const [k, f, s, b, l] = ['k', 'f', 's', 'b', 'l'].map((name) => batch.getChild(name)!);
      for (let index = 0; index < batch.numRows; index++, row++) {
        const list = Array.from({ length: row % 3 }, (_, at) => BigInt(row + at));
        assert.equal(k!.get(index), BigInt(row));
        assert.equal(f!.get(index), row % 3 === 0 ? null : row);
        assert.equal(s!.get(index), row % 5 === 0 ? null : `row ${row}`);
        assert.equal(b!.get(index), row % 2 === 0);
        const got = l!.get(index) as Vector | null;
        assert.deepEqual(got === null ? null : [...got], row % 7 === 0 ? null : list);
      }
      for (const column of [f!, s!, l!]) {
        assert.equal(column.nullCount, [...column].filter((value) => value === null).length);
      }
      if (row > 2500 && batchRows < 10) return;
    }
    assert.equal(row, rowCount);
  });
}

/** Expressions over `range`, and how an Arrow value of the type is written as DuckDB casts it to text. */
const columns: Record<string, { sql: string; text?: string; show?: (value: never) => unknown }> = {
  i8: { sql: 'range::TINYINT' },
  i16: { sql: 'range::SMALLINT' },
  i32: { sql: 'range::INTEGER' },
  i64: { sql: '9007199254740993 + range' },
  u8: { sql: 'range::UTINYINT' },
  u16: { sql: 'range::USMALLINT' },
  u32: { sql: '4294967295 - range::UINTEGER' },
  u64: { sql: '18446744073709551615::UBIGINT - range::UBIGINT' },
  f32: { sql: '(range + 0.5)::FLOAT' },
  f64: { sql: 'range + 0.25::DOUBLE' },
  flag: { sql: 'range % 3 = 0' },
  word: { sql: "'wörd ' || range" },
  empty: { sql: "''" },
  blob: {
    sql: "encode('blob ' || range)",
    text: 'decode(c)',
    show: (bytes: Uint8Array) => Buffer.from(bytes).toString(),
  },
  day: { sql: "DATE '1969-12-25' + range::INTEGER", text: 'epoch_ms(c)', show: Number },
  time: { sql: "TIME '01:02:03.000004' + INTERVAL (range) SECOND", text: 'epoch_us(c)' },
  us: { sql: "TIMESTAMP '1969-12-31 23:59:58.123456' + INTERVAL (range) SECOND", text: 'epoch_us(c)' },
  ns: { sql: 'make_timestamp_ns(1700000000123456789 + range)', text: 'epoch_ns(c)' },
  zoned: { sql: 'make_timestamp(1700000000123456 + range)::TIMESTAMPTZ', text: 'epoch_us(c)' },
  dec4: { sql: '(range / 10)::DECIMAL(4,1)', text: '(c * 10)::INTEGER', show: decimal },
  dec9: { sql: '(-range)::DECIMAL(9,2)', text: '(c * 100)::INTEGER', show: decimal },
  dec18: { sql: '123456789012345.678::DECIMAL(18,3) + range', text: '(c * 1000)::BIGINT', show: decimal },
  dec38: {
    sql: '12345678901234567890123456789012::DECIMAL(38,2) + range',
    text: "replace(c::VARCHAR, '.', '')",
    show: decimal,
  },
  uuid: { sql: "('00000000-0000-4000-8000-' || lpad(range::VARCHAR, 12, '0'))::UUID" },
  span: {
    sql: 'INTERVAL (range) DAY + INTERVAL (range) MONTH',
    text: "[datepart('year', c) * 12 + datepart('month', c), datepart('day', c)]",
    show: (value: Int32Array) => `[${value[0]}, ${value[1]}]`,
  },
  list: {
    sql: '[range, NULL, range + 1]',
    show: (value: Vector) => `[${[...value].map((item) => item ?? 'NULL').join(', ')}]`,
  },
  floats: {
    sql: '[range::FLOAT, 1]',
    show: (value: Vector) => `[${[...value].map((item: number) => item.toFixed(1)).join(', ')}]`,
  },
  words: { sql: "['a' || range, '']", text: "array_to_string(c, '|')", show: (value: Vector) => [...value].join('|') },
  pair: {
    sql: "{'a': range, 'b': 'x' || range}",
    text: "c.a || ':' || c.b",
    show: (value: { a: bigint; b: string }) => `${value.a}:${value.b}`,
  },
  map: {
    sql: "MAP {'k' || range: range}",
    text: "map_keys(c)[1] || ':' || map_values(c)[1]",
    show: (value: Iterable<[string, bigint]>) => [...value].map(([key, item]) => `${key}:${item}`).join(),
  },
  category: { sql: "(['low', 'high'][1 + range % 2])::ENUM('low', 'high')" },
  nested: {
    sql: "[{'q': [range, range + 1]}]",
    text: "array_to_string(c[1].q, '|')",
    show: (value: Vector) => [...(value.get(0) as { q: Vector }).q].join('|'),
  },
};

/** An unscaled decimal: Arrow keeps it as little-endian words in two's complement. */
function decimal(words: Uint32Array): string {
  const unsigned = words.reduceRight((value, word) => (value << 32n) | BigInt(word), 0n);
  return BigInt.asIntN(128, unsigned).toString();
}

/** What a vector holds, before apache-arrow rounds it to milliseconds. */
function exactValue(vector: Vector, row: number): unknown {
  const raw = DataType.isTimestamp(vector.type) || DataType.isTime(vector.type);
  return raw && vector.get(row) !== null ? (vector.data[0]!.values as BigInt64Array)[row] : vector.get(row);
}

for (const nulls of ['no nulls', 'nulls']) {
  test(`every type equals DuckDB's own values, ${nulls}`, async () => {
    const names = Object.keys(columns);
    const isNull = (row: number): boolean => nulls === 'nulls' && row % 4 === 1;
    const value = (sql: string): string =>
      nulls === 'nulls' ? `CASE WHEN range % 4 = 1 THEN NULL ELSE ${sql} END` : sql;
    const selected = names.map((name) => `${value(columns[name]!.sql)} AS "${name}"`).join(', ');
    const path = shard(`types ${nulls}.parquet`, `SELECT ${selected} FROM range(100)`);
    const textOf = (name: string): string => (columns[name]!.text ?? 'c').replaceAll(/\bc\b/g, `"${name}"`);
    const texts = names.map((name) => `(${textOf(name)})::VARCHAR`).join(', ');
    const expected = connection.rows(`SELECT ${texts} FROM ${quotePath(path)}`);
    const batches = await batchesOf(path, { batchRows: 33 });
    assert.deepEqual(
      batches.map((batch) => batch.numRows),
      [33, 33, 33, 1],
    );
    names.forEach((name, column) => {
      const { show } = columns[name]!;
      const got = batches.flatMap((batch) =>
        Array.from({ length: batch.numRows }, (_, row) => {
          const item = exactValue(batch.getChild(name)!, row);
          return item === null ? null : String(show === undefined ? item : show(item as never));
        }),
      );
      const wanted = expected
        .map((row) => row[column])
        .map((text) => (name.startsWith('f') && name.length === 3 ? String(Number(text)) : text));
      assert.deepEqual(
        got,
        wanted.map((text, row) => (isNull(row) ? null : text)),
        name,
      );
    });
  });
}

test('chosen columns come in the order asked for', async () => {
  const [batch] = await batchesOf(counting, { columns: ['s', 'k'], batchRows: 10 });
  assert.deepEqual(
    batch!.schema.fields.map((field) => field.name),
    ['s', 'k'],
  );
  assert.equal(batch!.getChild('k')!.get(3), 3n);
});

test('a shard without rows gives no batch, and the next shard comes', async () => {
  const empty = shard('none.parquet', 'SELECT 1 AS k WHERE false');
  assert.deepEqual(await batchesOf(empty), []);
  assert.deepEqual(
    (await batchesOf([empty, counting])).map((batch) => batch.numRows),
    [rowCount],
  );
});

test('shards of odd names come in the order of their names and do not share batches', async () => {
  const paths = ["a 'b' [1] *.parquet", 'a "c"; ?.parquet', 'b=1.parquet'].map((name, index) =>
    shard(name, `SELECT ${index} AS k FROM range(${index + 1})`),
  );
  const batches = await batchesOf([...paths].reverse());
  assert.deepEqual(
    batches.map((batch) => [batch.numRows, batch.getChild('k')!.get(0)]),
    [
      [2, 1],
      [1, 0],
      [3, 2],
    ],
  );
});

test('bad shards are errors that name the shard', async () => {
  const bytes = readFileSync(counting);
  const bad = {
    'cut.parquet': bytes.subarray(0, bytes.length / 2),
    'headless.parquet': bytes.subarray(100),
    'empty.parquet': Buffer.alloc(0),
    'page.html.parquet': Buffer.from('<html>not found</html>'),
    'zeroed.parquet': Buffer.from(bytes).fill(0, 200, Math.floor(bytes.length * 0.6)),
  };
  for (const [name, content] of Object.entries(bad)) {
    writeFileSync(join(folder, name), content);
    await assert.rejects(batchesOf(join(folder, name)), failsWith('BAD_SHARD', { shard: name }), name);
  }
});

test('a column that is not there is an error that names the shard', async () => {
  const wrong = batchesOf(counting, { columns: ['k', 'nope'] });
  await assert.rejects(wrong, failsWith('BAD_COLUMN', { shard: 'counting.parquet', column: 'nope' }));
  await assert.rejects(batchesOf(counting, { columns: ['k', 'nope'] }), {
    message: 'Expected column `nope` in the shard, got none of that name.',
    remedy: /^The shard has: .*\bk\b/,
  });
});

test('wrong options are refused', async () => {
  for (const batchRows of [0, -1, 1.5, Number.NaN]) {
    await assert.rejects(batchesOf(counting, { batchRows }), failsWith('USAGE'));
  }
  await assert.rejects(batchesOf(counting, { columns: [] }), failsWith('USAGE'));
});

test('leaving the loop early stops the thread', async () => {
  const large = shard('large.parquet', 'SELECT range AS k FROM range(3000000)');
  for (let round = 0; round < 3; round++) {
    for await (const batch of readShards(large, { batchRows: 1000 })) {
      assert.equal(batch.getChild('k')!.get(999), 999n);
      break;
    }
  }
  const batches = readShards(large);
  await batches.next();
  await batches.return();
  assert.deepEqual(await batches.next(), { done: true, value: undefined });
});

test('an AbortSignal ends the reading with STOPPED, before and in the middle', async () => {
  await assert.rejects(batchesOf(counting, { signal: AbortSignal.abort() }), failsWith('STOPPED'));
  const controller = new AbortController();
  let rows = 0;
  await assert.rejects(async () => {
    for await (const batch of readShards(counting, { batchRows: 100, signal: controller.signal })) {
      rows += batch.numRows;
      if (rows === 300) controller.abort();
    }
  }, failsWith('STOPPED'));
  assert.equal(rows, 300);
});

test('batches stay whole after the reading ended', async () => {
  const batches = await batchesOf(counting, { batchRows: 1000 });
  batches.forEach((batch, index) => assert.equal(batch.getChild('k')!.get(999), BigInt(index * 1000 + 999)));
});
