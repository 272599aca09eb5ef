import assert from 'node:assert/strict';
import { test } from 'node:test';
import { threadsNowMs } from './clock.ts';
import { createDeviceSheet, DeviceSheet, divideGap, readDeviceSheet, type BatchTimes } from './device-sheet.ts';
import { EventReader } from './time-sheet.ts';

type Stretches = Parameters<typeof divideGap>[2];

/** Parts that took time. */
function gap(fromMs: number, batch: Parameters<typeof divideGap>[1], stretches: Stretches): Record<string, number> {
  return Object.fromEntries(Object.entries(divideGap(fromMs, batch, stretches)).filter(([, value]) => value > 0));
}

test('a gap is divided by what its batch waited for', () => {
  const mix = { decode: 0.75, writer: 0.25 };
  const awaitRows = (startMs: number, endMs: number) => ({ state: 'awaitRows', startMs, endMs, mix }) as const;
  const state = (name: Stretches[number]['state'], startMs: number, endMs: number) => ({
    ...{ state: name, startMs, endMs, mix: {} },
  });
  // Rows come at 8, are queued at 9, are there at 10, and the model begins at 11.
  assert.deepEqual(gap(0, { queuedMs: 9, copiedMs: 10, startedMs: 11 }, [awaitRows(-5, 8)]), {
    ...{ decode: 6, writer: 2 },
    copyIn: 1,
    handOver: 2,
  });
  // What is awaited after the batch was queued is awaited for the next one.
  assert.deepEqual(gap(0, { queuedMs: -3, copiedMs: 4, startedMs: 5 }, [awaitRows(-2, 5)]), { copyIn: 4, handOver: 1 });
  assert.deepEqual(gap(0, { queuedMs: 6, copiedMs: 6, startedMs: 6 }, [state('awaitBuffer', 0, 6)]), { copyOut: 6 });
  assert.deepEqual(gap(0, { queuedMs: 2, copiedMs: 3, startedMs: 10 }, [state('newShapes', 3, 10)]), {
    ...{ copyIn: 1, newShapes: 7, handOver: 2 },
  });
  assert.deepEqual(gap(0, { queuedMs: 9, copiedMs: 9, startedMs: 10 }, [state('outOfMemory', 1, 9)]), {
    ...{ outOfMemory: 8, handOver: 2 },
  });
  // All prep threads waited for the GPU: it waits for itself.
  assert.deepEqual(gap(0, { queuedMs: 4, copiedMs: 4, startedMs: 4 }, [{ ...awaitRows(0, 4), mix: {} }]), {
    handOver: 4,
  });
  assert.deepEqual(gap(5, { queuedMs: 0, copiedMs: 1, startedMs: 5 }, []), {});
});

test('the parts of any gap add up to it', () => {
  let seed = 1;
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
  const states = ['awaitRows', 'awaitBuffer', 'driving', 'newShapes', 'outOfMemory', 'warmUp'] as const;
  for (let round = 0; round < 2_000; round++) {
    let atMs = random(20) - 10;
    const stretches = Array.from({ length: random(6) }, () => {
      const startMs = (atMs += random(5));
      return { state: states[random(6)]!, startMs, endMs: (atMs += random(8)), mix: { decode: 0.5, storage: 0.5 } };
    });
    const startedMs = random(40);
    const batch = { queuedMs: random(45) - 5, copiedMs: random(45) - 5, startedMs };
    const parts = Object.values(divideGap(0, batch, stretches));
    assert.ok(parts.every((part) => part >= 0));
    assert.ok(Math.abs(parts.reduce((sum, part) => sum + part, 0) - startedMs) < 1e-9, `round ${round}`);
  }
});

test('a run of batches adds up to its wall time, warming up and tail included', () => {
  const memory = createDeviceSheet(1_000, false);
  const sheet = new DeviceSheet(memory, []);
  const times = (startedMs: number, computedMs: number): BatchTimes => ({
    ...{ queuedMs: startedMs - 2, copyStartMs: startedMs - 2, copiedMs: startedMs - 1, startedMs },
    ...{ computedMs, deliveredMs: computedMs + 1 },
  });
  sheet.batchDone(times(1_010, 1_020), 100, 'newShapes');
  sheet.batchDone(times(1_030, 1_050), 100, 'computing');
  // It began on the device before the one before had ended, by the clock's noise.
  sheet.batchDone(times(1_049.9, 1_060), 100, 'computing');
  sheet.end(1_061);
  const { parts, rowCount, steadyMs, busyMs } = readDeviceSheet(memory, 1_100);
  assert.deepEqual([rowCount, steadyMs, busyMs], [300, 40, 30]);
  const { warmUp, newShapes, computing, copyIn, handOver, copyOut, idleTail } = parts;
  assert.deepEqual(
    { warmUp, newShapes, computing, copyIn, handOver, copyOut, idleTail },
    { warmUp: 10, newShapes: 10, computing: 30, copyIn: 1, handOver: 9, copyOut: 1, idleTail: 39 },
  );
  assert.equal(
    Object.values(parts).reduce((sum, part) => sum + part, 0),
    100,
  );
});

test('before the first batch all is warming up', () => {
  const memory = createDeviceSheet(1_000, false);
  assert.equal(readDeviceSheet(memory, 1_100).parts.warmUp, 100);
});

test("a trace has what the device's thread did, from the run's start to its end", () => {
  const memory = createDeviceSheet(threadsNowMs() - 5, true);
  const sheet = new DeviceSheet(memory, []);
  for (const state of ['driving', 'awaitRows', 'outOfMemory', 'awaitBuffer', 'driving'] as const) sheet.enter(state);
  sheet.end(threadsNowMs());
  const events = new EventReader(memory.events).take();
  assert.deepEqual(
    events.map(({ activity, track }) => [activity, track]),
    ['warmUp', 'handOver', 'waitForRows', 'outOfMemory', 'waitForScores', 'handOver'].map((name) => [name, 0]),
  );
  events.forEach(({ startMs }, index) => assert.equal(startMs, events[index - 1]?.endMs ?? memory.values[0]));
});
