import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runVirtually, type VirtualOptions, type VirtualPrepOptions } from './virtual-device.ts';
import type { VirtualGpuOptions } from './virtual-gpu.ts';
import { CheckedRows } from './virtual-rows.ts';
import { computeShares, shareOf, type Activity, type ComputeShares } from './virtual-times.ts';

const batchRows = 1_000;
/** Of each stage of a batch on the device. */
const stageSeconds = 0.001;
const copy = { bytesPerSecond: (batchRows * 100) / stageSeconds, bytesPerRow: 100, latencySeconds: 0 };

/** Copy in, compute and copy out take the same time. */
const evenGpu: VirtualGpuOptions = {
  buffers: 3,
  bufferRows: batchRows,
  batchSize: batchRows,
  copyIn: copy,
  copyOut: copy,
  computeSeconds: (rows) => (rows / batchRows) * stageSeconds,
};

/** Threads that are always ahead of a GPU of `evenGpu`. */
const fastPrep: VirtualPrepOptions = {
  threads: 4,
  slotsPerThread: 4,
  slotRows: 500,
  fillSecondsPerRow: 1e-7,
  writeSecondsPerRow: 1e-8,
  spanRows: [50_000, 50_000, 50_000, 50_000],
};

/** The steady middle of a run with one GPU. */
function middle(options: VirtualOptions): ComputeShares {
  const run = runVirtually(options);
  const { makespanSeconds } = run;
  return computeShares(run.timeline, 0, { fromSeconds: 0.1 * makespanSeconds, toSeconds: 0.9 * makespanSeconds });
}

test('three buffers hide both copies behind the computing', () => {
  const { busy } = middle({ prep: fastPrep, gpus: [evenGpu] });
  assert.ok(busy >= 0.95 && busy <= 1 + 1e-9, `busy ${busy} of the time, ideal: 1`);
});

test('two buffers hide one of the two copies', () => {
  const { busy, forBuffer, forCopyIn } = middle({ prep: fastPrep, gpus: [{ ...evenGpu, buffers: 2 }] });
  assert.ok(busy > 0.62 && busy < 0.68, `busy ${busy} of the time, ideal: 2 / 3`);
  assert.ok(forBuffer + forCopyIn > 0.3, 'and the rest of the time the GPU waits for a buffer and its rows');
});

test('one buffer hides nothing', () => {
  const { busy, forCopyIn, forBuffer } = middle({ prep: fastPrep, gpus: [{ ...evenGpu, buffers: 1 }] });
  for (const [what, share] of Object.entries({ busy, forCopyIn, forBuffer })) {
    assert.ok(share > 0.31 && share < 0.35, `${what} ${share} of the time, ideal: 1 / 3`);
  }
});

test('loader as the bottleneck: the GPU waits for rows, and nobody else waits', () => {
  const fillSecondsPerRow = 5e-6;
  const writeSecondsPerRow = 5e-7;
  const prep = { ...fastPrep, fillSecondsPerRow, writeSecondsPerRow };
  const fastCopy = { ...copy, bytesPerSecond: 20 * copy.bytesPerSecond };
  const run = runVirtually({ prep, gpus: [{ ...evenGpu, copyIn: fastCopy, copyOut: fastCopy }] });
  for (const { fillShare, writeShare } of run.threads) {
    assert.ok(fillShare + writeShare > 0.97, `a thread was busy ${fillShare + writeShare} of the time`);
  }
  const rowsPerSecond = prep.threads / (fillSecondsPerRow + writeSecondsPerRow);
  const predicted = rowsPerSecond * (stageSeconds / batchRows);
  const { busy, forRows } = run.gpus[0]!.compute;
  assert.ok(Math.abs(busy / predicted - 1) < 0.03, `GPU busy ${busy}, predicted ${predicted}`);
  assert.ok(forRows > 0.2 && forRows + busy > 0.75, `GPU waits ${forRows} of the time for rows`);
  assert.ok(run.rowsPerSecond <= rowsPerSecond);
});

test('model as the bottleneck: the GPU computes, and the threads wait for scores', () => {
  const slow = { ...evenGpu, computeSeconds: (rows: number) => (rows / batchRows) * 5 * stageSeconds };
  const run = runVirtually({ prep: fastPrep, gpus: [slow] });
  assert.ok(run.gpus[0]!.compute.busy > 0.97, `busy ${run.gpus[0]!.compute.busy}`);
  for (const { waitShare } of run.threads) assert.ok(waitShare > 0.9, `waits ${waitShare} of the time`);
  assert.ok(run.rowsPerSecond <= batchRows / (5 * stageSeconds));
});

const slowGpu = { ...evenGpu, computeSeconds: (rows: number) => (rows / batchRows) * 4 * stageSeconds };

test('a slow GPU of two gets less when slots go where the fewest rows wait', () => {
  const prep = { ...fastPrep, slotsPerThread: 8 };
  const { gpus, rowsPerSecond } = runVirtually({ prep, gpus: [evenGpu, slowGpu], handOver: 'fewestRows' });
  const share = gpus[1]!.rowCount / (gpus[0]!.rowCount + gpus[1]!.rowCount);
  assert.ok(share > 0.15 && share < 0.35, `the slow one got ${share}, its part of both rates: 0.2`);
  const both = (1.25 * batchRows) / stageSeconds;
  assert.ok(rowsPerSecond > 0.75 * both && rowsPerSecond <= both, `${rowsPerSecond} of ${both} rows/s`);
});

