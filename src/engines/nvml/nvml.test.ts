import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { buildFake, skipWithoutCompiler } from '../../testing/fake-cuda/build.ts';
import { tempDir } from '../../testing/shards.ts';
import { setEnvironment } from '../native.ts';
import { openNvml, type Nvml } from './nvml.ts';

const gib = 2 ** 30;

const otherwise = {
  FAKE_FAIL: '',
  FAKE_DEVICES: '2',
  FAKE_PROCESSES: '3',
  FAKE_SAMPLES: '',
  FAKE_VALUE_TYPE: '',
  FAKE_GPM: '',
  FAKE_SM_PERCENT: '',
};

function setAll(environment: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries({ ...otherwise, ...environment })) setEnvironment(name, value);
}

function open(t: TestContext, environment: Readonly<Record<string, string>> = {}): Nvml {
  setAll(environment);
  return openNvml(buildFake('nvml', tempDir(t)));
}

describe('NVML', { skip: skipWithoutCompiler() }, () => {
  test('versions, counts, names and numbers arrive', (t) => {
    const nvml = open(t);
    assert.equal(nvml.driverVersion(), '580.65.06');
    assert.equal(nvml.deviceCount(), 2);
    const device = nvml.deviceByIndex(1);
    assert.equal(device.name, 'Fake GPU 1');
    assert.equal(device.uuid, 'GPU-00000000-0000-0000-0000-000000000001');
    const usedBytes = 5 * gib + 1;
    assert.deepEqual(device.memory(), { totalBytes: 141 * gib, freeBytes: 141 * gib - usedBytes, usedBytes });
    assert.deepEqual(device.utilization(), { gpuPercent: 91, memoryPercent: 41 });
    assert.deepEqual(device.processes(), [
      { pid: 2000, usedBytes: 5 * gib },
      { pid: 2001, usedBytes: 5 * gib + 1 },
      { pid: 2002, usedBytes: undefined },
    ]);
    nvml.close();
    assert.throws(() => nvml.deviceCount(), { name: 'NvmlError', code: 1 });
  });

  test('a device is found by its UUID and by the name that CUDA knows', (t) => {
    const nvml = open(t);
    assert.equal(nvml.deviceByUuid('GPU-00000000-0000-0000-0000-000000000001').name, 'Fake GPU 1');
    assert.equal(nvml.deviceByPciBusId('0000:1A:00.0').name, 'Fake GPU 0');
    assert.throws(() => nvml.deviceByUuid('GPU-1'), {
      name: 'NvmlError',
      code: 6,
      message: 'Expected nvmlDeviceGetHandleByUUID to succeed, got 6 (Not Found).',
    });
    assert.throws(() => nvml.deviceByIndex(2), { name: 'NvmlError', code: 2 });
    nvml.close();
  });

  test('more processes than there was room for are asked for again', (t) => {
    for (const count of [0, 31, 32, 33, 1000]) {
      const nvml = open(t, { FAKE_PROCESSES: String(count) });
      const pids = nvml
        .deviceByIndex(0)
        .processes()
        .map(({ pid }) => pid);
      assert.deepEqual(
        pids,
        Array.from({ length: count }, (_, index) => 1000 + index),
      );
      nvml.close();
    }
  });

  test('the ring buffer gives what is newer, ascending, whatever type its values have', (t) => {
    const nvml = open(t);
    const [first, second] = [nvml.deviceByIndex(0), nvml.deviceByIndex(1)];
    assert.deepEqual(first.busySamples(0), [], 'a GPU that idles');
    // Beyond 32 bits, as every time since 1970 is.
    const samples = '1700000000400000:30 1700000000200000:20 1700000000000000:10';
    for (const type of [0, 1, 2, 3, 4, 5, 6]) {
      setAll({ FAKE_SAMPLES: samples, FAKE_VALUE_TYPE: String(type) });
      assert.deepEqual(first.busySamples(1_700_000_000_000_000), [
        { atUs: 1_700_000_000_200_000, percent: 20 },
        { atUs: 1_700_000_000_400_000, percent: 30 },
      ]);
    }
    setAll({ FAKE_SAMPLES: samples });
    assert.deepEqual(
      second.busySamples(0).map(({ percent }) => percent),
      [20, 40, 60],
      "the other device's",
    );
    assert.deepEqual(first.busySamples(1_700_000_000_400_000), []);
    setAll({ FAKE_SAMPLES: samples, FAKE_VALUE_TYPE: '7' });
    assert.throws(() => first.busySamples(0), { name: 'NvmlError', code: 3 });
    setAll({ FAKE_SAMPLES: samples, FAKE_FAIL: 'nvmlDeviceGetSamples:3:0' });
    assert.throws(() => first.busySamples(0), { name: 'NvmlError', code: 3 });
    setAll({ FAKE_SAMPLES: samples, FAKE_FAIL: 'nvmlDeviceGetSamples:6:2' });
    assert.deepEqual(first.busySamples(0), [], 'they went between the two calls');
    nvml.close();
  });

  test("the link is the device's own", (t) => {
    const nvml = open(t);
    const link = { generation: 5, lanes: 9, generationMax: 6, lanesMax: 17 };
    assert.deepEqual(nvml.deviceByIndex(1).link(), link);
    nvml.close();
  });

  test('GPM gives averages between two samples of its device, and says what it refuses', (t) => {
    const nvml = open(t);
    const [gpm, other] = [nvml.deviceByIndex(1).gpm(), nvml.deviceByIndex(0).gpm()];
    const [older, newer, foreign] = [gpm.sample(), gpm.sample(), other.sample()];
    assert.deepEqual(gpm.between(older, newer, ['float32Percent', 'smPercent', 'pcieReceivedMibPerSecond']), {
      float32Percent: 12.25,
      smPercent: 62.25,
      pcieReceivedMibPerSecond: 'refused with 3',
    });
    assert.deepEqual(gpm.between(older, newer, []), {});
    const invalid = { name: 'NvmlError', code: 2 };
    assert.throws(() => gpm.between(newer, older, ['smPercent']), invalid, 'in the wrong order');
    assert.throws(() => gpm.between(older, foreign, ['smPercent']), invalid);
    for (const sample of [older, newer, foreign]) gpm.free(sample);
    nvml.close();
  });

  test('a GPU or a driver without GPM says so', (t) => {
    const nvml = open(t, { FAKE_GPM: '0' });
    assert.throws(() => nvml.deviceByIndex(0).gpm(), { name: 'NvmlError', code: 3 });
    nvml.close();
    const old = openNvml(buildFake('nvml-old', tempDir(t)));
    const device = old.deviceByIndex(0);
    assert.deepEqual(device.utilization(), { gpuPercent: 90, memoryPercent: 40 });
    assert.throws(() => device.gpm(), { name: 'NvmlError', code: 13, message: /nvmlGpmQueryDeviceSupport/ });
    old.close();
  });

  test('a call that fails is an error with its code', (t) => {
    assert.throws(() => open(t, { FAKE_FAIL: 'nvmlInit_v2:9:1' }), {
      name: 'NvmlError',
      code: 9,
      message: 'Expected nvmlInit_v2 to succeed, got 9 (Driver Not Loaded).',
    });
    const nvml = open(t, { FAKE_FAIL: 'nvmlDeviceGetComputeRunningProcesses_v3:4:1' });
    const device = nvml.deviceByIndex(0);
    assert.throws(() => device.processes(), { name: 'NvmlError', code: 4 });
    assert.equal(device.processes().length, 3);
    nvml.close();
  });
});

test('without a driver the error says what to do', (t) => {
  assert.throws(() => openNvml(join(tempDir(t), 'libnvidia-ml.so.1')), {
    name: 'TandemError',
    code: 'ENVIRONMENT',
    remedy: /Install NVIDIA's driver/,
  });
});
