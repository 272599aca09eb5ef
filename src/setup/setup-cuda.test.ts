import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { renderSetup } from '../cli/render-setup.ts';
import { cudaLibraries } from '../engines/cuda/libraries.ts';
import { TandemError, type ErrorCode } from '../errors.ts';
import { explainPip } from './pip.ts';
import { setupCuda, type SetupCudaOptions, type SetupReport, type SetupSources } from './setup-cuda.ts';
import { cudaWheels, type Wheel } from './wheels.ts';

let root = '';
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'tandem-setup-'))));
afterEach(() => rmSync(root, { recursive: true, force: true }));

const skip = process.platform === 'linux' && process.arch === 'x64' ? false : 'CUDA is for Linux on x64';

function contentOf(text: string) {
  return { bytes: Buffer.byteLength(text), sha256: createHash('sha256').update(text).digest('hex') };
}

/** A wheel whose files hold their own names. */
function wheelOf(name: string, part: Wheel['part'], paths: readonly string[], libraries: Wheel['libraries']): Wheel {
  const files = paths.map((path) => ({ member: `in/${path}`, path, ...contentOf(`in/${path}`) }));
  return { name, version: '1.2', content: contentOf(name), part, libraries, files };
}

const provider = ['libonnxruntime_providers_shared.so', 'libonnxruntime_providers_cuda.so'];

function sources(): SetupSources {
  const core = join(root, 'node/libonnxruntime.so.1');
  mkdirSync(join(root, 'node'), { recursive: true });
  writeFileSync(core, 'core');
  const wheels = [
    wheelOf('ort', 'provider', provider, []),
    wheelOf('runtime', 'libraries', ['nvidia/cu13/lib/libcudart.so.13'], ['cudart']),
    wheelOf('cudnn', 'cudnn', ['nvidia/cudnn/lib/libcudnn.so.9'], ['cudnn']),
  ];
  return { wheels, core, knownCores: [contentOf('core')] };
}

/**
 * A python3 that writes down how it was called. Its pip leaves an empty wheel, and its zipfile takes files out that hold
 * their members' names; `pip` and `extract` are JavaScript that may do otherwise.
 */
function fakePython(pip = '', extract = ''): string {
  const folder = join(root, 'bin');
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'python3'),
    `#!${process.execPath}
    const { appendFileSync, mkdirSync, readFileSync, writeFileSync } = require('node:fs');
    const { dirname, join } = require('node:path');
    const args = process.argv.slice(2);
    const value = (flag) => args[args.indexOf(flag) + 1];
    const fail = (text) => { console.error(text); process.exit(1); };
    const requirement = args.includes('-r') ? readFileSync(value('-r'), 'utf8').trim() : '';
    appendFileSync(${JSON.stringify(join(root, 'calls'))}, args.slice(0, 3).join(' ').split('\\n')[0] + ' ' + requirement + '\\n');
    if (args[2] === 'download') { ${pip}; writeFileSync(join(value('--dest'), 'x.whl'), ''); }
    if (args[0] === '-c') {
      for (let i = 3; i < args.length; i += 2) {
        let text = args[i];
        ${extract};
        mkdirSync(dirname(args[i + 1]), { recursive: true });
        writeFileSync(args[i + 1], text);
      }
    }`,
  );
  chmodSync(join(folder, 'python3'), 0o755);
  return folder;
}

function calls(): string[] {
  const file = join(root, 'calls');
  return existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : [];
}

const folder = () => join(root, 'to');

function setup(options: SetupCudaOptions = {}, from = sources()): Promise<SetupReport> {
  return setupCuda({ to: folder(), environment: { PATH: join(root, 'bin'), HOME: root }, ...options }, from);
}

function states({ parts }: SetupReport): string {
  return parts.map(({ name, state }) => `${name.split(/[, ]/)[0]} ${state}`).join(', ');
}

async function fails(promise: Promise<unknown>, code: ErrorCode, message: RegExp, remedy: RegExp): Promise<void> {
  await assert.rejects(promise, (error) => {
    assert.ok(error instanceof TandemError);
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.match(error.remedy ?? '', remedy);
    return true;
  });
}

