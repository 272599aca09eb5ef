/** `scoreBatches` on software GPUs. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Float32, RecordBatch, Table, vectorFromArray } from 'apache-arrow';
import { scoreBatches, type ScoreBatchesOptions } from '../index.ts';
import { planScore } from '../pipeline.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import { identityModel, rowSumModel } from '../testing/models.ts';
import { softwareGpusVariable, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { countFrom, counting, failsWith, identityPlace, scoreAll, valuesOf, type Batches } from './arrow-batches.ts';
import { caught, countTo, Workplace } from './workplace.ts';

const softwareDriver = new URL('../testing/software-gpu/driver.js', import.meta.url).href;
process.env[driverModuleVariable] = softwareDriver;

const gpu: SoftwareGpuOptions = { memoryBytes: 64 * 2 ** 20 };
const slow: SoftwareGpuOptions = { ...gpu, runMicroseconds: 20_000 };

function useGpus(...gpus: readonly SoftwareGpuOptions[]): void {
  process.env[softwareGpusVariable] = JSON.stringify(gpus);
}

const onDevice = (place: Workplace, changes: Partial<ScoreBatchesOptions> = {}): ScoreBatchesOptions => ({
  model: place.model,
  device: 'cuda',
  threads: 2,
  ...changes,
});

function total(sizes: readonly number[]): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Every batch in its place, and every row of it. */
function assertCounted(scored: readonly RecordBatch[], sizes: readonly number[]): void {
  assert.deepEqual(
    scored.map((batch) => batch.numRows),
    sizes,
  );
  assert.deepEqual(valuesOf(scored, 'x'), countTo(total(sizes)));
  assert.deepEqual(valuesOf(scored, 'y'), countTo(total(sizes)));
}

/** A slot takes as many rows as a batch size that small. */
for (const slotRows of [1, 7, 64]) {
  test(`batches of all sizes, in slots of ${slotRows} rows, come in order`, async (t) => {
    useGpus(gpu);
    const place = identityPlace(t);
    const around = [1, 2, 3, 16].flatMap((slots) => [slots * slotRows - 1, slots * slotRows, slots * slotRows + 1]);
    const sizes = [0, ...around, 0, 0, 1, 1, 1, 40 * slotRows, 0, 5];
    for (const threads of [1, 4]) {
      const scored = await scoreAll(counting(sizes), onDevice(place, { threads, batchSize: slotRows }));
      assertCounted(scored, sizes);
    }
  });
}

test('a batch size that is found: batches far smaller and far larger than a slot', async (t) => {
  useGpus({ ...gpu, memoryBytes: 256 * 2 ** 20 });
  const place = identityPlace(t);
  const sizes = [...countTo(60).map(() => 3), 2_500_000, 1, 0, 70_000, 70_000];
  assertCounted(await scoreAll(counting(sizes), onDevice(place)), sizes);
});

test('the scores of the CPU, bit for bit', async (t) => {
  useGpus(gpu, gpu);
  const place = new Workplace(t);
  place.writeModel(rowSumModel(3), { inputs: { x: ['a', 'b', 'c'].map((column) => ({ column })) } });
  const column = (seed: number) =>
    vectorFromArray(
      countTo(30_000).map((row) => Math.sin(row * seed) * 10 ** (row % 7)),
      new Float32(),
    );
  const table = new Table({ a: column(1.1), b: column(0.7), c: column(2.3) });
  const edges = [0, 1, 1000, 2999, 3000, 6001, 30_000];
  const batches = edges.slice(1).flatMap((to, index) => table.slice(edges[index], to).batches);
  const bits = (scored: readonly RecordBatch[]) =>
    scored.map((batch) => Buffer.from(Float32Array.from(batch.getChild('y')!).buffer).toString('hex'));
  const expected = bits(await scoreAll(batches, { model: place.model }));
  for (const batchSize of [1000, undefined]) {
    const changes = batchSize === undefined ? {} : { batchSize };
    assert.deepEqual(bits(await scoreAll(batches, onDevice(place, changes))), expected);
  }
});

