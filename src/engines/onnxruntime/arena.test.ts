import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeModel } from '../../testing/onnx.ts';
import { rowSumModel } from '../../testing/models.ts';
import { tempDir } from '../../testing/shards.ts';
import { arenaHeldBytes } from './arena.ts';
import { create, loadOnnxRuntime } from './bindings.ts';
import { BoundRun, createRunOptions, releaseRunOptions } from './run.ts';
import { closeSession, openSession } from './session.ts';

const arenaAllocator = 1;

/** Runs a batch of so many rows of one value, whose scores the arena must hold. */
function runRows(session: bigint, runOptions: bigint, rows: number): void {
  const x = { name: 'x', elementType: 'float32', shape: [rows, 1], values: new Float32Array(rows) } as const;
  const run = new BoundRun(session, [x], [{ name: 'y' }]);
  run.run(runOptions);
  run.close();
}

test('an arena grows with the batch, keeps what it took, and gives it back when a run says so', (t) => {
  const path = join(tempDir(t), 'model.onnx');
  writeModel(path, rowSumModel(1));
  const session = openSession(path, { intraOpThreads: 1 });
  const info = create((out) => loadOnnxRuntime().CreateCpuMemoryInfo(arenaAllocator, 0, out));
  const plain = createRunOptions();
  const shrinking = createRunOptions({ 'memory.enable_memory_arena_shrinkage': 'cpu:0' });
  try {
    // The first region stays for ever.
    runRows(session, plain, 10);
    runRows(session, plain, 4_000_000);
    const held = arenaHeldBytes(session, info)!;
    assert.ok(held >= 4_000_000 * 4, `${held} bytes`);
    runRows(session, plain, 10);
    assert.equal(arenaHeldBytes(session, info), held);
    runRows(session, shrinking, 10);
    assert.ok(arenaHeldBytes(session, info)! < held / 2, `${arenaHeldBytes(session, info)} bytes of ${held}`);
  } finally {
    closeSession(session);
    loadOnnxRuntime().ReleaseMemoryInfo(info);
    releaseRunOptions(plain);
    releaseRunOptions(shrinking);
  }
});
