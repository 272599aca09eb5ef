import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { buildFake, skipWithoutCompiler } from '../../testing/fake-cuda/build.ts';
import { tempDir } from '../../testing/shards.ts';
import { setEnvironment } from '../native.ts';
import { openNvml, type Nvml } from './nvml.ts';

const gib = 2 ** 30;

function open(t: TestContext, environment: Readonly<Record<string, string>> = {}): Nvml {
  const otherwise = { FAKE_FAIL: '', FAKE_DEVICES: '2', FAKE_PROCESSES: '3' };
  for (const [name, value] of Object.entries({ ...otherwise, ...environment })) setEnvironment(name, value);
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
