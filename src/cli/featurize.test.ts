/** `featurize` as a command: flags, and what it prints. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TandemError } from '../errors.ts';
import type { FeaturizeOptions } from '../feature-options.ts';
import { planning } from '../measure/progress.ts';
import type { ScoreResult } from '../options.ts';
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

const result: ScoreResult = {
  version: 1,
  rowsIn: 1_000,
  rowsOut: 1_000,
  shards: 4,
  shardsSkipped: 0,
  wallSeconds: 2,
  rowsPerSecond: 500,
  batchSize: 2_048,
  threads: 2,
  device: 'cpu',
  scorer: 'none: features are written',
  devices: [],
  decisions: [],
  precision: 'float32',
  output: 'out',
  outputBytes: 4_096,
  ledger: undefined,
  warnings: ['odd'],
};

test('flags become options; what is said at the end fits the files', async () => {
  const asked: FeaturizeOptions[] = [];
  const api: Partial<Api> = {
    featurize: async (options) => {
      asked.push(options);
      return result;
    },
  };
  const flags =
    '--shards 4 --format arrow --keep id,label --limit 10 --threads 3 --row-group-rows 4096 --progress none';
  const arrow = await run(`featurize a b --model m --output out ${flags}`, api);
  assert.equal(arrow.exitCode, 0, arrow.stderr);
  const {
    signal: _signal,
    onWarning: _onWarning,
    onProgress: _onProgress,
    onSelection: _onSelection,
    ...plain
  } = asked[0]!;
  assert.deepEqual(plain, {
    shards: ['a', 'b'],
    model: 'm',
    output: 'out',
    limit: 10,
    rowGroupRows: 4096,
    format: 'arrow',
    outputShards: 4,
    keep: ['id', 'label'],
    threads: 3,
    overwrite: false,
    command: plain.command,
  });
  assert.match(arrow.stdout, /^featurized 1,000 rows of 4 shards in 2\.0 s/);
  assert.match(arrow.stdout, /^read it: pyarrow\.dataset\.dataset\("out", format="ipc"\)$/m);
  const parquet = await run('featurize a --model m --output out --progress none', api);
  assert.match(parquet.stdout, /^ +or: pandas\.read_parquet\("out"\)$/m);
  assert.deepEqual([asked[1]!.format, asked[1]!.outputShards, asked[1]!.keep], [undefined, undefined, undefined]);
});

test('report, trace and metrics are asked for as with score, and a stop says what is whole', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-'));
  try {
    const asked: FeaturizeOptions[] = [];
    const api: Partial<Api> = {
      featurize: async (options) => {
        asked.push(options);
        options.onProgress?.({ ...planning, phase: 'featurizing', rowsDone: 10, rowsTotal: 30, shardsTotal: 3 });
        throw new TandemError('STOPPED', 'The run was stopped.');
      },
      planFeaturize: async () => {
        throw new TandemError('STOPPED', 'Enough.');
      },
    };
    const [report, trace] = [join(folder, 'r.html'), join(folder, 't.json')];
    const line = `featurize a --model m --output out --report ${report} --trace ${trace} --metrics 127.0.0.1:0`;
    const { stderr } = await run(line, api);
    assert.match(stderr, /^featurizing: 10 of 30 rows/m);
    assert.match(stderr, /0 of 3 shards/);
    assert.equal(asked[0]?.trace, trace);
    assert.deepEqual([asked[0]?.metrics?.host, asked[0]?.metrics?.port], ['127.0.0.1', 0]);
    assert.ok(asked[0]?.onRecord !== undefined);
    assert.match((await run(`${line} --dry-run`, api)).stderr, /without effect: --report, --trace, --metrics/);
    assert.match((await run(line.replace(trace, report), api)).stderr, /--report and --trace to be two files/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('what is missing or wrong is said before anything is loaded', async () => {
  const none: Partial<Api> = {};
  assert.match((await run('featurize a --model m', none)).stderr, /to be given --output <folder>/);
  assert.match(
    (await run('featurize a --model m --output o --shards 0', none)).stderr,
    /--shards to be a whole number/,
  );
  assert.match(
    (await run('featurize a --model m --output o --format csv', none)).stderr,
    /parquet or arrow, got `csv`/,
  );
});
