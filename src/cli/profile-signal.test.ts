import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { recordOfWindow } from '../measure/window.ts';
import { readRecords } from '../report/read-record.ts';
import type { RunProfile } from '../run-record.ts';
import { cpuRunRecord } from '../testing/run-records.ts';
import { tempDir } from '../testing/shards.ts';
import { watchProfileSignal } from './profile-signal.ts';

const ledger = {
  wallSeconds: 9.5,
  scorers: [],
  prep: [],
  writer: undefined,
  storage: { fetchedBytes: 0, storageBytes: 0, bytesPerSecond: 0, neededBytesPerSecond: 0, isToldApart: true },
  utilization: [],
  verdict: { bottleneck: 'model', sentence: 'the model is the bottleneck', whatIf: undefined },
} as const;
const cpu = { nodes: [], startTime: 0, endTime: 9_500_000, samples: [], timeDeltas: [] };
const taken = {
  fromSeconds: 2,
  seconds: 9.5,
  profiles: [{ thread: 'prep 0', profile: cpu }],
  missing: ['prep 1'],
  heaps: [{ thread: 'prep 0', bytes: 1 }],
  ledger,
};
const profile: RunProfile = { ...taken, record: recordOfWindow(cpuRunRecord(), taken) };

/** A watch that has not begun; `raise` sends the signal. */
function watching(output: string) {
  const said: string[] = [];
  const handlers = new Set<() => void>();
  const onProfileSignal = (handler: () => void) => {
    handlers.add(handler);
    return () => void handlers.delete(handler);
  };
  const watch = watchProfileSignal({ onProfileSignal }, output, (line) => said.push(line));
  return { watch, said, handlers, raise: () => handlers.forEach((handler) => handler()) };
}

test('nothing before the threads start, one profile at a time, and the end waits for it', async (t) => {
  const output = tempDir(t);
  const { watch, said, handlers, raise } = watching(output);
  raise();
  const asked: ((taken: RunProfile) => void)[] = [];
  watch.begin({ profile: () => new Promise((resolve) => asked.push(resolve)) });
  raise();
  raise();
  assert.equal(asked.length, 1);
  const ended = watch.end();
  assert.equal(await Promise.race([ended, 'waits']), 'waits');
  asked[0]!(profile);
  await ended;
  assert.equal(handlers.size, 0);
  const folder = join(output, '_profile-1');
  assert.deepEqual(said, [
    'profile: nothing to see yet, the run is being planned',
    'profile: taking one of the next 10 s',
    'profile: one is being taken already',
    `profile: 9.5 s of 1 thread, without prep 1, which did not come by: ${folder}`,
  ]);
  assert.deepEqual(readdirSync(folder).sort(), ['prep-0.cpuprofile', 'record.json', 'report.html']);
  assert.deepEqual(JSON.parse(readFileSync(join(folder, 'prep-0.cpuprofile'), 'utf8')), cpu);
  for (const path of [folder, join(folder, 'report.html')]) {
    const [{ window, result }] = readRecords(path);
    assert.deepEqual([window!.fromSeconds, window!.missing, result.wallSeconds], [2, ['prep 1'], 9.5]);
  }
});

test('the next profile has a folder of its own', async (t) => {
  const output = tempDir(t);
  const { watch, said, raise } = watching(output);
  watch.begin({ profile: () => Promise.resolve(profile) });
  for (const count of [2, 4]) {
    raise();
    while (said.length < count) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await watch.end();
  assert.deepEqual(readdirSync(output).sort(), ['_profile-1', '_profile-2']);
});

test('a profile that fails, or cannot be written, is told and no error', async () => {
  const { watch, said, raise } = watching('/proc/none');
  watch.begin({ profile: () => Promise.resolve(profile) });
  raise();
  await watch.end();
  assert.match(said.at(-1)!, /^profile: none was written: .*ENOENT/);
});
