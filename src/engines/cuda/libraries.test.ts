import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { TandemError } from '../../errors.ts';
import { onnxRuntimeLibraryPath, onnxRuntimeVersion } from '../onnxruntime/bindings.ts';
import { cudaCacheFolder, cudaLibraries, findCuda, type Environment, type Surroundings } from './libraries.ts';
import { openCudaLibraries, openCudaLibrary } from './open-libraries.ts';
import {
  differenceOf,
  faultsOf,
  providerRunsOn,
  providerVersion,
  rememberingSha256,
  sha256Of,
} from './provider-files.ts';

let root = '';
beforeEach(() => (root = mkdtempSync(join(tmpdir(), 'tandem-cuda-'))));
afterEach(() => rmSync(root, { recursive: true, force: true }));

function place(path: string, content = ''): string {
  const file = join(root, path);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

/** What is found below `root`, with a home there and nothing else unless it is said. */
function find(environment: Environment = {}, options: { ortDir?: string; ldconfig?: string } = {}) {
  const surroundings: Surroundings = {
    root,
    onnxRuntimeFolder: join(root, 'node/native'),
    ldconfig: () => options.ldconfig ?? '',
  };
  return findCuda({ ortDir: options.ortDir, environment: { HOME: join(root, 'home'), ...environment }, surroundings });
}

const notLinux = process.platform === 'linux' ? false : 'CUDA is for Linux';
const cache = `home/.cache/tandem/cuda-${providerVersion}`;
const cuda = 'libonnxruntime_providers_cuda.so';

test('the cache folder is the XDG one, a relative one counts for nothing', () => {
  assert.equal(cudaCacheFolder({ XDG_CACHE_HOME: '/c', HOME: '/h' }), `/c/tandem/cuda-${providerVersion}`);
  assert.equal(cudaCacheFolder({ XDG_CACHE_HOME: 'c', HOME: '/h' }), `/h/.cache/tandem/cuda-${providerVersion}`);
});

test('the files that are known are those of the ONNX Runtime that is bound', () => {
  assert.equal(providerVersion, onnxRuntimeVersion);
});

test('provider: nothing anywhere', () => {
  const found = find();
  assert.equal(found.provider, undefined);
  assert.deepEqual(found.looked, { provider: [], libraries: [] });
  assert.ok(Object.values(found.libraries).every((path) => path === undefined));
});

test('provider: cache, then beside onnxruntime-node, then site-packages', () => {
  place('usr/local/bin/python3');
  const pip = place(`usr/local/lib/python3.12/site-packages/onnxruntime/capi/${cuda}`);
  const wheelCore = place(
    `usr/local/lib/python3.12/site-packages/onnxruntime/capi/libonnxruntime.so.${providerVersion}`,
  );
  assert.deepEqual(find().provider, { folder: dirname(pip), cuda: pip, shared: undefined, core: wheelCore });
  const node = place(`node/native/${cuda}`);
  const core = place('node/native/libonnxruntime.so.1');
  assert.deepEqual(find().provider, { folder: dirname(node), cuda: node, shared: undefined, core });
  const cached = place(`${cache}/${cuda}`);
  const shared = place(`${cache}/libonnxruntime_providers_shared.so`);
  assert.deepEqual(find().provider, { folder: join(root, cache), cuda: cached, shared, core: undefined });
});

test('provider: a named folder is the only one, --ort-dir before TANDEM_ORT_DIR', () => {
  place(`${cache}/${cuda}`);
  const [one, two] = [place(`one/${cuda}`), place(`two/${cuda}`)];
  const environment = { TANDEM_ORT_DIR: dirname(one) };
  assert.equal(find(environment).provider?.cuda, one);
  assert.equal(find(environment, { ortDir: dirname(two) }).provider?.cuda, two);
  const empty = join(root, 'empty');
  const found = find(environment, { ortDir: empty });
  assert.equal(found.provider, undefined);
  assert.deepEqual(found.looked.provider, [empty]);
});

test('provider: of the active environment, of a python3 on PATH, of the user', () => {
  const file = `lib/python3.11/site-packages/onnxruntime/capi/${cuda}`;
  const user = place(`home/.local/${file}`);
  assert.equal(find().provider?.cuda, user);
  place('tools/bin/python3');
  const onPath = place(`tools/${file}`);
  assert.equal(find({ PATH: `relative:${join(root, 'tools/bin')}` }).provider?.cuda, onPath);
  const conda = place(`conda/${file}`);
  assert.equal(find({ PATH: join(root, 'tools/bin'), CONDA_PREFIX: join(root, 'conda') }).provider?.cuda, conda);
  const active = place(`venv/${file}`);
  assert.equal(find({ CONDA_PREFIX: join(root, 'conda'), VIRTUAL_ENV: join(root, 'venv') }).provider?.cuda, active);
});

test('libraries: each place comes before the next', () => {
  const file = 'libcudart.so.13';
  const linked = place(`elsewhere/${file}`);
  const ldconfig = `1 libs found\n\t${file} (libc6) => /nowhere/${file}\n\t${file} (libc6,x86-64) => /elsewhere/${file}\n`;
  const places = [
    `usr/lib/x86_64-linux-gnu/${file}`,
    `usr/local/cuda-13.0/lib64/${file}`,
    `toolkit/targets/x86_64-linux/lib/${file}`,
    `usr/lib/python3/dist-packages/nvidia/cu13/lib/${file}`,
    `${cache}/nvidia/cu13/lib/${file}`,
    `given/${file}`,
    `ort/nvidia/cu13/lib/${file}`,
  ];
  const environment = { CUDA_HOME: join(root, 'toolkit'), LD_LIBRARY_PATH: `relative:${join(root, 'given')}` };
  const look = () => find(environment, { ortDir: join(root, 'ort'), ldconfig }).libraries.cudart;
  assert.equal(look(), linked);
  for (const path of places) assert.equal((place(path), look()), join(root, path));
});

test('libraries: the loader decides about the driver, unless a folder is named', () => {
  const file = 'libcuda.so.1';
  place(`usr/lib/x86_64-linux-gnu/${file}`);
  const compat = place(`usr/local/cuda/compat/${file}`);
  const ldconfig = `\t${file} (libc6,x86-64) => /usr/local/cuda/compat/${file}\n`;
  assert.equal(find({}, { ldconfig }).libraries.driver, compat);
  const given = place(`given/${file}`);
  assert.equal(find({ LD_LIBRARY_PATH: dirname(given) }, { ldconfig }).libraries.driver, given);
});

test('libraries: cuBLAS and cuBLASLt come from one folder where one has both', () => {
  place(`${cache}/nvidia/cu13/lib/libcublas.so.13`);
  assert.equal(find().libraries.cublas, join(root, cache, 'nvidia/cu13/lib/libcublas.so.13'));
  const both = ['libcublas.so.13', 'libcublasLt.so.13'].map((file) => place(`usr/local/cuda/lib64/${file}`));
  const { cublas, cublasLt } = find().libraries;
  assert.deepEqual([cublas, cublasLt], both);
});

test('libraries: other releases of what is missing are told', () => {
  const old = place('usr/local/cuda-12.4/lib64/libcudart.so.12');
  place('usr/local/cuda-12.4/lib64/libcudart.so.12.4.127');
  assert.deepEqual(find().otherReleases, { cudart: old });
  place('usr/local/cuda-13.0/lib64/libcudart.so.13');
  assert.deepEqual(find().otherReleases, {});
});

test('a provider that is cut off, changed or incomplete is told without loading it', () => {
  const ortDir = join(root, 'ort');
  const path = place(`ort/${cuda}`, 'whole');
  const { provider } = find({}, { ortDir });
  const content = { bytes: 5, sha256: sha256Of(path) };
  const known = {
    core: { file: 'libonnxruntime.so.1', contents: [content] },
    shared: { file: 'libonnxruntime_providers_shared.so', contents: [content] },
    cuda: { file: cuda, contents: [content] },
  };
  const faults = () => faultsOf(provider!, join(root, 'cache'), known).map(({ file, got }) => `${file}: ${got}`);
  assert.deepEqual(faults(), [
    `${ortDir}/libonnxruntime.so.1: no file`,
    `${ortDir}/libonnxruntime_providers_shared.so: no file`,
  ]);
  place(`ort/${cuda}`, 'who');
  assert.match(faults()[2]!, /a file of 3 bytes instead of 5 \(cut off, or another version\)/);
  place(`ort/${cuda}`, 'wrong');
  assert.match(faults()[2]!, /a file of the right size whose sha256 is [0-9a-f]{16}… instead of [0-9a-f]{16}…/);
  assert.match(differenceOf(path, [{ bytes: 4, sha256: '' }])!, /^a file of 5 bytes instead of 4$/);
});

test("a provider of somebody's own build is taken by its hash, and by no other", () => {
  const file = place('ort/libonnxruntime_providers_cuda.so', 'cut down');
  const provider = { folder: dirname(file), core: undefined, shared: undefined, cuda: file };
  const faulty = (hash: string) =>
    faultsOf(provider, join(root, 'cache'), undefined, hash).some((fault) => fault.file === file);
  assert.equal(faulty(sha256Of(file)), false);
  assert.equal(faulty('0'.repeat(64)), true);
});

test('a hash is remembered until the file changes', () => {
  const file = place('file', 'one');
  const memory = join(root, 'memory/hashes.json');
  const first = rememberingSha256(memory)(file);
  assert.equal(first, sha256Of(file));
  // The remembered hash is given, not a new one.
  writeFileSync(memory, readFileSync(memory, 'utf8').replace(first, 'remembered'));
  assert.equal(rememberingSha256(memory)(file), 'remembered');
  place('file', 'two!');
  assert.equal(rememberingSha256(memory)(file), sha256Of(file));
  // A place that cannot be written costs nothing but time.
  assert.equal(rememberingSha256(join(file, 'hashes.json'))(file), sha256Of(file));
});

test('opening: what is missing is named with where it was looked for', () => {
  const ortDir = join(root, 'ort');
  assert.throws(
    () => openCudaLibraries(find({}, { ortDir })),
    (error) => error instanceof TandemError && /an NVIDIA GPU with its driver, got none/.test(error.message),
    'the driver first: without it nothing else is of use',
  );
  place('usr/lib/x86_64-linux-gnu/libcuda.so.1');
  assert.throws(
    () => openCudaLibraries(find({}, { ortDir })),
    (error) =>
      error instanceof TandemError &&
      error.code === 'ENVIRONMENT' &&
      error.message.includes(`CUDA provider in ${ortDir}, got none`) &&
      error.remedy === 'Run `tandem setup cuda`.',
  );
  place(`ort/${cuda}`, 'cut');
  place('ort/libonnxruntime_providers_shared.so', 'cut');
  place('ort/libonnxruntime.so.1', 'cut');
  assert.throws(() => openCudaLibraries(find({}, { ortDir })), /libonnxruntime\.so\.1 .* got a file of 3 bytes/);
});

test('opening: a library that is cut off is not loaded', () => {
  // An ELF header whose table of sections would start behind the end.
  const header = Buffer.alloc(4096);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  header.writeBigUInt64LE(1_000_000n, 40);
  header.writeUInt16LE(64, 58);
  header.writeUInt16LE(3, 60);
  const path = join(root, 'libcublasLt.so.13');
  writeFileSync(path, header);
  assert.throws(() => openCudaLibrary(path), /file too short: the library is cut off/);
  writeFileSync(path, 'no library');
  assert.throws(() => openCudaLibrary(path), /libcublasLt\.so\.13 to load, got/);
});

test('opening: a library stays loaded without the thread that opened it', { skip: notLinux }, () => {
  const script = `
    import { openCudaLibrary } from ${JSON.stringify(new URL('./open-libraries.js', import.meta.url).href)};
    openCudaLibrary(${JSON.stringify(onnxRuntimeLibraryPath())});
  `;
  const file = place('worker.mjs', script);
  const main = `
    import { readFileSync } from 'node:fs';
    import { Worker } from 'node:worker_threads';
    await new Promise((resolve, reject) => new Worker(${JSON.stringify(file)}, { execArgv: [] }).on('exit', resolve).on('error', reject));
    gc();
    console.log(readFileSync('/proc/self/maps', 'utf8').includes('libonnxruntime'));
  `;
  const { stdout, stderr } = spawnSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', main], {
    encoding: 'utf8',
  });
  assert.equal(stdout, 'true\n', stderr);
});

test('generations of GPU that have machine code', () => {
  const runs = [
    [7, 5],
    [8, 0],
    [8, 6],
    [8, 7],
    [8, 9],
    [9, 0],
    [12, 0],
  ];
  const others = [
    [6, 1],
    [7, 0],
    [7, 2],
    [9, 1],
    [10, 0],
    [10, 3],
    [12, 1],
  ];
  for (const [major, minor] of runs) assert.equal(providerRunsOn(major!, minor!), true, `${major}.${minor}`);
  for (const [major, minor] of others) assert.equal(providerRunsOn(major!, minor!), false, `${major}.${minor}`);
});

test('every library is opened after those that it needs', () => {
  const names = cudaLibraries.map(({ name }) => name);
  assert.ok(names.indexOf('cublasLt') < names.indexOf('cublas'));
});
