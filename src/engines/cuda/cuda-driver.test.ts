import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import koffi from 'koffi';
import { TandemError } from '../../errors.ts';
import { buildFake, skipWithoutCompiler } from '../../testing/fake-cuda/build.ts';
import { rowSumModel } from '../../testing/models.ts';
import { writeModel } from '../../testing/onnx.ts';
import { tempDir } from '../../testing/shards.ts';
import { addressOf, setEnvironment } from '../native.ts';
import { check, create, loadOnnxRuntime, onnxRuntimeLibraryPath } from '../onnxruntime/bindings.ts';
import { BoundRun, createRunOptions, releaseRunOptions, terminateRuns } from '../onnxruntime/run.ts';
import { closeSession, openSession } from '../onnxruntime/session.ts';
import { loadCuda } from './bindings.ts';
import { openCudaDriver, pciBusIdOf, uuidOf } from './cuda-driver.ts';
import { GpuError, type GpuDriver } from './driver.ts';

const mib = 2 ** 20;
const gib = 2 ** 30;

interface Fake {
  readonly cudartPath: string;
  readonly driver: GpuDriver;
  /** What the fake counts, `fakeLiveEvents` for example. */
  count(name: string): number;
  flagsOf(name: string, handle: bigint): number;
}

function environment(variables: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(variables)) setEnvironment(name, value);
}

function open(t: TestContext, variables: Readonly<Record<string, string>> = {}, deviceIndex = 0): Fake {
  environment({ FAKE_FAIL: '', FAKE_DEVICES: '2', FAKE_MEM_MB: '1024', ...variables });
  const cudartPath = buildFake('cudart', tempDir(t));
  const library = koffi.load(cudartPath);
  return {
    cudartPath,
    driver: openCudaDriver({ deviceIndex, cudartPath, providerOptions: { tf32: false } }),
    count: (name) => Number((library.func(`size_t ${name}()`) as () => number)()),
    flagsOf: (name, handle) => (library.func(`uint ${name}(void *handle)`) as (handle: bigint) => number)(handle),
  };
}

/** Bytes that say where they stand. */
function numbered(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => (index * 7 + (index >> 8)) & 0xff);
}

function failureOf(work: () => void): GpuError {
  let failure: unknown;
  try {
    work();
  } catch (error) {
    failure = error;
  }
  assert.ok(failure instanceof GpuError, `Expected a GpuError, got ${String(failure)}.`);
  return failure;
}

