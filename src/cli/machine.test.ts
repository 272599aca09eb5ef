/** The commands about the machine: flags, exit codes, and doctor as a process. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { DoctorOptions } from '../doctor/doctor.ts';
import type { DoctorReport } from '../doctor/report.ts';
import type { SetupCudaOptions, SetupReport } from '../setup/setup-cuda.ts';
import type { Api } from './api.ts';
import type { Io } from './io.ts';
import { runCommandLine } from './run.ts';

const main = fileURLToPath(new URL('../main.js', import.meta.url));
const environment = { HOME: '/nowhere' };

async function run(line: string, api: Partial<Api>) {
  const out = { stdout: '', stderr: '' };
  const io: Io = {
    stdout: { write: (text) => (out.stdout += text) },
    stderr: { write: (text) => (out.stderr += text) },
    environment,
    nowMs: () => 0,
    onSignal: () => () => {},
    onProfileSignal: () => () => {},
    exitNow: () => {},
  };
  const exitCode = await runCommandLine(line.split(' '), io, async () => api as Api);
  return { ...out, exitCode };
}

const report: DoctorReport = {
  version: 1,
  device: 'cuda',
  passed: false,
  works: { cpu: true, cuda: false },
  items: [
    { name: 'Node.js', for: 'every run', state: 'ok', found: '20', needed: '20' },
    { name: 'cuBLAS', for: 'CUDA', state: 'bad', found: 'not found', needed: 'libcublas.so.13', remedy: 'Get it.' },
    { name: 'GPUs', for: 'CUDA', state: 'bad', found: 'none', needed: 'one', remedy: 'Buy one.' },
  ],
  looked: { provider: [], libraries: [] },
  notes: [],
};

test('doctor: flags become options, the report decides the exit code', async () => {
  let got: DoctorOptions | undefined;
  const api = (passed: boolean): Partial<Api> => ({
    doctor: async (options) => ((got = options), { ...report, passed }),
  });
  const failed = await run('doctor --device cuda --ort-dir o', api(false));
  assert.deepEqual(got, { device: 'cuda', ortDir: 'o', environment });
  assert.equal(failed.exitCode, 78);
  assert.equal(
    failed.stderr,
    'ENVIRONMENT: Expected --device cuda to work here, got faults: cuBLAS, GPUs.\n' +
      '  do:    cuBLAS: Get it.\n         GPUs: Buy one.\n',
  );
  assert.match(failed.stdout, /NO {2}cuBLAS {2}not found; needed: libcublas\.so\.13/);
  const passed = await run('doctor --json', api(true));
  assert.deepEqual(got, { environment });
  assert.deepEqual([passed.exitCode, passed.stderr], [0, '']);
  assert.deepEqual(JSON.parse(passed.stdout), { ...report, passed: true });
});

test('doctor takes no arguments', async () => {
  const { exitCode, stderr } = await run('doctor cuda', {});
  assert.equal(exitCode, 64);
  assert.match(stderr, /flags only, got `cuda`/);
});

const placed: SetupReport = {
  version: 1,
  folder: '/f',
  dryRun: false,
  parts: [{ name: 'a 1', state: 'fetched', downloadBytes: 2 ** 20, diskBytes: 2 ** 21, files: [] }],
  totals: { downloadBytes: 2 ** 20, diskBytes: 2 ** 21 },
};

test('setup cuda: flags become options', async () => {
  let got: SetupCudaOptions | undefined;
  const api: Partial<Api> = {
    setupCuda: async (options) => {
      got = options;
      options.onProgress?.('fetching a 1');
      return placed;
    },
  };
  const { exitCode, stdout, stderr } = await run('setup cuda --to f --cudnn', api);
  const { signal, onProgress, ...plain } = got!;
  assert.ok(signal !== undefined && onProgress !== undefined);
  assert.deepEqual(plain, { to: 'f', libraries: false, cudnn: true, dryRun: false, environment });
  assert.deepEqual([exitCode, stderr], [0, 'fetching a 1\n']);
  assert.match(stdout, /^folder \/f\n[^]*a 1 +fetched +1\.0 MiB +2\.0 MiB\nfetched 1\.0 MiB, 2\.0 MiB on disk; /);
});

test('setup: only cuda can be set up', async () => {
  for (const [line, got] of [
    ['setup', 'none'],
    ['setup rocm', '`rocm`'],
    ['setup cuda cuda', '`cuda cuda`'],
  ]) {
    const { exitCode, stderr } = await run(line!, {});
    assert.equal(exitCode, 64);
    assert.ok(stderr.startsWith(`USAGE: Expected tandem setup to be given cuda, got ${got}.\n`), stderr);
  }
});

test('doctor as a process: an empty folder has no provider, and the advice says how to get it', (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-doctor-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const doctor = (...args: string[]) =>
    spawnSync(process.execPath, [main, 'doctor', ...args, '--ort-dir', folder], {
      encoding: 'utf8',
      env: { ...process.env, HOME: folder, XDG_CACHE_HOME: folder },
    });
  const asked = doctor('--device', 'cuda');
  assert.equal(asked.status, 78, asked.stderr);
  assert.match(asked.stdout, /NO {2}CUDA provider +not found/);
  assert.match(asked.stdout, /CUDA provider.*: Run `tandem setup cuda`\./);
  assert.match(asked.stdout, /CUDA scoring has not been tried on a GPU yet/);
  assert.match(asked.stderr, /^ENVIRONMENT: Expected --device cuda to work here, got faults: /);
  // Whoever reads standard error alone sees every advice that the report gives.
  assert.match(asked.stderr, /\n {9}.*CUDA provider.*: Run `tandem setup cuda`\.\n$/);
  const free = doctor('--json');
  assert.equal(free.status, 0, free.stderr);
  const { works, passed } = JSON.parse(free.stdout) as DoctorReport;
  assert.deepEqual([works, passed], [{ cpu: true, cuda: false }, true]);
});

test('setup cuda into a folder that can never be made ends', { skip: !existsSync('/proc') }, (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-setup-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  for (const to of ['/proc/tandem', '/proc/tandem/below']) {
    const { status, stderr } = spawnSync(process.execPath, [main, 'setup', 'cuda', '--to', to], {
      encoding: 'utf8',
      timeout: 30_000,
      killSignal: 'SIGKILL',
      env: { ...process.env, XDG_CACHE_HOME: folder },
    });
    assert.equal(status, 78, stderr);
    assert.match(stderr, new RegExp(`Expected ${to} to be writable, got ENOENT.*\\n.*--to <folder>`));
  }
});

test('a signal while a command loads ends it as a stopped one', () => {
  // It comes as soon as anything listens.
  const early = `process.once('newListener', function early(name) {
    if (name === 'SIGINT') setImmediate(() => process.kill(process.pid, 'SIGINT'));
    else process.once('newListener', early);
  });`;
  const preload = `data:text/javascript,${encodeURIComponent(early)}`;
  for (const [line, json] of [
    ['score nothing.parquet --model nothing --output /proc/nothing', false],
    ['inspect nothing.parquet --json', true],
  ] as const) {
    const { status, stderr, stdout } = spawnSync(process.execPath, ['--import', preload, main, ...line.split(' ')], {
      encoding: 'utf8',
    });
    assert.equal(stderr, 'STOPPED: The command was stopped.\n  do:    Run the same command again.\n', line);
    assert.equal(status, 75, line);
    assert.equal(json ? (JSON.parse(stdout) as { exitCode: number }).exitCode : stdout, json ? 75 : '');
  }
});