test('batches without rows, alone, and no batch at all', async (t) => {
  useGpus(gpu);
  const place = identityPlace(t);
  for (const sizes of [[0, 0, 2, 0], [0], [0, 0, 0], []]) {
    const scored = await scoreAll(counting(sizes), onDevice(place));
    assertCounted(scored, sizes);
    for (const { schema } of scored) assert.deepEqual(schema.fields.map(String), ['x: Float32', 'y: Float32']);
  }
});

test('two GPUs, one of them slow, share the batches', async (t) => {
  useGpus(gpu, slow);
  const place = identityPlace(t);
  const sizes = countTo(60).map((index) => 500 + 97 * index);
  assertCounted(await scoreAll(counting(sizes), onDevice(place, { threads: 3, batchSize: 2048 })), sizes);
});

test('a GPU that is lost hands its slots to the others', async (t) => {
  useGpus({ ...gpu, lostAtRun: 5 }, gpu);
  const place = identityPlace(t);
  const sizes = countTo(40).map(() => 3000);
  const warnings: string[] = [];
  const options = onDevice(place, { threads: 3, batchSize: 1024, onWarning: (text) => warnings.push(text) });
  assertCounted(await scoreAll(counting(sizes), options), sizes);
  assert.match(warnings.join(), /software:0 scores no more .*the other devices score its batches/);
});

test('all GPUs lost: what was scored has come out, in order', async (t) => {
  useGpus({ ...gpu, lostAtRun: 9 }, { ...gpu, lostAtRun: 7 });
  const place = identityPlace(t);
  let rows = 0;
  await assert.rejects(
    async () => {
      const batches = counting(countTo(60).map(() => 1000));
      for await (const batch of scoreBatches(batches, onDevice(place, { batchSize: 512 }))) {
        assert.deepEqual([...batch.getChild('y')!].slice(0, 2), [rows, rows + 1]);
        rows += batch.numRows;
      }
    },
    failsWith('TRANSIENT', {}, /Expected software:[01] to answer, got: .*illegal memory access/),
  );
  assert.ok(rows < 16 * 512, `${rows}`);
});