describe('over a CUDA runtime', { skip: skipWithoutCompiler() }, () => {
  test('the device opens with its name and its memory', (t) => {
    const { driver, cudartPath } = open(t, { FAKE_MEM_MB: '8192' }, 1);
    assert.equal(driver.name, 'Fake GPU 1');
    assert.deepEqual(driver.memory(), { freeBytes: 8 * gib, totalBytes: 8 * gib });
    assert.equal(pciBusIdOf(cudartPath, 1), '0000:1B:00.0');
    assert.equal(uuidOf(cudartPath, 1), 'GPU-b0b1b2b3-b4b5-b6b7-b8b9-babbbcbdbebf');
    driver.close();
  });

  test("memory is the asked device's, and sizes above 4 GiB are whole", (t) => {
    const { driver, count } = open(t, { FAKE_MEM_MB: '8192' }, 1);
    const bytes = 5 * gib + 3;
    const memory = driver.allocate(bytes);
    assert.notEqual(memory, 0n);
    assert.deepEqual(driver.memory(), { freeBytes: 8 * gib - bytes, totalBytes: 8 * gib });
    assert.equal(count('fakePinnedBytes'), 0);
    driver.free(memory);
    assert.equal(driver.memory().freeBytes, 8 * gib);
    const none = driver.allocate(0);
    assert.notEqual(none, 0n, 'a place of 0 bytes has an address');
    driver.free(none);
    driver.close();
  });

  test('sizes of copies and of pinned memory are passed whole', (t) => {
    const { driver, cudartPath, count } = open(t);
    const cuda = loadCuda(cudartPath);
    const memory = driver.allocate(16);
    const stream = driver.createStream();
    const bytes = new Uint8Array(16);
    const host = addressOf(bytes);
    const hostToDevice = 1;
    assert.equal(cuda.ask('cudaMemcpyAsync', memory, host, 16, hostToDevice, stream), 0);
    assert.equal(cuda.ask('cudaMemcpyAsync', memory, host, 4 * gib + 16, hostToDevice, stream), 1);
    assert.equal(cuda.ask('cudaHostRegister', host, 5 * gib + 1, 0), 0);
    assert.equal(count('fakePinnedBytes'), 5 * gib + 1);
    cuda.call('cudaHostUnregister', addressOf(bytes));
    driver.free(memory);
    driver.close();
  });

  test('what is copied in comes out, once its event has passed', (t) => {
    const { driver } = open(t);
    const [inStream, outStream] = [driver.createStream(), driver.createStream()];
    const [copiedIn, copiedOut] = [driver.createEvent(), driver.createEvent()];
    const source = numbered(100_000).subarray(1000, 99_000);
    const shared = new Uint8Array(new SharedArrayBuffer(200_000));
    const target = shared.subarray(50_000, 50_000 + source.length);
    const [memory, other] = [driver.allocate(source.length), driver.allocate(source.length)];
    driver.copyIn(memory, source, inStream);
    driver.record(copiedIn, inStream);
    driver.waitFor(copiedIn, outStream);
    driver.copyWithin(other, memory, source.length, outStream);
    driver.copyOut(target, other, outStream);
    driver.record(copiedOut, outStream);
    assert.equal(
      target.every((byte) => byte === 0),
      true,
      'nothing was waited for',
    );
    driver.block(copiedOut);
    assert.deepEqual([...target], [...source]);
    assert.equal(shared[49_999], 0);
    assert.equal(shared[50_000 + source.length], 0);
    driver.free(memory);
    driver.free(other);
    driver.close();
  });

  test('a small array is found where it lies, and an empty one copies nothing', (t) => {
    const { driver } = open(t);
    const [stream, event] = [driver.createStream(), driver.createEvent()];
    const memory = driver.allocate(8);
    const [source, target] = [Uint8Array.of(1, 2, 3, 4, 5), new Uint8Array(5)];
    driver.copyIn(memory, source, stream);
    driver.copyIn(memory, new Uint8Array(0), stream);
    driver.copyOut(target, memory, stream);
    driver.record(event, stream);
    driver.block(event);
    assert.deepEqual([...target], [1, 2, 3, 4, 5]);
    driver.free(memory);
    driver.close();
  });

  test('an event passes, and its answer leaves no error for ONNX Runtime', (t) => {
    const { driver, count } = open(t);
    const [stream, event] = [driver.createStream(), driver.createEvent()];
    assert.equal(driver.isDone(event), true, 'an event that was never recorded counts as passed');
    driver.record(event, stream);
    assert.equal(driver.isDone(event), false);
    assert.equal(count('fakeLastError'), 0);
    assert.equal(driver.isDone(event), true);
    driver.record(event, stream);
    assert.equal(driver.isDone(event), false, 'what it meant before is forgotten');
    driver.close();
  });

  test("the time between two events is the device's", (t) => {
    const { driver } = open(t);
    const stream = driver.createStream();
    const [start, end] = [driver.createEvent(), driver.createEvent()];
    const size = 4 * mib;
    const memory = driver.allocate(size);
    const source = numbered(size);
    driver.record(start, stream);
    driver.copyIn(memory, source, stream);
    driver.record(end, stream);
    assert.throws(() => driver.elapsedMs(start, end), { name: 'GpuError', code: 600, kind: 'other' });
    driver.block(end);
    const ms = driver.elapsedMs(start, end);
    assert.ok(ms > 0 && ms < 10_000, `${ms} ms`);
    driver.free(memory);
    driver.close();
  });

  test('streams and events have the flags that the pipeline counts on', (t) => {
    const { driver, flagsOf } = open(t);
    const [nonBlocking, blockingSyncWithTiming] = [1, 1];
    assert.equal(flagsOf('fakeStreamFlags', driver.createStream()), nonBlocking);
    assert.equal(flagsOf('fakeEventFlags', driver.createEvent()), blockingSyncWithTiming);
    driver.close();
  });

  test('memory that is not there is outOfMemory, and less may fit', (t) => {
    const { driver, count } = open(t, { FAKE_MEM_MB: '16' });
    const failure = failureOf(() => driver.allocate(16 * mib + 1));
    assert.deepEqual([failure.kind, failure.code], ['outOfMemory', 2]);
    assert.equal(failure.message, 'Expected cudaMalloc to succeed, got 2 (out of memory).');
    assert.equal(count('fakeLastError'), 0, 'the next run would take it for its own');
    driver.free(driver.allocate(16 * mib));
    driver.close();
  });

  test('memory is pinned once, and a refusal is an answer', (t) => {
    const { driver, count } = open(t);
    const host = new Uint8Array(new SharedArrayBuffer(3 * mib)).subarray(mib);
    assert.equal(driver.pin(host), true);
    assert.equal(count('fakePinnedBytes'), 2 * mib);
    assert.equal(driver.pin(host), false, 'it is pinned already');
    driver.unpin(host);
    assert.equal(count('fakePinnedBytes'), 0);
    for (const code of [1, 2, 801]) {
      environment({ FAKE_FAIL: `cudaHostRegister:${code}:1` });
      assert.equal(driver.pin(host), false);
      assert.equal(count('fakeLastError'), 0);
    }
    environment({ FAKE_FAIL: 'cudaHostRegister:700:1' });
    assert.equal(failureOf(() => driver.pin(host)).kind, 'lost');
    environment({ FAKE_FAIL: '' });
    assert.equal(failureOf(() => driver.unpin(host)).code, 713);
    driver.close();
  });
});

