/** `tandem init`: flags, exit codes, and what a person reads. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { InitOptions, InitReport } from '../init/init.ts';
import type { Api } from './api.ts';
import type { Io } from './io.ts';
import { runCommandLine } from './run.ts';

const environment = { HOME: '/nowhere' };

const report: InitReport = {
  version: 1,
  folder: join(process.cwd(), 'models/m'),
  dryRun: false,
  files: ['model.onnx', 'tandem.json'],
  contract: '{}\n',
  inputs: [{ name: 'x', type: 'float32 [N, 2]', sure: 'guess', because: 'they are left', features: ['a', 'b'] }],
  outputs: { label: 'label', probabilities: { column: 'probability', select: 1 }, maps: false },
  keep: ['id'],
  decisions: [{ field: 'inputs.x', question: 'guessed: is it the order?', candidates: ['a', 'b'], must: false }],
  notes: ['exported by lightgbm 4.7.0'],
  problems: [],
  check: undefined,
  steps: [],
};

/** Runs a command line, split at spaces, over an API that gives `made`. */
async function run(line: string, made: InitReport = report) {
  const out = { stdout: '', stderr: '', options: undefined as InitOptions | undefined };
  const io: Io = {
    stdout: { write: (text) => (out.stdout += text) },
    stderr: { write: (text) => (out.stderr += text) },
    environment,
    nowMs: () => 0,
    onSignal: () => () => {},
    onProfileSignal: () => () => {},
    exitNow: () => {},
  };
  const api: Partial<Api> = { init: async (options) => ((out.options = options), made) };
  const exitCode = await runCommandLine(line.split(' '), io, async () => api as Api);
  return { ...out, exitCode };
}

test('flags become options', async () => {
  const { options, exitCode } = await run(
    'init a b --lightgbm m.txt --output o --python python3.11 --overwrite --dry-run',
  );
  const { signal, onProgress, onWarning, ...plain } = options!;
  assert.ok(signal !== undefined && onProgress !== undefined && onWarning !== undefined);
  assert.deepEqual(plain, {
    source: { kind: 'lightgbm', path: 'm.txt' },
    shards: ['a', 'b'],
    output: 'o',
    python: 'python3.11',
    overwrite: true,
    dryRun: true,
    environment,
  });
  assert.equal(exitCode, 0);
  assert.equal((await run('init --xgboost m.json --output o')).options!.shards, undefined);
});

test('a model is given once, in one form', async () => {
  for (const [line, got] of [
    ['init a', 'none'],
    ['init a --model m --sklearn s', '--model and --sklearn'],
  ]) {
    const { exitCode, stderr } = await run(line!);
    assert.equal(exitCode, 64);
    assert.ok(stderr.includes(`got ${got}.`), stderr);
  }
});

test('what has to be filled in, refused or differs decides the exit code', async () => {
  const must = { field: 'inputs.x', question: 'no column has this name', candidates: ['a'], must: true };
  const check = { version: 1, rowCount: 3, device: 'cpu', precision: 'float32', tolerance: 1e-5, columns: [] } as const;
  for (const [change, exitCode] of [
    [{ decisions: [must] }, 65],
    [{ problems: ['BAD_COLUMN: no'] }, 65],
    [{ check: { ...check, passed: false } }, 65],
    [{ check: { ...check, passed: true } }, 0],
  ] as const) {
    assert.equal((await run('init a --model m', { ...report, ...change })).exitCode, exitCode, Object.keys(change)[0]);
  }
});

test('an export that is not the model: by how much, in which rows, and no next run', async () => {
  const worst = [7, 3].map((row) => ({ row, golden: '0.5', score: '0.25', difference: 0.25 }));
  const columns = [{ name: 'p', differenceMax: 0.25, rowsBeyond: 2, worst }];
  const check = {
    version: 1,
    rowCount: 9,
    device: 'cpu',
    precision: 'float32',
    tolerance: 1e-5,
    passed: false,
    columns,
  };
  const { stdout, stderr } = await run('init a --sklearn m --output o', { ...report, check } as InitReport);
  assert.match(stderr, /^GOLDEN_DIFFERS: Expected scores of p .*, got 2 rows off\./m);
  assert.match(stderr, /differs by up to 0\.25, most in rows 7, 3 of golden\.parquet/);
  assert.doesNotMatch(stdout, /tandem score/);
  assert.match(stdout, /next\n {2}do not score with it/);
});

test('the report says how sure it is, what to look at, and what comes next', async () => {
  const { stdout } = await run('init data/*.parquet --model m');
  assert.match(stdout, /^wrote model\.onnx, tandem\.json in models\/m\n/);
  assert.match(stdout, /x +float32 \[N, 2\] +guess +a, b +they are left/);
  assert.match(stdout, /label, probabilities\[1\] as probability, maps is left out; kept: id/);
  assert.match(stdout, /to look at\n {2}inputs\.x: guessed: is it the order\?\n {6}candidates: a {3}b/);
  assert.match(stdout, /next\n {2}tandem score 'data\/\*\.parquet' --model models\/m --output scores --dry-run\n$/);
  const must = { ...report.decisions[0]!, must: true };
  const open = await run('init a --model m', { ...report, decisions: [must] });
  assert.match(open.stdout, /to fill in, where tandem\.json has "\?"\n {2}inputs\.x: /);
  assert.match(
    open.stdout,
    /next\n {2}fill in 1 place of models\/m\/tandem\.json\n {2}tandem inspect a --model models\/m\n/,
  );
  assert.deepEqual(JSON.parse((await run('init a --model m --json')).stdout), JSON.parse(JSON.stringify(report)));
});

test('help says what loading a pickle means, and that shards may be left out', async () => {
  const { stdout } = await run('init --help');
  assert.match(stdout, /tandem init \[shards\.\.\] \[flags\]/);
  assert.match(stdout.replace(/\s+/g, ' '), /Loading one runs what code it holds/);
});
