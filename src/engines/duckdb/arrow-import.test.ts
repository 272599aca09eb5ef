import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import {
  Binary,
  Bool,
  type DataType,
  DateDay,
  Decimal,
  DenseUnion,
  Dictionary,
  Field,
  FixedSizeList,
  Float32,
  Float64,
  Int16,
  Int32,
  Int64,
  Int8,
  List,
  makeData,
  RecordBatch,
  Schema,
  Struct,
  TimestampMicrosecond,
  Uint16,
  Uint32,
  Uint64,
  Uint8,
  Utf8,
  Vector,
  vectorFromArray,
} from 'apache-arrow';
import { TandemError } from '../../errors.ts';
import { registerArrowTable } from './arrow-import.ts';
import { closeDatabase, Connection, openDatabase, type Value } from './database.ts';
import { vectorRows } from './types.ts';

const database = openDatabase();
const connection = new Connection(database);
after(() => {
  connection.close();
  closeDatabase(database);
});

let tableCount = 0;

/** The rows of a query on the batch, whose table is called t() in the query. */
function query(batch: RecordBatch, sql: string): Value[][] {
  const name = `arrow_test_${tableCount++}`;
  const table = registerArrowTable(connection, name, batch);
  try {
    return connection.rows(sql.replaceAll('t()', `${name}()`));
  } finally {
    table.dispose();
  }
}

function batchOf(columns: Record<string, Vector>): RecordBatch {
  const fields = Object.entries(columns).map(([name, vector]) => new Field(name, vector.type, true));
  const children = Object.values(columns).map((vector) => vector.data[0]!);
  const length = children[0]!.length;
  return new RecordBatch(new Schema(fields), makeData({ type: new Struct(fields), length, nullCount: 0, children }));
}

/** Row k holds k, every seventh is null. */
function numbers(rowCount: number): (number | null)[] {
  return Array.from({ length: rowCount }, (_, row) => (row % 7 === 3 ? null : row % 100));
}

const bigs = (values: (number | null)[]): (bigint | null)[] =>
  values.map((value) => (value === null ? null : BigInt(value)));

const rowCounts = [0, 1, 7, 8, vectorRows - 1, vectorRows, vectorRows + 1, 5000];

for (const rowCount of rowCounts) {
  test(`numbers with nulls, ${rowCount} rows`, () => {
    const small = numbers(rowCount);
    const types = [
      new Int8(),
      new Int16(),
      new Int32(),
      new Uint8(),
      new Uint16(),
      new Uint32(),
      new Float32(),
      new Float64(),
    ];
    for (const type of types) {
      const rows = query(batchOf({ v: vectorFromArray(small, type) as Vector }), 'SELECT v FROM t()');
      assert.deepEqual(
        rows.map((row) => row[0]),
        small,
        String(type),
      );
    }
    for (const type of [new Int64(), new Uint64()]) {
      const rows = query(batchOf({ v: vectorFromArray(bigs(small), type) as Vector }), 'SELECT v FROM t()');
      assert.deepEqual(
        rows.map((row) => row[0]),
        bigs(small),
        String(type),
      );
    }
  });

  test(`strings, dictionaries and booleans with nulls, ${rowCount} rows`, () => {
    const texts = numbers(rowCount).map((value, row) =>
      value === null ? null : row % 3 === 0 ? '' : `number ${value}, quite long`,
    );
    const flags = numbers(rowCount).map((value) => (value === null ? null : value % 3 === 0));
    const rows = query(
      batchOf({
        text: vectorFromArray(texts, new Utf8()),
        code: vectorFromArray(texts, new Dictionary(new Utf8(), new Int32())),
        flag: vectorFromArray(flags, new Bool()),
      }),
      'SELECT text, code, flag::INTEGER FROM t()',
    );
    assert.equal(rows.length, rowCount);
    rows.forEach((row, index) => {
      const flag = flags[index]!;
      assert.deepEqual(row, [texts[index], texts[index], flag === null ? null : Number(flag)]);
    });
  });
}

test('lists and fixed-size lists', () => {
  const lists = Array.from({ length: 5000 }, (_, row) =>
    row % 5 === 0 ? null : Array.from({ length: row % 4 }, (_, at) => row + at),
  );
  const pairs = Array.from({ length: 5000 }, (_, row) => (row % 6 === 0 ? null : [row, row + 0.5]));
  const item = new Field<Float32>('item', new Float32(), true);
  const rows = query(
    batchOf({
      list: vectorFromArray(lists, new List(item)) as Vector,
      pair: vectorFromArray(pairs, new FixedSizeList(2, item)) as Vector,
    }),
    'SELECT list::VARCHAR, pair::VARCHAR, typeof(list), typeof(pair) FROM t()',
  );
  const text = (values: number[] | null): string | null =>
    values === null ? null : `[${values.map((value) => value.toFixed(1)).join(', ')}]`;
  assert.deepEqual(
    rows,
    lists.map((list, row) => [text(list), text(pairs[row]!), 'FLOAT[]', 'FLOAT[2]']),
  );
});

