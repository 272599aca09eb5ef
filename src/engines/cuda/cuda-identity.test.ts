import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import koffi from 'koffi';
import { buildFake, skipWithoutCompiler } from '../../testing/fake-cuda/build.ts';
import { tempDir } from '../../testing/shards.ts';
import { setEnvironment } from '../native.ts';
import { openHeldBytes } from '../nvml/held-bytes.ts';
import { askDevices } from './ask.ts';
import { openCudaDriver, uuidOf } from './cuda-driver.ts';
import type { GpuDriver } from './driver.ts';

const gib = 2 ** 30;
/** Of the second fake device. */
const pciBusId = '0000:1B:00.0';

function environment(variables: Readonly<Record<string, string>>): void {
  const otherwise = { FAKE_FAIL: '', FAKE_DEVICES: '2', FAKE_MEM_MB: '1024', FAKE_MIG: '', FAKE_PROCESSES: '3' };
  const all = { ...otherwise, FAKE_PID: String(process.pid), ...variables };
  for (const [name, value] of Object.entries(all)) setEnvironment(name, value);
}

function heldBytes(t: TestContext, variables: Readonly<Record<string, string>>, bus = pciBusId): number | undefined {
  environment(variables);
  const held = openHeldBytes({ nvmlPath: buildFake('nvml', tempDir(t)), pciBusId: bus, samePids: true });
  const bytes = held.read();
  held.close();
  assert.equal(held.read(), undefined);
  return bytes;
}

describe('over fake libraries', { skip: process.platform === 'linux' ? skipWithoutCompiler() : 'asks /proc' }, () => {
  for (const [slices, prefix] of [
    ['', 'GPU'],
    ['1', 'MIG'],
  ] as const) {
    test(`runtime and driver library give a ${prefix} the same UUID`, (t) => {
      environment({ FAKE_MIG: slices });
      const cudartPath = buildFake('cudart', tempDir(t));
      const library = koffi.load(cudartPath);
      const uuids = askDevices(library, library).devices?.map(({ uuid }) => uuid);
      assert.deepEqual(uuids, [
        `${prefix}-a0a1a2a3-a4a5-a6a7-a8a9-aaabacadaeaf`,
        `${prefix}-b0b1b2b3-b4b5-b6b7-b8b9-babbbcbdbebf`,
      ]);
      assert.deepEqual(
        [0, 1].map((index) => uuidOf(cudartPath, index)),
        uuids,
      );
    });
  }

  test('what this process holds is found by its number, on its own device', (t) => {
    assert.equal(heldBytes(t, {}), 5 * gib);
    assert.equal(heldBytes(t, {}, '0000:1A:00.0'), undefined, 'it computes on the other one only');
  });

  test('what NVML does not tell is not known', (t) => {
    assert.equal(heldBytes(t, { FAKE_PROCESSES: '1' }), undefined, 'the last process hides its memory');
    assert.equal(heldBytes(t, { FAKE_PID: '' }), undefined);
    assert.equal(heldBytes(t, { FAKE_FAIL: 'nvmlDeviceGetComputeRunningProcesses_v3:3:1' }), undefined);
    assert.equal(heldBytes(t, { FAKE_FAIL: 'nvmlInit_v2:9:1' }), undefined);
    assert.equal(heldBytes(t, {}, '0000:FF:00.0'), undefined);
    environment({});
    const missing = openHeldBytes({ nvmlPath: join(tempDir(t), 'libnvidia-ml.so.1'), pciBusId, samePids: true });
    assert.equal(missing.read(), undefined);
    const elsewhere = openHeldBytes({ nvmlPath: buildFake('nvml', tempDir(t)), pciBusId, samePids: false });
    assert.equal(elsewhere.read(), undefined, 'another process may have the number');
  });

  test("what is reported is the driver's own device's, of a slice nothing, and closing gives its counters back", (t) => {
    const folder = tempDir(t);
    const options = { cudartPath: buildFake('cudart', folder), nvmlPath: buildFake('nvml', folder) };
    const liveSamples = koffi.load(options.nvmlPath).func('int fakeLiveGpmSamples()') as () => number;
    const open = (slices: string): GpuDriver => {
      environment({ FAKE_MIG: slices, FAKE_SM_PERCENT: '40' });
      return openCudaDriver({ deviceIndex: 1, ...options, providerOptions: { tf32: false } });
    };
    const [driver, slice] = [open(''), open('1')];
    driver.reportedShare.begin();
    slice.reportedShare.begin();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1010);
    assert.deepEqual(driver.reportedShare.end(), { share: 0.4025, counts: 'SMs that were busy (GPM)' });
    assert.match(JSON.stringify(slice.reportedShare.end()), /"problem":"the device is a MIG slice/);
    driver.reportedShare.begin();
    assert.equal(liveSamples(), 1);
    driver.close();
    slice.close();
    assert.equal(liveSamples(), 0);
  });

  test('the driver asks for its own device, and not for a slice', (t) => {
    const folder = tempDir(t);
    const options = { cudartPath: buildFake('cudart', folder), nvmlPath: buildFake('nvml', folder) };
    const heldBy = (deviceIndex: number, slices: string): number | undefined => {
      environment({ FAKE_MIG: slices });
      const driver = openCudaDriver({ deviceIndex, ...options, providerOptions: { tf32: false } });
      const bytes = driver.heldBytes();
      driver.close();
      return bytes;
    };
    // In a container the numbers of processes may be its own.
    const known = readlinkSync('/proc/self/ns/pid') === 'pid:[4026531836]';
    assert.deepEqual(
      [heldBy(1, ''), heldBy(0, ''), heldBy(1, '1')],
      [known ? 5 * gib : undefined, undefined, undefined],
    );
  });
});
