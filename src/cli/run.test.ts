import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { errorCodes, TandemError } from '../errors.ts';
import type { CheckReport, Progress, ScoreOptions, ScoreResult } from '../options.ts';
import type { InspectReport } from '../inspect-report.ts';
import type { Api } from './api.ts';
import type { Io } from './io.ts';
import { commands, runCommandLine } from './run.ts';

const result: ScoreResult = {
  version: 1,
  rowsIn: 3_000_000,
  rowsOut: 3_000_000,
  shards: 1,
  shardsSkipped: 0,
  wallSeconds: 1.25,
  rowsPerSecond: 2_400_000,
  batchSize: 1024,
  threads: 2,
  device: 'cpu',
  scorer: 'ONNX Runtime',
  devices: [],
  decisions: [],
  precision: 'float32',
  output: 'scores',
  outputBytes: 2 ** 20,
  ledger: undefined,
  warnings: ['late warning'],
};
const progress: Progress = {
  phase: 'scoring',
  rowsDone: 10,
  rowsTotal: 40,
  shardsDone: 1,
  shardsTotal: 4,
  shardsSkipped: 2,
  rowsPerSecondNow: 1,
  rowsPerSecondMean: 1,
  secondsElapsed: 1,
  secondsLeft: 30,
  batchSize: 8,
  bottleneck: undefined,
};
const inspected: InspectReport = {
  version: 1,
  shards: [{ name: 'a.parquet', rowCount: 1, rowGroups: 1, bytes: 10 }],
  rowCount: 1,
  bytes: 10,
  rowGroups: { count: 1, rowsMin: 1, rowsMax: 1, compressedBytesMax: 5 },
  columns: [],
  drift: [],
  model: undefined,
  problems: [],
};
const checked: CheckReport = {
  version: 1,
  rowCount: 2,
  device: 'cpu',
  precision: 'float32',
  tolerance: 1e-5,
  passed: false,
  columns: [
    {
      name: 'p',
      differenceMax: Infinity,
      rowsBeyond: 1,
      worst: [{ row: 1, golden: 'NaN', score: '0.5', difference: Infinity }],
    },
  ],
};

/** A command line against an API of which only some functions exist; gives what came out. */
async function run(args: readonly string[], api: Partial<Api> = {}, environment: Record<string, string> = {}) {
  const out = { stdout: '', stderr: '', exits: [] as number[], loads: 0 };
  const handlers = new Set<() => void>();
  const profileHandlers = new Set<() => void>();
  const io: Io = {
    stdout: { write: (text) => (out.stdout += text) },
    stderr: { write: (text) => (out.stderr += text) },
    environment,
    nowMs: () => 0,
    onSignal: (handler) => {
      handlers.add(handler);
      return () => void handlers.delete(handler);
    },
    onProfileSignal: (handler) => {
      profileHandlers.add(handler);
      return () => void profileHandlers.delete(handler);
    },
    exitNow: (exitCode) => void out.exits.push(exitCode),
  };
  const raise = () => handlers.forEach((handler) => handler());
  signalNow = raise;
  const exitCode = await runCommandLine(args, io, async () => {
    out.loads++;
    return api as Api;
  });
  assert.equal(handlers.size + profileHandlers.size, 0, 'signal handlers are removed');
  return { ...out, exitCode };
}
/** Sends a signal to the command line that runs now. */
let signalNow = () => {};

