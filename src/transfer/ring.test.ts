import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { TandemError } from '../errors.ts';
import { control } from '../messages.ts';
import type { OutputLayout } from '../plan.ts';
import { createRing, RingFiller, RingReader } from './ring.ts';

const outputs: readonly OutputLayout[] = [
  { name: 'row', elementType: 'float64', rowShape: [1], width: 1 },
  { name: 'pair', elementType: 'int32', rowShape: [2], width: 2 },
];

function spansOf(rowCount: number, spanRows: number): { firstRow: number; rowCount: number }[] {
  return Array.from({ length: Math.ceil(rowCount / spanRows) }, (_, index) => ({
    firstRow: index * spanRows,
    rowCount: Math.min(spanRows, rowCount - index * spanRows),
  }));
}

function flags(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(control.length * 4));
}

/** A thread that fills spans until there are none: row k holds k, and the pair k, -k. */
const fillerSource = `
  import { workerData } from 'node:worker_threads';
  import { RingFiller } from ${JSON.stringify(new URL('./ring.js', import.meta.url).href)};
  const { memory, outputs, shared, batchRows } = workerData;
  const filler = new RingFiller(memory, outputs, shared);
  for (let span = filler.takeSpan(); span !== undefined; span = filler.takeSpan()) {
    for (let row = span.firstRow; row < span.firstRow + span.rowCount; row += batchRows) {
      const take = Math.min(batchRows, span.firstRow + span.rowCount - row);
      filler.put(span.index, row, take, [
        Float64Array.from({ length: take }, (_, index) => row + index),
        Int32Array.from({ length: take * 2 }, (_, index) => (row + (index >> 1)) * (index % 2 === 0 ? 1 : -1)),
      ]);
    }
  }`;

for (const [rowCount, spanRows, batchRows, capacityRows, readRows, threads] of [
  [1, 1, 1, 1, 1, 1],
  [10, 3, 2, 4, 3, 1],
  [100, 7, 7, 8, 5, 2],
  [1000, 250, 64, 100, 2048, 2],
  [1000, 1000, 1000, 1000, 2048, 3],
  [20_000, 700, 100, 1500, 2048, 3],
] as const) {
  test(`rows come out in order: ${rowCount} rows, spans of ${spanRows}, ring of ${capacityRows}, ${threads} threads`, async () => {
    const shared = flags();
    const memory = createRing(0, { spans: spansOf(rowCount, spanRows), capacityRows }, outputs);
    const entry = new URL(`data:text/javascript,${encodeURIComponent(fillerSource)}`);
    const workers = Array.from(
      { length: threads },
      () => new Worker(entry, { workerData: { memory, outputs, shared, batchRows } }),
    );
    const ended = Promise.all(
      workers.map((worker) => new Promise((resolve, reject) => worker.once('exit', resolve).once('error', reject))),
    );
    const reader = new RingReader(memory, outputs, shared);
    const [rows, pairs] = reader.outputs;
    let expected = 0;
    for (let next = reader.next(readRows); next.rowCount > 0; next = reader.next(readRows)) {
      for (let row = next.ringRow; row < next.ringRow + next.rowCount; row++, expected++) {
        assert.equal(rows![row], expected);
        assert.equal(pairs![row * 2], expected);
        assert.equal(pairs![row * 2 + 1], 0 - expected);
      }
    }
    assert.equal(expected, rowCount);
    await ended;
  });
}

test('whoever waits wakes up when the run is stopped', () => {
  const shared = flags();
  const memory = createRing(0, { spans: spansOf(10, 10), capacityRows: 4 }, outputs);
  Atomics.store(shared, control.stop, 1);
  const stopped = (error: unknown): boolean => error instanceof TandemError && error.code === 'STOPPED';
  assert.throws(() => new RingReader(memory, outputs, shared).next(4), stopped);
  assert.throws(
    () => new RingFiller(memory, outputs, shared).put(0, 4, 4, [new Float64Array(4), new Int32Array(8)]),
    stopped,
  );
});
