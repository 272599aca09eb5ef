/** Names of files and columns that a pattern, an option or SQL would take for something else. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { quoteIdentifier } from '../engines/duckdb/database.ts';
import { identityModel, rowSumModel } from '../testing/models.ts';
import { assertOnlyWholeShards, columnOf, countTo, Workplace } from './workplace.ts';

const fileNames = [
  'a b.parquet',
  "it's.parquet",
  'say "x".parquet',
  'a;b.parquet',
  'g[1].parquet',
  'g1.parquet',
  'star*.parquet',
  'star1.parquet',
  'who?.parquet',
  'whom.parquet',
  'k=1/v=2.parquet',
  '日本 é 😀.parquet',
  'a--b.parquet',
  "'; DROP TABLE x; --.parquet",
  '{a,b}.parquet',
  'back\\slash.parquet',
  '%20.parquet',
  '$x.parquet',
  '(1).parquet',
  '!no.parquet',
  '#1.parquet',
];

test('file names of every kind are read, each for itself', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] }, keep: ['x'] });
  fileNames.forEach((name, index) =>
    place.shard(name, `SELECT (i + ${100 * index})::FLOAT AS x FROM range(3) rows(i)`),
  );
  const result = await place.score({ threads: 2 });
  assert.equal(result.rowsOut, 3 * fileNames.length);
  assert.deepEqual(assertOnlyWholeShards(place.output), [...fileNames].sort());
  fileNames.forEach((name, index) => {
    const expected = countTo(3).map((row) => row + 100 * index);
    assert.deepEqual([columnOf(place.rows(name), 'x'), columnOf(place.rows(name), 'y')], [expected, expected]);
  });
});

test('a file with glob characters in its name is meant by its name', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  for (const [index, name] of ['g[1].parquet', 'g1.parquet'].entries())
    place.shard(name, `SELECT ${index}::FLOAT AS x`);
  await place.score({ shards: join(place.data, 'g[1].parquet') });
  assert.deepEqual(assertOnlyWholeShards(place.output), ['g[1].parquet']);
  assert.deepEqual(columnOf(place.rows('g[1].parquet'), 'y'), [0]);
});

test('folders with names of every kind, for shards, model and output', async (t) => {
  const place = new Workplace(t);
  const strange = `o'k "x"; [1] * ? a=b é`;
  const shards = join(place.folder, strange, 'data');
  const output = join(place.folder, strange, 'scores');
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  place.shard(join('..', strange, 'data', 'a.parquet'), 'SELECT i::FLOAT AS x FROM range(5) rows(i)');
  await place.score({ shards, output });
  assert.deepEqual(assertOnlyWholeShards(output), ['a.parquet']);
});

const columnNames = [
  'a b',
  "it's",
  'say "x"',
  'semi;colon',
  'g[1]',
  'star*',
  'who?',
  'k=1',
  '日本 é 😀',
  '--',
  'select',
  'a.b',
  'shard',
  'scores',
  'c0',
  'c1',
  '%s',
  'COLUMNS(*)',
];

test('column names of every kind feed and are kept', async (t) => {
  const place = new Workplace(t);
  place.writeModel(rowSumModel(columnNames.length), {
    inputs: { x: columnNames.map((column) => ({ column })) },
    keep: columnNames,
  });
  const columns = columnNames.map((name, index) => `(i * ${index + 1})::FLOAT AS ${quoteIdentifier(name)}`).join(', ');
  place.shard('a.parquet', `SELECT ${columns} FROM range(2100) rows(i)`);
  await place.score();
  const rows = place.rows('a.parquet');
  assert.deepEqual(Object.keys(rows[0]!), [...columnNames, 'y']);
  const sum = columnNames.reduce((total, _, index) => total + index + 1, 0);
  assert.deepEqual(
    columnOf(rows, 'y'),
    countTo(2100).map((row) => row * sum),
  );
  columnNames.forEach((name, index) =>
    assert.deepEqual(
      columnOf(rows, name),
      countTo(2100).map((row) => row * (index + 1)),
    ),
  );
});

test('columns of such names are kept where all are', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'a b' }] }, outputs: { y: 'a "score"; [1]' } });
  const columns = columnNames.map((name, index) => `(i * ${index + 1})::FLOAT AS ${quoteIdentifier(name)}`).join(', ');
  place.shard('a.parquet', `SELECT ${columns} FROM range(10) rows(i)`);
  await place.score();
  const rows = place.rows('a.parquet');
  assert.deepEqual(Object.keys(rows[0]!), [...columnNames, 'a "score"; [1]']);
  assert.deepEqual(columnOf(rows, 'a "score"; [1]'), countTo(10));
});

test('a column called file_row_number is a column like any other', async (t) => {
  const place = new Workplace(t);
  place.writeModel(rowSumModel(2), {
    inputs: { x: [{ column: 'file_row_number' }, { column: 'other' }] },
    keep: ['file_row_number'],
  });
  // Large enough to be split if it could be.
  const rowCount = 530_000;
  place.shard(
    'a.parquet',
    `SELECT (i % 7)::BIGINT AS file_row_number, (i % 3)::FLOAT AS other FROM range(${rowCount}) rows(i)`,
  );
  await place.score({ threads: 2 });
  const rows = place.rows('a.parquet');
  assert.equal(rows.length, rowCount);
  const wrong = rows.findIndex(
    (row, index) => row['file_row_number'] !== BigInt(index % 7) || row['y'] !== (index % 7) + (index % 3),
  );
  assert.equal(wrong, -1);
});

test('names match regardless of case, the exact one first', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'AMOUNT' }] }, keep: ['Amount'] });
  place.shard('a.parquet', 'SELECT i::FLOAT AS amount FROM range(3) rows(i)');
  await place.score();
  assert.deepEqual(columnOf(place.rows('a.parquet'), 'y'), [0, 1, 2]);
});

test('a folder called k=v adds no column', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  place.shard('year=2026/a.parquet', 'SELECT i::FLOAT AS x FROM range(3) rows(i)');
  await place.score();
  assert.deepEqual(
    place.rows('year=2026/a.parquet'),
    [0, 1, 2].map((x) => ({ x, y: x })),
  );
});
