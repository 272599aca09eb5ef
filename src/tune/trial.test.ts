import assert from 'node:assert/strict';
import { test } from 'node:test';
import { steadyPart } from './trial.ts';
import { modelRate, sizesAround, threadCounts } from './tuner.ts';

test('the start of a trial does not count', () => {
  const slow = [0, 100, 200].map((atMs) => ({ atMs: 1000 + atMs, rows: 1 + atMs / 100, modelSeconds: 0 }));
  const steady = [300, 400, 800].map((atMs) => ({ atMs: 1000 + atMs, rows: 10 * atMs, modelSeconds: atMs / 1000 }));
  // A quarter of 800 ms is at 1200: the row of that moment is the first that counts.
  assert.deepEqual(steadyPart([...slow, ...steady], 0, 5000), { rows: 7997, seconds: 0.6, modelSeconds: 0.8 });
});

test('a job that is over at once counts as a whole', () => {
  const once = [{ atMs: 900, rows: 50, modelSeconds: 0.1 }];
  assert.deepEqual(steadyPart(once, 500, 1000), { rows: 50, seconds: 0.5, modelSeconds: 0.1 });
  assert.deepEqual(steadyPart([], 500, 1000), { rows: 0, seconds: 0.5, modelSeconds: 0 });
});

test('thread counts', () => {
  assert.deepEqual([1, 2, 3, 4, 6, 16].map(threadCounts), [
    [1],
    [1, 2],
    [1, 2, 3],
    [1, 2, 4],
    [1, 2, 4, 6],
    [1, 2, 4, 8, 16],
  ]);
});

const finding = {
  deviceIndex: 0,
  chosen: undefined,
  sizes: [64, 256, 512, 768, 1024, 4096].map((rows) => ({ rows, rowsPerSecond: rows * 2 })),
  memory: undefined,
  searchRuns: 1,
  provesProfile: false,
  reason: '',
};

test('batch sizes are those that the search timed around its own', () => {
  assert.deepEqual(sizesAround(512, finding), [256, 512, 1024]);
  assert.deepEqual(sizesAround(1024, finding), [512, 1024, 4096]);
  assert.deepEqual(sizesAround(4096, finding), [1024, 4096]);
  assert.deepEqual(sizesAround(64, finding), [64, 256]);
  assert.deepEqual(sizesAround(100, undefined), [100]);
});

test('the rate of all GPUs, where each has timed the size', () => {
  assert.equal(modelRate(512, [finding, { ...finding, deviceIndex: 1 }]), 2048);
  assert.equal(modelRate(100, [finding]), undefined);
  assert.equal(modelRate(512, []), undefined);
});
