import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TensorLayout } from '../batch.ts';
import type { Feature } from '../contract/contract.ts';
import type { CheckReport, ScoreResult } from '../options.ts';
import type { InspectReport } from '../inspect-report.ts';
import type { PlannedDevice, PlannedShard, RunPlan } from '../plan.ts';
import { renderCheck } from './render-check.ts';
import { renderInspect } from './render-inspect.ts';
import { describeFeature, renderPlan } from './render-plan.ts';
import { readCommand, renderScore } from './render-score.ts';

const scored: ScoreResult = {
  version: 1,
  rowsIn: 1,
  rowsOut: 1,
  shards: 1,
  shardsSkipped: 0,
  wallSeconds: 0.5,
  rowsPerSecond: 2,
  batchSize: undefined,
  threads: 1,
  device: 'cpu',
  scorer: 'ONNX Runtime: Conv has no kernel',
  devices: [],
  decisions: [],
  precision: 'float32',
  output: 'out/',
  outputBytes: 500,
  ledger: undefined,
  warnings: [],
};

test('score', () => {
  assert.equal(
    renderScore(scored),
    [
      'scored 1 row of 1 shard in 0.5 s: 2 rows/s',
      '  1 thread, cpu',
      'result: out/ (500 B)',
      'read it: duckdb -c "FROM \'out/**/*.parquet\' LIMIT 10"',
      '     or: pandas.read_parquet("out/")',
    ].join('\n'),
  );
  const resumed = renderScore({
    ...scored,
    shards: 3,
    shardsSkipped: 2,
    rowsIn: 10,
    rowsOut: 9,
    batchSize: 4096,
    threads: 2,
  });
  assert.match(
    resumed,
    /^scored 10 rows of 3 shards .*\n {2}2 more shards whole already\n {2}9 rows written\n {2}batch .*4,096, 2 threads/,
  );
  assert.match(
    renderScore({ ...scored, shards: 0, shardsSkipped: 2 }),
    /^nothing to do: 2 shards whole already\nresult: out\/ \(500 B\)\n/,
  );
  assert.match(renderScore({ ...scored, outputBytes: 0 }), /\nresult: out\/\n/);
});

test('the line that reads the result survives the shell, SQL and the glob', () => {
  assert.equal(readCommand("it's/g[1]*"), `duckdb -c "FROM 'it''s/g[[]1][*]/**/*.parquet' LIMIT 10"`);
  assert.equal(readCommand('a$b`c"d\\e'), 'duckdb -c "FROM \'a\\$b\\`c\\"d\\\\e/**/*.parquet\' LIMIT 10"');
});

const features: Feature[] = [
  {
    kind: 'number',
    source: { column: 'distance' },
    missing: 0,
    steps: [
      { kind: 'standardize', mean: 1, std: 2 },
      { kind: 'clip', low: 0, high: 1 },
    ],
  },
  { kind: 'number', source: { sql: 'hour(date)' }, missing: undefined, steps: [] },
  { kind: 'index', source: { column: 'origin' }, categories: ['A', 'B'], unknown: 'own', missing: undefined },
  {
    kind: 'oneHot',
    source: { column: 'o' },
    categories: [1, 2, 3],
    unknown: 'zeros',
    missing: undefined,
    dropLast: true,
  },
  { kind: 'hash', source: { column: 'h' }, buckets: 1024, missing: undefined },
  { kind: 'list', source: { column: 'l' }, length: 4, missing: undefined, steps: [{ kind: 'log1p' }] },
  { kind: 'length', source: { column: 'l' }, missing: undefined },
  { kind: 'text', source: { column: 't' }, missing: undefined },
];

test('features in words', () => {
  assert.deepEqual(features.map(describeFeature), [
    'distance: standardize, clip',
    'sql hour(date)',
    'origin: index of 2',
    'o: one-hot of 3',
    'h: hash into 1,024',
    'l: list, log1p',
    'l: length',
    't: text',
  ]);
});

