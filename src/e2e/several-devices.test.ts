/** Several GPUs, each with a fault of its own: others do what one cannot. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { driverModuleVariable } from '../planning/devices.ts';
import { identityModel } from '../testing/models.ts';
import { softwareGpusVariable, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { copyContract, countShard, misplaced } from './counting.ts';
import { Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;

const gpu: SoftwareGpuOptions = { memoryBytes: 64 * 2 ** 20 };
const rowCount = 150_001;

function place(t: { after(remove: () => void): void }, gpus: readonly SoftwareGpuOptions[]): Workplace {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), copyContract);
  here.shard('0.parquet', countShard(rowCount));
  here.shard('1.parquet', countShard(1000));
  process.env[softwareGpusVariable] = JSON.stringify(gpus);
  return here;
}

test('four GPUs, three of them with faults, write what one without faults writes', async (t) => {
  const here = place(t, [
    { ...gpu, runMicroseconds: 3000 },
    { ...gpu, outOfMemoryRuns: [1, 4, 5], outOfMemoryAs: 'cudnn' },
    { ...gpu, lostAtRun: 3 },
    gpu,
  ]);
  const result = await here.score({ device: 'cuda', threads: 4, batchSize: 1024 });
  assert.equal(result.devices.length, 4);
  assert.equal(
    result.devices.reduce((sum, device) => sum + device.rowCount, 0),
    rowCount + 1000,
  );
  process.env[softwareGpusVariable] = JSON.stringify([gpu]);
  const undisturbed = join(here.folder, 'undisturbed');
  await here.score({ device: 'cuda', threads: 4, batchSize: 1024, output: undisturbed });
  for (const name of ['0.parquet', '1.parquet']) {
    assert.deepEqual(readFileSync(join(here.output, name)), readFileSync(join(undisturbed, name)), name);
  }
});

for (const [what, faulty] of [
  ['has no memory for a session', { sessionErrors: ['CUDA failure 2: out of memory ; expr=cudaMalloc'] }],
  ['has no memory for its buffers', { failedAllocations: [1] }],
  ['is lost before it has scored anything', { sessionErrors: ['CUDA failure 719: unspecified launch failure'] }],
  ['runs out of memory at every size', { runBytesPerRow: 2 ** 40 }],
] as const) {
  test(`a GPU that ${what} leaves its batches to the other one`, async (t) => {
    const here = place(t, [{ ...gpu, ...faulty }, gpu]);
    const result = await here.score({ device: 'cuda', threads: 2 });
    assert.match(result.warnings.join(), /software:0 scores no more .*the other devices score its batches/);
    assert.deepEqual(misplaced(join(here.output, '0.parquet')), { rowCount, wrong: 0 });
  });
}

const tiny: SoftwareGpuOptions = { memoryBytes: 16 };

test('a GPU that cannot hold one row is left out, unless it was asked for', async (t) => {
  const here = place(t, [tiny, gpu]);
  const plan = await here.score({ device: 'cuda' });
  assert.equal(plan.device, 'software:1');
  assert.match(plan.warnings.join(), /Scoring without software:0. Expected 3 buffers of one row to fit/);
  const memory = { code: 'MEMORY', place: {}, message: /Expected 3 buffers of one row to fit/ } as const;
  await here.failsToPlan(memory, { device: 'cuda:0,1', output: join(here.folder, 'named') });
});

test('auto takes the CPU where no GPU can hold the model, and says why', async (t) => {
  const here = place(t, [tiny, tiny]);
  const result = await here.score({ device: 'auto' });
  assert.deepEqual([result.device, result.devices], ['cpu', []]);
  assert.match(result.warnings.join(), /Scoring on the CPU. Expected 3 buffers of one row to fit/);
  const memory = { code: 'MEMORY', place: {}, message: /Expected 3 buffers of one row to fit/ } as const;
  await here.failsToPlan(memory, { device: 'cuda', output: join(here.folder, 'again') });
});

test('no GPU at all is an error for cuda, and a line for auto', async (t) => {
  const here = place(t, []);
  const none = { code: 'ENVIRONMENT', place: {}, message: /Expected a GPU that this process sees, got none/ } as const;
  await here.failsToPlan({ ...none, remedy: /tandem doctor --device cuda/ }, { device: 'cuda' });
  const result = await here.score({ device: 'auto' });
  assert.match(result.warnings.join(), /Scoring on the CPU, since no GPU can be used. Expected a GPU/);
});

test('a batch size that does not fit is scored in parts, and said so', async (t) => {
  const here = place(t, [{ ...gpu, runBytesPerRow: 100_000 }]);
  const result = await here.score({ device: 'cuda', batchSize: 4096 });
  const { splitCount, batchCount } = result.devices[0]!;
  assert.ok(splitCount > 10 && splitCount <= batchCount);
  assert.match(result.warnings.join(), /\d+ of \d+ batches of 4096 rows did not fit into software:0's memory/);
  assert.deepEqual(misplaced(join(here.output, '0.parquet')), { rowCount, wrong: 0 });
});
