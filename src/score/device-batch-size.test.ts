import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deviceDecisionsMax, deviceSearchRunsMax, deviceSizesMax } from '../limits.ts';
import { drive, type BatchDevice, type Trace } from '../testing/batch-device.ts';
import { seededRandom } from '../testing/random.ts';
import { nextStep, observe, profileOf, startController, type DeviceLimits } from './device-batch-size.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;
const limits: DeviceLimits = {
  totalBytes: 80 * gib,
  freeBytes: 80 * gib,
  bytesPerRow: 128,
  deviceBuffers: 3,
  hostBytesMax: 2 * gib,
};
/** Saturates at 4,096 rows. */
const knee: BatchDevice = {
  totalBytes: 80 * gib,
  rate: (rows) => 1e6 * Math.min(1, rows / 4096),
  memory: (rows) => 2 * gib + rows * mib,
};
const saturating = (rows: number): number => (1e6 * rows) / (rows + 500);

function run(device: Partial<BatchDevice> = {}, more: Partial<DeviceLimits> = {}, steps = 800): Trace {
  const trace = drive(startController({ ...limits, ...more }), { ...knee, ...device }, steps);
  assert.ok(trace.state.searchRuns <= deviceSearchRunsMax, 'the search ends');
  assert.ok(new Set(trace.runs.map(Math.abs)).size <= deviceSizesMax, 'few shapes are prepared');
  assert.ok(trace.state.decisions.length <= deviceDecisionsMax);
  return trace;
}

test('a knee: the smallest size at the full rate', () => {
  const { state, probes, shrinks, outOfMemory } = run();
  assert.deepEqual(nextStep(state), { kind: 'run', rows: 4096, probe: false });
  assert.deepEqual([shrinks, outOfMemory], [0, 0]);
  assert.ok(probes < 80, `${probes} runs where nothing is noisy`);
});

test('of sizes within three percent the smallest wins', () => {
  const { state } = run({ rate: saturating });
  const sizes = state.records.filter(({ rowsPerSecond }) => rowsPerSecond >= 0.97 * saturating(65_536));
  assert.equal(state.chosenRows, sizes[0]!.rows);
});

test('a cliff: the best size before it, and one doubling past it is enough', () => {
  const { state, runs } = run({ rate: (rows) => (rows > 3100 ? 2e5 : saturating(rows)) });
  assert.equal(state.chosenRows, 3072);
  assert.equal(Math.max(...runs), 4096);
});

test('a peak between two powers of two is found', () => {
  const { state } = run({ rate: (rows) => (rows <= 1536 ? rows : 1300) });
  assert.equal(state.chosenRows, 1536);
});

const curves: Readonly<Record<string, (rows: number) => number>> = {
  knee: knee.rate,
  saturating,
  cliff: (rows) => (rows > 3100 ? 2e5 : saturating(rows)),
};
for (const [name, rate] of Object.entries(curves)) {
  test(`noise of 15 % does not decide: ${name}, 200 seeds`, () => {
    for (let seed = 1; seed <= 200; seed++) {
      const random = seededRandom(seed);
      const noise = (): number => 1 + 0.15 * (2 * random() - 1);
      const start = startController(limits);
      const { state, runs } = drive(
        start,
        { ...knee, rate, noise },
        1000,
        ({ chosenRows }) => chosenRows !== undefined,
      );
      const best = Math.max(...[3072, 4096, 65_536].map(rate));
      assert.ok(rate(state.chosenRows!) >= 0.95 * best, `seed ${seed}: ${state.chosenRows} rows`);
      assert.ok(state.searchRuns <= deviceSearchRunsMax);
      assert.ok(new Set(runs).size <= deviceSizesMax);
    }
  });
}

test('single slow runs do not decide', () => {
  let count = 0;
  const { state } = run({ noise: () => (count++ % 7 === 3 ? 10 : 1) });
  assert.equal(state.chosenRows, 4096);
});

test('a profile that is right: two runs, no search', () => {
  const profile = profileOf(run().state)!;
  assert.equal(profile.rows, 4096);
  assert.ok(Math.abs(profile.perRowBytes / mib - 1) < 1e-6);
  assert.ok(Math.abs(profile.fixedBytes / gib - 2) < 1e-6);
  assert.ok(Math.abs(profile.rowsPerSecond / 1e6 - 1) < 1e-6);
  const again = run({}, { profile }, 50);
  assert.deepEqual(new Set(again.runs), new Set([4096]));
  assert.equal(again.probes, 2);
  assert.deepEqual(profileOf(again.state), profile);
});

test('a profile of something else: search', () => {
  const right = profileOf(run().state)!;
  const stale = [
    { rowsPerSecond: right.rowsPerSecond * 2 },
    { rowsPerSecond: right.rowsPerSecond / 2 },
    { perRowBytes: right.perRowBytes * 2 },
    { fixedBytes: right.fixedBytes / 4 },
    { rows: 4095 },
    { perRowBytes: gib },
  ];
  for (const change of stale) {
    const { state } = run({}, { profile: { ...right, ...change } });
    assert.equal(state.chosenRows, 4096, JSON.stringify(change));
    assert.ok(state.searchRuns > 30);
  }
});

test('a profile too large for the memory of today: search, and an end at a size that fits', () => {
  const profile = profileOf(run().state)!;
  const small = 4 * gib;
  const { state, outOfMemory } = run({ totalBytes: small }, { profile, totalBytes: small, freeBytes: small });
  assert.equal(outOfMemory, 0);
  assert.ok(state.chosenRows! >= 768 && state.chosenRows! <= 1536, `${state.chosenRows} rows`);
});

test('a model with a fixed batch has nothing to search', () => {
  const { state, runs, probes } = run({}, { fixedRows: 37 }, 20);
  assert.deepEqual([new Set(runs), probes], [new Set([37]), 0]);
  assert.equal(state.chosenRows, 37);
});

test('sizes end where host memory for the device buffers does', () => {
  const wide = { bytesPerRow: 3 * mib, deviceBuffers: 3, hostBytesMax: 900 * mib };
  const { state, runs } = run({}, wide);
  assert.equal(state.chosenRows, 96);
  assert.equal(Math.max(...runs), 96);
  assert.deepEqual(startController({ ...limits, rowsMax: 70 }).sizes, [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64]);
  for (const fixedRows of [undefined, 400]) {
    const step = nextStep(startController({ ...limits, ...wide, fixedRows, hostBytesMax: 8 * mib }));
    assert.ok(step.kind === 'fail' && step.reason.includes('8.0 MiB of host memory'));
  }
});

test('each change of size is told with its reason', () => {
  const { state } = run();
  assert.deepEqual(state.decisions.slice(0, 3), [
    { rows: 1, reason: 'start of the search', isSearch: true },
    { rows: 2, reason: '1 row fit: grow', isSearch: true },
    { rows: 4, reason: '2 rows score at 200 % of the rate of 1 row: grow', isSearch: true },
  ]);
  assert.match(state.decisions.at(-1)!.reason, /^the best rate; 3 sizes compared over \d+ runs/);
});

test('tails and late runs of other sizes change nothing of the plan', () => {
  const start = startController(limits);
  for (const rows of [77, 4096]) {
    assert.deepEqual(nextStep(observe(start, { kind: 'ran', rows, seconds: 1 })), nextStep(start));
  }
});