/** Everything below the folder, leftovers too. */
function placed(): string[] {
  if (!existsSync(folder())) return [];
  const all = readdirSync(folder(), { recursive: true, encoding: 'utf8' });
  return all.filter((path) => statSync(join(folder(), path)).isFile()).sort();
}

test('fetches the provider, then nothing; then only what is asked for besides', { skip }, async () => {
  fakePython();
  const said: string[] = [];
  const first = await setup({ onProgress: (text) => said.push(text) });
  assert.equal(states(first), 'core fetched, ort fetched');
  assert.deepEqual(placed(), ['libonnxruntime.so.1', ...provider.toReversed()].sort());
  assert.deepEqual(said, ['fetching ort 1.2 (1 MiB)']);
  const { sha256 } = contentOf('ort');
  assert.deepEqual(calls().slice(0, 2), ['-m pip --version ', `-m pip download ort==1.2 --hash=sha256:${sha256}`]);
  const before = calls().length;
  assert.equal(states(await setup()), 'core there, ort there');
  assert.equal(calls().length, before, 'no python3 when all is there');
  const more = await setup({ libraries: true, cudnn: true });
  assert.equal(states(more), 'core there, ort there, runtime fetched, cudnn fetched');
  assert.equal(
    readFileSync(join(folder(), 'nvidia/cu13/lib/libcudart.so.13'), 'utf8'),
    'in/nvidia/cu13/lib/libcudart.so.13',
  );
  assert.deepEqual(
    readdirSync(folder()).filter((name) => name.startsWith('.')),
    [],
  );
});

test('a file that was changed or cut off is fetched again', { skip }, async () => {
  fakePython();
  await setup();
  writeFileSync(join(folder(), provider[1]!), 'cut');
  writeFileSync(join(folder(), 'libonnxruntime.so.1'), 'c');
  assert.equal(states(await setup()), 'core fetched, ort fetched');
  assert.equal(readFileSync(join(folder(), provider[1]!), 'utf8'), `in/${provider[1]}`);
});

test('--dry-run changes nothing and asks no python3', { skip }, async () => {
  const report = await setup({ dryRun: true, libraries: true });
  assert.equal(states(report), 'core missing, ort missing, runtime missing');
  assert.deepEqual([placed(), calls()], [[], []]);
  assert.match(renderSetup(report), /^folder .*\n.*\n.*core.* to fetch .*\n(.*\n)*would fetch 10 B, /);
});

test('without --to, what the machine has elsewhere is not fetched', { skip }, async () => {
  fakePython();
  const libraries = join(root, 'lib');
  mkdirSync(libraries);
  for (const { file } of cudaLibraries) writeFileSync(join(libraries, file), '');
  const environment = { PATH: join(root, 'bin'), HOME: root, LD_LIBRARY_PATH: libraries };
  const from = sources();
  const here = await setupCuda({ environment, libraries: true, dryRun: true }, from);
  assert.equal(states(here), 'core missing, ort missing, runtime elsewhere');
  assert.ok(here.folder.startsWith(join(root, '.cache/tandem/cuda-')));
  // What is elsewhere, or there, is in no sum.
  const sizes = {
    downloadBytes: contentOf('ort').bytes,
    diskBytes: 'core'.length + provider.map((path) => `in/${path}`).join('').length,
  };
  assert.deepEqual(here.totals, sizes);
  const whole = await setupCuda({ environment, libraries: true, dryRun: true, to: folder() }, from);
  assert.equal(states(whole), 'core missing, ort missing, runtime missing');
});

test('no python3, no pip, a pip that fails: nothing stays but what was whole', { skip }, async () => {
  await fails(setup(), 'ENVIRONMENT', /python3 to be on PATH/, /Install Python/);
  writeFileSync(join(fakePython(), 'python3'), `#!/bin/sh\necho "/usr/bin/python3: No module named pip" >&2\nexit 1\n`);
  await fails(setup(), 'ENVIRONMENT', /python3 to have pip, got: .*No module named pip/, /ensurepip/);
  fakePython(`fail('ERROR: No matching distribution found for ort==1.2')`);
  await fails(setup(), 'ENVIRONMENT', /index to have ort==1\.2, got: ERROR: No matching/, /PIP_INDEX_URL/);
  fakePython(`fail('ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.')`);
  await fails(setup(), 'ENVIRONMENT', /ort==1\.2 to be the file that Tandem knows/, /PIP_INDEX_URL/);
  fakePython('process.exit(0)');
  await fails(setup(), 'ENVIRONMENT', /leave a wheel of ort==1\.2/, /python3 -m pip download/);
  assert.deepEqual(placed(), ['libonnxruntime.so.1']);
});

