import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { renderDoctor } from '../cli/render-doctor.ts';
import { TandemError } from '../errors.ts';
import type { CudaLibraryName } from '../engines/cuda/libraries.ts';
import { doctor } from './doctor.ts';
import { ask } from './questions.ts';
import { makeReport, type CudaFacts, type DoctorReport, type MachineFacts } from './report.ts';

const paths = { driver: '/l/libcuda.so.1', nvml: '/l/libnvidia-ml.so.1', cudart: '/l/libcudart.so.13' };
const others = { cublasLt: '/l/libcublasLt.so.13', cublas: '/l/libcublas.so.13', curand: '/l/libcurand.so.10' };
const uuid = 'GPU-1f4c2a3b-0000-0000-0000-000000000001';
const h200 = { name: 'NVIDIA H200', uuid, memoryBytes: 140 * 2 ** 30, capability: [9, 0] } as const;

/** A machine on which all is well, cuDNN and cuFFT apart. */
const wellCuda: CudaFacts = {
  found: {
    provider: {
      folder: '/o',
      cuda: '/o/libonnxruntime_providers_cuda.so',
      shared: '/o/libonnxruntime_providers_shared.so',
      core: '/o/libonnxruntime.so.1',
    },
    libraries: { ...paths, ...others, cudnn: undefined, cufft: undefined },
    otherReleases: {},
    looked: { provider: ['/o'], libraries: ['/l'] },
    cacheFolder: '/c',
  },
  faults: [],
  libraries: { nvml: { version: '580.65.06' }, cudart: { version: '13.0' } },
  devices: { version: '13.0', devices: [h200] },
  provider: { version: '1.30.0' },
  asked: [],
};
const well: MachineFacts = {
  platform: 'linux',
  arch: 'x64',
  glibc: '2.36',
  node: '20.19.0',
  cores: { value: 2, setBy: 'two' },
  memory: { value: 2 ** 30, setBy: 'one' },
  duckdb: { version: 'v1' },
  onnxruntime: { version: '1.30.0, API 24' },
  cuda: wellCuda,
};

/** A report with some facts of CUDA changed. */
function withCuda(changes: Partial<CudaFacts>, device = 'cuda'): DoctorReport {
  return makeReport(device, { ...well, cuda: { ...wellCuda, ...changes } });
}

function withLibrary(name: CudaLibraryName, path: string | undefined, changes: Partial<CudaFacts> = {}): DoctorReport {
  const found = { ...wellCuda.found, libraries: { ...wellCuda.found.libraries, [name]: path } };
  return withCuda({ found, ...changes });
}

function item({ items }: DoctorReport, name: string): string {
  const { state, found, remedy } = items.find((each) => each.name === name)!;
  return [state, found, remedy].filter((part) => part !== undefined).join(' | ');
}

test('all is well', () => {
  const report = withCuda({});
  assert.deepEqual([report.passed, report.works], [true, { cpu: true, cuda: true }]);
  assert.deepEqual(report.notes, ['CUDA scoring has not been tried on a GPU yet']);
  assert.equal(item(report, 'NVIDIA driver'), 'ok | 580.65.06, CUDA 13.0 (/l/libcuda.so.1)');
  assert.equal(item(report, 'GPU 0'), `ok | NVIDIA H200, 140.0 GiB, compute capability 9.0, ${uuid}`);
  assert.match(item(report, 'cuDNN'), /^spare \| not found \| .*--cudnn/);
});

test('what is asked decides whether it passes', () => {
  const noCuda = { provider: { problem: 'CUDA failure 35: too old' } };
  assert.equal(makeReport(undefined, { ...well, cuda: { ...wellCuda, ...noCuda } }).passed, true);
  assert.equal(makeReport(undefined, { ...well, node: '18.1.0' }).passed, true);
  for (const device of ['cpu', 'auto']) assert.equal(withCuda(noCuda, device).passed, true, device);
  for (const device of ['cuda', 'cuda:0']) assert.equal(withCuda(noCuda, device).passed, false, device);
  assert.equal(makeReport('cpu', { ...well, node: '20.18.9' }).passed, false);
});

