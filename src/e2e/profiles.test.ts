import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cpuLabel } from '../machine.ts';
import type { ScoreOptions } from '../options.ts';
import { planScore } from '../pipeline.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import type { Profile, TunedJob } from '../plan.ts';
import { writeProfile } from '../planning/profile.ts';
import { identityModel } from '../testing/models.ts';
import { softwareGpusVariable, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { copyContract, countShard, misplaced } from './counting.ts';
import { Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;

const gpu: SoftwareGpuOptions = { memoryBytes: 2 ** 18, runMicroseconds: 500, rowMicroseconds: 3 };

function counting(t: { after(remove: () => void): void }, rowCount: number): Workplace {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('0.parquet', countShard(rowCount));
  process.env[softwareGpusVariable] = JSON.stringify([gpu]);
  return place;
}

function folderOf(place: Workplace): string {
  return join(place.folder, 'cache/tandem/profiles');
}

function profilesOf(place: Workplace): Profile[] {
  const folder = folderOf(place);
  if (!existsSync(folder)) return [];
  return readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Profile);
}

const again = (place: Workplace): Partial<ScoreOptions> => ({ output: join(place.folder, 'again'), device: 'cuda' });

test('a run on a GPU leaves what it found, and the next one starts there', async (t) => {
  const place = counting(t, 600_000);
  const first = await place.score({ device: 'cuda', threads: 2 });
  const [found, ...others] = profilesOf(place);
  assert.deepEqual(others, []);
  const { search } = first.devices[0]!;
  assert.ok(search?.found !== undefined && search.runs > 10, JSON.stringify(search));
  assert.equal(found!.batchSize, search.found);
  assert.deepEqual([found!.key.device, found!.writtenBy], ['software GPU', 'run']);

  const plan = await planScore(place.options(again(place)));
  assert.deepEqual(plan.profiles.used[0]!.sets, [`batch size ${found!.batchSize} to start with`]);
  // Other work on the cores may change the rate for a while: then the profile is refused, and the next run has a new one.
  for (let attempt = 1; ; attempt++) {
    const before = profilesOf(place);
    const { devices, decisions } = await place.score({ ...again(place), overwrite: true });
    const { reason } = decisions.at(-1)!;
    if (reason !== 'rate and memory are those of the profile' && attempt < 3) continue;
    assert.equal(reason, 'rate and memory are those of the profile');
    assert.deepEqual(devices[0]!.search, { found: before[0]!.batchSize, runs: 2 });
    assert.deepEqual(profilesOf(place), before);
    break;
  }
  assert.deepEqual(misplaced(join(place.folder, 'again/0.parquet')), { rowCount: 600_000, wrong: 0 });
});

test('without profiles none is read and none is left', async (t) => {
  const place = counting(t, 600_000);
  const result = await place.score({ device: 'cuda', threads: 2, useProfile: false });
  assert.ok(result.devices[0]!.search!.found !== undefined);
  assert.deepEqual(profilesOf(place), []);
});

/** Leaves a profile under the key that the run has. */
async function leaveProfile(place: Workplace, device: string, job: TunedJob, batchSize: number): Promise<string> {
  const { threads: _, ...options } = place.options({ device });
  const { profiles } = await planScore(options);
  return writeProfile(profiles.folder!, {
    version: 1,
    key: profiles.keys[0]!,
    batchSize,
    rowsPerSecond: 1,
    memory: { fixedBytes: 2 ** 20, perRowBytes: 8 },
    job,
    writtenBy: 'tune',
    writtenAt: '2026-05-04T10:00:00.000Z',
  });
}

test("on a CPU tune's profile sets threads and batch size, and what the caller says wins", async (t) => {
  const place = counting(t, 10_000);
  const job = { threads: 1, devices: 0, slotRows: 96, slotsPerThread: 1, rowsPerSecond: 1 };
  const path = await leaveProfile(place, 'cpu', job, 96);
  const planOf = async (changes: Partial<ScoreOptions>) => {
    const { threads: _, ...options } = place.options();
    return planScore({ ...options, ...changes });
  };
  const plan = await planOf({});
  assert.equal(plan.profiles.keys[0]!.device, cpuLabel());
  assert.deepEqual([plan.threads, plan.threadsBound, plan.batchSize, plan.slotRows], [1, 'the profile', 96, 96]);
  assert.deepEqual([plan.profiles.used[0]!.path, plan.profiles.used[0]!.sets], [path, ['batch size 96', 'threads 1']]);
  const ownThreads = await planOf({ threads: 2 });
  assert.deepEqual([ownThreads.threads, ownThreads.threadsBound, ownThreads.batchSize], [2, '--threads', 96]);
  const ownBatch = await planOf({ batchSize: 7 });
  assert.deepEqual([ownBatch.threads, ownBatch.batchSize], [1, 7]);
  assert.deepEqual((await planOf({ threads: 2, batchSize: 7 })).profiles.used[0]!.sets, []);
  const ignored = await planOf({ useProfile: false });
  assert.deepEqual([ignored.profiles.used, ignored.batchSize], [[undefined], undefined]);
});

test("on a GPU tune's profile sets threads and slots too, as one", async (t) => {
  const place = counting(t, 10_000);
  const job = { threads: 1, devices: 1, slotRows: 1024, slotsPerThread: 5, rowsPerSecond: 1 };
  await leaveProfile(place, 'cuda', job, 2048);
  const { threads: _, ...options } = place.options({ device: 'cuda' });
  const plan = await planScore(options);
  assert.deepEqual([plan.threads, plan.slotRows, plan.slotsPerThread, plan.batchSize], [1, 1024, 5, undefined]);
  assert.equal(plan.devices[0]!.profile?.rows, 2048);
  const own = await planScore({ ...options, threads: 2 });
  assert.notEqual(own.slotRows, 1024);
  assert.deepEqual(own.profiles.used[0]!.sets, ['batch size 2048 to start with']);
  assert.equal((await planScore({ ...options, slotsPerThread: 7 })).slotsPerThread, 7);
  process.env[softwareGpusVariable] = JSON.stringify([gpu, gpu]);
  assert.notEqual((await planScore(options)).slotsPerThread, 5, 'two GPUs are another job');
});

test('a broken profile is a warning, and a run goes on', async (t) => {
  const place = counting(t, 1000);
  const job = { threads: 1, devices: 0, slotRows: 96, slotsPerThread: 1, rowsPerSecond: 1 };
  const path = await leaveProfile(place, 'cpu', job, 96);
  writeFileSync(path, '{');
  const result = await place.score();
  assert.match(result.warnings.join(), /Expected .*\.json to be a profile, got no JSON; it is not used/);
});
