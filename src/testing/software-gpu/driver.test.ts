import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SoftwareGpu } from './driver.ts';

test('what the process holds is its context and what it allocated', () => {
  const gpu = new SoftwareGpu({ memoryBytes: 1000, contextBytes: 100 });
  assert.equal(gpu.heldBytes(), 100);
  const memory = gpu.allocate(200);
  assert.equal(gpu.heldBytes(), 300);
  assert.deepEqual(gpu.memory(), { freeBytes: 700, totalBytes: 1000 });
  assert.throws(() => gpu.allocate(701), { name: 'GpuError', kind: 'outOfMemory' });
  gpu.free(memory);
  assert.equal(gpu.heldBytes(), 100);
  gpu.close();
});

test('what it reports is what it was told, or that no driver knows it', () => {
  const gpu = new SoftwareGpu({ memoryBytes: 1000, reportedShare: 0.25 });
  gpu.reportedShare.begin();
  assert.deepEqual(gpu.reportedShare.end(), { share: 0.25, counts: 'what the software GPU was told to say' });
  assert.throws(() => gpu.reportedShare.end(), /to begin before it ends/);
  gpu.close();
  const silent = new SoftwareGpu({ memoryBytes: 1000 });
  silent.reportedShare.begin();
  silent.reportedShare.tick();
  assert.deepEqual(silent.reportedShare.end(), {
    problem: "the device is a stand-in, which NVIDIA's driver does not know",
  });
  silent.close();
});
