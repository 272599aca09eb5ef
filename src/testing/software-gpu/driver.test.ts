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
