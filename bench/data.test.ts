import assert from 'node:assert/strict';
import { readFileSync, statSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { quotePath } from '../src/engines/duckdb/database.ts';
import { loadContract } from '../src/contract/load.ts';
import { readRows, tempDir, withConnection } from '../src/testing/shards.ts';
import { ensureWorkloads, featureCount, workloadNames } from './data.ts';

const rowCount = 5000;

test('ids are row numbers, features uniform over their range, countries all five', (t) => {
  const { shards } = ensureWorkloads(tempDir(t), rowCount);
  const rows = shards.flatMap((shard) => readRows(shard));
  assert.deepEqual(
    rows.map((row) => Number(row['id'])),
    Array.from({ length: 2 * rowCount }, (_, k) => k),
  );
  assert.equal(new Set(rows.map((row) => row['country'])).size, 5);
  for (let f = 0; f < featureCount; f++) {
    const values = rows.map((row) => Number(row[`f${f}`]));
    assert.ok(
      values.every((value) => value >= -0.5 && value <= f + 0.5),
      `range of f${f}`,
    );
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    // Five standard errors of the mean.
    assert.ok(Math.abs(mean - f / 2) < (5 * (f + 1)) / Math.sqrt(12 * values.length), `mean of f${f}: ${mean}`);
  }
  assert.notEqual(rows[0]!['f0'], rows[rowCount]!['f0'], 'shards differ');
});

test('what is whole stays, what is not is made anew, and the same', (t) => {
  const folder = tempDir(t);
  const { shards, models } = ensureWorkloads(folder, rowCount);
  const bytes = shards.map((shard) => readFileSync(shard));
  const written = statSync(shards[1]!).mtimeMs;
  ensureWorkloads(folder, rowCount);
  assert.equal(statSync(shards[1]!).mtimeMs, written);
  truncateSync(shards[1]!, 100);
  truncateSync(join(models['w3-trees'], 'tandem.json'), 1);
  ensureWorkloads(folder, rowCount);
  assert.ok(shards.every((shard, index) => readFileSync(shard).equals(bytes[index]!)));
  ensureWorkloads(folder, rowCount + 1);
  const countSql = `SELECT count(*) FROM read_parquet(${quotePath(shards[1]!)})`;
  const count = withConnection((connection) => connection.rows(countSql));
  assert.deepEqual(count, [[BigInt(rowCount + 1)]]);
});

test('every contract loads and names the columns of the shards', (t) => {
  const { models } = ensureWorkloads(tempDir(t), 10);
  for (const name of workloadNames) {
    const { contract } = loadContract(models[name]);
    const input = contract.inputs['x'];
    assert.ok(input !== undefined && 'features' in input);
    const columns = input.features.map((feature) => ('column' in feature.source ? feature.source.column : ''));
    assert.deepEqual(
      columns,
      Array.from({ length: featureCount }, (_, f) => `f${f}`),
      name,
    );
    const steps = input.features.flatMap((feature) => ('steps' in feature ? feature.steps : []));
    assert.equal(steps.length, name === 'w3-trees' ? 0 : 2 * featureCount, name);
    assert.deepEqual([contract.keep, contract.outputs], [['id'], { y: { columns: ['score'], select: undefined } }]);
  }
});