test('out of memory in the middle: smaller runs, the same scores; a row that does not fit is an error', async (t) => {
  const place = identityPlace(t);
  const sizes = countTo(30).map(() => 2500);
  useGpus({ ...gpu, outOfMemoryRuns: [0, 3, 4, 5, 9] });
  assertCounted(await scoreAll(counting(sizes), onDevice(place, { batchSize: 4096 })), sizes);
  useGpus({ ...gpu, runBytesPerRow: 2 ** 40 });
  await assert.rejects(
    scoreAll(counting(sizes), onDevice(place, { batchSize: 16 })),
    failsWith('MEMORY', {}, /Expected a batch of one row to fit into the device's memory/),
  );
});

test('a model of fixed batch size is padded', async (t) => {
  useGpus(gpu);
  const place = new Workplace(t);
  place.writeModel(rowSumModel(1, 32), { inputs: { x: [{ column: 'x' }] }, outputs: { y: 'y' } });
  const sizes = [1, 31, 32, 33, 1000];
  assertCounted(await scoreAll(counting(sizes), onDevice(place)), sizes);
});

test('two at once', async (t) => {
  useGpus(gpu);
  const [first, second] = [identityPlace(t), identityPlace(t)];
  const sizes = countTo(30).map((index) => 100 * index);
  const both = [first, second].map((place) => scoreAll(counting(sizes), onDevice(place, { batchSize: 700 })));
  for (const scored of await Promise.all(both)) assertCounted(scored, sizes);
});

test('a bad row is named by batch and row, after all batches before it', async (t) => {
  useGpus(gpu);
  const place = identityPlace(t);
  const batches = counting([500, 3000, 500, 500]);
  const holes = countTo(2500).map((row) => (row === 2400 ? null : row));
  const bad = new Table({ x: vectorFromArray(holes, new Float32()) }).batches[0]!;
  for (const threads of [1, 3]) {
    let rows = 0;
    await assert.rejects(
      async () => {
        const all = [batches[0]!, batches[1]!, bad, batches[2]!, batches[3]!];
        // The bad batch fills all slots of its thread several times before its bad row.
        for await (const batch of scoreBatches(all, onDevice(place, { threads, batchSize: 64 }))) rows += batch.numRows;
      },
      failsWith('BAD_ROW', { shard: 'batch 2', row: 2400, column: 'x' }, /null/),
    );
    assert.equal(rows, 3500);
  }
});

test('what the iterable throws comes out after the batches before it', async (t) => {
  useGpus(slow);
  const place = identityPlace(t);
  function* throwing(): Generator<RecordBatch> {
    yield* counting([10, 20]);
    throw new Error('the database is gone');
  }
  const sizes: number[] = [];
  await assert.rejects(
    async () => {
      for await (const batch of scoreBatches(throwing(), onDevice(place))) sizes.push(batch.numRows);
    },
    { message: 'the database is gone' },
  );
  assert.deepEqual(sizes, [10, 20]);
});

test('a batch comes out before the next one has come in', async (t) => {
  useGpus(gpu);
  const place = identityPlace(t);
  let release = (): void => {};
  const second = new Promise<void>((resolve) => (release = resolve));
  async function* waiting(): AsyncGenerator<RecordBatch> {
    const [first, last] = counting([10, 20]);
    yield first!;
    await second;
    yield last!;
  }
  const scored = scoreBatches(waiting(), onDevice(place));
  assert.equal((await scored.next()).value?.numRows, 10);
  release();
  assert.equal((await scored.next()).value?.numRows, 20);
  assert.equal((await scored.next()).done, true);
});

test('nothing is asked of the iterable while two batches for each thread are on their way', async (t) => {
  useGpus(gpu);
  const place = identityPlace(t);
  let asked = 0;
  function* endless(): Generator<RecordBatch> {
    for (;;) yield countFrom(asked++, 100);
  }
  let taken = 0;
  for await (const batch of scoreBatches(endless(), onDevice(place))) {
    assert.equal(batch.getChild('y')!.get(0), taken++);
    // A slow consumer: whatever may run ahead of it does so now.
    if (taken % 5 === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    // The batches on their way, and the one that was just taken.
    assert.ok(asked <= taken + 2 * 2, `${asked} asked for, ${taken} taken`);
    if (taken === 40) break;
  }
});

test('a signal stops the run in the middle, with slots on a slow device', async (t) => {
  useGpus({ ...gpu, runMicroseconds: 200_000 });
  const place = identityPlace(t);
  const controller = new AbortController();
  let rows = 0;
  await assert.rejects(
    async () => {
      const batches = counting(countTo(500).map(() => 1000));
      const options = onDevice(place, { batchSize: 500, signal: controller.signal });
      for await (const batch of scoreBatches(batches, options)) {
        rows += batch.numRows;
        controller.abort();
      }
    },
    failsWith('STOPPED', {}, /stopped/),
  );
  assert.equal(rows, 1000);
});

test('devices that are not there, or that no text names', async (t) => {
  useGpus(gpu);
  const place = identityPlace(t);
  const run = (device: string, batches: Batches = counting([5])) => scoreAll(batches, { model: place.model, device });
  const unknown = failsWith('USAGE', {}, /Expected the device to be cpu, cuda, cuda:0,2 or auto, got `gpu`/);
  await assert.rejects(run('gpu'), unknown);
  await assert.rejects(run('gpu', []), unknown);
  await assert.rejects(run('cuda:3'), failsWith('USAGE', {}, /Expected GPU 3 to be there, got one GPU, number 0/));
  assertCounted(await run('cuda:0'), [5]);
});

test('auto takes the CPU where no GPU can be used, and says why; cuda does not', async (t) => {
  const place = identityPlace(t);
  const without = join(place.folder, 'no-gpu.mjs');
  const errors = JSON.stringify(new URL('../errors.js', import.meta.url).href);
  const why = "new TandemError('ENVIRONMENT', `No GPU, looked into ${ortDir}.`)";
  const list = `export const listDevices = (ortDir) => { throw ${why}; };`;
  writeFileSync(without, `import { TandemError } from ${errors}; ${list}`);
  process.env[driverModuleVariable] = without;
  t.after(() => (process.env[driverModuleVariable] = softwareDriver));
  const warnings: string[] = [];
  const options = { ortDir: '/opt/ort', onWarning: (text: string) => warnings.push(text) };
  assertCounted(await scoreAll(counting([10, 3]), onDevice(place, { ...options, device: 'auto' })), [10, 3]);
  assert.deepEqual(warnings, ['Scoring on the CPU, since no GPU can be used. No GPU, looked into /opt/ort.']);
  const refused = scoreAll(counting([10, 3]), onDevice(place, options));
  await assert.rejects(refused, failsWith('ENVIRONMENT', {}, /No GPU, looked into/));
});

test('strings are refused as `score` refuses them', async (t) => {
  useGpus(gpu);
  const place = new Workplace(t);
  place.writeModel(identityModel('string'), { inputs: { x: [{ column: 'x', text: true }] } });
  place.shard('a.parquet', "SELECT 'a' AS x");
  const expected = await caught(planScore(place.options({ device: 'cuda' })));
  const texts = new Table({ x: vectorFromArray(['a', 'b']) });
  const error = await caught(scoreAll(texts.batches, onDevice(place)));
  assert.deepEqual([error.code, error.message, error.remedy], [expected.code, expected.message, expected.remedy]);
  assert.equal(error.code, 'BAD_MODEL');
});

test('slots that cannot be page-locked are slower, not an error', async (t) => {
  useGpus({ ...gpu, pinFails: true });
  const place = identityPlace(t);
  const warnings: string[] = [];
  const options = onDevice(place, { onWarning: (text) => warnings.push(text) });
  assertCounted(await scoreAll(counting([100, 200]), options), [100, 200]);
  assert.match(warnings.join(), /software:0 refused to page-lock the slots/);
});

/** A process with a thread left over would not end. */
const leave = `
  import { tableFromArrays } from ${JSON.stringify(import.meta.resolve('apache-arrow'))};
  import { scoreBatches } from ${JSON.stringify(new URL('../index.js', import.meta.url).href)};
  const [, model] = process.argv;
  const batch = tableFromArrays({ x: Float32Array.from({ length: 20_000 }, (_, row) => row) }).batches[0];
  function* some(count) { for (let index = 0; index < count; index++) yield batch; }
  const options = { model, device: 'cuda', threads: 2, batchSize: 1000 };
  for await (const scored of scoreBatches(some(Infinity), options)) break;
  let rows = 0;
  for await (const scored of scoreBatches(some(5), options)) rows += scored.numRows;
  const unused = scoreBatches(some(5), options);
  await unused.return();
  const begun = scoreBatches(some(5), options);
  await begun.next();
  await begun.return();
  const failed = await scoreBatches(some(5), { ...options, batchSize: 2 ** 24 }).next().catch((error) => error.code);
  console.log(rows, failed);
`;

test('no thread stays behind, however the iterator ends', (t) => {
  useGpus({ ...gpu, runMicroseconds: 1000 }, gpu);
  const place = identityPlace(t);
  const args = ['--input-type=module', '--eval', leave, place.model];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 60_000 });
  assert.deepEqual([status, stdout.trim(), stderr], [0, '100000 MEMORY', '']);
});

test('leaving early frees threads, slots and sessions, eight times', async (t) => {
  useGpus(gpu);
  const place = identityPlace(t);
  function* endless(): Generator<RecordBatch> {
    for (;;) yield countFrom(0, 20_000);
  }
  const once = async (): Promise<void> => {
    for await (const batch of scoreBatches(endless(), onDevice(place))) {
      assert.equal(batch.numRows, 20_000);
      break;
    }
  };
  for (let round = 0; round < 4; round++) await once();
  const before = process.memoryUsage.rss();
  for (let round = 0; round < 8; round++) await once();
  const grownMb = (process.memoryUsage.rss() - before) / 1e6;
  // Six threads, a session and the slots take some 150 MB; kept, eight of them would take eight times that.
  assert.ok(grownMb < 300, `${grownMb.toFixed(0)} MB more`);
});
