import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../testing/random.ts';
import { runVirtually, type VirtualOptions, type VirtualRun } from '../testing/virtual-device.ts';
import type { VirtualGpuOptions } from '../testing/virtual-gpu.ts';
import { CheckedRows } from '../testing/virtual-rows.ts';
import {
  inFlight,
  isFinished,
  isPartlyFilled,
  startFlow,
  step,
  type FlowAction,
  type FlowEvent,
  type FlowState,
  type Part,
} from './device-flow.ts';

/** Carries on from event to event; keeps the latest actions in short words. */
class Flow {
  state: FlowState;

  constructor(buffers: number, bufferRows: number, batchSize = bufferRows) {
    this.state = startFlow(buffers, bufferRows, batchSize);
  }

  /** `in 0: slot 3 [4, 6) at 2`, `score 0: [0, 8)`, `release 3` */
  on(event: FlowEvent): string[] {
    return this.actions(event).map((action) => {
      switch (action.kind) {
        case 'copyIn': {
          const { slot, slotRow, rowCount, bufferRow } = action.piece;
          return `in ${action.buffer}: slot ${slot} ${range(slotRow, rowCount)} at ${bufferRow}`;
        }
        case 'score':
          return `score ${action.buffer}: ${action.parts.map(partText).join(' ')}`;
        case 'release':
          return `release ${action.slot}`;
      }
    });
  }

  actions(event: FlowEvent): readonly FlowAction[] {
    const { state, actions } = step(this.state, event);
    this.state = state;
    return actions;
  }

  slot(slot: number, rowCount: number): string[] {
    return this.on({ kind: 'slotFilled', slot, rowCount });
  }

  scored(buffer: number): string[] {
    return this.on({ kind: 'scored', buffer });
  }
}

function range(first: number, count: number): string {
  return `[${first}, ${first + count})`;
}

function partText({ bufferRow, rowCount }: Part): string {
  return range(bufferRow, rowCount);
}

test('a slot of exactly a batch is scored at once', () => {
  const flow = new Flow(2, 8);
  assert.deepEqual(flow.slot(0, 8), ['in 0: slot 0 [0, 8) at 0', 'score 0: [0, 8)']);
  assert.deepEqual(inFlight(flow.state), [0]);
  assert.deepEqual(flow.scored(0), ['release 0']);
  assert.deepEqual(inFlight(flow.state), []);
});

test('small slots are joined, in the order in which they came', () => {
  const flow = new Flow(2, 8);
  assert.deepEqual(flow.slot(4, 3), ['in 0: slot 4 [0, 3) at 0']);
  assert.deepEqual(flow.slot(2, 3), ['in 0: slot 2 [0, 3) at 3']);
  assert.ok(isPartlyFilled(flow.state));
  const third = ['in 0: slot 7 [0, 2) at 6', 'score 0: [0, 8)', 'in 1: slot 7 [2, 3) at 0'];
  assert.deepEqual(flow.slot(7, 3), third);
  assert.deepEqual(flow.scored(0), ['release 4', 'release 2'], 'slot 7 has a row in the other buffer');
});

test('a large slot is cut; it is released when all its pieces are scored, in whatever order', () => {
  const flow = new Flow(3, 8);
  assert.deepEqual(flow.slot(0, 20), [
    'in 0: slot 0 [0, 8) at 0',
    'score 0: [0, 8)',
    'in 1: slot 0 [8, 16) at 0',
    'score 1: [0, 8)',
    'in 2: slot 0 [16, 20) at 0',
  ]);
  assert.deepEqual(flow.on({ kind: 'starved' }), ['score 2: [0, 4)']);
  assert.deepEqual(flow.scored(1), []);
  assert.deepEqual(flow.scored(2), []);
  assert.deepEqual(flow.scored(0), ['release 0']);
});

test('what finds no buffer waits for the first one that is scored', () => {
  const flow = new Flow(1, 8);
  assert.equal(flow.slot(0, 8).length, 2);
  assert.deepEqual(flow.slot(1, 12), []);
  assert.deepEqual(flow.scored(0), ['release 0', 'in 0: slot 1 [0, 8) at 0', 'score 0: [0, 8)']);
  assert.deepEqual(flow.scored(0), ['in 0: slot 1 [8, 12) at 0']);
});

test('the tail is scored at its own size when the slots have ended, not before they are all in buffers', () => {
  const flow = new Flow(1, 8);
  flow.slot(0, 8);
  flow.slot(1, 3);
  assert.deepEqual(flow.on({ kind: 'slotsEnded' }), []);
  assert.ok(!isFinished(flow.state));
  assert.deepEqual(flow.scored(0), ['release 0', 'in 0: slot 1 [0, 3) at 0', 'score 0: [0, 3)']);
  assert.ok(!isFinished(flow.state));
  assert.deepEqual(flow.scored(0), ['release 1']);
  assert.ok(isFinished(flow.state));
});

