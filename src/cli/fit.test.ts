/** `fit` as a command: flags, and what it prints. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FitOptions, FitReport } from '../fit/report.ts';
import type { Api } from './api.ts';
import { runCommandLine } from './run.ts';

async function run(line: string, api: Partial<Api>) {
  const out = { stdout: '', stderr: '' };
  let nowMs = 0;
  const io = {
    stdout: { write: (text: string) => (out.stdout += text) },
    stderr: { write: (text: string) => (out.stderr += text) },
    environment: {},
    nowMs: () => (nowMs += 1_000),
    onSignal: () => () => {},
    onProfileSignal: () => () => {},
    exitNow: () => {},
  };
  const exitCode = await runCommandLine(line.split(' '), io, async () => api as Api);
  return { ...out, exitCode };
}

const counts = { count: 9, nulls: 0, nans: 0, infinite: 0, notes: [] };
const fitted: FitReport = {
  version: 1,
  path: 'm/tandem.json',
  rowCount: 12_000,
  shards: 2,
  passes: 3,
  seconds: 1.5,
  parameters: [
    {
      ...counts,
      field: 'inputs.x[0].standardize',
      source: 'distance',
      rule: 'mean and sample deviation (n - 1)',
      before: { mean: 1, std: 2 },
      value: { mean: 729.212345678, std: 574.1 },
      nulls: 1_200,
      nans: 3,
    },
    {
      ...counts,
      field: 'inputs.x[1].minMax',
      source: 'age',
      rule: 'least and greatest value',
      before: undefined,
      value: [0, 23.5],
    },
    {
      ...counts,
      field: 'inputs.y.index',
      source: 'origin',
      rule: 'categories by frequency',
      before: undefined,
      value: ['ATL', 'ORD', 'DFW', 'LAX', 'PHX'],
      notes: ['2 of them in fewer than 10 rows'],
    },
  ],
  unmarked: [],
  written: true,
};

test('flags become options, passes go to stderr, values and notes to stdout', async () => {
  let got: FitOptions | undefined;
  const api: Partial<Api> = {
    fit: async (options) => {
      got = options;
      for (const rowsDone of [10, 20, 1_000])
        options.onProgress?.({ pass: 2, rowsDone, rowsTotal: 12_000, secondsElapsed: 1 });
      return fitted;
    },
  };
  const done = await run('fit a.parquet b --model m --all --threads 3 --memory 1GiB', api);
  const { signal, onWarning, onProgress, ...plain } = got!;
  assert.ok(signal !== undefined && onWarning !== undefined && onProgress !== undefined);
  assert.deepEqual(plain, {
    shards: ['a.parquet', 'b'],
    model: 'm',
    all: true,
    dryRun: false,
    threads: 3,
    memoryBytes: 2 ** 30,
  });
  assert.equal(done.exitCode, 0);
  assert.match(done.stderr, /^pass 2: 20 of 12,000 rows\n/);
  assert.equal(
    done.stdout,
    `3 parameters from 12,000 rows of 2 shards, 1.5 s, in 3 passes
  field                    of        by                                 was            is
  inputs.x[0].standardize  distance  mean and sample deviation (n - 1)  mean 1, std 2  mean 729.212, std 574.1
  inputs.x[1].minMax       age       least and greatest value                          0, 23.5
  inputs.y.index           origin    categories by frequency                           5: ATL, ORD, DFW, LAX, ...
notes
  inputs.x[0].standardize: 1,200 null; 3 NaN, left out
  inputs.y.index: 2 of them in fewer than 10 rows
written to m/tandem.json
`,
  );
});

test('a dry run and nothing to fit are said, and --json gives all digits', async () => {
  const api: Partial<Api> = { fit: async () => ({ ...fitted, written: false }) };
  assert.match((await run('fit a --model m --dry-run', api)).stdout, /not written \(--dry-run\) to m\/tandem\.json\n$/);
  assert.match((await run('fit a --model m', api)).stdout, /as before in m\/tandem\.json\n$/);
  const json = JSON.parse((await run('fit a --model m --json', api)).stdout) as FitReport;
  assert.deepEqual(json.parameters[0]!.value, { mean: 729.212345678, std: 574.1 });
  const none = await run('fit a --model m', { fit: async () => ({ ...fitted, parameters: [] }) });
  assert.match(
    none.stdout,
    /^nothing to fit: every parameter in m\/tandem\.json has a value; --all fits again those that a fit has found/,
  );
  const unmarked = ['inputs.x[0].standardize', 'inputs.x[1].steps[0].clip'];
  for (const parameters of [fitted.parameters, []]) {
    const left = await run('fit a --model m --all', { fit: async () => ({ ...fitted, parameters, unmarked }) });
    assert.match(
      left.stdout,
      /no "fit" stands beside them .*: inputs\.x\[0\]\.standardize, inputs\.x\[1\]\.steps\[0\]\.clip$/m,
    );
    assert.match(left.stdout, /^ {2}to have one fitted, write its word .*: "standardize": "fit"/m);
  }
  assert.equal((await run('fit a', api)).exitCode, 64);
});