function shard(index: number, change: Partial<PlannedShard> = {}): PlannedShard {
  return {
    index,
    path: `/data/${index}.parquet`,
    name: `${index}.parquet`,
    bytes: 2 ** 20,
    modifiedMs: 0,
    rowCount: 1000 + index,
    rowGroupRows: [500, 500 + index],
    rowGroupBytesMax: 10,
    schema: 0,
    mode: 'whole',
    done: false,
    ...change,
  };
}

const x: TensorLayout = {
  name: 'x',
  elementType: 'float32',
  rowShape: [2],
  width: 2,
  features: features.slice(0, 2),
  featureWidths: [1, 1],
};
const plan: RunPlan = {
  version: 1,
  device: 'cpu',
  scorer: { kind: 'onnxruntime', words: 'ONNX Runtime: Conv has no kernel' },
  devices: [],
  allowCpuNodes: false,
  onnxRuntimePath: undefined,
  precision: 'float32',
  profiles: { folder: undefined, keys: [], used: [] },
  model: {
    path: 'models/m/model.onnx',
    bytes: 2048,
    sha256: '',
    contractSha256: '',
    inputs: [x],
    constants: [{ name: 'rate', elementType: 'int64', shape: [1], value: 16_000 }],
    outputs: [
      { name: 'p', elementType: 'float32', rowShape: [1], width: 1 },
      { name: 'probabilities', elementType: 'float32', rowShape: [3], width: 3 },
    ],
    columns: [
      { name: 'p_late', output: 0, position: undefined },
      { name: 'all', output: 1, position: undefined },
      { name: 'second', output: 1, position: 1 },
    ],
    fixedBatchRows: undefined,
  },
  shards: [
    shard(0, { mode: 'split' }),
    shard(1, { done: true }),
    ...Array.from({ length: 9 }, (_, index) => shard(index + 2)),
  ],
  schemas: [],
  rowsTotal: 11_055,
  keep: ['date', 'origin'],
  keepsAll: false,
  keepBytes: 3 * 2 ** 20,
  featureBytes: 2 ** 20,
  output: 'scores',
  files: {
    compression: 'snappy',
    compressionLevel: undefined,
    rowGroupRows: 122_880,
    rowsPerFile: undefined,
    rowGroupsPerFile: undefined,
  },
  threads: 2,
  threadsBound: "the machine's 2 cores",
  batchSize: undefined,
  slotRows: 8192,
  slotsPerThread: 1,
  memory: [
    { what: 'slots', where: 'host', count: 2, bytesEach: 2 ** 20 },
    { what: 'model', where: 'host', count: 1, bytesEach: 2048 },
  ],
  memoryLimitBytes: 2 ** 31,
  memoryBound: '--memory',
  warnings: [],
};

test('score: a kernel is named, ONNX Runtime goes without saying', () => {
  const words = 'linear: 2 columns to 1 target, 16 rows at once, 3.4 times ONNX Runtime';
  assert.ok(renderScore({ ...scored, scorer: words }).includes(`\n  ${words}\n`));
  assert.doesNotMatch(renderScore(scored), /Conv/);
});

test('plan', () => {
  const text = renderPlan(plan);
  const expected = [
    'plan: 11,055 rows of 11 shards -> scores (nothing is written now)',
    '  name        rows  row groups     size  read and written by',
    '  0.parquet  1,000           2  1.0 MiB  split among threads',
    '  1.parquet  1,001           2  1.0 MiB  whole already',
    '  2.parquet  1,002           2  1.0 MiB  one thread',
    '  and 1 more',
    '  x     float32[N, 2]  distance: standardize, clip; sql hour(date)',
    '  rate  int64[1]       constant 16000',
    '  p_late  float32     p',
    '  all     float32[3]  probabilities',
    '  second  float32     probabilities[1]',
    '  date, origin',
    '  3.0 MiB compressed to copy; the features read 1.0 MiB',
    "  threads      2: the machine's 2 cores",
    '  device       cpu',
    '  scorer       ONNX Runtime: Conv has no kernel',
    '  batch size   measured at the start',
    '  slots  host      2  1.0 MiB  2.0 MiB',
    '  sum                  2.0 MiB',
    '  limit                  2.00 GiB',
    '  limit set by: --memory',
  ];
  const lines = text.split('\n').map((line) => line.replace(/ +/g, (space) => (space.length > 1 ? '  ' : ' ')));
  for (const line of expected) {
    assert.ok(lines.includes(line.replace(/ +/g, (space) => (space.length > 1 ? '  ' : ' '))), `${line}\nin\n${text}`);
  }
  assert.ok(!text.includes('10.parquet'), 'ten shards are named');
  assert.ok(!text.includes('every column is copied'));
});