test('score: flags become options, the result goes to stdout, all else to stderr', async () => {
  let got: ScoreOptions | undefined;
  const api: Partial<Api> = {
    score: async (options) => {
      got = options;
      options.onWarning?.('early warning');
      options.onWarning?.('early warning');
      options.metrics?.onListening?.('http://[::1]:9464/metrics');
      options.onProgress?.(progress);
      options.onScorer?.('trees: 7.2 times ONNX Runtime');
      options.onDecision?.({ device: 'cuda:0', rows: 4096, reason: 'best by far', isSearch: false });
      return result;
    },
  };
  const line =
    'score a.parquet 007 --model m --output o --threads 2 --batch-size 64 --memory 1GiB --gpu-memory 20% --keep id --keep date ' +
    '--compression zstd --compression-level 9 --row-group-rows 5000 --rows-per-file 9000 --reader parquetjs --overwrite --device cuda:0 --allow-cpu-nodes ' +
    '--trace t.json --metrics [::1]:0 --kernels auto --trees onnxruntime';
  const { exitCode, stdout, stderr } = await run(line.split(' '), api);
  const { signal, onWarning, onProgress, onSelection, onScorer, onDecision, onRun, metrics, command, ...plain } = got!;
  assert.deepEqual([command, metrics?.host, metrics?.port], [['tandem', ...line.split(' ')], '::1', 0]);
  for (const given of [signal, onWarning, onProgress, onSelection, onScorer, onDecision, onRun]) assert.ok(given);
  assert.deepEqual(plain, {
    shards: ['a.parquet', '007'],
    model: 'm',
    output: 'o',
    threads: 2,
    batchSize: 64,
    device: 'cuda:0',
    allowCpuNodes: true,
    memoryBytes: 2 ** 30,
    gpuMemory: { share: 0.2 },
    keep: ['id', 'date'],
    compression: 'zstd',
    compressionLevel: 9,
    rowGroupRows: 5000,
    rowsPerFile: 9000,
    reader: 'parquetjs',
    overwrite: true,
    trace: 't.json',
    kernels: 'auto',
    trees: 'onnxruntime',
  });
  assert.match(`${exitCode} ${stdout}`, /^0 scored 3,000,000 rows of 1 shard in 1\.3 s: 2\.40 M rows\/s\n/);
  assert.doesNotMatch(stdout, /warning|scoring/);
  const said =
    /^warning: early warning\nmetrics: http:\S+:9464\/metrics\nscoring: 10 of 40 rows .*\nscorer: trees: 7\.2 times ONNX Runtime\n/;
  assert.match(stderr, said);
  assert.equal(stderr.replace(said, ''), 'cuda:0: 4,096 rows a batch: best by far\nwarning: late warning\n');
});

test('score --dry-run: the plan on stdout, no output folder needed, nothing scored', async () => {
  let got: ScoreOptions | undefined;
  const stopped = new TandemError('STOPPED', 'Stopped.');
  const api: Partial<Api> = { planScore: async (options) => ((got = options), Promise.reject(stopped)) };
  const { exitCode, stdout, stderr } = await run(['score', 'a', '--model', 'm', '--dry-run'], api);
  assert.deepEqual([exitCode, stdout, stderr], [75, '', 'STOPPED: Stopped.\n']);
  assert.equal(got?.output, 'tandem-dry-run');
  assert.equal(got?.onProgress, undefined);
  const more = ['--report', 'r.html', '--metrics', '127.0.0.1:0'];
  const noted = await run(['score', 'a', '--model', 'm', '--dry-run', ...more], api);
  assert.match(noted.stderr, /^note: --dry-run only plans; without effect: --report, --metrics\nSTOPPED/);
});

test('score: what is not said stays unsaid', async () => {
  let got: ScoreOptions | undefined;
  await run(['score', 'a', '--model=m', '--output=o'], { score: async (options) => ((got = options), result) });
  const { signal, onWarning, onProgress, onSelection, onScorer, onDecision, onRun, command, ...plain } = got!;
  assert.deepEqual(command, ['tandem', 'score', 'a', '--model=m', '--output=o']);
  for (const given of [signal, onWarning, onProgress, onSelection, onScorer, onDecision, onRun]) assert.ok(given);
  assert.deepEqual(plain, {
    shards: ['a'],
    model: 'm',
    output: 'o',
    compression: 'snappy',
    reader: 'duckdb',
    overwrite: false,
  });
});

