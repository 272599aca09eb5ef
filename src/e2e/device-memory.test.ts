/** What a run holds of a GPU's memory, what it promises, and what it says about its batch size. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BatchSizeDecision } from '../options.ts';
import { planScore } from '../pipeline.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import { identityModel } from '../testing/models.ts';
import { softwareGpusVariable, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { copyContract, countShard, misplaced } from './counting.ts';
import { Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;

const mib = 2 ** 20;
/** A card of 8 GiB that only counts: nothing of this is allocated but the device buffers. */
const card: SoftwareGpuOptions = {
  memoryBytes: 8192 * mib,
  contextBytes: 500 * mib,
  workspaceBytes: 40 * mib,
  sessionBytes: 100 * mib,
  runBytesPerRow: 0.25 * mib,
};
const rowCount = 300_000;

function counting(t: { after(remove: () => void): void }, gpu: SoftwareGpuOptions): Workplace {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('0.parquet', countShard(rowCount));
  process.env[softwareGpusVariable] = JSON.stringify([gpu]);
  return place;
}

for (const [name, gpu] of [
  ['that the device counts', card],
  ['that nobody counts', { ...card, hidesMemory: true }],
] as const) {
  test(`a promise of memory ${name} is kept, and used`, async (t) => {
    // A run costs so much that larger batches are faster, whatever else the machine does: memory alone bounds them.
    const place = counting(t, { ...gpu, runMicroseconds: 2000 });
    const budget = 2048 * mib;
    const result = await place.score({ device: 'cuda', threads: 2, gpuMemory: { share: 0.25 } });
    const [device] = result.devices;
    assert.equal(device!.memoryBudgetBytes, budget);
    assert.ok(device!.memoryPeakBytes <= budget, `${device!.memoryPeakBytes / mib} MiB`);
    // More than half of it, and every row: 100 MiB and a quarter of one for each row.
    assert.ok(device!.memoryPeakBytes > budget / 2, `${device!.memoryPeakBytes / mib} MiB`);
    assert.ok(result.batchSize! > 2000, `${result.batchSize}`);
    assert.equal(device!.rowCount, rowCount);
    assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount, wrong: 0 });
    assert.deepEqual(result.warnings, []);
  });
}

test('with a batch size that does not fit, the promise is kept by splitting', async (t) => {
  const place = counting(t, card);
  const result = await place.score({ device: 'cuda', batchSize: 16_384, gpuMemory: { bytes: 2048 * mib } });
  assert.ok(result.devices[0]!.memoryPeakBytes <= 2048 * mib);
  assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount, wrong: 0 });
});

test('a promise without GPUs, and one that is none', async (t) => {
  const place = counting(t, card);
  const usage = { code: 'USAGE', place: {} } as const;
  const gpuMemory = { share: 0.5 };
  for (const device of ['cpu', undefined]) {
    const changes = device === undefined ? { gpuMemory } : { device, gpuMemory };
    await place.failsToPlan({ ...usage, message: /--gpu-memory to come with GPUs, got the CPU/ }, changes);
  }
  for (const wrong of [5, { share: 60 }, { bytes: 0 }, {}]) {
    const message = new RegExp(`Expected gpuMemory to be .*got \`${JSON.stringify(wrong)}\``);
    await place.failsToPlan({ ...usage, message }, { device: 'cuda', gpuMemory: wrong as { bytes: number } });
  }
  process.env[softwareGpusVariable] = '[]';
  const plan = await planScore(place.options({ device: 'auto', gpuMemory }));
  assert.equal(plan.device, 'cpu');
});

test('a promise that a session cannot keep', async (t) => {
  const place = counting(t, card);
  const tooSmall = { code: 'MEMORY', place: {}, remedy: /--gpu-memory/ } as const;
  await place.fails(
    {
      ...tooSmall,
      message: /Expected the promised memory of software:0 to hold .*context and libraries 628.0 MiB/,
      remedy: /^Promise more than 6\d\d\.\d MiB \(--gpu-memory\)/,
    },
    { device: 'cuda', gpuMemory: { bytes: 600 * mib } },
  );
  await place.fails(
    { ...tooSmall, message: /Expected software:0 to have the memory that was planned, got: .*Available memory of/ },
    { device: 'cuda', gpuMemory: { bytes: 700 * mib } },
  );
  const again = { device: 'cuda', output: join(place.folder, 'again') };
  await place.failsToPlan(
    {
      code: 'MEMORY',
      place: {},
      message: /Expected 9216 MiB of software:0 to be free, got 8192 MiB of 8192 MiB/,
      remedy: /^Promise 8192 MiB at most \(--gpu-memory\)\.$/,
    },
    { ...again, gpuMemory: { bytes: 9216 * mib } },
  );
});

test('each decision about the batch size is told when it is made, and stands in the result', async (t) => {
  const place = counting(t, card);
  const told: BatchSizeDecision[] = [];
  const result = await place.score({ device: 'cuda', onDecision: (decision) => void told.push(decision) });
  assert.deepEqual(result.decisions, told);
  assert.deepEqual(told[0], { device: 'software:0', rows: 1, reason: 'start of the search', isSearch: true });
  assert.ok(told.length > 10);
  for (const { rows, reason } of told) assert.ok(rows >= 1 && reason !== '');
});