test('the base: system, Node, engines', () => {
  const state = (changes: Partial<MachineFacts>, name: string) =>
    item(makeReport('cpu', { ...well, ...changes }), name);
  assert.equal(state({}, 'operating system'), 'ok | linux x64, glibc 2.36');
  assert.match(state({ glibc: '2.27' }, 'operating system'), /^bad .*newer glibc/);
  assert.match(state({ glibc: undefined }, 'operating system'), /^bad \| linux x64 \| .*musl/);
  assert.equal(state({ glibc: '2.28' }, 'operating system'), 'ok | linux x64, glibc 2.28');
  assert.match(state({ platform: 'darwin', glibc: undefined }, 'operating system'), /^untried/);
  assert.match(state({ node: '20.18.1' }, 'Node.js'), /^bad .*20\.19/);
  assert.match(state({ node: '24.0.0' }, 'Node.js'), /^ok/);
  assert.match(state({ duckdb: { problem: 'gone', remedy: 'do it' } }, 'DuckDB'), /^bad \| gone \| do it$/);
  assert.match(state({ onnxruntime: { problem: 'the process died of SIGILL' } }, 'ONNX Runtime'), /npm ci/);
});

test('another platform has no CUDA, whatever else it has', () => {
  const report = makeReport('cuda', { ...well, platform: 'darwin' });
  assert.deepEqual([report.passed, report.works.cuda], [false, false]);
  assert.match(item(report, 'platform'), /^bad \| darwin x64/);
});

test('libraries: missing, of another release, broken', () => {
  assert.match(item(withLibrary('curand', undefined), 'cuRAND'), /^bad \| not found \| .*nvidia-curand/);
  const found = {
    ...wellCuda.found,
    libraries: { ...wellCuda.found.libraries, cudart: undefined },
    otherReleases: { cudart: '/l/libcudart.so.12' },
  };
  assert.match(item(withCuda({ found }), 'CUDA runtime'), /^bad \| only \/l\/libcudart\.so\.12 \| /);
  const broken = withCuda({
    libraries: { cublasLt: { problem: '/l/libcublasLt.so.13: the process died of SIGBUS' } },
    provider: { problem: 'Failed to load library x with error: libcublasLt.so.13: cannot open shared object file' },
  });
  assert.match(
    item(broken, 'cuBLASLt'),
    /^bad \| the library is cut off.* \(\/l\/libcublasLt\.so\.13: the process died/,
  );
  assert.match(item(broken, 'ONNX Runtime on it'), /^unasked/);
  const cudnn = withLibrary('cudnn', '/l/libcudnn.so.9', { libraries: { cudnn: { problem: 'file too short' } } });
  assert.match(item(cudnn, 'cuDNN'), /^spare \| the library is cut off/);
  assert.equal(cudnn.works.cuda, true);
});

test('a runtime and a driver of another CUDA', () => {
  const runtime = withCuda({ libraries: { cudart: { version: '12.4' } } });
  assert.match(item(runtime, 'CUDA runtime'), /^bad \| a CUDA runtime of 12\.4 lies where one of 13 is needed/);
  const old = withCuda({
    devices: { version: '12.4', problem: 'CUDA failure 35: CUDA driver version is insufficient' },
  });
  assert.match(item(old, 'NVIDIA driver'), /^bad \| .*older than the 580 .*CUDA 12\.4 at most/);
  const stub = withCuda({ devices: { version: '0', problem: 'CUDA failure 35: CUDA driver version is insufficient' } });
  assert.match(item(stub, 'NVIDIA driver'), /^bad \| .*it reports none/);
  assert.match(item(stub, 'GPUs'), /^bad \| the NVIDIA driver is missing.*CUDA failure 35.* \| Install NVIDIA/);
});

test('provider files: none, cut off', () => {
  const none = withCuda({ found: { ...wellCuda.found, provider: undefined }, provider: undefined });
  assert.match(item(none, 'CUDA provider'), /^bad \| not found \| Run `tandem setup cuda`\.$/);
  const file = '/o/libonnxruntime_providers_cuda.so';
  const cut = withCuda({ faults: [{ file, got: 'a file of 3 bytes' }], provider: undefined });
  assert.match(item(cut, 'CUDA provider'), /^bad \| \/o\/libonnxruntime_providers_cuda\.so: a file of 3 bytes \| /);
  assert.match(item(cut, 'provider bridge'), /^ok/);
  assert.match(item(cut, 'ONNX Runtime on it'), /^unasked/);
});

test('GPUs: none, not the asked one, of a generation without machine code', () => {
  assert.match(item(withCuda({ devices: { version: '13.0', devices: [] } }), 'GPUs'), /^bad \| .*shows no GPU/);
  assert.match(item(withCuda({ devices: undefined, provider: undefined }), 'GPUs'), /^unasked/);
  assert.match(item(withCuda({ asked: [0, 1] }), 'GPU 1'), /^bad \| there is no GPU of this number .*not among 1/);
  const v100 = { name: 'V100', uuid: 'GPU-2', memoryBytes: 2 ** 34, capability: [7, 0] } as const;
  const devices = { version: '13.0', devices: [h200, v100] };
  assert.match(item(withCuda({ devices }), 'GPU 1'), /^bad \| the provider has no machine code .*V100, 16\.0 GiB/);
  const first = withCuda({ devices, asked: [0] });
  assert.match(item(first, 'GPU 1'), /^spare \| V100/);
  assert.equal(first.passed, true);
});

test("ONNX Runtime's error is cut down to what happened", () => {
  const problem =
    '/onnxruntime_src/x.cc:62 static Info From()\n[ONNXRuntimeError] : 1 : FAIL : Failed to parse provider option ' +
    '"device_id": CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; hostname=vm ; file=/x.cc\n';
  assert.match(
    item(withCuda({ provider: { problem } }), 'ONNX Runtime on it'),
    /^bad \| .* shows no GPU \(CUDA failure 100: no CUDA-capable device is detected\) \| /,
  );
});

test('rendering: one line for each item, each advice once, where it looked', () => {
  const libraries = { ...wellCuda.found.libraries, cublas: undefined, cublasLt: undefined };
  const text = renderDoctor(withCuda({ found: { ...wellCuda.found, libraries }, provider: undefined }));
  const lines = text.split('\n');
  assert.ok(lines.includes('  ok  Node.js           20.19.0'));
  assert.ok(lines.includes('  NO  cuBLAS              not found; needed: libcublas.so.13'));
  assert.ok(lines.includes('  -   cuDNN               not found; needed: libcudnn.so.9 (only for convolutions)'));
  assert.equal(lines.filter((line) => line.startsWith('  cuBLASLt, cuBLAS: Run `tandem setup cuda')).length, 1);
  assert.ok(lines.includes('  for the libraries: /l, and where ldconfig points'));
  assert.ok(text.endsWith('--device cuda cannot work\nCUDA scoring has not been tried on a GPU yet'));
  const plain = renderDoctor(makeReport('cpu', { ...well, cuda: undefined }));
  assert.doesNotMatch(plain, /CUDA|to do|looked/);
  assert.ok(plain.endsWith('--device cpu works'));
});

test('a question that ends the process is answered with how, the others all the same', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-probe-'));
  context.after(() => rmSync(folder, { recursive: true, force: true }));
  const probe = join(folder, 'probe.mjs');
  writeFileSync(
    probe,
    `import { writeSync } from 'node:fs';
    for (const { path } of JSON.parse(process.argv[2])) {
      if (path === 'killed') process.kill(process.pid, 'SIGTERM');
      while (path === 'killed') {}
      if (path === 'thrown') throw new TypeError('no module');
      if (path === 'silent') process.exit(0);
      writeSync(3, JSON.stringify({ version: path }) + '\\n');
    }`,
  );
  const questions = ['a', 'killed', 'b', 'thrown', 'silent', 'c'].map(
    (path) => ({ about: 'library', name: 'cublas', path }) as const,
  );
  assert.deepEqual(await ask(questions, probe), [
    { version: 'a' },
    { problem: 'killed: the process died of SIGTERM' },
    { version: 'b' },
    { problem: 'thrown: the process ended with 1: TypeError: no module' },
    { problem: 'silent: the process ended without an answer' },
    { version: 'c' },
  ]);
  assert.deepEqual(await ask([], probe), []);
});