test('date, timestamp, decimal, blob and struct', () => {
  const rows = query(
    batchOf({
      day: vectorFromArray([new Date('2024-02-29'), null], new DateDay()),
      instant: new Vector([
        makeData({
          type: new TimestampMicrosecond(null),
          length: 2,
          nullCount: 0,
          data: BigInt64Array.of(1_700_000_000_123_456n, -1n),
        }),
      ]),
      money: new Vector([
        makeData({
          type: new Decimal(2, 10, 128),
          length: 2,
          nullCount: 0,
          data: Uint32Array.of(12345, 0, 0, 0, -1, -1, -1, -1),
        }),
      ]),
      blob: vectorFromArray([Uint8Array.of(1, 2), null], new Binary()),
      pair: vectorFromArray(
        [{ a: 1, b: 'x' }, null],
        new Struct<{ a: Int32; b: Utf8 }>([new Field('a', new Int32(), true), new Field('b', new Utf8(), true)]),
      ) as Vector,
    }),
    'SELECT day::VARCHAR, instant::VARCHAR, money::VARCHAR, hex(blob), pair::VARCHAR FROM t()',
  );
  assert.deepEqual(rows, [
    ['2024-02-29', '2023-11-14 22:13:20.123456', '123.45', '0102', "{'a': 1, 'b': x}"],
    [null, '1969-12-31 23:59:59.999999', '-0.01', null, null],
  ]);
});

test('slices with an offset', () => {
  const rowCount = 6000;
  const texts = numbers(rowCount).map((value, row) => (value === null ? null : `row ${row} of the whole`));
  const flags = numbers(rowCount).map((value, row) => (value === null ? null : row % 5 === 0));
  const lists = Array.from({ length: rowCount }, (_, row) =>
    row % 5 === 0 ? null : Array.from({ length: row % 4 }, () => row),
  );
  const pairs = Array.from({ length: rowCount }, (_, row) => (row % 6 === 0 ? null : [row, -row]));
  const item = new Field<Int32>('item', new Int32(), true);
  const textField = new Field('text', new Utf8(), true);
  const whole = batchOf({
    number: vectorFromArray(numbers(rowCount), new Int32()),
    text: vectorFromArray(texts, new Utf8()),
    code: vectorFromArray(texts, new Dictionary(new Utf8(), new Int32())),
    flag: vectorFromArray(flags, new Bool()),
    list: vectorFromArray(lists, new List(item)) as Vector,
    pair: vectorFromArray(pairs, new FixedSizeList(2, item)) as Vector,
    deep: vectorFromArray(
      texts.map((text) => ({ text })),
      new Struct<{ text: DataType }>([textField]),
    ) as Vector,
  });
  const listText = (values: number[] | null): string | null => (values === null ? null : `[${values.join(', ')}]`);
  for (const [from, to] of [
    [1, 2],
    [3, 2051],
    [8, 6000],
    [2047, 4097],
    [5999, 6000],
    [10, 10],
  ] as const) {
    const rows = query(
      whole.slice(from, to).slice(0),
      'SELECT number, text, code, flag::INTEGER, list::VARCHAR, pair::VARCHAR, deep.text FROM t()',
    );
    assert.equal(rows.length, to - from);
    rows.forEach((row, index) => {
      const at = from + index;
      const flag = flags[at]!;
      assert.deepEqual(row, [
        numbers(rowCount)[at],
        texts[at],
        texts[at],
        flag === null ? null : Number(flag),
        listText(lists[at]!),
        listText(pairs[at]!),
        texts[at],
      ]);
    });
  }
});

test('a table is read twice in one query, again in the next, and takes another batch', () => {
  const first = batchOf({
    v: vectorFromArray(
      Array.from({ length: 5000 }, (_, row) => row),
      new Int32(),
    ),
  });
  const table = registerArrowTable(connection, 'arrow_again', first);
  const sql = 'SELECT count(*)::INTEGER, sum(a.v)::DOUBLE FROM arrow_again() a JOIN arrow_again() b ON a.v = b.v';
  assert.deepEqual(connection.rows(sql), [[5000, 12_497_500]]);
  assert.deepEqual(connection.rows(sql), [[5000, 12_497_500]]);
  table.replace(batchOf({ w: vectorFromArray(['x', 'y'], new Utf8()) }));
  assert.deepEqual(connection.rows('SELECT w FROM arrow_again()'), [['x'], ['y']]);
  assert.equal(table.failure, undefined);
  table.dispose();
});

test('quotes in column names, and values over many collections of garbage', () => {
  const values = Array.from({ length: 5000 }, (_, row) => `value ${row}`);
  const batch = batchOf({ 'a "b"': vectorFromArray(values, new Utf8()) });
  for (let round = 0; round < 20; round++) {
    const garbage = Array.from({ length: 1000 }, () => new Uint8Array(5000));
    assert.equal(garbage.length, 1000);
    assert.deepEqual(query(batch, 'SELECT "a ""b""" FROM t()').at(-1), ['value 4999']);
  }
});

test('a type that has no counterpart is an error that names the column', () => {
  const odd = makeData({
    type: new DenseUnion([], []),
    length: 0,
    nullCount: 0,
    nullBitmap: undefined as never,
    typeIds: new Int8Array(0),
    valueOffsets: new Int32Array(0),
    children: [],
  });
  assert.throws(
    () => query(batchOf({ odd: new Vector([odd]) }), 'SELECT * FROM t()'),
    (error: unknown) => error instanceof TandemError && error.code === 'BAD_COLUMN' && error.place.column === 'odd',
  );
});
