/** `tune` as a command: flags, and what it prints. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TuneOptions, TuneReport } from '../options.ts';
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

const tuned: TuneReport = {
  version: 1,
  device: 'cuda:0',
  label: 'NVIDIA H200',
  sample: { shards: 2, rows: 5_000_000 },
  seconds: 58,
  settings: [
    { setting: 'batch size', value: 2048, rowsPerSecond: 1.5e6, shareOfBest: 0.75, trials: 2, chosen: false },
    { setting: 'batch size', value: 4096, rowsPerSecond: 2e6, shareOfBest: 1, trials: 3, chosen: true },
    { setting: 'precision', value: 'float32', rowsPerSecond: 2e6, shareOfBest: 0.8, trials: 3, chosen: false },
    { setting: 'precision', value: 'tf32', rowsPerSecond: 2.5e6, shareOfBest: 1, trials: 3, chosen: true },
  ],
  defaultRowsPerSecond: 2e6,
  chosen: { batchSize: 4096, threads: 8, slotsPerThread: 4, precision: 'tf32', rowsPerSecond: 2.5e6 },
  noise: 0.012,
  explanation: 'The model is the limit.',
  notes: ['from the page cache'],
  golden: [
    { precision: 'float32', passed: true, differenceMax: 0, tolerance: 1e-3, rowsBeyond: 0 },
    { precision: 'tf32', passed: true, differenceMax: 2e-4, tolerance: 1e-3, rowsBeyond: 0 },
  ],
  profiles: [
    { precision: 'float32', path: '/c/a.json' },
    { precision: 'tf32', path: '/c/b.json' },
  ],
};

test('tune: flags become options, trials go to stderr, table, reasons and profiles to stdout', async () => {
  let got: TuneOptions | undefined;
  const api: Partial<Api> = {
    tune: async (options) => {
      got = options;
      options.onProgress?.({ setting: 'threads 2', rowsPerSecond: undefined, secondsElapsed: 1 });
      options.onProgress?.({ setting: 'threads 2', rowsPerSecond: 812, secondsElapsed: 2.4 });
      return tuned;
    },
  };
  const line =
    'tune a b --model m --device cuda --ort-dir o --seconds 9 --memory 1GiB --gpu-memory 20% --allow-cpu-nodes';
  const { exitCode, stdout, stderr } = await run(line, api);
  const { signal, onWarning, onProgress, ...plain } = got!;
  assert.ok(signal !== undefined && onWarning !== undefined && onProgress !== undefined);
  const said = {
    device: 'cuda',
    ortDir: 'o',
    gpuMemory: { share: 0.2 },
    allowCpuNodes: true,
    seconds: 9,
    memoryBytes: 2 ** 30,
  };
  assert.deepEqual(plain, { shards: ['a', 'b'], model: 'm', ...said });
  assert.deepEqual([exitCode, stderr], [0, '   2 s  threads 2: 812 rows/s\n']);
  assert.deepEqual(stdout.split('\n').slice(0, -1), [
    'tuned on cuda:0 (NVIDIA H200) with 2 shards of 5,000,000 rows',
    '  setting       value           rate  of best  trials',
    '  batch size    2,048  1.50 M rows/s     75 %       2',
    '  batch size    4,096  2.00 M rows/s    100 %       3  chosen',
    '  precision   float32  2.00 M rows/s     80 %       3',
    '  precision      tf32  2.50 M rows/s    100 %       3  chosen',
    'golden rows in float32: passed (largest difference 0, tolerance 0.001)',
    'golden rows in tf32: passed (largest difference 2e-4, tolerance 0.001)',
    "chosen: batch size 4,096, 8 threads, 4 slots a thread, tf32: 2.50 M rows/s, 1.25 times the default's 2.00 M rows/s (trials differ by 1.2 %)",
    'The model is the limit.',
    'note: from the page cache',
    'profile written to /c/a.json; `tandem score` picks it up',
    'profile written to /c/b.json; `tandem score` with --precision tf32 picks it up',
  ]);
  const refused = { ...tuned, settings: [], golden: [{ ...tuned.golden[1]!, passed: false, rowsBeyond: 3 }] };
  const other = await run('tune a --model m', { tune: async () => refused });
  assert.match(other.stdout, /\ngolden rows in tf32: 3 rows beyond, never chosen \(largest/);
  const once = await run('tune a --model m', { tune: async () => ({ ...tuned, noise: 0 }) });
  assert.match(once.stdout, /2\.00 M rows\/s \(nothing was tried twice\)/);
});
