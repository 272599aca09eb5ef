import assert from 'node:assert/strict';
import { test } from 'node:test';
import onnxProto from 'onnx-proto';
import { mixedInputsModel, stateModel, externalDataModel } from './models.ts';
import { buildModel, type ModelSpec } from './onnx.ts';
import { randomTrees, treeClassifierModel } from './trees.ts';

const { onnx } = onnxProto;

const classifier = {
  countries: ['DE', 'Österreich'],
  labels: ['no', 'yes'],
  coefficients: [
    [1, 2, 3, 4, 5],
    [-1, -2, -3, -4, -5],
  ],
  intercepts: [0.5, -0.5],
};
const trees = randomTrees({ treeCount: 3, leafCount: 5, ranges: [[-1, 1]], seed: 1 });
const specs: readonly ModelSpec[] = [
  stateModel(3),
  mixedInputsModel(classifier, true),
  externalDataModel([1, -2.5], 'weights.bin'),
  treeClassifierModel(trees, 1),
  {
    inputs: [{ name: 'x', elementType: 'int64', shape: ['N', 200, 0] }],
    outputs: [],
    nodes: [
      { op: 'Constant', inputs: [], outputs: ['c'], attributes: { value: { tensor: texts() }, axis: { int: -1 } } },
      { op: 'Elu', inputs: ['x'], outputs: ['y'], attributes: { alpha: { float: 0.25 }, axes: { ints: [0, 300] } } },
    ],
  },
];

function texts() {
  return { name: 't', elementType: 'string' as const, shape: [2], values: ['a', 'ß'] };
}

test('another reader of the format reads what was meant, and writes the same bytes', () => {
  for (const spec of specs) {
    const bytes = buildModel(spec);
    const model = onnx.ModelProto.decode(bytes);
    const { node, initializer, input, output } = model.graph!;
    assert.deepEqual(
      node!.map(({ opType, domain, input: reads, output: writes }) => [opType, domain, reads, writes]),
      spec.nodes.map(({ op, domain = '', inputs, outputs }) => [op, domain, inputs, outputs]),
    );
    assert.deepEqual(
      initializer!.map(({ name, dims }) => [name, dims!.map(Number)]),
      (spec.initializers ?? []).map(({ name, shape }) => [name, shape]),
    );
    assert.deepEqual(
      [...input!, ...output!].map(({ name }) => name),
      [...spec.inputs, ...spec.outputs].map(({ name }) => name),
    );
    const written = onnx.ModelProto.decode(onnx.ModelProto.encode(model).finish());
    assert.deepEqual(onnx.ModelProto.toObject(written), onnx.ModelProto.toObject(model));
    assert.equal(onnx.ModelProto.verify(onnx.ModelProto.toObject(model)), null);
  }
});

test('negative integers, floats, texts and shapes arrive as they were', () => {
  const { node, input } = onnx.ModelProto.decode(buildModel(specs.at(-1)!)).graph!;
  const [constant, elu] = node!.map(({ attribute }) => attribute!);
  assert.equal(Number(constant![1]!.i), -1);
  assert.deepEqual(
    constant![0]!.t!.stringData!.map((bytes) => Buffer.from(bytes).toString()),
    ['a', 'ß'],
  );
  assert.equal(elu![0]!.f, 0.25);
  assert.deepEqual(elu![1]!.ints!.map(Number), [0, 300]);
  const dimensions = input![0]!.type!.tensorType!.shape!.dim!;
  assert.deepEqual(
    dimensions.map(({ dimParam, dimValue }) => dimParam || Number(dimValue)),
    ['N', 200, 0],
  );
});