describe('when the device fails', { skip: skipWithoutCompiler() }, () => {
  test('it is lost for every call after, and closing says nothing', (t) => {
    const { driver } = open(t);
    const [stream, event] = [driver.createStream(), driver.createEvent()];
    driver.record(event, stream);
    environment({ FAKE_FAIL: 'cudaEventSynchronize:700:1' });
    const failure = failureOf(() => driver.block(event));
    assert.deepEqual([failure.kind, failure.code], ['lost', 700]);
    assert.match(failure.message, /cudaEventSynchronize .* 700 \(an illegal memory access was encountered\)/);
    assert.equal(failureOf(() => driver.isDone(event)).kind, 'lost');
    assert.equal(failureOf(() => driver.allocate(1)).kind, 'lost');
    driver.close();
  });

  test('every call names itself', (t) => {
    const { driver } = open(t);
    const [stream, event, other] = [driver.createStream(), driver.createEvent(), driver.createEvent()];
    const [memory, host] = [driver.allocate(8), new Uint8Array(8)];
    const calls: Readonly<Record<string, () => void>> = {
      cudaMemGetInfo: () => driver.memory(),
      cudaMalloc: () => driver.allocate(1),
      cudaFree: () => driver.free(memory),
      cudaHostUnregister: () => driver.unpin(host),
      cudaStreamCreateWithFlags: () => driver.createStream(),
      cudaEventCreateWithFlags: () => driver.createEvent(),
      cudaMemcpyAsync: () => driver.copyIn(memory, host, stream),
      cudaEventRecord: () => driver.record(event, stream),
      cudaStreamWaitEvent: () => driver.waitFor(event, stream),
      cudaEventQuery: () => driver.isDone(event),
      cudaEventSynchronize: () => driver.block(event),
      cudaEventElapsedTime: () => driver.elapsedMs(event, other),
    };
    for (const [name, call] of Object.entries(calls)) {
      environment({ FAKE_FAIL: `${name}:999:1` });
      const failure = failureOf(call);
      assert.deepEqual([failure.kind, failure.code], ['lost', 999], name);
      assert.match(failure.message, new RegExp(`^Expected ${name} to succeed, got 999 `));
    }
    environment({ FAKE_FAIL: '' });
    driver.free(memory);
    driver.close();
  });

  test('closing frees streams and events, after what was queued', (t) => {
    const { driver, count } = open(t);
    const stream = driver.createStream();
    for (let index = 0; index < 5; index++) driver.createEvent();
    const [source, target] = [numbered(1000), new Uint8Array(1000)];
    const memory = driver.allocate(1000);
    driver.copyIn(memory, source, stream);
    driver.copyOut(target, memory, stream);
    assert.deepEqual([count('fakeLiveStreams'), count('fakeLiveEvents')], [1, 5]);
    driver.close();
    assert.deepEqual([...target], [...source]);
    assert.deepEqual([count('fakeLiveStreams'), count('fakeLiveEvents')], [0, 0]);
  });

  test("a device that does not open is the environment's fault, with advice", (t) => {
    const openWith = (variables: Readonly<Record<string, string>>, deviceIndex = 0): TandemError => {
      let thrown: unknown;
      try {
        open(t, variables, deviceIndex);
      } catch (error) {
        thrown = error;
      }
      assert.ok(thrown instanceof TandemError, String(thrown));
      assert.equal(thrown.code, 'ENVIRONMENT');
      assert.ok(thrown.cause instanceof GpuError);
      return thrown;
    };
    assert.match(openWith({}, 2).message, /GPU 2 to open.*101 \(invalid device ordinal\)/);
    assert.match(openWith({ FAKE_DEVICES: '0' }).message, /100 \(no CUDA-capable device is detected\)/);
    assert.match(openWith({ FAKE_FAIL: 'cudaSetDevice:35:1' }).remedy ?? '', /driver 580 or newer/);
  });
});

