import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { rowSumModel } from '../../testing/models.ts';
import { mlDomain, writeModel, type ModelSpec } from '../../testing/onnx.ts';
import { tempDir } from '../../testing/shards.ts';
import type { Pointer } from '../native.ts';
import { nodesByProvider, recordAssignment } from './assignment.ts';
import { closeSession, openSession } from './session.ts';

/** y = -sqrt(x > 0.5 ? 1 : 0), [N, 1]: two nodes of ONNX, one of its machine learning operators. */
const mixedModel: ModelSpec = {
  inputs: [{ name: 'x', elementType: 'float32', shape: ['N', 1] }],
  outputs: [{ name: 'y', elementType: 'float32', shape: ['N', 1] }],
  nodes: [
    {
      op: 'Binarizer',
      domain: mlDomain,
      inputs: ['x'],
      outputs: ['bits'],
      attributes: { threshold: { float: 0.5 } },
    },
    { op: 'Sqrt', inputs: ['bits'], outputs: ['roots'] },
    { op: 'Neg', inputs: ['roots'], outputs: ['y'] },
  ],
};

/** Opens a session on the model and gives it to `use`. */
function withSession(
  t: TestContext,
  model: ModelSpec,
  configure: (options: Pointer) => void,
  use: (session: Pointer) => void,
): void {
  const path = join(tempDir(t), 'model.onnx');
  writeModel(path, model);
  const session = openSession(path, { intraOpThreads: 1, configure });
  try {
    use(session);
  } finally {
    closeSession(session);
  }
}

test('nodes come with name, operator and provider', (t) => {
  withSession(t, mixedModel, recordAssignment, (session) => {
    const nodes = nodesByProvider(session);
    assert.deepEqual([...nodes.keys()], ['CPUExecutionProvider']);
    assert.deepEqual(nodes.get('CPUExecutionProvider'), [
      { name: 'Binarizer_0', operator: 'ai.onnx.ml.Binarizer' },
      { name: 'Sqrt_1', operator: 'Sqrt' },
      { name: 'Neg_2', operator: 'Neg' },
    ]);
    assert.deepEqual(nodesByProvider(session), nodes, 'asking frees nothing');
  });
});

test('a session that kept no assignment says how to keep it', (t) => {
  const nothing = (): void => {};
  withSession(t, rowSumModel(2), nothing, (session) =>
    assert.throws(() => nodesByProvider(session), {
      name: 'OnnxRuntimeError',
      message: /record_ep_graph_assignment_info/,
    }),
  );
});
