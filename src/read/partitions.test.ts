import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partitionColumns } from './partitions.ts';

const types: readonly (readonly [texts: readonly string[], type: string])[] = [
  [['1', '-20', '007'], 'BIGINT'],
  [['1', '1.5'], 'VARCHAR'],
  [['1', '1234567890123456789'], 'VARCHAR'],
  [['2026-05-01', '2024-02-29'], 'DATE'],
  [['2026-05-01', '2026-02-30'], 'VARCHAR'],
  [['2026-05-01', '2026-05-01 12%3A30%3A00'], 'TIMESTAMP'],
  [['2026-05-01T12:30', '2026-05-01 23:59:59.5'], 'TIMESTAMP'],
  [['2026-05-01 25:00'], 'VARCHAR'],
  [['2026-05-01', '1'], 'VARCHAR'],
  [['', 'DE'], 'VARCHAR'],
  [['3', '__HIVE_DEFAULT_PARTITION__'], 'BIGINT'],
  [['__HIVE_DEFAULT_PARTITION__'], 'VARCHAR'],
];

for (const [texts, type] of types)
  test(`keys ${texts.map((text) => JSON.stringify(text)).join(', ')} are ${type}`, () => {
    const columns = partitionColumns(texts.map((text) => `/data/k=${text}/part.parquet`));
    for (const [column] of columns) assert.equal(column!.type, type);
  });

test('names and values are decoded, quotes doubled, other folders and the file itself passed over', () => {
  const [none, some] = partitionColumns(['/data/x/a=1.parquet', "/da=ta/my%20key=it's%20100%/=x/b=2/b=3/part.parquet"]);
  assert.deepEqual(none, []);
  assert.deepEqual(some, [
    { name: 'da', type: 'VARCHAR', sql: "'ta'::VARCHAR" },
    { name: 'my key', type: 'VARCHAR', sql: "'it''s%20100%'::VARCHAR" },
    { name: 'b', type: 'BIGINT', sql: "'3'::BIGINT" },
  ]);
});

test('names that differ in capitals are one key: the last value counts, and types are those of all paths', () => {
  const columns = partitionColumns(['/DT=1/dt=2/part.parquet', '/Dt=x/part.parquet']);
  assert.deepEqual(columns, [
    [{ name: 'dt', type: 'VARCHAR', sql: "'2'::VARCHAR" }],
    [{ name: 'Dt', type: 'VARCHAR', sql: "'x'::VARCHAR" }],
  ]);
});
