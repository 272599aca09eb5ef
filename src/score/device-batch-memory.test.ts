/** The controller's care for memory: what it promises, and what it does when memory ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceFreeShareMin, deviceSizesMax } from '../limits.ts';
import { drive, type BatchDevice, type Trace } from '../testing/batch-device.ts';
import { nextStep, observe, startController, type ControllerState, type DeviceLimits } from './device-batch-size.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;
const knee = (rows: number): number => 1e6 * Math.min(1, rows / 4096);
const linear = (rows: number): number => 2 * gib + rows * mib;

function run(device: Partial<BatchDevice>, more: Partial<DeviceLimits> = {}, steps = 800): Trace {
  const totalBytes = device.totalBytes ?? 80 * gib;
  const limits = { totalBytes, freeBytes: totalBytes, bytesPerRow: 128, deviceBuffers: 3, hostBytesMax: 2 * gib };
  const start = startController({ ...limits, ...more });
  const trace = drive(start, { totalBytes, rate: knee, memory: linear, ...device }, steps);
  assert.ok(new Set(trace.runs.map(Math.abs)).size <= deviceSizesMax, 'few shapes are prepared');
  return trace;
}

function reasons(state: ControllerState): string {
  return state.decisions.map(({ rows, reason }) => `${rows}: ${reason}`).join('\n');
}

test('a budget is a promise, whatever it is', () => {
  for (const budget of [2.003, 2.01, 2.1, 2.5, 3, 3.3, 4, 5.9, 6.1, 9]) {
    const { state, peakBytes, outOfMemory } = run({}, { memoryBudgetBytes: budget * gib });
    assert.ok(peakBytes <= budget * gib, `${budget} GiB`);
    assert.equal(outOfMemory, 0);
    const most = (budget * gib) / 1.07 - 2 * gib;
    if (most > 2 * mib) assert.ok(linear(state.chosenRows!) <= budget * gib);
    if (budget > 6.5) assert.equal(state.chosenRows, 4096);
    else if (most > 100 * mib) assert.ok(state.chosenRows! * mib * 2 > most, `${budget} GiB: ${state.chosenRows} rows`);
  }
});

test('a budget below the smallest batch fails after the ladder', () => {
  const { state, newSessions } = run({}, { memoryBudgetBytes: 1.5 * gib });
  const step = nextStep(state);
  assert.ok(step.kind === 'fail' && step.reason.includes('budget 1.5 GiB') && step.reason.includes('raise the memory'));
  assert.equal(newSessions, 1);
});

test('a profile that needs more than it says: after one run too many, the budget holds', () => {
  const profile = { rows: 4096, fixedBytes: gib, perRowBytes: mib / 8, rowsPerSecond: 1e6 };
  for (const memoryBudgetBytes of [3.3 * gib, 7 * gib]) {
    const { state, newSessions } = run({}, { profile, memoryBudgetBytes });
    assert.equal(newSessions, 1);
    assert.equal(state.chosenRows, memoryBudgetBytes > 6 * gib ? 4096 : 1024);
    assert.equal(nextStep(state).kind, 'run');
  }
});

test('memory that another process takes half-way shrinks the batch, and the run goes on', () => {
  const { state, runs, shrinks, outOfMemory } = run({ others: (step) => (step > 300 ? 60 * gib : 0) }, {}, 450);
  assert.equal(outOfMemory, 0);
  assert.equal(nextStep(state).kind, 'run');
  assert.ok(state.rows < 4096 && state.rows >= 1024, `${state.rows} rows`);
  assert.equal(runs[299], 4096);
  assert.ok(shrinks <= 2);
  assert.match(reasons(state), /free on the device, less than 5 %: a smaller size/);
  assert.ok(state.freeBytes >= deviceFreeShareMin * 80 * gib);
});

test('memory that is given back: the old size again, after many clean runs and not before', () => {
  const others = (step: number): number => (step > 300 && step < 500 ? 75 * gib : 0);
  const { state, runs } = run({ others, rate: knee, memory: (rows) => gib + (rows * mib) / 4 }, {}, 3000);
  assert.equal(state.rows, 4096);
  const smallAt = runs.findIndex((rows, index) => index > 300 && rows < 4096);
  assert.ok(smallAt > 0 && runs.slice(smallAt, smallAt + 190).every((rows) => rows < 4096));
  assert.match(reasons(state), /200 runs without trouble: a larger size again/);
});

test('memory that another process takes during the search: it goes on when memory is back', () => {
  const { state } = run({ others: (step) => (step > 30 && step < 100 ? 76.5 * gib : 0) }, {}, 1500);
  assert.equal(state.chosenRows, 4096);
  assert.match(reasons(state), /the search goes on/);
});

test('a look at the device is enough to shrink', () => {
  const { state } = run({});
  const less = observe(state, { kind: 'memory', freeBytes: gib });
  assert.equal(nextStep(less).kind, 'shrink');
  assert.ok(less.rows < state.rows);
  assert.equal(nextStep(observe(state, { kind: 'memory', freeBytes: 40 * gib })).kind, 'run');
});

test('memory that grows with the square of the rows', () => {
  for (const [fixed, square] of [
    [0, 4096],
    [2 * gib, 4096],
    [2 * gib, 30_000],
    [10 * gib, 1e6],
    [2 * gib, 1e8],
  ] as const) {
    const memory = (rows: number): number => fixed + square * rows ** 2;
    const { state, outOfMemory } = run({ memory, rate: (rows) => rows });
    assert.ok(outOfMemory <= 2, `${outOfMemory} times out of memory`);
    const fitting = state.sizes.findLast((rows) => memory(rows) < 72 * gib)!;
    assert.ok(memory(state.chosenRows!) < 80 * gib && state.chosenRows! * 2 >= fitting, `${state.chosenRows}`);
  }
});

test('a device that tells nothing about its memory is searched by running out of it', () => {
  const { state, outOfMemory } = run({ silent: true, totalBytes: 4.5 * gib, rate: (rows) => rows });
  assert.equal(state.chosenRows, 2048);
  assert.equal(outOfMemory, 2);
});

test('a model of which one row fits', () => {
  const { state, outOfMemory, newSessions, runs } = run({ memory: (rows) => 2 * gib + rows * 50 * gib });
  // So small a batch is tried a second time, later.
  assert.deepEqual([state.chosenRows, outOfMemory, newSessions], [1, 2, 0]);
  assert.equal(runs.at(-1), 1);
});

test('a model of which nothing fits: the whole ladder, then a reason with the next step', () => {
  const { state, outOfMemory, shrinks, newSessions } = run({ memory: (rows) => 79 * gib + rows * 50 * gib });
  assert.deepEqual([outOfMemory, shrinks, newSessions], [3, 1, 1]);
  const step = nextStep(state);
  assert.ok(step.kind === 'fail');
  assert.match(
    step.reason,
    /^Expected a batch of 1 row to fit .* node 3\. Memory: .*budget none, 1\.0 GiB of 80\.0 GiB free\./,
  );
  assert.match(step.reason, /See which other processes hold memory.*float16/);
  assert.equal(observe(state, { kind: 'ran', rows: 1, seconds: 1 }), state);
});

test('out of memory on the second run of a size only', () => {
  const memory = (rows: number, count: number): number => linear(rows) + (rows === 1024 && count > 1 ? 90 * gib : 0);
  const { state, outOfMemory, runs } = run({ memory });
  assert.equal(outOfMemory, 1);
  assert.equal(state.chosenRows, 768);
  assert.equal(runs.filter((rows) => rows === 1024).length, 1);
});

test('an arena that keeps the regions of smaller sizes: memory is given back before it stands in the way', () => {
  const { state, outOfMemory, shrinks } = run({ fragments: true, totalBytes: 10 * gib });
  assert.deepEqual([state.chosenRows, outOfMemory], [4096, 0]);
  assert.ok(shrinks > 0 && shrinks < 10);
});

test('a size that ran before and fails once is tried again, later; when it fails twice it is not', () => {
  let state = run({}).state;
  const fail = { kind: 'outOfMemory', rows: 4096, during: 'run', where: 'node 3' } as const;
  const goOn = (from: ControllerState): ControllerState =>
    drive(from, { totalBytes: 80 * gib, rate: knee, memory: linear }, 900).state;
  state = observe(state, fail);
  assert.deepEqual(nextStep(state), { kind: 'shrink', rows: 1 });
  assert.equal(observe(state, fail), state, 'a batch that was under way is no second failure');
  assert.equal(state.rows, 3072);
  state = goOn(state);
  assert.equal(state.rows, 4096);
  state = goOn(observe(state, fail));
  assert.equal(state.rows, 3072);
});

test('what fails right after memory was given back needs a new session', () => {
  let state = run({}).state;
  state = observe(state, { kind: 'outOfMemory', rows: 4096, during: 'run', where: 'node 3' });
  state = observe(state, { kind: 'shrink', freeBytes: 60 * gib });
  assert.deepEqual(nextStep(state), { kind: 'run', rows: 3072, probe: false });
  state = observe(state, { kind: 'outOfMemory', rows: 3072, during: 'run', where: 'node 3' });
  assert.deepEqual(nextStep(state), { kind: 'newSession' });
  state = observe(state, { kind: 'newSession', freeBytes: 70 * gib });
  assert.deepEqual(nextStep(state), { kind: 'run', rows: 2048, probe: false });
});

test('out of memory at the very start, for another process: the search goes on later', () => {
  const totalBytes = 80 * gib;
  const device = { totalBytes, rate: knee, memory: linear };
  const limits = { totalBytes, freeBytes: totalBytes, bytesPerRow: 128, deviceBuffers: 3, hostBytesMax: 2 * gib };
  const { state: young } = drive(startController(limits), device, 100, ({ rows }) => rows === 2);
  const where = 'no memory for a moment';
  const failed = observe(young, { kind: 'outOfMemory', rows: 2, during: 'run', where, freeBytes: 70 * gib });
  assert.equal(nextStep(failed).kind, 'shrink');
  const { state, outOfMemory } = drive(failed, device, 800);
  assert.equal(outOfMemory, 0);
  assert.equal(state.chosenRows, 4096);
});