test('a file that differs is not put into place', { skip }, async () => {
  fakePython('', `if (text.includes('cuda')) text = 'x'.repeat(text.length)`);
  await fails(
    setup(),
    'ENVIRONMENT',
    /providers_cuda\.so of ort 1\.2 .* whose sha256 is/,
    /Run the same command again/,
  );
  assert.deepEqual(placed(), ['libonnxruntime.so.1']);
});

test('another core than the one that is known, or none', { skip }, async () => {
  fakePython();
  const from = { ...sources(), knownCores: [contentOf('other core')] };
  await fails(setup({}, from), 'ENVIRONMENT', /core that Tandem knows, got a file of 4 bytes/, /npm ci/);
  await fails(
    setup({}, { ...from, core: undefined }),
    'ENVIRONMENT',
    /onnxruntime-node to be .* got no file/,
    /npm ci/,
  );
  assert.deepEqual(placed(), []);
});

test('a place that cannot be written, and one without room', { skip }, async () => {
  fakePython();
  writeFileSync(join(root, 'file'), '');
  await fails(setup({ to: join(root, 'file/below') }), 'ENVIRONMENT', /to be writable, got ENOTDIR/, /--to/);
  const from = sources();
  const [ort] = from.wheels;
  const huge = { ...from, wheels: [{ ...ort!, content: { ...ort!.content, bytes: 2 ** 52 } }] };
  await fails(setup({}, huge), 'TRANSIENT', /MiB to be free under/, /Make room/);
});

test('stopped: nothing unfinished stays, and what a killed run left is removed', { skip }, async () => {
  fakePython('while (true) {}');
  const leftover = join(folder(), '.part-4194305-abcdef');
  const alive = join(folder(), `.part-${process.ppid}-abcdef`);
  for (const path of [leftover, alive]) mkdirSync(path, { recursive: true });
  const controller = new AbortController();
  const running = setup({ signal: controller.signal, onProgress: () => setTimeout(() => controller.abort(), 200) });
  await fails(running, 'STOPPED', /Stopped/, /^$/);
  assert.deepEqual(readdirSync(folder()).sort(), [`.part-${process.ppid}-abcdef`, 'libonnxruntime.so.1']);
});

test("pip's last words", () => {
  const known: readonly (readonly [string, ErrorCode, RegExp])[] = [
    ['ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device', 'TRANSIENT', /room/],
    ["OSError: [Errno 13] Permission denied: '/x'", 'ENVIRONMENT', /allowed to write/],
    ['WARNING: Retrying: NewConnectionError\nERROR: Could not find a version that satisfies x', 'TRANSIENT', /to send/],
    ['pip._vendor.urllib3.exceptions.ReadTimeoutError: Read timed out.', 'TRANSIENT', /to send/],
    ['zipfile.BadZipFile: File is not a zip file', 'ENVIRONMENT', /to fetch x==1, got: zipfile\.BadZipFile/],
    ['', 'ENVIRONMENT', /got: nothing/],
  ];
  for (const [output, code, message] of known) {
    const error = explainPip('x==1', output);
    assert.equal(error.code, code, output);
    assert.match(error.message, message);
  }
});

test('what is fetched is what the search looks for', () => {
  for (const wheel of cudaWheels) {
    for (const name of wheel.libraries) {
      const { file, package: pinned } = cudaLibraries.find((library) => library.name === name)!;
      assert.equal(pinned, `${wheel.name}==${wheel.version}`);
      assert.ok(wheel.files.some(({ path }) => path.endsWith(`/lib/${file}`)));
    }
    for (const { sha256 } of [wheel.content, ...wheel.files]) assert.match(sha256, /^[0-9a-f]{64}$/);
  }
});
