import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgressMeter } from './progress.ts';

const state = (shardsDone: number, batchSize?: number) => ({
  shardsDone,
  batchSize,
  bottleneck: shardsDone === 0 ? undefined : 'storage',
});
const totals = { rowsTotal: 1000, shardsTotal: 4, shardsSkipped: 1 };

test('rates: now over the last seconds, mean since the start', () => {
  const meter = new ProgressMeter(totals, 10_000);
  meter.measure('scoring', { atMs: 11_000, rowsDone: 100 }, state(0));
  meter.measure('scoring', { atMs: 13_000, rowsDone: 300 }, state(1, 2048));
  const progress = meter.measure('scoring', { atMs: 16_000, rowsDone: 900 }, state(3, 2048));
  // The window is three seconds: from 300 rows at 13 s to 900 at 16 s.
  assert.equal(progress.rowsPerSecondNow, 200);
  assert.equal(progress.rowsPerSecondMean, 150);
  assert.equal(progress.secondsLeft, 0.5);
  assert.equal(progress.secondsElapsed, 6);
  assert.deepEqual(
    [progress.shardsDone, progress.shardsTotal, progress.shardsSkipped, progress.batchSize, progress.bottleneck],
    [3, 4, 1, 2048, 'storage'],
  );
});

test('nothing measured: no time left is claimed', () => {
  const progress = new ProgressMeter(totals, 0).measure('scoring', { atMs: 0, rowsDone: 0 }, state(0));
  assert.equal(progress.rowsPerSecondNow, 0);
  assert.equal(progress.secondsLeft, undefined);
});

test('all rows done: nothing is left, however slow', () => {
  assert.equal(new ProgressMeter(totals, 0).measure('done', { atMs: 5, rowsDone: 1000 }, state(4, 64)).secondsLeft, 0);
});
