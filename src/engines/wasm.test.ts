import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wasmPagesMax } from '../limits.ts';
import { createSharedMemory, kernelAlignment, kernelMemory, pageBytes } from './wasm.ts';

test('kernels get zeroed stretches one after the other, and no more than were planned', () => {
  const memory = createSharedMemory(pageBytes);
  new Uint8Array(memory.buffer, 0, 128).fill(1);
  const kernels = kernelMemory(memory, 128, 1024);
  const asked = [1, 64, 65, 0, 700];
  const offsets = asked.map((bytes) => kernels.allocate(bytes));
  assert.deepEqual(offsets, [128, 192, 256, 384, 384]);
  for (const [index, bytes] of asked.entries()) {
    assert.equal(offsets[index]! % kernelAlignment, 0);
    assert.ok(new Uint8Array(memory.buffer, offsets[index], bytes).every((byte) => byte === 0));
  }
  assert.equal(kernels.allocate(64), 1088);
  assert.throws(() => kernels.allocate(1), /were planned with 1024 bytes/);
  assert.throws(() => kernelMemory(memory, pageBytes - 64, 65), /cannot have the bytes/);
});

test('memory that nobody can have is refused with its size', () => {
  assert.throws(() => createSharedMemory(wasmPagesMax * pageBytes + 1), {
    code: 'MEMORY',
    message: 'Expected slots and kernels to fit into 4096 MiB of shared memory, got a need of 4097 MiB.',
    remedy: /smaller batch size/,
  });
});
