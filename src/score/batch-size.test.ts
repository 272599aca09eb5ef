import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addSample, chosenBatchSize, nextBatchSize, startSweep, type BatchSizeState } from './batch-size.ts';

/** Runs a sweep over a machine whose seconds per row are given. */
function sweep(rowsMax: number, secondsPerRow: (rows: number, measurement: number) => number): BatchSizeState {
  let state = startSweep(rowsMax);
  for (let sample = 0; chosenBatchSize(state) === undefined; sample++) {
    assert.ok(sample < 1000, 'the sweep ends');
    const rowCount = nextBatchSize(state);
    state = addSample(state, { rowCount, seconds: rowCount * secondsPerRow(rowCount, state.measurements) });
  }
  return state;
}

test('candidates are powers of two below the largest', () => {
  assert.deepEqual(startSweep(8192).candidates, [256, 512, 1024, 2048, 4096, 8192]);
  assert.deepEqual(startSweep(100).candidates, [4, 8, 16, 32, 64, 100]);
  assert.deepEqual(startSweep(2).candidates, [1, 2]);
  assert.deepEqual(startSweep(1).candidates, [1]);
});

test('the best size wins', () => {
  const state = sweep(8192, (rows) => (rows === 2048 ? 1 : 1.2));
  assert.equal(chosenBatchSize(state), 2048);
  assert.equal(nextBatchSize(state), 2048);
});

test('of sizes within three percent the smallest wins', () => {
  assert.equal(chosenBatchSize(sweep(8192, (rows) => (rows >= 512 ? 1 + 0.02 * Number(rows === 512) : 2))), 512);
  assert.equal(chosenBatchSize(sweep(8192, (rows) => (rows >= 512 ? 1 + 0.04 * Number(rows === 512) : 2))), 1024);
});

test('one quiet measurement of each size is enough: a disturbed one does not decide', () => {
  const state = sweep(8192, (rows, measurement) => (rows === 1024 ? 1 : 1.5) * (measurement % 5 === 0 ? 10 : 1));
  assert.equal(chosenBatchSize(state), 1024);
});

test('the first round does not count: it touches memory for the first time', () => {
  const state = sweep(8192, (rows, measurement) =>
    measurement < 6 ? (rows === 256 ? 0.001 : 5) : rows === 4096 ? 1 : 2,
  );
  assert.equal(chosenBatchSize(state), 4096);
});

test('a single lucky batch of a small size does not decide: all sizes are measured over as many rows', () => {
  let batches = 0;
  const state = sweep(8192, (rows) => (rows === 256 ? (batches++ % 16 === 0 ? 0.5 : 2) : 1));
  assert.equal(chosenBatchSize(state), 512);
});

test('a tail of another size is no sample', () => {
  const state = startSweep(8192);
  assert.equal(addSample(state, { rowCount: 77, seconds: 1 }), state);
});
