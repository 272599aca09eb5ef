import assert from 'node:assert/strict';
import { test } from 'node:test';
import { traceEventsPerThread } from '../limits.ts';
import { threadsNowMs } from './clock.ts';
import { createTimeSheet, EventReader, EventWriter, readTimeSheet, TimeSheet } from './time-sheet.ts';

function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function compute(milliseconds: number): void {
  for (const end = performance.now() + milliseconds; performance.now() < end;);
}

function sumOf(parts: Readonly<Record<string, number>>): number {
  return Object.values(parts).reduce((sum, milliseconds) => sum + milliseconds, 0);
}

test('the parts add up to the time from the start, at any moment', () => {
  const startMs = threadsNowMs();
  const memory = createTimeSheet(startMs, false);
  sleep(5);
  const sheet = new TimeSheet(memory);
  sheet.during('decode', () => {
    sheet.during('featurize', () => compute(5));
    sleep(5);
    const nowMs = threadsNowMs();
    const { parts, activity } = readTimeSheet(memory, nowMs);
    assert.equal(activity, 'decode');
    assert.ok(Math.abs(sumOf(parts) - (nowMs - startMs)) < 1e-6);
  });
  sheet.end();
  sleep(5);
  const nowMs = threadsNowMs();
  const { parts } = readTimeSheet(memory, nowMs);
  assert.ok(Math.abs(sumOf(parts) - (nowMs - startMs)) < 1e-6);
  for (const activity of ['warmUp', 'featurize', 'idle'] as const) assert.ok(parts[activity] >= 4.9, activity);
});

test('sleeping while decoding is waiting for storage, computing is not', { skip: process.platform !== 'linux' }, () => {
  const memory = createTimeSheet(threadsNowMs(), false);
  const sheet = new TimeSheet(memory);
  sheet.during('decode', () => compute(100));
  // Others may take the core; what the thread stood in line for is not sleeping either.
  assert.ok(readTimeSheet(memory, threadsNowMs()).parts.storage < 30);
  const fromMs = performance.now();
  sheet.during('decode', () => sleep(100));
  const sleptMs = performance.now() - fromMs;
  sheet.during('write', () => sleep(100));
  sheet.during('waitForScores', () => sleep(100));
  sheet.during('decode', () => compute(50));
  const { parts, tellsStorage } = readTimeSheet(memory, threadsNowMs());
  assert.equal(tellsStorage, true);
  assert.ok(parts.storage > 70 && parts.storage < sleptMs + 30, `${parts.storage} of ${sleptMs}`);
  assert.ok(parts.writeStorage > 70, `${parts.writeStorage}`);
  assert.ok(parts.waitForScores >= 99 && parts.decode >= 120, 'what is no wait for storage stays what it is');
});

test('rows, shapes and events arrive; of too many events the latest', () => {
  const memory = createTimeSheet(threadsNowMs(), true);
  const reader = new EventReader(memory.events);
  const sheet = new TimeSheet(memory);
  sheet.countRows(7);
  sheet.countShape();
  sheet.about({ shardIndex: 3, firstRow: 40, rowCount: 5 });
  sheet.during('featurize', () => {});
  const reading = readTimeSheet(memory, threadsNowMs());
  assert.deepEqual([reading.rowCount, reading.shapes], [7, 1]);
  const events = reader.take();
  assert.deepEqual(
    events.map(({ activity }) => activity),
    ['warmUp', 'handOver', 'featurize'],
  );
  assert.deepEqual(
    { ...events[2]!, startMs: 0, endMs: 0 },
    {
      ...{ track: 0, activity: 'featurize', startMs: 0, endMs: 0 },
      ...{ shardIndex: 3, firstRow: 40, rowCount: 5 },
    },
  );
  const writer = new EventWriter(memory.events);
  for (let index = 0; index < traceEventsPerThread + 10; index++) {
    writer.note({
      track: 1,
      activity: 'compute',
      startMs: index,
      endMs: index + 1,
      shardIndex: -1,
      firstRow: 0,
      rowCount: 0,
    });
  }
  const taken = reader.take();
  // The oldest one's place is where the thread would write next, or is writing.
  assert.equal(taken.length, traceEventsPerThread - 1);
  assert.equal(taken[0]!.startMs, 11);
  assert.equal(reader.lost, 11);
  assert.deepEqual(reader.take(), []);
});

test('events tell all that the sheet tells, sleep in storage too, each after the other', () => {
  const memory = createTimeSheet(threadsNowMs(), true);
  const reader = new EventReader(memory.events);
  const sheet = new TimeSheet(memory);
  for (let round = 0; round < 5; round++) {
    sheet.during('decode', () => sleep(4));
    sheet.during('featurize', () => compute(1));
    sheet.during('write', () => sleep(4));
    sheet.during('waitForRoom', () => sleep(1));
  }
  sheet.during('decode', () => compute(1));
  sheet.end();
  const { parts } = readTimeSheet(memory, memory.values[1]!);
  const told: Record<string, number> = {};
  let atMs: number | undefined;
  for (const { activity, startMs, endMs } of reader.take()) {
    if (atMs !== undefined) assert.ok(Math.abs(startMs - atMs) < 1e-6, `${activity} at ${startMs}, not ${atMs}`);
    atMs = endMs;
    told[activity] = (told[activity] ?? 0) + endMs - startMs;
  }
  for (const [activity, milliseconds] of Object.entries(parts)) {
    assert.ok(
      Math.abs((told[activity] ?? 0) - milliseconds) < 1e-3,
      `${activity}: ${told[activity]} of ${milliseconds}`,
    );
  }
  if (process.platform === 'linux')
    assert.ok(told['storage']! > 10 && told['writeStorage']! > 10, JSON.stringify(told));
});
