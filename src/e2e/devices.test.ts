import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { ScoreOptions } from '../options.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import { identityModel, rowSumModel } from '../testing/models.ts';
import { readRows } from '../testing/shards.ts';
import { countShard, copyContract, misplaced } from './counting.ts';
import { softwareGpusVariable, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;

const gpu: SoftwareGpuOptions = { memoryBytes: 64 * 2 ** 20 };

/** A run on software GPUs like these. */
async function scoreOn(place: Workplace, gpus: readonly SoftwareGpuOptions[], changes: Partial<ScoreOptions> = {}) {
  process.env[softwareGpusVariable] = JSON.stringify(gpus);
  return place.score({ device: 'cuda', ...changes });
}

function counting(t: { after(remove: () => void): void }, ...rows: readonly number[]): Workplace {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  rows.forEach((rowCount, index) => place.shard(`${index}.parquet`, countShard(rowCount)));
  return place;
}

for (const batchSize of [64, 1000, 65_536]) {
  test(`every row is scored once and in its place, ${batchSize} rows a batch`, async (t) => {
    const place = counting(t, 100_001, 0, 1, 2048);
    const result = await scoreOn(place, [gpu], { threads: 2, batchSize });
    assert.equal(result.device, 'software:0');
    assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount: 100_001, wrong: 0 });
    assert.deepEqual(misplaced(join(place.output, '3.parquet')), { rowCount: 2048, wrong: 0 });
  });
}

test('two GPUs, one of them slow, share the work', async (t) => {
  const place = counting(t, 200_003);
  const slow = { ...gpu, runMicroseconds: 20_000 };
  const result = await scoreOn(place, [gpu, slow], { threads: 3, batchSize: 4096 });
  assert.equal(result.device, 'software:0, software:1');
  assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount: 200_003, wrong: 0 });
});

test('slow copies and slow runs overlap without overtaking each other', async (t) => {
  const place = counting(t, 60_000, 60_000);
  const slow = { ...gpu, copyBytesPerSecond: 2e6, runMicroseconds: 500 };
  await scoreOn(place, [slow], { threads: 2, batchSize: 3000 });
  for (const name of ['0.parquet', '1.parquet']) {
    assert.deepEqual(misplaced(join(place.output, name)), { rowCount: 60_000, wrong: 0 });
  }
});

test('out of memory in the middle: the batch is split, and every score is the same', async (t) => {
  const place = counting(t, 100_000);
  const faulty = { ...gpu, outOfMemoryRuns: [0, 3, 4, 5, 9] };
  await scoreOn(place, [faulty], { threads: 2, batchSize: 8192 });
  assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount: 100_000, wrong: 0 });
});

test('a batch of one row that does not fit is an error that says so', async (t) => {
  const place = counting(t, 100);
  process.env[softwareGpusVariable] = JSON.stringify([{ ...gpu, runBytesPerRow: 2 ** 40 }]);
  await place.fails(
    { code: 'MEMORY', place: {}, message: /Expected a batch of one row to fit into the device's memory/ },
    { device: 'cuda', batchSize: 16 },
  );
});

test('a device that is lost ends the run with whole shards only, and the next run goes on', async (t) => {
  const place = counting(t, 30_000, 90_000);
  process.env[softwareGpusVariable] = JSON.stringify([{ ...gpu, lostAtRun: 20 }]);
  const error = await place.fails(
    { code: 'TRANSIENT', place: {}, message: /Expected software:0 to answer, got: .*illegal memory access/ },
    { device: 'cuda', batchSize: 4096 },
  );
  assert.equal(error.exitCode, 75);
  const result = await scoreOn(place, [gpu], { batchSize: 4096 });
  assert.ok(result.shards + result.shardsSkipped === 2);
  assert.deepEqual(misplaced(join(place.output, '1.parquet')), { rowCount: 90_000, wrong: 0 });
});

test('slots that cannot be page-locked are slower, not an error', async (t) => {
  const place = counting(t, 5_000);
  const result = await scoreOn(place, [{ ...gpu, pinFails: true }]);
  assert.match(result.warnings.join(), /software:0 refused to page-lock the slots/);
  assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount: 5_000, wrong: 0 });
});

test('a device that is not there', async (t) => {
  const place = counting(t, 10);
  process.env[softwareGpusVariable] = JSON.stringify([gpu]);
  await place.failsToPlan(
    {
      code: 'USAGE',
      place: {},
      message: /Expected GPU 3 to be there, got one GPU, number 0/,
      remedy: /software:0 \(software GPU\)/,
    },
    { device: 'cuda:3' },
  );
  await place.failsToPlan(
    { code: 'USAGE', place: {}, message: /Expected the device to be cpu, cuda, cuda:0,2 or auto, got `gpu`/ },
    { device: 'gpu' },
  );
});

