import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TuneOptions, TuneReport } from '../options.ts';
import { planScore } from '../pipeline.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import type { Profile } from '../plan.ts';
import { identityModel } from '../testing/models.ts';
import { writeShard } from '../testing/shards.ts';
import { softwareGpusVariable, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { tune } from '../tune/tune.ts';
import { copyContract, countShard } from './counting.ts';
import { caught, listFiles, Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;

/** Slow by command, so that what else the machine does hardly shows. */
const gpu: SoftwareGpuOptions = { memoryBytes: 2 ** 17, runMicroseconds: 2000, rowMicroseconds: 2 };

const tmpdir = os.tmpdir();

/** A folder in which temporary folders are this test's own, too. */
function counting(
  t: { after(remove: () => void): void },
  rowCount: number,
  change: Partial<SoftwareGpuOptions> = {},
): Workplace {
  process.env['TMPDIR'] = tmpdir;
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('0.parquet', countShard(rowCount));
  process.env[softwareGpusVariable] = JSON.stringify([{ ...gpu, ...change }]);
  process.env['TMPDIR'] = place.folder;
  return place;
}

function writeGolden(place: Workplace, rowCount: number): void {
  writeShard(
    join(place.model, 'golden.parquet'),
    `SELECT i::FLOAT AS x, i::FLOAT AS y FROM range(${rowCount}) rows(i)`,
  );
}

async function tuneAt(place: Workplace, changes: Partial<TuneOptions> = {}): Promise<TuneReport> {
  const before = listFiles(place.folder);
  const report = await tune({ shards: place.data, model: place.model, seconds: 1, ...changes });
  assert.deepEqual(temporaryFolders(place), []);
  const left = listFiles(place.folder).filter((path) => !before.includes(path));
  assert.deepEqual(left, report.profiles.map(({ path }) => path.slice(place.folder.length + 1)).sort());
  return report;
}

function temporaryFolders(place: Workplace): string[] {
  return readdirSync(place.folder).filter((name) => name.startsWith('tandem-'));
}

function readProfile(path: string): Profile {
  return JSON.parse(readFileSync(path, 'utf8')) as Profile;
}

function valuesOf(report: TuneReport, name: string): unknown[] {
  return report.settings.filter(({ setting }) => setting === name).map(({ value }) => value);
}

test('on a CPU: a profile, no folder left, and the next plan shows it', async (t) => {
  const place = counting(t, 40_000);
  const told: string[] = [];
  const report = await tuneAt(place, { onProgress: ({ setting }) => told.push(setting) });
  assert.deepEqual(valuesOf(report, 'batch size').length, 6);
  assert.ok(told.includes('batch size 1024') && told.includes('as it was chosen'), told.join());
  assert.equal(report.device, 'cpu');
  assert.deepEqual(report.sample, { shards: 1, rows: 40_000 });
  assert.match(report.explanation, /is the limit/);
  const { path, precision } = report.profiles[0]!;
  const profile = readProfile(path);
  assert.deepEqual([precision, profile.writtenBy, profile.batchSize], ['float32', 'tune', report.chosen.batchSize]);
  assert.equal(profile.job?.threads, report.chosen.threads);
  const { threads: _, ...options } = place.options();
  const plan = await planScore(options);
  assert.equal(plan.profiles.used[0]?.path, path);
  assert.deepEqual([plan.batchSize, plan.threads], [report.chosen.batchSize, report.chosen.threads]);
});

test('on a GPU: sizes around the one that the search finds, and slots', async (t) => {
  const place = counting(t, 400_000);
  const report = await tuneAt(place, { device: 'cuda', seconds: 4 });
  assert.equal(report.label, 'software GPU');
  const { batchSize, threads, slotsPerThread, precision } = report.chosen;
  // 2 ms a run: below 512 rows not even a third of the rate is left, and buffers end at 1,024.
  assert.ok(batchSize >= 512 && batchSize <= 1024, `${batchSize}`);
  assert.equal(precision, 'float32');
  assert.ok(valuesOf(report, 'batch size').includes(batchSize), JSON.stringify(report.settings));
  assert.match(report.notes.join('\n'), /precision: only float32, since there is no .*golden\.parquet/);
  const profile = readProfile(report.profiles[0]!.path);
  assert.deepEqual(profile.job, {
    threads,
    devices: 1,
    slotRows: profile.job!.slotRows,
    slotsPerThread,
    rowsPerSecond: report.chosen.rowsPerSecond,
  });
  const { threads: _, ...options } = place.options({ device: 'cuda' });
  const plan = await planScore(options);
  assert.deepEqual([plan.threads, plan.slotsPerThread], [threads, slotsPerThread]);
  assert.equal(plan.devices[0]!.profile?.rows, profile.memory === undefined ? undefined : batchSize);
});

test('a precision beyond the tolerance is never chosen, however fast it is', async (t) => {
  const place = counting(t, 50_000, { tf32: {} });
  writeGolden(place, 3000);
  const report = await tuneAt(place, { device: 'cuda' });
  assert.deepEqual(
    report.golden.map(({ precision, passed, differenceMax, rowsBeyond }) => [
      precision,
      passed,
      differenceMax,
      rowsBeyond,
    ]),
    [
      ['float32', true, 0, 0],
      // Odd numbers from 2,049 to 2,999 lose their last bit.
      ['tf32', false, 1, 476],
    ],
  );
  assert.equal(report.chosen.precision, 'float32');
  assert.deepEqual(valuesOf(report, 'precision'), []);
  assert.deepEqual(
    report.profiles.map(({ precision }) => precision),
    ['float32'],
  );
  assert.match(
    report.notes.join('\n'),
    /precision tf32: refused, 476 golden rows are beyond the tolerance of 0\.00001, by up to 1/,
  );
});

test('a precision within the tolerance is chosen where it is faster, and has a profile of its own', async (t) => {
  const place = counting(t, 50_000, { rowMicroseconds: 20, tf32: { runMicroseconds: 200, rowMicroseconds: 2 } });
  writeGolden(place, 2000);
  const report = await tuneAt(place, { device: 'cuda' });
  assert.deepEqual(
    report.golden.map(({ passed }) => passed),
    [true, true],
  );
  assert.equal(report.chosen.precision, 'tf32', JSON.stringify(report));
  assert.deepEqual(
    report.profiles.map(({ precision }) => precision),
    ['float32', 'tf32'],
  );
  const [full, rounded] = report.profiles.map(({ path }) => readProfile(path));
  assert.deepEqual([full!.key.precision, rounded!.key.precision, rounded!.memory], ['float32', 'tf32', undefined]);
  // Nobody gets other scores without having asked for them.
  const plan = await planScore(place.options({ device: 'cuda' }));
  assert.deepEqual([plan.precision, plan.profiles.used[0]!.path], ['float32', report.profiles[0]!.path]);
});

for (const [what, abortAt] of [
  ['in a trial', 'batch size 1024'],
  ['before the profile', 'as it was chosen'],
] as const) {
  test(`stopped ${what}: exit code 75, and nothing is left`, async (t) => {
    const place = counting(t, 40_000);
    const stop = new AbortController();
    const before = listFiles(place.folder);
    const error = await caught(
      tune({
        shards: place.data,
        model: place.model,
        seconds: 1,
        signal: stop.signal,
        onProgress: ({ setting }) => (setting === abortAt ? stop.abort() : undefined),
      }),
    );
    assert.deepEqual([error.code, error.exitCode], ['STOPPED', 75]);
    assert.match(error.message, /no profile was written/);
    assert.deepEqual(listFiles(place.folder), before);
    assert.deepEqual(temporaryFolders(place), []);
  });
}

test('shards without rows, and a cache folder that cannot be written', async (t) => {
  const place = counting(t, 0);
  assert.equal((await caught(tune({ shards: place.data, model: place.model }))).code, 'BAD_SHARD');
  place.shard('1.parquet', countShard(5000));
  process.env['XDG_CACHE_HOME'] = join(place.data, '1.parquet');
  const error = await caught(tune({ shards: place.data, model: place.model, seconds: 1 }));
  assert.equal(error.code, 'ENVIRONMENT');
  assert.match(error.remedy!, /XDG_CACHE_HOME/);
});