test('here: the CPU works, and an empty folder has no provider', async (context) => {
  const ortDir = mkdtempSync(join(tmpdir(), 'tandem-ort-'));
  context.after(() => rmSync(ortDir, { recursive: true, force: true }));
  const environment = { HOME: ortDir };
  const report = await doctor({ device: 'cuda', ortDir, environment });
  assert.deepEqual([report.passed, report.works], [false, { cpu: true, cuda: false }]);
  assert.equal(item(report, 'CUDA provider'), 'bad | not found | Run `tandem setup cuda`.');
  assert.equal(item(report, 'DuckDB').slice(0, 2), 'ok');
  assert.equal(item(report, 'ONNX Runtime').slice(0, 2), 'ok');
  writeFileSync(join(ortDir, 'libcuda.so.1'), 'no library');
  const broken = await doctor({ device: 'cuda', ortDir, environment });
  assert.match(item(broken, 'NVIDIA driver'), /^bad \| the (file is no library|library is cut off)/);
  assert.equal((await doctor({ device: 'cpu' })).works.cuda, undefined);
  await assert.rejects(doctor({ device: 'gpu' }), (error) => error instanceof TandemError && error.code === 'USAGE');
});

test('a UUID that no GPU has is a fault of its own', () => {
  const report = withCuda({ asked: [0, 'GPU-99'] }, 'cuda:0,GPU-99');
  assert.match(item(report, 'GPU 0'), /^ok /);
  assert.match(item(report, 'GPU-99'), /^bad \| .*not among 1/);
  assert.equal(report.passed, false);
});