test('a GPU that is lost hands its batches to the others', async (t) => {
  const place = counting(t, 150_001);
  const result = await scoreOn(place, [{ ...gpu, lostAtRun: 5 }, gpu], { threads: 3, batchSize: 2048 });
  assert.match(result.warnings.join(), /software:0 scores no more .*the other devices score its batches/);
  assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount: 150_001, wrong: 0 });
});

test('all GPUs lost', async (t) => {
  const place = counting(t, 150_000);
  process.env[softwareGpusVariable] = JSON.stringify([
    { ...gpu, lostAtRun: 5 },
    { ...gpu, lostAtRun: 9 },
  ]);
  await place.fails(
    { code: 'TRANSIENT', place: {}, message: /Expected software:[01] to answer/ },
    { device: 'cuda', batchSize: 2048, threads: 2 },
  );
});

test('a run that is stopped on the device leaves whole shards only', async (t) => {
  const place = counting(t, 400_000);
  process.env[softwareGpusVariable] = JSON.stringify([{ ...gpu, runMicroseconds: 20_000 }]);
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 700);
  await place.fails(
    { code: 'STOPPED', place: {}, message: /The run was stopped/ },
    { device: 'cuda', batchSize: 1024, signal: stop.signal },
  );
});

test('the device gives the scores of the CPU', async (t) => {
  const place = new Workplace(t);
  place.writeModel(rowSumModel(3), { inputs: { x: [{ column: 'a' }, { column: 'b' }, { column: 'c' }] } });
  place.shard('a.parquet', 'SELECT i::FLOAT AS a, 1::FLOAT AS b, 2::FLOAT AS c FROM range(10000) rows(i)');
  await scoreOn(place, [gpu], { threads: 2, output: join(place.folder, 'device'), batchSize: 777 });
  await place.score();
  const read = (folder: string) => readRows(join(folder, 'a.parquet'));
  assert.deepEqual(read(join(place.folder, 'device')), read(place.output));
});

test('the batch size is found, and every row is in its place', async (t) => {
  const place = counting(t, 1_500_000);
  const result = await scoreOn(place, [{ ...gpu, memoryBytes: 256 * 2 ** 20 }], { threads: 2 });
  // Which one it is and when are matters of time: a virtual clock tests the search.
  assert.ok(result.decisions.length > 1 && result.decisions.every(({ rows }) => rows >= 1));
  assert.equal(result.batchSize, result.decisions.at(-1)!.rows);
  assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount: 1_500_000, wrong: 0 });
});

test('a model that needs more memory for each row than the device has for many: the search stays within it', async (t) => {
  const place = counting(t, 400_000);
  const result = await scoreOn(place, [{ ...gpu, runBytesPerRow: 10_000, outOfMemoryRuns: [100, 400] }], {
    threads: 2,
  });
  assert.ok(result.batchSize !== undefined && result.batchSize * 10_000 < gpu.memoryBytes, `${result.batchSize}`);
  assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount: 400_000, wrong: 0 });
});

test('a model of fixed batch size is padded on the device too', async (t) => {
  const place = new Workplace(t);
  place.writeModel(rowSumModel(1, 32), { inputs: { x: [{ column: 'x' }] }, keep: ['x'] });
  place.shard('0.parquet', countShard(10_001));
  await scoreOn(place, [gpu], { threads: 2 });
  assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount: 10_001, wrong: 0 });
  process.env[softwareGpusVariable] = JSON.stringify([{ ...gpu, outOfMemoryRuns: [3] }]);
  const again = { output: join(place.folder, 'again'), device: 'cuda' };
  const memory = /Expected a batch of 32 rows to fit into the device's memory/;
  await place.fails({ code: 'MEMORY', place: {}, message: memory }, again);
});

test('many small shards: slots are filled from the next ones while the last ones are scored', async (t) => {
  const rows = Array.from({ length: 40 }, (_, index) => 37 * (index % 7));
  const place = counting(t, ...rows);
  const result = await scoreOn(place, [{ ...gpu, runMicroseconds: 2_000 }], { threads: 2, batchSize: 256 });
  assert.equal(result.shards, 40);
  rows.forEach((rowCount, index) =>
    assert.deepEqual(misplaced(join(place.output, `${index}.parquet`)), { rowCount, wrong: 0 }),
  );
});

test('a bad row in a shard that is read ahead is named there, and the shards before it are whole', async (t) => {
  const place = counting(t, 500, 400);
  place.shard('2.parquet', 'SELECT CASE WHEN i = 7 THEN NULL ELSE i END::FLOAT AS x FROM range(300) t(i)');
  process.env[softwareGpusVariable] = JSON.stringify([gpu]);
  const bad = {
    code: 'BAD_ROW',
    place: { shard: '2.parquet', row: 7, rowGroup: 0, column: 'x' },
    message: /null/,
  } as const;
  await place.fails(bad, { device: 'cuda', threads: 1 });
  const again = await scoreOn(place, [gpu], {
    threads: 1,
    shards: [join(place.data, '0.parquet'), join(place.data, '1.parquet')],
  });
  assert.deepEqual([again.shards, again.shardsSkipped], [0, 2]);
});
