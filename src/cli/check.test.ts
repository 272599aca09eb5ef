/** `check` as a command: what goes with --against, and what it prints then. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AgainstOptions, KnownReport } from '../check/against-report.ts';
import type { RowAddress, RowOptions } from '../check/row-report.ts';
import { TandemError } from '../errors.ts';
import { tempDir } from '../testing/shards.ts';
import type { Api } from './api.ts';
import { runCommandLine } from './run.ts';

async function run(line: string, api: Partial<Api> = {}) {
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

const found: KnownReport = {
  version: 1,
  key: ['id'],
  rows: { shards: 1000, known: 900, both: 900, onlyShards: 100, onlyKnown: 0 },
  tolerance: 1e-5,
  passed: false,
  device: 'cpu',
  precision: 'float32',
  notCompared: ['margin'],
  columns: [
    {
      name: 'p',
      known: 'probability[1]',
      kind: 'number',
      differenceMax: Infinity,
      differenceMedian: 0.25,
      differenceP99: 0.75,
      rowsBeyond: 880,
      nulls: { known: 1, score: 0 },
      nans: { known: 0, score: 0 },
      worst: [{ shard: 'a.parquet', row: 17, key: '3', known: 'null', score: '0.5', difference: Infinity }],
      confusion: [],
      hints: ['known = 1 - score: it is the other class.'],
    },
    {
      name: 'label',
      known: 'prediction',
      kind: 'label',
      differenceMax: Infinity,
      differenceMedian: 0,
      differenceP99: 0,
      rowsBeyond: 20,
      nulls: { known: 0, score: 0 },
      nans: { known: 0, score: 0 },
      worst: [],
      confusion: [{ known: '1', score: '0', rows: 20 }],
      hints: [],
    },
  ],
};

test('flags become options, and the report a page', async () => {
  let options: AgainstOptions | undefined;
  const line =
    'check data --model m --against s.parquet --key id,a\\,b --map p=probability[1],label=a=b --tolerance 1e-5';
  const { stdout, stderr, exitCode } = await run(line, {
    checkAgainst: async (given) => {
      options = given;
      return found;
    },
  });
  const { shards, against, key, map, tolerance } = options!;
  assert.deepEqual([shards, against, key, tolerance], [['data'], ['s.parquet'], ['id', 'a,b'], 1e-5]);
  assert.deepEqual(map, { p: 'probability[1]', label: 'a=b' });
  assert.equal(exitCode, 65);
  assert.match(stderr, /^GOLDEN_DIFFERS: Expected scores of p, label to be within 0\.00001 .* got 880 rows off\./);
  assert.match(stderr, /do: +Follow one of the worst rows: --row 'a\.parquet:17'\./);
  assert.equal(
    stdout,
    [
      'FAILED: 900 rows by id, tolerance 1e-5',
      'rows without a partner: 100 of the shards, 0 of the known scores',
      'not compared, as nothing is known of them: margin',
      '  column  known           largest difference  median  99 %  rows beyond',
      '  p       probability[1]            infinite    0.25  0.75          880',
      '  label   prediction                                                 20',
      'p: null where the other side is not: known in 1 row, score in 0 rows',
      'p: known = 1 - score: it is the other class.',
      'labels that differ',
      '  column  known  score  rows',
      '  label   1      0        20',
      'worst rows, counted from 0',
      '  column  shard:row     id  known  score  difference',
      '  p       a.parquet:17  3    null    0.5    infinite',
      '',
    ].join('\n'),
  );
});

test('what does not go together is said before anything is loaded', async () => {
  const cases: readonly (readonly [string, RegExp])[] = [
    ['check --model m --against s.parquet', /to be given shards with --against, got none/],
    ['check x --model m --against s.parquet --map p', /--map to be score=known, got `p`/],
    ['check x --model m --against s.parquet --tolerance -1', /--tolerance to be a number from 0 on, got `-1`/],
    ['check --model m --key id', /Expected --key to come with --against/],
    ['check x --model m --against s.parquet --worst 0', /Expected --worst to be/],
    ['check --model m --worst 3', /Expected --worst to come with --against/],
    ['check --model m --files-from -', /given shards with --against or --row only, got `-`/],
    ['check x --model m --row a.parquet:5 --against s --worst 3', /name the row alone, got --worst too/],
    ['check --model m --files-from - --against-from -', /read standard input, got both/],
    ['check --model m --row 17', /--row to be a shard and a row .* got `17`/],
    ['check --model m --row id=5', /to be given shards with --row, got none/],
    ['check x --model m --row a.parquet:5 --map p=q', /Expected --map to come with --against/],
  ];
  for (const [line, expected] of cases) {
    const { stderr, exitCode } = await run(line);
    assert.match(stderr, expected);
    assert.equal(exitCode, 64);
  }
});

test('lists of shards and of known files', async (t) => {
  const folder = tempDir(t);
  const paths = ['a.parquet', 'k 1.parquet', 'k*.parquet'].map((name) => join(folder, name));
  paths.forEach((path) => writeFileSync(path, ''));
  writeFileSync(join(folder, 'shards.txt'), `${paths[0]}\n`);
  writeFileSync(join(folder, 'known.txt'), `${paths[1]}\nfile://${paths[2]}\n`);
  const lists = `--files-from ${folder}/shards.txt --against-from ${folder}/known.txt`;
  let options: AgainstOptions | undefined;
  const checkAgainst = async (given: AgainstOptions): Promise<KnownReport> => {
    options = given;
    return { ...found, passed: true };
  };
  const { exitCode } = await run(`check --model m ${lists} --key id --worst 3`, { checkAgainst });
  assert.deepEqual([exitCode, options!.shards, options!.against, options!.worst], [0, [paths[0]], paths.slice(1), 3]);
  const missing = await run(`check x --model m --against-from ${folder}/none.txt`);
  assert.match(missing.stderr, /Expected --against-from to be a readable file or -/);
});

test('no rows in common is a failure of its own', async () => {
  const rows = { shards: 1000, known: 900, both: 0, onlyShards: 1000, onlyKnown: 900 };
  const { stderr, exitCode } = await run('check x --model m --against s --key id', {
    checkAgainst: async () => ({ ...found, rows }),
  });
  assert.match(stderr, /rows that both sides have, got none/);
  assert.equal(exitCode, 65);
});

test('an address is a place, or a value of a column', async () => {
  const cases: readonly (readonly [string, RowAddress, readonly string[]])[] = [
    ['--row data/part-3.parquet:17', { shard: 'data/part-3.parquet', row: 17 }, ['data/part-3.parquet']],
    ['x --row dt=2026-05-01/a.parquet:0', { shard: 'dt=2026-05-01/a.parquet', row: 0 }, ['x']],
    ['x --row id=5', { column: 'id', value: '5' }, ['x']],
    ['x --row at=12:30', { column: 'at', value: '12:30' }, ['x']],
    ['x --row id=5 --against s --key id', { column: 'id', value: '5' }, ['x']],
  ];
  for (const [line, row, shards] of cases) {
    let options: RowOptions | undefined;
    await run(`check ${line} --model m`, {
      explainRow: async (given) => {
        options = given;
        throw new TandemError('NO_SHARDS', 'Enough.');
      },
    });
    assert.deepEqual([options!.row, options!.shards], [row, shards], line);
    assert.deepEqual(options!.key, line.includes('--key') ? ['id'] : undefined);
  }
});

test('values that a run makes otherwise are a bug, and said so', async () => {
  const differences = [{ input: 'x', position: 2, reference: '1', made: '2' }];
  const { stdout, stderr, exitCode } = await run('check x --model m --row a.parquet:5', {
    explainRow: async () => ({
      version: 1,
      shard: 'a.parquet',
      row: 5,
      leftOutBy: undefined,
      columns: [],
      features: [],
      differences,
      outputs: [],
      device: 'cpu',
      scorer: 'ONNX Runtime',
      scores: [],
      known: undefined,
    }),
  });
  assert.match(stdout, /this is a bug\n.*\n +x\[2\] +1 +2\n/);
  assert.match(stderr, /^BUG: Expected x\[2\] to be 1, got 2\./);
  assert.equal(exitCode, 70);
});