test('ended with nothing is finished', () => {
  const flow = new Flow(3, 8);
  assert.ok(!isFinished(flow.state));
  assert.deepEqual(flow.on({ kind: 'slotsEnded' }), []);
  assert.ok(isFinished(flow.state));
});

test('a device that starves scores what there is, and nothing when there is nothing', () => {
  const flow = new Flow(2, 8);
  assert.deepEqual(flow.on({ kind: 'starved' }), []);
  flow.slot(0, 5);
  assert.deepEqual(flow.on({ kind: 'starved' }), ['score 0: [0, 5)']);
  assert.ok(!isPartlyFilled(flow.state));
  assert.deepEqual(flow.slot(1, 2), ['in 1: slot 1 [0, 2) at 0'], 'what comes later goes elsewhere');
});

test('a batch size that goes down below what a buffer holds sends it off', () => {
  for (const [held, batchSize, sentOff] of [
    [5, 4, true],
    [5, 5, true],
    [5, 6, false],
  ] as const) {
    const flow = new Flow(2, 8);
    flow.slot(0, held);
    const actions = flow.on({ kind: 'batchSize', rowCount: batchSize });
    assert.deepEqual(actions, sentOff ? ['score 0: [0, 5)'] : [], `${held} rows, batch size ${batchSize}`);
    const next = sentOff ? `in 1: slot 1 ${range(0, batchSize)} at 0` : `in 0: slot 1 [0, 1) at 5`;
    assert.equal(flow.slot(1, batchSize)[0], next);
  }
});

test('a batch size above what a buffer holds is the buffer', () => {
  const flow = new Flow(1, 8, 100);
  assert.deepEqual(flow.slot(0, 9), ['in 0: slot 0 [0, 8) at 0', 'score 0: [0, 8)']);
  const smaller = new Flow(1, 8, 4);
  smaller.on({ kind: 'batchSize', rowCount: 100 });
  assert.deepEqual(smaller.slot(0, 9), ['in 0: slot 0 [0, 8) at 0', 'score 0: [0, 8)']);
});

test('parts after out of memory cover exactly the rows, and the pieces stay', () => {
  for (const rowCount of [1, 2, 3, 7, 8]) {
    for (let partRowsMax = 1; partRowsMax <= rowCount; partRowsMax++) {
      const flow = new Flow(1, 8);
      flow.slot(0, rowCount);
      if (rowCount < 8) flow.on({ kind: 'starved' });
      const [action, ...others] = flow.actions({ kind: 'outOfMemory', buffer: 0, partRowsMax });
      assert.ok(action?.kind === 'score' && others.length === 0);
      let next = 0;
      for (const part of action.parts) {
        assert.equal(part.bufferRow, next);
        assert.ok(part.rowCount >= 1 && part.rowCount <= partRowsMax);
        next += part.rowCount;
      }
      assert.equal(next, rowCount, `${rowCount} rows in parts of ${partRowsMax}`);
      assert.deepEqual(action.pieces, [{ slot: 0, slotRow: 0, bufferRow: 0, rowCount }]);
      assert.deepEqual(flow.scored(0), ['release 0']);
    }
  }
});

test('every row of every slot is in one piece, and pieces of a buffer do not overlap', () => {
  const random = seededRandom(1);
  for (let round = 0; round < 200; round++) {
    const flow = new Flow(1 + whole(random, 4), 1 + whole(random, 40), 1 + whole(random, 50));
    const slotRows = Array.from({ length: 1 + whole(random, 20) }, () => 1 + whole(random, 60));
    const covered = slotRows.map(() => 0);
    const released = new Set<number>();
    const take = (event: FlowEvent): void => {
      for (const action of flow.actions(event)) {
        if (action.kind === 'release') {
          assert.equal(covered[action.slot], slotRows[action.slot], 'released with all its rows in buffers');
          assert.ok(!released.has(action.slot));
          released.add(action.slot);
        } else if (action.kind === 'copyIn') {
          assert.equal(action.piece.slotRow, covered[action.piece.slot], 'pieces follow each other');
          covered[action.piece.slot]! += action.piece.rowCount;
        } else {
          action.pieces.reduce((next, { bufferRow, rowCount }) => {
            assert.equal(bufferRow, next);
            return next + rowCount;
          }, 0);
        }
      }
    };
    slotRows.forEach((rowCount, slot) => {
      take({ kind: 'slotFilled', slot, rowCount });
      const event = whole(random, 4);
      if (event === 0) take({ kind: 'batchSize', rowCount: 1 + whole(random, 50) });
      if (event === 1 && inFlight(flow.state).length === 0) take({ kind: 'starved' });
      const busy = inFlight(flow.state);
      if (event >= 2 && busy.length > 0) take({ kind: 'scored', buffer: busy[whole(random, busy.length)]! });
    });
    take({ kind: 'slotsEnded' });
    for (let left = 10_000; !isFinished(flow.state); left--) {
      assert.ok(left > 0, 'no end');
      const busy = inFlight(flow.state);
      take({ kind: 'scored', buffer: busy[whole(random, busy.length)]! });
    }
    assert.deepEqual(covered, slotRows);
    assert.equal(released.size, slotRows.length);
  }
});