test('what is no CUDA runtime does not open', (t) => {
  const openPath = (cudartPath: string) => () =>
    openCudaDriver({ deviceIndex: 0, cudartPath, providerOptions: { tf32: true } });
  const error = { name: 'TandemError', code: 'ENVIRONMENT', remedy: /nvidia-cuda-runtime/ };
  assert.throws(openPath(join(tempDir(t), 'libcudart.so.13')), error);
  assert.throws(openPath(onnxRuntimeLibraryPath()), error);
});

describe('ONNX Runtime', { skip: skipWithoutCompiler() }, () => {
  /** The CPU provider stands for CUDA's: the fake's device memory is ordinary memory. */
  test('a model runs on device memory', (t) => {
    const { driver } = open(t);
    const rows = 5;
    const path = join(tempDir(t), 'model.onnx');
    writeModel(path, rowSumModel(2));
    const session = openSession(path, { intraOpThreads: 1 });
    const memoryInfo = create((out) => loadOnnxRuntime().CreateMemoryInfo('Cpu', 0, 0, 0, out));
    const [x, y] = [driver.allocate(rows * 8), driver.allocate(rows * 4)];
    const [stream, event] = [driver.createStream(), driver.createEvent()];
    const elementType = 'float32';
    const bound = new BoundRun(
      session,
      [{ name: 'x', elementType, shape: [rows, 2], memory: x, memoryInfo }],
      [{ name: 'y', elementType, shape: [rows, 1], memory: y, memoryInfo }],
    );
    const runOptions = createRunOptions();
    const source = Float32Array.from({ length: rows * 2 }, (_, index) => index);
    const target = new Float32Array(rows);
    const wait = (): void => {
      driver.record(event, stream);
      driver.block(event);
    };
    driver.copyIn(x, new Uint8Array(source.buffer), stream);
    wait();
    const binding = bound.binding;
    const details = { rowCount: rows, shrinksArena: false, reads: [], writes: [], allocates: false };
    const run = { session, runOptions, binding, ...details };
    driver.run(run, stream);
    driver.copyOut(new Uint8Array(target.buffer), y, stream);
    wait();
    assert.deepEqual([...target], [1, 5, 9, 13, 17]);

    terminateRuns(runOptions);
    const failure = failureOf(() => driver.run(run, stream));
    assert.deepEqual([failure.kind, failure.code], ['other', 999]);
    assert.match(failure.message, /terminate/);
    environment({ FAKE_FAIL: 'cudaMemGetInfo:700:1' });
    assert.equal(failureOf(() => driver.run(run, stream)).kind, 'lost', 'whatever words the failure had');
    environment({ FAKE_FAIL: '' });
    bound.close();
    releaseRunOptions(runOptions);
    loadOnnxRuntime().ReleaseMemoryInfo(memoryInfo);
    closeSession(session);
    for (const memory of [x, y]) driver.free(memory);
    driver.close();
  });

  test('tensors are told that they lie on the device', (t) => {
    const { driver } = open(t, {}, 1);
    const memory = driver.allocate(8);
    const float32 = 1;
    const value = create((out) =>
      loadOnnxRuntime().CreateTensorWithDataAsOrtValue(
        driver.memoryInfo,
        memory,
        8,
        BigInt64Array.of(2n),
        1,
        float32,
        out,
      ),
    );
    assert.equal(
      create((out) => loadOnnxRuntime().GetTensorMutableData(value, out)),
      memory,
    );
    loadOnnxRuntime().ReleaseValue(value);
    driver.free(memory);
    driver.close();
  });

  const provider = join(dirname(onnxRuntimeLibraryPath()), 'libonnxruntime_providers_shared.so');
  const skip = existsSync(provider) ? 'the CUDA provider is there' : false;
  test('without the CUDA provider a session says what is missing', { skip }, (t) => {
    const { driver } = open(t);
    const stream = driver.createStream();
    const path = join(tempDir(t), 'model.onnx');
    writeModel(path, rowSumModel(2));
    const configure = (options: bigint): void => driver.configureSession(options, stream);
    assert.throws(() => openSession(path, { intraOpThreads: 1, configure }), {
      name: 'TandemError',
      code: 'ENVIRONMENT',
      message: /libonnxruntime_providers_shared\.so/,
      remedy: /tandem setup cuda/,
    });
    closeSession(openSession(path, { intraOpThreads: 1 }));
    driver.close();
  });

  test('run options take what a pipeline sets', () => {
    const runOptions = createRunOptions();
    check(loadOnnxRuntime().AddRunConfigEntry(runOptions, 'disable_synchronize_execution_providers', '1'));
    assert.throws(() => check(loadOnnxRuntime().AddRunConfigEntry(runOptions, '', '1')), /key/i);
    releaseRunOptions(runOptions);
  });
});