test('--metrics: what is no address is refused before anything is loaded', async () => {
  for (const text of ['9464', ':9464', 'host:', 'host:65536', '::1:9464', 'http://host:1', 'host:1/metrics']) {
    const { exitCode, stderr, loads } = await run(['score', 'a', '--model', 'm', '--output', 'o', '--metrics', text]);
    assert.deepEqual([exitCode, loads], [64, 0], text);
    assert.match(stderr, /^USAGE: Expected --metrics to be host:port, with a port up to 65535, got `/);
  }
});

test('score: kinds of keep lists', async () => {
  const keeps: [string[], ScoreOptions['keep']][] = [
    [['--keep', 'none'], []],
    [['--keep', 'all'], 'all'],
    [
      ['--keep', 'a, b', '--keep', 'c'],
      ['a', 'b', 'c'],
    ],
    [
      ['--keep', 'a\\,b,none'],
      ['a,b', 'none'],
    ],
  ];
  for (const [flags, expected] of keeps) {
    let got: ScoreOptions | undefined;
    await run(['score', 'a', '--model', 'm', '--output', 'o', ...flags], {
      score: async (options) => ((got = options), result),
    });
    assert.deepEqual(got?.keep, expected);
  }
});

test('--json: stdout is exactly one object', async () => {
  const scored = await run(['score', 'a', '--model', 'm', '--output', 'o', '--json'], { score: async () => result });
  assert.deepEqual(JSON.parse(scored.stdout), JSON.parse(JSON.stringify(result)));
  const seen = await run(['inspect', 'a', '--json'], { inspect: async () => inspected });
  assert.deepEqual(JSON.parse(seen.stdout), JSON.parse(JSON.stringify(inspected)));
  const rounded = { ...checked, device: 'cuda:0', precision: 'tf32' } as const;
  const tf32 = await run(['check', '--model', 'm', '--device', 'cuda', '--precision', 'tf32'], {
    check: async () => rounded,
  });
  assert.deepEqual(tf32.exitCode, 65);
  assert.match(tf32.stderr, /do: +Leave --precision tf32 out; /);
  const failed = await run(['check', '--model', 'm', '--json'], { check: async () => checked });
  const report = JSON.parse(failed.stdout) as CheckReport;
  assert.equal(report.columns[0]?.differenceMax, 'Infinity');
  assert.equal(failed.exitCode, 65);
  assert.match(
    failed.stderr,
    /^GOLDEN_DIFFERS: Expected scores of p to be within 0\.00001 of golden\.parquet, got 1 row /,
  );
});

test('every error ends in its exit code, on stderr and with --json on stdout too', async () => {
  for (const [code, { exitCode }] of Object.entries(errorCodes)) {
    const error = new TandemError(code as keyof typeof errorCodes, 'Expected a.', {
      place: { shard: 's', row: 3 },
      remedy: 'Do b.',
    });
    const fail = { inspect: async () => Promise.reject(error) };
    const plain = await run(['inspect', 'a'], fail);
    assert.deepEqual([plain.exitCode, plain.stdout], [exitCode, '']);
    assert.equal(plain.stderr, `${code}: Expected a.\n  where: shard s, row 3\n  do:    Do b.\n`);
    const json = await run(['inspect', 'a', '--json'], fail);
    const expected = {
      error: { code, message: 'Expected a.', place: { shard: 's', row: 3 }, remedy: 'Do b.' },
      exitCode,
    };
    assert.deepEqual(JSON.parse(json.stdout), expected);
  }
});

test('what was not foreseen is a bug of ours; the stack comes with TANDEM_DEBUG only', async () => {
  const fail = { inspect: async () => Promise.reject(new RangeError('odd')) };
  const quiet = await run(['inspect', 'a'], fail);
  assert.equal(quiet.exitCode, 70);
  assert.match(quiet.stderr, /^BUG: odd This is a bug\./);
  assert.doesNotMatch(quiet.stderr, /run\.test/);
  const loud = await run(['inspect', 'a'], fail, { TANDEM_DEBUG: '1' });
  assert.match(loud.stderr, /RangeError: odd\n +at .*run\.test/);
});

test('inspect: problems are shown and make the exit code 65', async () => {
  const problems = ['BAD_COLUMN: Expected column a.\n  where: shard s'];
  const { exitCode, stdout } = await run(['inspect', 'a', '--model', 'm'], {
    inspect: async () => ({ ...inspected, problems }),
  });
  assert.equal(exitCode, 65);
  assert.match(stdout, /score would refuse:\n {2}BAD_COLUMN: Expected column a\.\n {4}where: shard s\n$/);
});

test('the first signal aborts and says so, the second ends at once, the end says what is whole', async () => {
  const { exitCode, stderr, exits, stdout } = await run(
    ['score', 'a', '--model', 'm', '--output', 'o', '--progress', 'none'],
    {
      score: async ({ signal, onProgress }) => {
        onProgress?.(progress);
        signalNow();
        assert.equal(signal?.aborted, true);
        signalNow();
        throw new TandemError('STOPPED', 'Stopped by a signal.');
      },
    },
  );
  assert.deepEqual([exitCode, exits, stdout], [75, [75], '']);
  assert.equal(
    stderr,
    [
      'stopping: whole shards stay, the same command goes on; again to end at once',
      'stopped: 3 of 6 shards whole; the same command goes on',
      'STOPPED: Stopped by a signal.\n',
    ].join('\n'),
  );
});

test('wrong usage is found before anything is loaded, and names the nearest right thing', async () => {
  const cases: [string, RegExp][] = [
    ['', /Expected a command, got none/],
    ['--jsn', /Expected a command, got `--jsn`/],
    ['scroe a', /got `scroe`\.\n.*Did you mean `tandem score`\?/],
    ['score a --modle m --output o', /got `--modle`\.\n.*Did you mean `--model`\?/],
    ['score a --batch 4', /got `--batch`\.\n.*Did you mean `--batch-size`\?/],
    ['score a --batchSize 4', /got `--batchSize`\.\n.*Did you mean `--batch-size`\?/],
    ['score a --no-overwrite', /got `--no-overwrite`\.\n.*Did you mean `--overwrite`\?/],
    ['score a -m m', /got `-m`/],
    ['score a --gpu --model m', /got `--gpu`\.\n.*Did you mean `--device cuda`\?/],
    ['check --gpus 2 --model m', /got `--gpus`\.\n.*Did you mean `--device cuda`\?/],
    ['tune a --tf32 --model m', /got `--tf32`\.\n.*Did you mean `--(?!precision)/],
    ['help scroe', /got `scroe`\.\n.*Did you mean `tandem score`\?/],
    ['score --model m --output o', /to be given shards, got none/],
    ['score a --output o', /to be given --model <folder>, got nothing/],
    ['score a --model m', /to be given --output <folder>, got nothing/],
    ['score a --model', /Expected --model to have a value <folder>/],
    ['score a --model m --model n --output o', /Expected --model to be given once, got `m` and `n`/],
    ['score a --model m --output o --threads 0', /Expected --threads to be a whole number from 1 to 256, got `0`/],
    ['score a --model m --output o --threads 257', /got `257`/],
    ['score a --model m --output o --batch-size 1.5', /got `1\.5`/],
    ['score a --model m --output o --batch-size 1e3', /got `1e3`/],
    ['score a --model m --output o --memory 2', /Expected --memory to be a size/],
    ['score a --model m --output o --kernels fast', /auto, kernel or onnxruntime, got `fast`\.\n(?!.*Did you mean)/s],
    ['score a --model m --output o --trees', /Expected --trees to be auto or onnxruntime, got none\./],
    ['score a --model m --output o --compression lzo', /to be snappy, zstd, gzip or none, got `lzo`/],
    ['score a --model m --output o --progress lively', /got `lively`\.\n.*Did you mean `live`\?/],
    ['score a --model m --output o --keep a,,b', /got an empty name in `a,,b`/],
    ['score a --model m --output o --keep a,b,a', /got `a` twice/],
    ['score a --model m --output o --json=maybe', /Expected --json to be a switch without a value, got `maybe`/],
    ['check --model m x', /to be given shards with --against or --row only, got `x`/],
    ['inspect a --keep b', /got `--keep`/],
    ['score a --model m --output o --precision tf23', /to be float32 or tf32, got `tf23`/],
    ['tune a --model m --seconds 0', /Expected --seconds to be a whole number/],
    ['tune a --model m --threads 2', /got `--threads`/],
  ];
  for (const [line, expected] of cases) {
    const { exitCode, stderr, stdout, loads } = await run(line === '' ? [] : line.split(' '));
    assert.match(stderr, expected, line);
    assert.match(stderr, /^USAGE: /, line);
    assert.deepEqual([exitCode, stdout, loads], [64, '', 0], line);
  }
  const json = await run(['score', '--json']);
  assert.equal((JSON.parse(json.stdout) as { exitCode: number }).exitCode, 64);
});