/** 0 to count - 1. */
function whole(random: () => number, count: number): number {
  return Math.floor(random() * count);
}

function randomGpu(random: () => number): VirtualGpuOptions {
  const bufferRows = 1 + whole(random, 64);
  const secondsPerRow = 1e-5 * 10 ** (2 * random());
  const rowsThatFit = 1 + whole(random, 2 * bufferRows);
  const troubled = random() < 0.5;
  const changing = random() < 0.5;
  const copy = () => ({
    bytesPerSecond: 1e6 * 10 ** (2 * random()),
    bytesPerRow: 128,
    latencySeconds: 1e-5 * random(),
  });
  return {
    buffers: 1 + whole(random, 4),
    bufferRows,
    batchSize: 1 + whole(random, 80),
    copyIn: copy(),
    copyOut: copy(),
    computeSeconds: (rows) => 1e-5 + rows * secondsPerRow,
    // Other processes take and free memory: what fits now may not fit later. One row always does.
    fits: (rows) => !troubled || rows <= rowsThatFit || (rows > 1 && random() < 0.5),
    nextBatchSize: () => (changing && random() < 0.3 ? 1 + whole(random, 80) : undefined),
  };
}

function randomRun(seed: number): { readonly options: VirtualOptions; readonly rows: CheckedRows } {
  const random = seededRandom(seed);
  const prep = {
    threads: 1 + whole(random, 5),
    slotsPerThread: 1 + whole(random, 5),
    slotRows: 1 + whole(random, 100),
    fillSecondsPerRow: 1e-6 * 10 ** (3 * random()),
    writeSecondsPerRow: random() < 0.3 ? 0 : 1e-6 * 10 ** (2 * random()),
    spanRows: Array.from({ length: whole(random, 12) }, () => whole(random, 400)),
  };
  const gpus = Array.from({ length: 1 + whole(random, 4) }, () => randomGpu(random));
  const rowCount = prep.spanRows.reduce((sum, rows) => sum + rows, 0);
  const rows = new CheckedRows(rowCount, { count: prep.threads * prep.slotsPerThread, rows: prep.slotRows }, gpus);
  const handOver = random() < 0.5 ? 'inTurn' : 'fewestRows';
  const jitter = random() < 0.5 ? () => 1 : () => 0.2 + 2 * random();
  return { options: { prep, gpus, rows, handOver, jitter, stepsMax: 200_000 }, rows };
}

test('random schedules: every row is scored once and in its place, every slot comes back, nothing gets stuck', () => {
  const seen = { outOfMemory: 0, starved: 0, split: 0, joined: 0, rows: 0 };
  for (let seed = 1; seed <= 400; seed++) {
    const { options, rows } = randomRun(seed);
    let run: VirtualRun;
    try {
      run = runVirtually(options);
      rows.expectAllOnce();
    } catch (cause) {
      throw new Error(`schedule ${seed}`, { cause });
    }
    const expected = options.prep.spanRows.reduce((sum, count) => sum + count, 0);
    assert.equal(run.rowCount, expected, `rows of schedule ${seed}`);
    assert.equal(
      run.gpus.reduce((sum, gpu) => sum + gpu.rowCount, 0),
      expected,
      `rows on the GPUs, schedule ${seed}`,
    );
    assert.equal(run.slotsReturned, run.slotsHandedOver, `slots of schedule ${seed}`);
    for (const [index, gpu] of run.gpus.entries()) {
      seen.outOfMemory += gpu.outOfMemoryCount;
      seen.starved += gpu.starvedCount;
      for (const { rowCount, partRows } of gpu.batches) {
        assert.ok(rowCount <= options.gpus[index]!.bufferRows);
        seen.split += Number(partRows.length > 1);
        seen.joined += Number(rowCount > options.prep.slotRows);
      }
    }
    seen.rows += expected;
  }
  for (const [what, count] of Object.entries(seen))
    assert.ok(count > 200, `${what}: ${count}, the schedules are too tame`);
});

test('the same seed gives the same run', () => {
  const [first, second] = [randomRun(7), randomRun(7)].map(({ options }) => runVirtually(options));
  assert.deepEqual(first, second);
});
