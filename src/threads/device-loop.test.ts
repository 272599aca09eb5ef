import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GpuError } from '../engines/cuda/driver.ts';
import { startController } from '../score/device-batch-size.ts';
import type { DeviceTimes, RunRows } from '../score/device-scorer.ts';
import type { Received } from '../transfer/slot-queue.ts';
import { DeviceLoop, inFewShapes, type DeviceLoopParts } from './device-loop.ts';

/** A device that computes in no time, and fails as a test says: `fail` is told each attempt's runs. */
class InstantScorer {
  readonly attempts: (readonly RunRows[])[] = [];
  readonly #fail: (runs: readonly RunRows[], attempt: number) => GpuError | undefined;

  constructor(fail: (runs: readonly RunRows[], attempt: number) => GpuError | undefined) {
    this.#fail = fail;
  }

  copyIn(): void {}

  score(_buffer: number, runs: readonly RunRows[]): void {
    this.attempts.push(runs);
    const failure = this.#fail(runs, this.attempts.length - 1);
    if (failure !== undefined) throw failure;
  }

  isDone(): boolean {
    return true;
  }

  block(): void {}

  computeSeconds(): number {
    return 1;
  }

  times(): DeviceTimes {
    return { copyStartMs: 0, copiedMs: 0, startedMs: 0, computedMs: 0, deliveredMs: 0 };
  }
}

/** Slots of so many rows, all there from the start. */
class ReadySlots {
  readonly givenBack: number[] = [];
  readonly producersAreIdle = true;
  readonly #rows: readonly number[];
  #next = 0;

  constructor(rows: readonly number[]) {
    this.#rows = rows;
  }

  receive(): Received {
    const slot = this.#next++;
    if (slot > this.#rows.length) return undefined;
    const rowCount = this.#rows[slot];
    return rowCount === undefined ? 'ended' : { slot, address: { shardIndex: 0, firstRow: 0, rowCount } };
  }

  wait(): boolean {
    return false;
  }

  giveBack(slot: number): void {
    this.givenBack.push(slot);
  }
}

const outOfMemory = (): GpuError => new GpuError(2, 'out of memory');

function loopOf(
  scorer: InstantScorer,
  receiver: ReadySlots,
  changes: Partial<DeviceLoopParts> & Pick<DeviceLoopParts, 'batchSize' | 'bufferRows'>,
): DeviceLoop {
  return new DeviceLoop({
    scorer,
    receiver,
    buffers: 3,
    canSplit: true,
    look: () => ({ freeBytes: 2 ** 33, heldBytes: 0 }),
    warmedUp: () => false,
    renewSession: () => {},
    onBatchSize: () => {},
    onDecision: () => {},
    sheet: { enter: () => 'driving', countShape: () => {}, batchDone: () => {}, end: () => {} },
    reportedShare: { begin() {}, tick() {}, end: () => ({ problem: 'nobody looks' }) },
    nowMs: () => 0,
    ...changes,
  });
}

test('when the device is lost, every slot that has not gone back is known, the scored ones too', () => {
  // Batches of 8: slot 0 ends in the first, whose scores come while the second is split; then the third fails.
  const receiver = new ReadySlots([4, 28]);
  const failures = [undefined, outOfMemory(), new GpuError(700, 'illegal memory access')];
  const loop = loopOf(new InstantScorer((_, attempt) => failures[attempt]), receiver, { batchSize: 8, bufferRows: 8 });
  assert.throws(() => loop.run(), { name: 'GpuError', kind: 'lost' });
  assert.deepEqual([...receiver.givenBack, ...loop.heldSlots].sort(), [0, 1]);
});

test('a batch that does not fit is run in few parts, even while memory is to be given back', () => {
  const gib = 2 ** 30;
  const bufferRows = 2 ** 17;
  const limits = { totalBytes: 8 * gib, freeBytes: 8 * gib, bytesPerRow: 8, deviceBuffers: 3, hostBytesMax: Infinity };
  const scorer = new InstantScorer((runs) => (runs[0]!.rowCount > 70_000 ? outOfMemory() : undefined));
  const receiver = new ReadySlots(new Array<number>(400).fill(bufferRows / 2));
  loopOf(scorer, receiver, { batchSize: startController({ ...limits, rowsMax: bufferRows }), bufferRows }).run();
  assert.ok(
    scorer.attempts.some((runs) => runs[0]!.rowCount > 70_000),
    'nothing failed',
  );
  assert.equal(Math.max(...scorer.attempts.map((runs) => runs.length)), 2);
  assert.equal(receiver.givenBack.length, 400);
});

test('the parts of a split batch begin at rows whose address is aligned', () => {
  for (const [batchSize, fits, firstRows] of [
    [1000, 600, [0, 448, 896]],
    [100, 60, [0, 48, 96]],
    [30, 20, [0, 8, 16, 24]],
    [7, 4, [0, 4]],
    [3, 1, [0, 1, 2]],
  ] as const) {
    const scorer = new InstantScorer((runs) => (runs[0]!.rowCount > fits ? outOfMemory() : undefined));
    loopOf(scorer, new ReadySlots([batchSize]), { batchSize, bufferRows: batchSize }).run();
    assert.deepEqual(
      scorer.attempts.at(-1)!.map(({ bufferRow }) => bufferRow),
      firstRows,
    );
  }
});

test('batches of any size are run at few sizes, each row once and from an aligned row on', () => {
  const sizes = new Set<number>();
  for (let rowCount = 1; rowCount <= 5_000; rowCount++) {
    let next = 0;
    for (const run of inFewShapes(rowCount)) {
      assert.equal(run.bufferRow, next);
      assert.equal(run.bufferRow % 16, 0);
      next += run.rowCount;
      sizes.add(run.rowCount);
    }
    assert.equal(next, rowCount);
  }
  assert.deepEqual(
    [...sizes].sort((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096],
  );
});
