import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { score } from '../../src/index.ts';
import { randomNetwork, scoreNetwork } from '../../src/testing/networks.ts';
import { readRows, tempDir } from '../../src/testing/shards.ts';
import { wideTable, wideWidth } from './study-tables.ts';

test('the wide table holds what it says, and Tandem scores it as the network in plain TypeScript does', async (t) => {
  const folder = tempDir(t);
  const table = wideTable(6, folder);
  assert.equal(table.rowCount, 6);
  const output = join(folder, 'scores');
  await score({ shards: table.shards, model: table.model, output, useProfile: false });
  const network = randomNetwork([wideWidth, 64, 1], 5);
  const found = ['w0', 'w1'].flatMap((name) => readRows(join(output, `${name}.parquet`)));
  assert.deepEqual(
    found.map(({ id }) => Number(id)),
    [0, 1, 2, 3, 4, 5],
  );
  found.forEach(({ score: given }, id) => {
    const row = Array.from({ length: wideWidth }, (_, j) => (((31 * id + 7 * j) % 16) / 16 - 0.46875) / 0.28819);
    const [expected] = scoreNetwork(network, row.map(Math.fround));
    assert.ok(Math.abs(Number(given) - expected!) < 1e-4, `row ${id}: ${given} instead of ${expected}`);
  });
});