test('plan: hints, and lists that are at their bound', () => {
  const all = renderPlan({
    ...plan,
    keepsAll: true,
    shards: plan.shards.slice(0, 10),
    batchSize: 1,
    model: { ...plan.model, fixedBatchRows: 1 },
  });
  assert.match(all, /every column is copied: --keep a,b or --keep none copies less/);
  assert.match(all, /batch size {3}1 row \(fixed by the model\)/);
  assert.ok(!all.includes(' more\n'));
  assert.match(renderPlan({ ...plan, keep: [], keepBytes: 0 }), /keep\n {2}no columns\n/);
});

test('plan of a run on a device: what is promised, and where the batch size starts', () => {
  const device = {
    name: 'cuda:0',
    label: 'NVIDIA H200',
    driver: { module: '', options: undefined },
    buffers: 3,
    bufferRows: 4096,
    fixedBatchSize: undefined,
    memoryBudgetBytes: undefined,
  };
  const show = (changes: Partial<PlannedDevice>, batchSize?: number) =>
    renderPlan({ ...plan, batchSize, devices: [{ ...device, ...changes }] });
  const line = ' {2}device +cuda:0 \\(NVIDIA H200\\): 3 buffers of up to 4,096 rows';
  assert.match(show({}), new RegExp(`\n${line}\n[^]*\n {2}batch size +measured at the start\n`));
  const promised = show({ memoryBudgetBytes: 2 ** 31 });
  assert.match(promised, new RegExp(`\n${line}, 2\\.00 GiB of memory promised for all\n`));
  const profile = { rows: 2048, rowsPerSecond: 1, fixedBytes: 0, perRowBytes: 1 };
  assert.match(show({ profile }), /\n {2}batch size +2,048 rows, then measured\n/);
  assert.match(show({ profile }, 64), /\n {2}batch size +64 rows\n/);
});

test('plan of a run on a device: its memory is shown, and counts for no limit of the host', () => {
  const text = renderPlan({
    ...plan,
    memory: [
      ...plan.memory,
      { what: 'slots', where: 'pinned', count: 3, bytesEach: 2 ** 20 },
      { what: 'cuda:0: buffers', where: 'device', count: 3, bytesEach: 2 ** 30 },
    ],
  });
  assert.match(text, /\n {2}slots +pinned +3 +1\.0 MiB +3\.0 MiB\n/);
  assert.match(text, /\n {2}cuda:0: buffers +device +3 +1\.00 GiB +3\.00 GiB\n/);
  assert.match(text, /\n {2}sum without device +5\.0 MiB\n/);
});

test('plan: a profile is one line that says from where, what it decides and how to do without', () => {
  const key = {
    modelSha256: '',
    contractSha256: '',
    device: 'cpu',
    onnxRuntimeVersion: '1',
    precision: 'float32',
    scorer: 'onnxruntime',
  } as const;
  const profile = {
    version: 1,
    key,
    batchSize: 64,
    rowsPerSecond: 9,
    writtenBy: 'tune',
    writtenAt: '2026-05-04T10:00:00.000Z',
  } as const;
  const show = (sets: readonly string[]) =>
    renderPlan({
      ...plan,
      profiles: { folder: '/c', keys: [key, key], used: [undefined, { path: '/c/a.json', profile, sets }] },
    });
  assert.match(
    show(['batch size 64', 'threads 2']),
    /\n {2}profile {6}batch size 64, threads 2: \/c\/a\.json \(tune, 2026-05-04\); --no-profile ignores it\n/,
  );
  assert.match(show([]), /\n {2}profile {6}overridden: \/c\/a\.json \(tune, 2026-05-04\)\n/);
});

