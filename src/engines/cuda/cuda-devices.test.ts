import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import koffi from 'koffi';
import { buildFake, skipWithoutCompiler } from '../../testing/fake-cuda/build.ts';
import { tempDir } from '../../testing/shards.ts';
import { setEnvironment } from '../native.ts';
import { describeDevices } from './cuda-devices.ts';

const skip = process.platform === 'linux' ? skipWithoutCompiler() : 'looks into /proc';

test('listing devices opens those only whose memory is asked for, and does not load ONNX Runtime', { skip }, (t) => {
  const cudartPath = buildFake('cudart', tempDir(t));
  setEnvironment('FAKE_DEVICES', '3');
  const timesOpened = koffi.load(cudartPath).func('int fakeTimesOpened(int device)') as (device: number) => number;
  const devices = describeDevices(cudartPath, undefined, undefined, 'float32');
  assert.deepEqual(
    devices.map(({ name, label }) => [name, label]),
    [
      ['cuda:0', 'Fake GPU 0'],
      ['cuda:1', 'Fake GPU 1'],
      ['cuda:2', 'Fake GPU 2'],
    ],
  );
  assert.equal(devices[1]!.freeBytes, devices[1]!.totalBytes);
  assert.deepEqual([0, 1, 2].map(timesOpened), [0, 1, 0]);
  // Which one is to be loaded is known only when the devices are.
  assert.doesNotMatch(readFileSync('/proc/self/maps', 'utf8'), /libonnxruntime/);
});
