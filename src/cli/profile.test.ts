/** `profile` as a command: flags, and what it prints. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProfileOptions, ProfileReport } from '../options.ts';
import { gpuRunRecord } from '../testing/run-records.ts';
import type { Api } from './api.ts';
import { runCommandLine } from './run.ts';

async function run(line: string, api: Partial<Api>) {
  const out = { stdout: '', stderr: '' };
  const io = {
    stdout: { write: (text: string) => (out.stdout += text) },
    stderr: { write: (text: string) => (out.stderr += text) },
    environment: {},
    nowMs: () => 0,
    onSignal: () => () => {},
    onProfileSignal: () => () => {},
    exitNow: () => {},
  };
  const exitCode = await runCommandLine(line.split(' '), io, async () => api as Api);
  return { ...out, exitCode };
}

const ledger = gpuRunRecord().result.ledger!;
const report: ProfileReport = {
  version: 1,
  device: 'cuda:0',
  seconds: 4.02,
  rowsPerSecond: 1.5e6,
  threads: 8,
  batchSize: 4096,
  ledger,
  functions: [
    { name: 'OrtRunWithBinding', file: 'libonnxruntime', selfSeconds: 3.1, share: 0.62, threads: 1 },
    { name: '(garbage collector)', file: '', selfSeconds: 0.05, share: 0.01, threads: 8 },
  ],
  memory: {
    peakBytes: 300 * 2 ** 20,
    samples: [{ atSeconds: 1, residentBytes: 300 * 2 ** 20 }],
    heaps: [{ thread: 'prep 0', bytes: 10 * 2 ** 20 }],
  },
  missing: ['prep 7'],
  wholeInput: true,
  folder: '/p',
  files: ['main.cpuprofile', 'record.json'],
};

test('profile: flags become options; verdict, ledger, functions and files to stdout', async () => {
  let got: ProfileOptions | undefined;
  const api: Partial<Api> = { profile: async (options) => ((got = options), report) };
  const line =
    'profile a b --model m --device cuda --threads 8 --batch-size 64 --seconds 4 --output p --keep id --memory 1GiB';
  const { exitCode, stdout } = await run(line, api);
  assert.equal(exitCode, 0);
  const { signal, onWarning, onProgress, command, ...plain } = got!;
  assert.ok(signal !== undefined && onWarning !== undefined && onProgress !== undefined);
  assert.deepEqual(command, ['tandem', ...line.split(' ')]);
  const said = {
    device: 'cuda',
    threads: 8,
    batchSize: 64,
    seconds: 4,
    output: 'p',
    keep: ['id'],
    memoryBytes: 2 ** 30,
  };
  assert.deepEqual(plain, { shards: ['a', 'b'], model: 'm', ...said });
  const lines = stdout.split('\n');
  assert.deepEqual(lines.slice(0, 2), [
    'profiled 4.0 s: 1.50 M rows/s, batch size 4,096, 8 threads, cuda:0',
    ledger.verdict.sentence,
  ]);
  assert.ok(
    lines.some((text) => /^ +of the time +cuda:0/.test(text)),
    stdout,
  );
  assert.deepEqual(lines.slice(lines.findIndex((text) => text.includes('itself'))), [
    '  function             in              itself   share  threads',
    '  OrtRunWithBinding    libonnxruntime  3.10 s  62.0 %        1',
    '  (garbage collector)                  0.05 s   1.0 %        8',
    '',
    "memory: at most 300.0 MiB resident; V8's heaps of 1 thread hold 10.0 MiB",
    'note: without prep 7: no batch ended there in that time',
    'note: the shards were scored after 4.0 s: their end is in the figures',
    'written to /p: main.cpuprofile, record.json',
    'open report.html in a browser; a .cpuprofile in Chrome (DevTools, Performance, "Load profile") or on https://speedscope.app',
    '',
  ]);
});

test('profile --json, what is not said stays unsaid, and --help tells how to open the files', async () => {
  let got: ProfileOptions | undefined;
  const api: Partial<Api> = { profile: async (options) => ((got = options), report) };
  const { stdout } = await run('profile a --model m --json', api);
  assert.deepEqual(JSON.parse(stdout), JSON.parse(JSON.stringify(report)));
  const { signal: _, onWarning: _w, onProgress: _p, command: _c, ...plain } = got!;
  assert.deepEqual(plain, { shards: ['a'], model: 'm' });
  const help = (await run('profile --help', {})).stdout;
  for (const words of ['speedscope', 'DevTools', 'kill -USR2', 'add up to 100 %'])
    assert.ok(help.includes(words), help);
  assert.equal((await run('profile a --model m --seconds 601', api)).exitCode, 64);
});
