import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgressMeter } from './progress.ts';

const state = (shardsDone: number, batchSize?: number, rowsPerSecond?: number) => ({
  shardsDone,
  batchSize,
  bottleneck: shardsDone === 0 ? undefined : 'storage',
  rowsPerSecond,
});
const totals = { rowsTotal: 1000, shardsTotal: 4, shardsSkipped: 1 };

test('rates: now as it is told, mean since the start', () => {
  const meter = new ProgressMeter(totals, 10_000);
  for (const [atMs, rowsDone] of [
    [11_000, 100],
    [12_000, 200],
    [13_000, 300],
  ] as const)
    meter.measure('scoring', { atMs, rowsDone }, state(0));
  const progress = meter.measure('scoring', { atMs: 16_000, rowsDone: 900 }, state(3, 2048, 200));
  assert.equal(progress.rowsPerSecondNow, 200);
  assert.equal(progress.rowsPerSecondMean, 150);
  assert.equal(progress.secondsLeft, 0.5);
  assert.equal(progress.secondsElapsed, 6);
  assert.deepEqual(
    [progress.shardsDone, progress.shardsTotal, progress.shardsSkipped, progress.batchSize, progress.bottleneck],
    [3, 4, 1, 2048, 'storage'],
  );
});

test('the time left is told once rows have come for some seconds, more than once', () => {
  const leftOf = (samples: readonly (readonly [seconds: number, rowsDone: number])[]): unknown[] => {
    const meter = new ProgressMeter(totals, 0);
    return samples.map(
      ([seconds, rowsDone]) =>
        meter.measure('scoring', { atMs: 1000 * seconds, rowsDone }, state(0, 64, 100)).secondsLeft,
    );
  };
  const none = undefined;
  assert.deepEqual(
    leftOf([
      [1, 0],
      [2, 100],
      [3, 200],
      [3.9, 300],
      [4, 400],
      [5, 500],
    ]),
    [none, none, none, none, 6, 5],
  );
  // One slot that took long, and nothing since.
  assert.deepEqual(
    leftOf([
      [30, 500],
      [31, 500],
      [34, 500],
      [60, 600],
    ]),
    [none, none, none, none],
  );
  assert.deepEqual(leftOf([[0.2, 1000]]), [0]);
});

test('nothing measured: no time left is claimed', () => {
  const progress = new ProgressMeter(totals, 0).measure('scoring', { atMs: 0, rowsDone: 0 }, state(0));
  assert.deepEqual([progress.rowsPerSecondNow, progress.rowsPerSecondMean, progress.secondsLeft], [0, 0, undefined]);
});
