import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { integerDivisionModel } from '../../testing/models.ts';
import { writeModel } from '../../testing/onnx.ts';
import { tempDir } from '../../testing/shards.ts';
import { create, loadOnnxRuntime } from './bindings.ts';
import { closeSession, inputsReadElsewhere, openSession } from './session.ts';

test('inputs that a session reads in other memory than that of a device are named', (t) => {
  const path = join(tempDir(t), 'model.onnx');
  writeModel(path, integerDivisionModel());
  const session = openSession(path, { intraOpThreads: 1 });
  const infos = ['Cpu', 'Cuda'].map((name) => create((out) => loadOnnxRuntime().CreateMemoryInfo(name, 0, 0, 0, out)));
  assert.deepEqual(
    infos.map((info) => inputsReadElsewhere(session, info)),
    [[], ['x', 'divisor']],
  );
  for (const info of infos) loadOnnxRuntime().ReleaseMemoryInfo(info);
  closeSession(session);
});
