import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planStretches, type SampledShard } from './stretches.ts';

const shard = (rowGroupRows: readonly number[], bytes = 1000): SampledShard => ({
  rowCount: rowGroupRows.reduce((sum, rows) => sum + rows, 0),
  rowGroupRows,
  bytes,
});
const groups = (count: number, rows = 1000): number[] => new Array<number>(count).fill(rows);

test('the first and the last row group, and six between', () => {
  const stretches = planStretches([shard(groups(50)), shard(groups(51))], 4000);
  assert.deepEqual(
    stretches.map(({ shard: index, firstRow }) => [index, firstRow / 1000]),
    [
      [0, 0],
      [0, 13],
      [0, 25],
      [0, 38],
      [1, 0],
      [1, 13],
      [1, 25],
      [1, 50],
    ],
  );
  assert.ok(stretches.every(({ rowCount }) => rowCount === 500));
});

test('many small shards, some without rows', () => {
  const shards = Array.from({ length: 21 }, (_, index) => shard(index % 2 === 0 ? [10] : []));
  assert.deepEqual(
    planStretches(shards, 4096).map(({ shard: index, rowCount }) => [index, rowCount]),
    [0, 2, 6, 8, 10, 12, 16, 20].map((index) => [index, 10]),
  );
});

test('a single row group gives its first rows, and no rows give none', () => {
  assert.deepEqual(planStretches([shard([5000])], 4096), [{ shard: 0, firstRow: 0, rowCount: 4096 }]);
  assert.deepEqual(planStretches([shard([]), { rowCount: 0, rowGroupRows: undefined, bytes: 0 }], 10), []);
});

test('neighbours do not overlap, and what one lacks the next one gives', () => {
  const stretches = planStretches([shard([3, 1000])], 100);
  assert.deepEqual(stretches, [
    { shard: 0, firstRow: 0, rowCount: 3 },
    { shard: 0, firstRow: 3, rowCount: 97 },
  ]);
});

test('large row groups are read twice at most, in small jobs once', () => {
  const large = shard(groups(40, 122_880), 40 * 16 * 2 ** 20);
  assert.deepEqual(
    planStretches([large, large], 4096).map(({ shard: index, firstRow }) => [index, firstRow / 122_880]),
    [
      [0, 0],
      [1, 39],
    ],
  );
  assert.equal(planStretches([shard(groups(2), 32 * 2 ** 20)], 4096).length, 1);
});

test('where a shard can be read from its start only, that is all', () => {
  const whole = { rowCount: 50, rowGroupRows: undefined, bytes: 0 };
  assert.deepEqual(planStretches([whole, whole], 40), [{ shard: 0, firstRow: 0, rowCount: 40 }]);
});