test('a slow GPU of two holds the other one up when slots go to both in turn', () => {
  const { gpus, rowsPerSecond } = runVirtually({ prep: fastPrep, gpus: [evenGpu, slowGpu], handOver: 'inTurn' });
  assert.equal(gpus[0]!.rowCount, gpus[1]!.rowCount);
  assert.ok(rowsPerSecond < (0.55 * batchRows) / stageSeconds, 'twice the rate of the slow one');
  assert.ok(gpus[0]!.compute.busy < 0.3);
});

test('a batch that is not full is scored at once when every thread waits for its slots', () => {
  const prep = { ...fastPrep, threads: 1, spanRows: [1_250] };
  const { gpus, makespanSeconds } = runVirtually({ prep, gpus: [evenGpu] });
  assert.deepEqual(
    gpus[0]!.batches.map((batch) => batch.rowCount),
    [1_000, 250],
  );
  assert.equal(gpus[0]!.starvedCount, 1);
  assert.ok(makespanSeconds < 0.005);
});

test('a batch that is not full waits a moment while a thread is still at work', () => {
  const prep = { ...fastPrep, threads: 2, slotRows: 250, fillSecondsPerRow: 0.1 / 250, spanRows: [250, 250, 250] };
  const { gpus } = runVirtually({ prep, gpus: [evenGpu] });
  assert.deepEqual(
    gpus[0]!.batches.map((batch) => batch.rowCount),
    [500, 250],
  );
  const [first] = gpus[0]!.batches;
  assert.ok(first!.startSeconds > 0.105 && first!.startSeconds < 0.11, `${first!.startSeconds} s`);
});

test('many small shards keep the threads as busy as a large one', () => {
  const seconds = [1_000, 250].map((rowCount) => {
    const spanRows = Array.from({ length: 40_000 / rowCount }, () => rowCount);
    return runVirtually({ prep: { ...fastPrep, spanRows }, gpus: [evenGpu] }).makespanSeconds;
  });
  assert.ok(seconds[1]! < 1.05 * seconds[0]!, `${seconds.join(' and ')} s`);
});

test('memory that does not suffice: parts of half the rows, and all scores in their places', () => {
  const gpu = { ...evenGpu, fits: (rows: number) => rows <= 300 };
  const slots = { count: 16, rows: fastPrep.slotRows };
  const prep = { ...fastPrep, spanRows: [10_000] };
  const rows = new CheckedRows(10_000, slots, [gpu]);
  const { gpus } = runVirtually({ prep, gpus: [gpu], rows });
  rows.expectAllOnce();
  assert.equal(gpus[0]!.batches.length, 10);
  assert.deepEqual(gpus[0]!.batches[0]!.partRows, [250, 250, 250, 250]);
  assert.equal(gpus[0]!.outOfMemoryCount, 20);
});

test('a carrier notices a row in a wrong place, and one that is missing', () => {
  const carry = (slotRow: number): CheckedRows => {
    const rows = new CheckedRows(4, { count: 1, rows: 4 }, [{ buffers: 1, bufferRows: 4 }]);
    rows.filled(0, 0, 4);
    rows.copiedIn(0, 0, { slot: 0, slotRow: 0, bufferRow: 0, rowCount: 4 });
    rows.ran(0, 0, { bufferRow: 0, rowCount: 4 });
    rows.copiedOut(0, 0, { slot: 0, slotRow, bufferRow: slotRow, rowCount: 4 - slotRow });
    rows.taken(0, 0, 4);
    return rows;
  };
  carry(0).expectAllOnce();
  assert.throws(() => carry(1), /score of row 0/);
  assert.throws(() => new CheckedRows(1, { count: 1, rows: 1 }, []).expectAllOnce(), /scores of row 0/);
});

test('shares of a window add up to its time, and activities are cut at its ends', () => {
  const gpu = { unit: 'gpu', index: 0, rowCount: 1 } as const;
  const timeline: Activity[] = [
    { ...gpu, what: 'copyIn', startSeconds: 0, endSeconds: 2 },
    { ...gpu, what: 'lastCopy', startSeconds: 0, endSeconds: 2 },
    { ...gpu, what: 'compute', startSeconds: 1, endSeconds: 4 },
    { ...gpu, what: 'noBuffer', startSeconds: 1, endSeconds: 6 },
    { ...gpu, what: 'compute', index: 1, startSeconds: 0, endSeconds: 10 },
  ];
  const whole = { fromSeconds: 0, toSeconds: 10 };
  assert.deepEqual(computeShares(timeline, 0, whole), { busy: 0.3, forCopyIn: 0.1, forBuffer: 0.2, forRows: 0.4 });
  const part = { fromSeconds: 3, toSeconds: 5 };
  assert.deepEqual(computeShares(timeline, 0, part), { busy: 0.5, forCopyIn: 0, forBuffer: 0.5, forRows: 0 });
  assert.equal(shareOf(timeline, { unit: 'gpu', index: 0, what: 'copyIn' }, { fromSeconds: 1, toSeconds: 5 }), 0.25);
});
