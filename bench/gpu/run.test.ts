import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { driverModuleVariable } from '../../src/planning/devices.ts';
import { softwareGpusVariable } from '../../src/testing/software-gpu/driver.ts';
import { tempDir } from '../../src/testing/shards.ts';
import { runStep } from './run-step.ts';
import { stepSpecs, type StepRecord } from './step.ts';
import type { TargetLine } from './targets.ts';

const folder = dirname(fileURLToPath(import.meta.url));
const runScript = join(folder, 'run.js');

const environment = {
  ...process.env,
  [driverModuleVariable]: new URL('../../src/testing/software-gpu/driver.js', import.meta.url).href,
  [softwareGpusVariable]: JSON.stringify([{ memoryBytes: 1024 * 2 ** 20 }]),
};

interface Results {
  readonly device: { readonly label: string; readonly driver: string };
  readonly targets: readonly TargetLine[];
  readonly steps: readonly StepRecord[];
}

test('every step runs from end to end on a software GPU, and what is CUDA only is skipped with its reason', (t) => {
  const data = tempDir(t);
  const out = join(data, 'results.json');
  const args = ['--tiny', '--rows', '6001', '--data', join(data, 'data'), '--out', out, '--seconds', '1200'];
  const { stdout, stderr, status } = spawnSync(process.execPath, [runScript, ...args], {
    encoding: 'utf8',
    env: environment,
  });
  const text = readFileSync(out, 'utf8');
  const { device, targets, steps } = JSON.parse(text) as Results;
  assert.deepEqual(
    steps.filter((step) => step.status !== 'done').map(({ name, status: how, reason }) => [name, how, reason]),
    [
      ['counters', 'skipped', "NVML and GPM belong to NVIDIA's driver; the device is a stand-in"],
      ['python', 'skipped', 'PyTorch would run on another device than the stand-in'],
    ],
    stderr,
  );
  assert.equal(status, 0);
  assert.deepEqual(device.driver, 'a stand-in');
  assert.equal(device.label, 'software GPU');
  assert.equal(steps.length, stepSpecs.length);
  // How far a search comes in a second depends on the machine; there is no flag yet for promised memory.
  const unmeasured = targets.filter(({ kept, name }) => kept === undefined && !name.startsWith('chosen batch size'));
  assert.ok(
    unmeasured.every(({ name }) => name.startsWith('device memory held')),
    JSON.stringify(unmeasured),
  );
  const rowsInPlace = targets.filter(({ name }) => name.includes('rows in place'));
  assert.deepEqual(
    rowsInPlace.map(({ kept }) => kept),
    [true, true],
  );
  assert.match(rowsInPlace[0]!.measured, /^6004 of 6004, after 4 failures$/);
  assert.match(stdout, /Side by side ends sooner at .* ratios? of preparing to GPU time/);
  assert.match(stdout, /compute stream busy, mlp2048 .*>= 0\.95/);
  for (const place of [data, resolve(folder, '../../..')])
    assert.ok(!text.includes(place), `${place} is in the results`);
});

const spec = { number: 1, name: 'any', question: '?', secondsMax: 10 };

function inputFor(data: string) {
  const prices = { gpuPerHour: 1, cpuPerHour: 1 };
  const common = { device: 'cuda:0', ortDir: undefined, tiny: true, rows: 1, prices };
  return { ...common, data, work: join(data, 'work') };
}

for (const [what, code, expected] of [
  [
    'crashes',
    "process.kill(process.pid, 'SIGSEGV'); setInterval(() => {}, 9)",
    { status: 'crashed', reason: /SIGSEGV/ },
  ],
  ['exits', 'console.error("why"); process.exit(3)', { status: 'crashed', reason: /ended with 3: why/ }],
  ['hangs', 'for (;;);', { status: 'timedOut', reason: /ended after 1\.0 s/ }],
  ['fails', 'say({ kind: "failed", reason: "so" })', { status: 'failed', reason: /^so$/ }],
] as const) {
  test(`a step that ${what} is recorded, with the figures that it had`, async (t) => {
    const data = tempDir(t);
    const entry = join(data, 'entry.mjs');
    const say =
      "import { writeSync } from 'node:fs'; const say = (line) => writeSync(3, JSON.stringify(line) + '\\n');";
    writeFileSync(entry, `${say} say({ kind: 'figure', name: 'rows', value: 7 }); ${code};`);
    const record = await runStep(spec, inputFor(data), 1, () => {}, entry);
    assert.equal(record.status, expected.status);
    assert.match(record.reason!, expected.reason);
    assert.deepEqual(record.figures, { rows: 7 });
    assert.ok(record.seconds < 8, `${record.seconds} s`);
  });
}

test('without a GPU nothing is made and every step says why', (t) => {
  const folder = tempDir(t);
  const [data, out] = [join(folder, 'data'), join(folder, 'results.json')];
  const { status, stdout, stderr } = spawnSync(process.execPath, [runScript, '--tiny', '--data', data, '--out', out], {
    encoding: 'utf8',
    env: { ...environment, [softwareGpusVariable]: '[]' },
  });
  assert.equal(status, 1);
  const { steps } = JSON.parse(readFileSync(out, 'utf8')) as Results;
  assert.equal(steps.length, stepSpecs.length);
  const [prepare, ...others] = steps;
  assert.equal(prepare!.status, 'failed', stdout + stderr);
  assert.match(prepare!.reason!, /Expected a GPU that this process sees, got none/);
  assert.ok(others.every((step) => step.status === 'skipped' && step.reason === 'step 0 failed'));
  assert.equal(existsSync(join(data, 'shards')), false);
});

test('a wrong step, a wrong flag, the help', () => {
  const run = (...args: string[]) => spawnSync(process.execPath, [runScript, ...args], { encoding: 'utf8' });
  assert.match(run('--steps', '4,99').stderr, /Expected --steps to be numbers from 0 to \d+, got `4,99`/);
  assert.match(run('--step', '4').stderr, /Unknown argument: step/);
  assert.match(run('--help').stdout, /ort-dir[\s\S]*seconds/);
  const simulate = resolve(folder, '../simulate.js');
  const help = spawnSync(process.execPath, [simulate, '--help'], { encoding: 'utf8' });
  assert.deepEqual([help.status, help.stderr], [0, '']);
  assert.match(help.stdout, /^node dist\/bench\/simulate\.js \[--price-per-hour/);
});

test('nothing that only developers have is needed', () => {
  const root = resolve(folder, '../../..');
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as Record<
    string,
    Record<string, string>
  >;
  const require = createRequire(import.meta.url);
  const seen = new Set<string>();
  const packages = new Set<string>();
  const walk = (path: string): void => {
    if (seen.has(path)) return;
    seen.add(path);
    const source = readFileSync(path, 'utf8');
    for (const match of source.matchAll(
      /^(?:import|export) (?:[^;]*? from )?'([\w@./:-]+)'|\bimport\('([\w@./:-]+)'\)/gm,
    )) {
      const name = match[1] ?? match[2];
      if (name!.startsWith('.')) walk(require.resolve(join(dirname(path), name!)));
      else if (!name!.startsWith('node:')) packages.add(name!.split('/')[0]!);
    }
  };
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.js') && !name.endsWith('.test.js'))) {
    walk(join(folder, file));
  }
  assert.ok(seen.size > 60, `${seen.size} modules`);
  assert.deepEqual(
    [...packages].filter((name) => !(name in dependencies!)),
    [],
  );
  assert.ok(Object.keys(devDependencies!).length > 0);
});
