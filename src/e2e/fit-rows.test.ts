/** `fit` over the rows that are taken, in units of several blocks. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FitPlace, type Json } from './fit-place.ts';

/** Row k holds k. */
const rowCount = 2_500_000;
const low = 2_200_000;

for (const threads of [1, 3]) {
  test(`a fit of ${threads} threads reads the rows that contract and options take, under new names`, async (t) => {
    const rest = { renames: { was: 'v' }, where: `v >= ${low}` };
    const here = new FitPlace(t, []);
    here.writeContract({
      inputs: {
        x: [
          { column: 'v', minMax: 'fit' },
          { column: 'k', index: 'fit' },
        ],
      },
      ...rest,
    });
    here.shard('g=1/a.parquet', `SELECT i AS was, i % 3 AS k FROM range(${rowCount}) rows(i)`);
    here.shard('g=2/b.parquet', 'SELECT i AS v, 9 AS k FROM range(10) rows(i)');
    const report = await here.fit({ threads, where: 'g = 1 AND (k = 1 OR v % 3 = 2)', limit: 150_000 });
    assert.deepEqual([report.rowCount, report.shards], [150_000, 1]);
    const written = JSON.parse(here.text) as { inputs: { x: Json[] }; fitted: Json };
    const [v, k] = written.inputs.x;
    // Two of three rows: 2,200,000 is no multiple of 3 (it leaves 1), so both it and the next one are taken.
    assert.deepEqual(v!['minMax'], [low, low + 224_998]);
    assert.deepEqual([...(k!['index'] as number[])].sort(), [1, 2]);
    assert.deepEqual(written.fitted, { rows: 150_000, shards: 1, where: 'g = 1 AND (k = 1 OR v % 3 = 2)' });
  });
}
