/** Models with trees and other parts on software GPUs: the threads score the trees into their slots, GPUs the rest. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { planScore, readShards } from '../index.ts';
import type { ScoreOptions } from '../options.ts';
import type { SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { fixedTo } from '../testing/tree-stacks.ts';
import { scoreAll, valuesOf } from './arrow-batches.ts';
import { assertClose, gpu, inParts, scoresOf, stackPlace, stacks, useGpus, wholeOnCpu } from './stack-places.ts';

const inTwos = { batchSize: 1000, threads: 2 };
for (const [what, runs] of [
  ['a network beside them', [inTwos]],
  ['a network behind them', [{}, inTwos, { batchSize: 7 }]],
  ['two ensembles', [inTwos]],
  ['an operator without a kernel', [{}]],
  ['a branch that reads them', [inTwos]],
] as const) {
  test(`on a GPU: ${what}`, async (t) => {
    const place = stackPlace(t, stacks[what]!, [5001, 0, 1, 700]);
    await wholeOnCpu(place);
    useGpus(gpu);
    for (const changes of runs) {
      const result = await place.score({ device: 'cuda', overwrite: true, ...changes });
      assert.deepEqual([result.device, result.warnings], ['software:0', []]);
      assert.match(result.scorer, /^trees: .*; the rest on the GPU$/);
      assert.deepEqual(result.devices[0]!.cpuNodes, { shape: 0, data: 0 });
      for (const index of [0, 2, 3]) {
        const name = `${index}.parquet`;
        assertClose(scoresOf(place, 'scores', name), scoresOf(place, 'whole', name));
      }
    }
  });
}

/** Runs in two parts under what may go wrong on GPUs; every score is that of the whole model. */
async function survives(
  t: { after(remove: () => void): void },
  gpus: readonly SoftwareGpuOptions[],
  changes: Partial<ScoreOptions>,
  rowCount = 60_001,
): Promise<readonly string[]> {
  const place = stackPlace(t, stacks['a network behind them']!, [rowCount, 3000]);
  await wholeOnCpu(place);
  useGpus(...gpus);
  const result = await place.score({ device: 'cuda', threads: 2, ...changes });
  assert.match(result.scorer, inParts);
  for (const name of ['0.parquet', '1.parquet']) {
    assertClose(scoresOf(place, 'scores', name), scoresOf(place, 'whole', name));
  }
  return result.warnings;
}

test('several GPUs, one of them slow', async (t) => {
  await survives(t, [gpu, { ...gpu, runMicroseconds: 20_000 }], { threads: 3, batchSize: 2048 });
});

test('slow copies, which overlap with kernels that write into other slots', async (t) => {
  await survives(t, [{ ...gpu, copyBytesPerSecond: 4e6, runMicroseconds: 500 }], { batchSize: 3000 });
});

test('batches that do not fit are split', async (t) => {
  await survives(t, [{ ...gpu, outOfMemoryRuns: [0, 3, 4, 5, 9] }], { batchSize: 4096 });
});

test('a GPU that is lost hands its slots to the other', async (t) => {
  const warnings = await survives(t, [{ ...gpu, lostAtRun: 5 }, gpu], { batchSize: 2048 });
  assert.match(warnings.join(), /software:0 scores no more .*the other devices score its batches/);
});

test('a session that is opened again for another arena is one of the rest too', async (t) => {
  const promised = { memoryBytes: 512 * 2 ** 20, contextBytes: 2 ** 20, workspaceBytes: 2 ** 20 };
  await survives(t, [promised], { gpuMemory: { share: 0.9 }, batchSize: 4096 });
});

test('a shard that threads share', async (t) => {
  const place = stackPlace(t, stacks['a network beside them']!, [600_000]);
  await wholeOnCpu(place);
  useGpus({ ...gpu, memoryBytes: 256 * 2 ** 20 });
  const options = { device: 'cuda', threads: 2 } as const;
  assert.equal((await planScore(place.options(options))).shards[0]!.mode, 'split');
  const result = await place.score(options);
  assert.ok(result.batchSize !== undefined && result.batchSize > 256, `${result.batchSize}`);
  assertClose(scoresOf(place, 'scores', '0.parquet'), scoresOf(place, 'whole', '0.parquet'));
});

for (const fixedRows of [1, 7, 100]) {
  test(`a model that takes ${fixedRows} rows at once`, async (t) => {
    const place = stackPlace(t, fixedTo(fixedRows, stacks['a network behind them']!), [1000, 5]);
    await wholeOnCpu(place);
    useGpus(gpu);
    const result = await place.score({ device: 'cuda', threads: 2 });
    assert.match(result.scorer, inParts);
    assert.equal(result.batchSize, fixedRows);
    for (const name of ['0.parquet', '1.parquet']) {
      assertClose(scoresOf(place, 'scores', name), scoresOf(place, 'whole', name));
    }
  });
}

test('the device holds and gets what the rest reads, and slots hold whole blocks of rows', async (t) => {
  const place = stackPlace(t, stacks['an operator without a kernel']!, [3000]);
  useGpus(gpu);
  const plan = await planScore(place.options({ device: 'cuda', batchSize: 7 }));
  assert.deepEqual(
    plan.model.inputs.map(({ name, order }) => [name, order]),
    [
      ['x', 'columns'],
      ['trees: sums', undefined],
    ],
  );
  assert.deepEqual(plan.model.rest!.inputs, ['trees: sums']);
  assert.deepEqual([plan.slotRows, plan.devices[0]!.bufferRows], [32, 7]);
  const lines = new Map(plan.memory.map((line) => [line.what, line]));
  // 7 rows of one value each, in and out, both on a boundary of 256 bytes.
  assert.equal(lines.get('software:0: buffers of input and output tensors')!.bytesEach, 512);
  // 32 rows of six columns, of what the trees give, and of the score.
  const slots = lines.get('slots: input and output tensors')!;
  assert.deepEqual([slots.where, slots.bytesEach], ['pinned', 32 * 4 * (6 + 1 + 1)]);
  assert.equal(lines.get("the model's kernel: tables")!.bytesEach, Math.ceil(plan.model.kernel!.tableBytes / 64) * 64);
});

test('batches from anywhere', async (t) => {
  const place = stackPlace(t, stacks['a network beside them']!, [5000]);
  await wholeOnCpu(place);
  useGpus(gpu, gpu);
  for (const changes of [{}, { batchSize: 64 }]) {
    const batches = readShards(join(place.data, '0.parquet'), { batchRows: 1300 });
    const warnings: string[] = [];
    const onWarning = (text: string): void => void warnings.push(text);
    const scored = await scoreAll(batches, { model: place.model, threads: 2, device: 'cuda', onWarning, ...changes });
    assertClose(valuesOf(scored, 's'), scoresOf(place, 'whole', '0.parquet'));
    assert.deepEqual(warnings, []);
  }
});
