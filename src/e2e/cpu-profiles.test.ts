import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { score } from '../pipeline.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import { profile } from '../profile/profile.ts';
import type { RunningScore } from '../options.ts';
import { readRecords } from '../report/read-record.ts';
import type { RunProfile, ThreadProfile } from '../run-record.ts';
import { networkModel, randomNetwork } from '../testing/networks.ts';
import { softwareGpusVariable } from '../testing/software-gpu/driver.ts';
import { caught, listFiles, Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;

const width = 8;
const columns = Array.from({ length: width }, (_, index) => `x${index}`);
const tmpdir = os.tmpdir();

/** Shards of so many rows, and a network that takes most of the time; temporary folders are this test's own. */
function place(t: { after(remove: () => void): void }, shards: number, rowCount: number): Workplace {
  process.env['TMPDIR'] = tmpdir;
  const here = new Workplace(t);
  here.writeModel(networkModel(randomNetwork([width, 256, 64, 1], 1)), {
    inputs: { x: columns.map((column) => ({ column, standardize: { mean: 1, std: 2 } })) },
    keep: ['id'],
  });
  const values = columns.map((name, index) => `(i % ${97 + index})::FLOAT AS ${name}`).join(', ');
  for (let shard = 0; shard < shards; shard++)
    here.shard(`${shard}.parquet`, `SELECT i AS id, ${values} FROM range(${rowCount}) t(i)`);
  process.env['TMPDIR'] = here.folder;
  return here;
}

function functionsOf({ profile: { nodes } }: ThreadProfile): Set<string> {
  return new Set(nodes.map(({ callFrame }) => callFrame.functionName));
}

function temporaryFolders(here: Workplace): string[] {
  return readdirSync(here.folder).filter((name) => name.startsWith('tandem-'));
}

test('profile: every thread has samples, C functions their names, and nothing else is left', async (t) => {
  const here = place(t, 2, 400_000);
  const output = join(here.folder, 'p');
  const { output: _, ...options } = here.options({ threads: 2 });
  const report = await profile({ ...options, output, seconds: 1 });
  assert.deepEqual(temporaryFolders(here), []);
  const files = ['main.cpuprofile', 'prep-0.cpuprofile', 'prep-1.cpuprofile', 'record.json', 'report.html'];
  assert.deepEqual(
    files.filter((name) => !report.files.includes(name)),
    [],
  );
  assert.deepEqual(listFiles(output), [...report.files].sort());
  const [record] = readRecords(output);
  for (const thread of record.profiles) {
    const path = join(output, `${thread.thread.replace(' ', '-')}.cpuprofile`);
    const { samples } = JSON.parse(readFileSync(path, 'utf8')) as ThreadProfile['profile'];
    assert.ok(samples!.length > 20, `${thread.thread}: ${samples!.length}`);
    assert.equal(thread.profile.samples!.length, thread.profile.nodes.length);
    if (thread.thread === 'main') continue;
    assert.ok(functionsOf(thread).has('OrtRunWithBinding'), [...functionsOf(thread)].join());
  }
  // All of it is about the same time.
  const { result, window } = record;
  assert.ok(window !== undefined && window.fromSeconds > 0);
  assert.deepEqual([result.wallSeconds, result.ledger!.wallSeconds], [report.seconds, report.seconds]);
  assert.ok(result.rowsOut > 0 && result.rowsOut < result.rowsIn, `${result.rowsOut}`);
  assert.deepEqual([result.rowsPerSecond, report.rowsPerSecond], Array(2).fill(result.rowsOut / report.seconds));
  assert.ok(record.profiles.some((thread) => functionsOf(thread).has('duckdb_fetch_chunk')));
  const [hottest] = report.functions;
  assert.deepEqual([hottest!.name, hottest!.file], ['OrtRunWithBinding', 'libonnxruntime']);
  assert.ok(hottest!.share > 0.3 && hottest!.threads === 2, JSON.stringify(report.functions));
  assert.ok(report.rowsPerSecond > 0 && report.memory.peakBytes > 2 ** 20);
  assert.deepEqual(
    report.memory.heaps.map(({ thread }) => thread),
    ['prep 0', 'prep 1'],
  );
  for (const { parts } of report.ledger.scorers) {
    const sum = parts.reduce((all, { share }) => all + share, 0);
    assert.ok(Math.abs(sum - 1) < 1e-6, `${sum}`);
    assert.ok(parts.find(({ name }) => name === 'warmUp')!.share < 0.01);
  }
  const refused = await caught(profile({ ...options, output }));
  assert.equal(refused.code, 'BAD_OUTPUT');
});

test('profile: shards that are over before it begins are an error, and nothing is left', async (t) => {
  const here = place(t, 1, 50);
  const { output: _, ...options } = here.options();
  const before = listFiles(here.folder);
  const error = await caught(profile({ ...options, output: join(here.folder, 'p') }));
  assert.equal(error.code, 'BAD_SHARD');
  assert.match(error.message, /got 50 rows/);
  const stopped = new AbortController();
  stopped.abort();
  const other = await caught(profile({ ...options, output: join(here.folder, 'p'), signal: stopped.signal }));
  assert.equal(other.code, 'STOPPED');
  assert.deepEqual(listFiles(here.folder), before);
  assert.deepEqual([temporaryFolders(here), existsSync(join(here.folder, 'p'))], [[], false]);
});

test('a GPU, and a writer of split shards, are profiled as other threads are', async (t) => {
  const here = place(t, 1, 530_000);
  process.env[softwareGpusVariable] = JSON.stringify([{ memoryBytes: 64 * 2 ** 20 }]);
  for (const [device, names] of [
    ['cuda', ['main', 'software:0']],
    ['cpu', ['main', 'prep 0', 'prep 1', 'writer']],
  ] as const) {
    let run: RunningScore | undefined;
    let taken: Promise<RunProfile> | undefined;
    await score({
      ...here.options({ device, threads: 2, output: join(here.folder, device), batchSize: 256 }),
      onRun: (started) => (taken = (run = started).profile(600)),
    });
    const { profiles, ledger } = await taken!;
    const threads = profiles.filter(({ profile: { samples } }) => samples!.length > 0).map(({ thread }) => thread);
    // On a GPU one thread may prepare the shard alone. The run ends the profile.
    for (const name of names) assert.ok(threads.includes(name), `${device}: ${threads.join()}`);
    assert.equal(ledger.scorers.length, device === 'cpu' ? 2 : 1);
    assert.equal((await caught(run!.profile())).code, 'USAGE');
  }
});

test(
  'SIGUSR2: a profile beside the output, the run as without it, and the next run goes on',
  { skip: process.platform === 'win32' },
  async (t) => {
    const here = place(t, 6, 60_000);
    await here.score({ threads: 2 });
    const output = join(here.folder, 'signalled');
    const main = new URL('../main.js', import.meta.url).pathname;
    const flags = ['--model', here.model, '--output', output, '--threads', '2', '--json'];
    const child = spawn(process.execPath, [main, 'score', here.data, ...flags]);
    let stderr = '';
    child.stderr.on('data', (text: Buffer) => (stderr += text.toString()));
    child.stdout.resume();
    const ended = once(child, 'close');
    while (child.exitCode === null && !existsSync(join(output, '_inflight'))) await sleep(5);
    child.kill('SIGUSR2');
    assert.deepEqual(await ended, [0, null], stderr);
    assert.match(stderr, /profile: taking one of the next 10 s\n/);
    assert.match(stderr, /profile: \d+\.\d s of \d threads.*: .*_profile-1\n/);
    const left = listFiles(join(output, '_profile-1'));
    assert.deepEqual(
      ['main.cpuprofile', 'record.json', 'report.html'].filter((name) => !left.includes(name)),
      [],
    );
    const [ofRun, inReport] = [output, join(output, '_profile-1/report.html')].map((path) => readRecords(path)[0]);
    assert.deepEqual(inReport, readRecords(join(output, '_profile-1'))[0]);
    assert.equal(ofRun!.window, undefined);
    const { window, result, profiles } = inReport!;
    assert.ok(window!.fromSeconds + window!.seconds <= ofRun!.result.wallSeconds && profiles.length > 1);
    // The signal may come before the first row.
    assert.ok(result.rowsOut > 0 && result.rowsOut <= ofRun!.result.rowsOut, `${result.rowsOut}`);
    assert.ok(
      left.some((name) => /^prep-\d\.cpuprofile$/.test(name)),
      left.join(),
    );
    for (let shard = 0; shard < 6; shard++) {
      const name = `${shard}.parquet`;
      assert.ok(readFileSync(join(output, name)).equals(readFileSync(join(here.output, name))), name);
    }
    const again = await score(here.options({ output }));
    assert.deepEqual([again.shards, again.shardsSkipped], [0, 6]);
    mkdirSync(join(output, '_profile-2'));
    writeFileSync(join(output, '_profile-2/ledger.json'), '{}');
    await score(here.options({ output, overwrite: true }));
    assert.deepEqual(
      listFiles(output).filter((path) => path.startsWith('_profile')),
      [],
    );
    assert.deepEqual(
      readdirSync(output).filter((name) => name.startsWith('_profile')),
      [],
    );
    mkdirSync(join(output, '_profile-1'));
    writeFileSync(join(output, '_profile-1/notes.txt'), '');
    assert.equal((await caught(score(here.options({ output, overwrite: true })))).code, 'BAD_OUTPUT');
  },
);