test('help teaches by example and names every flag', async () => {
  for (const { spec } of commands) {
    const { stdout, stderr, exitCode, loads } = await run([spec.name, '--help']);
    assert.deepEqual([exitCode, stderr, loads], [0, '', 0]);
    for (const flag of spec.flags)
      assert.ok(stdout.includes(`--${flag.name}${flag.value === undefined ? '' : ` <${flag.value}>`}`), flag.name);
    for (const [command] of spec.examples) assert.ok(stdout.includes(`  ${command}\n`), command);
    for (const { exitCode: code } of Object.values(errorCodes)) assert.ok(stdout.includes(`\n  ${code}  `), `${code}`);
    assert.match((await run(['--help'])).stdout, new RegExp(`tandem ${spec.name}`));
    for (const words of [
      ['help', spec.name],
      ['--help', spec.name],
    ]) {
      assert.equal((await run(words)).stdout, stdout);
    }
  }
});

test('every example is a command line that is accepted', async () => {
  const accepted = new TandemError('NO_SHARDS', 'Accepted.');
  const refuse = async () => Promise.reject(accepted);
  for (const { spec } of commands) {
    for (const [command] of spec.examples) {
      const words = command.replaceAll("'", '').split(' ').slice(1);
      const { stderr, exitCode } = await run(words, {
        score: refuse,
        planScore: refuse,
        inspect: refuse,
        check: refuse,
        checkAgainst: refuse,
        explainRow: refuse,
        init: refuse,
        fit: refuse,
        featurize: refuse,
        planFeaturize: refuse,
        tune: refuse,
        profile: refuse,
        readRecords: refuse,
        doctor: refuse,
        setupCuda: refuse,
      });
      assert.deepEqual([stderr, exitCode], ['NO_SHARDS: Accepted.\n', 65], command);
    }
  }
});

test("version is the package's", async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  for (const line of [['--version'], ['score', '--version']]) {
    const { stdout, exitCode } = await run(line);
    assert.deepEqual([stdout, exitCode], [`${version}\n`, 0]);
  }
});
