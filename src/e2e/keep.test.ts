/** Kept columns come out exactly as they went in, whatever their types and wherever they stand in a shard. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { quotePath } from '../engines/duckdb/database.ts';
import { identityModel } from '../testing/models.ts';
import { withConnection } from '../testing/shards.ts';
import { columnOf, Workplace } from './workplace.ts';

/** Columns of many types over rows `i`, about one in seven null. */
const typedColumns: Readonly<Record<string, string>> = {
  text: `CASE WHEN i % 7 = 0 THEN NULL WHEN i % 7 = 1 THEN '' ELSE repeat('é"''😀' || i, (i % 5)::INTEGER) END`,
  amount: `CASE WHEN i % 7 = 1 THEN NULL ELSE (i * 1234567.89)::DECIMAL(18, 2) END`,
  precise: `CASE WHEN i % 7 = 2 THEN NULL ELSE (i || '234567890123456789.123456789')::DECIMAL(38, 9) END`,
  list: `CASE WHEN i % 7 = 3 THEN NULL WHEN i % 7 = 4 THEN [] ELSE [i, NULL, i * 2] END`,
  nested: `CASE WHEN i % 7 = 5 THEN NULL ELSE [['a' || i], NULL, []] END`,
  pair: `CASE WHEN i % 7 = 6 THEN NULL ELSE {'name': 'n' || i, 'tags': [i::VARCHAR]} END`,
  pairs: `MAP {'k' || i: i}`,
  moment: `CASE WHEN i % 7 = 0 THEN NULL ELSE TIMESTAMP '2026-01-01 00:00:00.123456' + INTERVAL (i) SECOND END`,
  zoned: `(TIMESTAMP '2026-01-01 00:00:00.123456' + INTERVAL (i) SECOND)::TIMESTAMPTZ`,
  nanos: `make_timestamp_ns(1767225600123456789 + i)`,
  day: `DATE '1969-12-30' + i::INTEGER`,
  hour: `TIME '12:34:56.789' + INTERVAL (i) SECOND`,
  large: `CASE WHEN i % 7 = 3 THEN NULL ELSE 9223372036854775807 - i END`,
  unsigned: `(18446744073709551615 - i)::UBIGINT`,
  small: `(i % 100)::TINYINT`,
  flag: `CASE WHEN i % 3 = 0 THEN NULL ELSE i % 2 = 0 END`,
  ratio: `CASE WHEN i % 7 = 0 THEN 'nan'::DOUBLE WHEN i % 7 = 1 THEN 'inf'::DOUBLE WHEN i % 7 = 2 THEN -0.0::DOUBLE ELSE i / 3 END`,
  bytes: `CASE WHEN i % 7 = 4 THEN NULL ELSE encode('b' || i) END`,
  id: `('00000000-0000-0000-0000-' || lpad(i::VARCHAR, 12, '0'))::UUID`,
  category: `(CASE WHEN i % 2 = 0 THEN 'even' ELSE 'odd' END)::ENUM('even', 'odd')`,
};

function typedShard(rowCount: number): string {
  const columns = Object.entries(typedColumns).map(([name, sql]) => `${sql} AS ${name}`);
  return `SELECT i::FLOAT AS x, ${columns.join(', ')} FROM range(${rowCount}) rows(i)`;
}

/** Types of columns, in their order. */
function typesOf(path: string, columns: readonly string[]): unknown[] {
  return withConnection((connection) =>
    connection
      .rows(`SELECT column_type FROM (DESCRIBE SELECT ${columns.join(', ')} FROM read_parquet(${quotePath(path)}))`)
      .flat(),
  );
}

/** The columns have the same types, and each row is in both files as often: EXCEPT gives nothing either way. */
function assertSameColumns(shard: string, output: string, columns: readonly string[]): void {
  assert.deepEqual(typesOf(output, columns), typesOf(shard, columns));
  const rowsOf = (path: string): string =>
    `SELECT file_row_number, ${columns.join(', ')} FROM read_parquet(${quotePath(path)}, file_row_number=true)`;
  const [counts] = withConnection((connection) =>
    connection.rows(
      `SELECT (SELECT count(*) FROM ((${rowsOf(shard)}) EXCEPT ALL (${rowsOf(output)}))),
      (SELECT count(*) FROM ((${rowsOf(output)}) EXCEPT ALL (${rowsOf(shard)})))`,
    ),
  );
  assert.deepEqual(counts, [0n, 0n]);
}

const copyContract = { inputs: { x: [{ column: 'x' }] } };

for (const compression of ['snappy', 'zstd', 'none'] as const) {
  test(`all columns of every type, ${compression}`, async (t) => {
    const place = new Workplace(t);
    place.writeModel(identityModel('float32'), copyContract);
    const shard = place.shard('a.parquet', typedShard(5000), { rowGroupRows: 2048 });
    await place.score({ keep: 'all', compression });
    assertSameColumns(shard, join(place.output, 'a.parquet'), ['x', ...Object.keys(typedColumns)]);
  });
}