const inspected: InspectReport = {
  version: 1,
  shards: [
    { name: 'a.parquet', rowCount: 10, rowGroups: 2, bytes: 2048 },
    { name: 'b\u001b.parquet', rowCount: 0, rowGroups: 0, bytes: 100 },
  ],
  rowCount: 10,
  bytes: 2148,
  rowGroups: { count: 2, rowsMin: 4, rowsMax: 6, compressedBytesMax: 512 },
  columns: [
    { name: 'distance', types: ['BIGINT', 'INTEGER'], shards: 2, feeds: ['x[0]', 'x[1]'], kept: false },
    { name: 'id', types: ['VARCHAR'], shards: 1, feeds: [], kept: true },
  ],
  drift: ['b.parquet has no column id'],
  model: {
    path: 'm/model.onnx',
    scorer: 'trees: 100 of them, 7.2 times ONNX Runtime',
    inputs: [{ name: 'x', type: 'float32[N, 2]', features: ['distance', 'log1p(distance)'] }],
    outputs: [{ name: 'y', type: 'float32[N, 1]', columns: ['p'] }],
  },
  problems: [],
};

test('inspect', () => {
  const text = renderInspect(inspected);
  assert.match(
    text,
    /^10 rows in 2 shards, 2\.1 KiB\n2 row groups of 4 to 6 rows, at most 512 B compressed\n\nshards\n/,
  );
  assert.match(text, /\n {2}b\\x1b\.parquet +0 +0 +100 B\n/);
  assert.match(text, /\n {2}distance +BIGINT or INTEGER +all +x\[0\], x\[1\]\n/);
  assert.match(text, /\n {2}id +VARCHAR +1 of 2 +yes\n/);
  assert.match(text, /\nmodel m\/model\.onnx\n {2}scored on the CPU by trees: 100 of them, 7\.2 times ONNX Runtime\n/);
  assert.match(text, /\ndrift\n {2}b\.parquet has no column id\n/);
  assert.match(text, /\n {2}x +float32\[N, 2\] +distance; log1p\(distance\)\n/);
  assert.match(text, /\n\nscore would start: nothing is in its way$/);
  const bare = renderInspect({ ...inspected, model: undefined, drift: [], shards: inspected.shards.slice(0, 1) });
  assert.doesNotMatch(bare, /feeds|drift|score would|model/);
  assert.match(renderInspect({ ...inspected, drift: [] }), /drift\n {2}none/);
});

test('check', () => {
  const report: CheckReport = {
    version: 1,
    rowCount: 2000,
    device: 'cpu',
    precision: 'float32',
    tolerance: 1e-5,
    passed: true,
    columns: [{ name: 'p', differenceMax: 1.2e-7, rowsBeyond: 0, worst: [] }],
  };
  assert.equal(
    renderCheck(report),
    [
      'passed: 2,000 golden rows, tolerance 1e-5',
      '  column  largest difference  rows beyond',
      '  p                   1.2e-7            0',
    ].join('\n'),
  );
  const worst = [{ row: 1234, golden: '0.5', score: 'NaN', difference: Infinity }];
  const failed = renderCheck({
    ...report,
    passed: false,
    columns: [{ name: 'p', differenceMax: Infinity, rowsBeyond: 1, worst }],
  });
  assert.match(failed, /^FAILED: /);
  assert.match(failed, /worst rows, counted from 0\n.*\n {2}p {7}1,234 +0\.5 +NaN +infinite$/);
});