test('all columns of a shard that threads share', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  const columns = ['text', 'amount', 'list', 'moment', 'pair'];
  const selected = columns.map((name) => `${typedColumns[name]} AS ${name}`).join(', ');
  const shard = place.shard('a.parquet', `SELECT i::FLOAT AS x, ${selected} FROM range(530000) rows(i)`, {
    rowGroupRows: 40 * 2048,
  });
  await place.score({ threads: 2 });
  const output = join(place.output, 'a.parquet');
  assert.deepEqual(typesOf(output, columns), typesOf(shard, columns));
  const wrong = withConnection((connection) =>
    connection.rows(
      `SELECT count(*) FROM read_parquet(${quotePath(shard)}) AS a POSITIONAL JOIN read_parquet(${quotePath(output)}) AS b
    WHERE b.y IS DISTINCT FROM a.x OR ${columns.map((name) => `a.${name} IS DISTINCT FROM b.${name}`).join(' OR ')}`,
    ),
  );
  assert.deepEqual(wrong, [[0n]]);
});

test('a list, in its own order', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { ...copyContract, keep: ['text'] });
  const shard = place.shard('a.parquet', typedShard(100));
  await place.score({ keep: ['pair', 'amount', 'moment'] });
  assert.deepEqual(Object.keys(place.rows('a.parquet')[0]!), ['pair', 'amount', 'moment', 'y']);
  assertSameColumns(shard, join(place.output, 'a.parquet'), ['pair', 'amount', 'moment']);
});

test('none', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('a.parquet', typedShard(3));
  await place.score({ keep: [] });
  assert.deepEqual(place.rows('a.parquet'), [{ y: 0 }, { y: 1 }, { y: 2 }]);
});

test('the list of the contract, and all columns without one', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { ...copyContract, keep: ['small'] });
  place.shard('a.parquet', typedShard(3));
  await place.score();
  assert.deepEqual(Object.keys(place.rows('a.parquet')[0]!), ['small', 'y']);
  place.writeContract(copyContract);
  await place.score({ overwrite: true });
  assert.deepEqual(Object.keys(place.rows('a.parquet')[0]!), ['x', ...Object.keys(typedColumns), 'y']);
});

test('zero rows make a valid output with the same types', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('int64', ['N', 3]), { inputs: { x: [{ column: 'list3' }] } });
  const shard = place.shard('a.parquet', `SELECT *, [1, 2, 3]::BIGINT[] AS list3 FROM (${typedShard(10)}) WHERE x < 0`);
  await place.score();
  assert.deepEqual(place.rows('a.parquet'), []);
  assertSameColumns(shard, join(place.output, 'a.parquet'), ['x', ...Object.keys(typedColumns), 'list3']);
  assert.deepEqual(typesOf(join(place.output, 'a.parquet'), ['y']), ['BIGINT[]']);
});

test('a shard without rows before one with rows', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('a.parquet', 'SELECT 1::FLOAT AS x WHERE false');
  place.shard('b.parquet', 'SELECT 1::FLOAT AS x');
  await place.score();
  assert.deepEqual([place.rows('a.parquet'), place.rows('b.parquet')], [[], [{ x: 1, y: 1 }]]);
});

test('shards with columns in another order, with more of them, and with wider or narrower types', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { ...copyContract, keep: ['name', 'x'] });
  const shards = {
    'first.parquet': `SELECT i::INTEGER AS x, 'n' || i AS name FROM range(5) rows(i)`,
    'order.parquet': `SELECT 'n' || i AS name, i::INTEGER AS x FROM range(5) rows(i)`,
    'extra.parquet': `SELECT i AS before, i::INTEGER AS x, [i] AS between, 'n' || i AS name FROM range(5) rows(i)`,
    'double.parquet': `SELECT i::DOUBLE AS x, 'n' || i AS name FROM range(5) rows(i)`,
    'bigint.parquet': `SELECT i::BIGINT AS x, 'n' || i AS name FROM range(5) rows(i)`,
    'tiny.parquet': `SELECT i::TINYINT AS x, 'n' || i AS name FROM range(5) rows(i)`,
    'decimal.parquet': `SELECT i::DECIMAL(9, 2) AS x, 'n' || i AS name FROM range(5) rows(i)`,
    'flag.parquet': `SELECT i = 1 AS x, 'n' || i AS name FROM range(2) rows(i)`,
  };
  for (const [name, sql] of Object.entries(shards)) place.shard(name, sql);
  await place.score({ threads: 2 });
  for (const name of Object.keys(shards)) {
    const rows = place.rows(name);
    const expected = name === 'flag.parquet' ? [0, 1] : [0, 1, 2, 3, 4];
    assert.deepEqual(Object.keys(rows[0]!), ['name', 'x', 'y']);
    assert.deepEqual([columnOf(rows, 'y'), columnOf(rows, 'name')], [expected, expected.map((row) => `n${row}`)]);
    assertSameColumns(join(place.data, name), join(place.output, name), ['name', 'x']);
  }
});
