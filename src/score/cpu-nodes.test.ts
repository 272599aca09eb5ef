import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { nodesByProvider, recordAssignment, type AssignedNode } from '../engines/onnxruntime/assignment.ts';
import { readModelGraph } from '../engines/onnxruntime/model-graph.ts';
import { closeSession, openSession } from '../engines/onnxruntime/session.ts';
import { networkModel, randomNetwork } from '../testing/networks.ts';
import { localDomain, mlDomain, writeModel, type ModelSpec, type NodeSpec } from '../testing/onnx.ts';
import { tempDir } from '../testing/shards.ts';
import { transformer } from '../testing/transformer.ts';
import { randomTrees, treeClassifierModel, treeRegressorModel } from '../testing/trees.ts';
import { cpuOnlyNodes, sortCpuNodes, traceNodes, type CpuNodes } from './cpu-nodes.ts';

/** The file's graph, and the nodes as ONNX Runtime has them when a provider takes them. */
function load(t: TestContext, model: ModelSpec) {
  const path = join(tempDir(t), 'model.onnx');
  writeModel(path, model);
  const session = openSession(path, { intraOpThreads: 1, configure: recordAssignment });
  try {
    return { graph: readModelGraph(path), nodes: [...nodesByProvider(session).values()].flat() };
  } finally {
    closeSession(session);
  }
}

/** All nodes, as if every one of them were the CPU's. */
function sortAll(t: TestContext, model: ModelSpec, batchInputs: readonly string[]): CpuNodes & { all: AssignedNode[] } {
  const { graph, nodes } = load(t, model);
  return { ...sortCpuNodes(graph, batchInputs, nodes), all: nodes };
}

function namesOf(nodes: readonly AssignedNode[]): string[] {
  return nodes.map(({ name }) => name).sort();
}

/** `x` float32 [N, 4] to `y` of the same shape through these nodes, with the constants 0 and 10. */
function model(nodes: readonly NodeSpec[], more: Partial<ModelSpec> = {}): ModelSpec {
  return {
    inputs: [{ name: 'x', elementType: 'float32', shape: ['N', 4] }],
    outputs: [{ name: 'y', elementType: 'float32', shape: ['N', 4] }],
    nodes,
    initializers: [
      { name: 'zero', elementType: 'int64', shape: [], values: [0] },
      { name: 'ten', elementType: 'int64', shape: [], values: [10] },
      { name: 'axis', elementType: 'int64', shape: [1], values: [0] },
      { name: 'four', elementType: 'int64', shape: [1], values: [4] },
    ],
    ...more,
  };
}

const tensor = (name: string, elementType: 'float32' | 'int64' | 'bool', ...shape: (number | string)[]) =>
  ({ name, elementType, shape }) as const;

/** n = rows of `value`. */
function rowsOf(value: string, prefix: string): NodeSpec[] {
  return [
    { op: 'Shape', name: `${prefix}/Shape`, inputs: [value], outputs: [`${prefix}/sizes`] },
    { op: 'Gather', name: `${prefix}/Gather`, inputs: [`${prefix}/sizes`, 'zero'], outputs: [`${prefix}/n`] },
  ];
}

describe('a transformer of dynamic shape', () => {
  test('after the optimizations every node is told to be what it was written as', (t) => {
    const { model: spec, shapeNodes } = transformer();
    const { all, data, shapeCount } = sortAll(t, spec, ['ids', 'mask']);
    // ONNX Runtime adds one: the size of a transposed tensor is looked up before it is transposed.
    const written = new Set(spec.nodes.map(({ name }) => name));
    const added = all.filter(({ name }) => !written.has(name));
    assert.deepEqual(added, [{ name: 'Gather', operator: 'Gather' }]);
    const shapes = [...all.filter(({ name }) => shapeNodes.includes(name)), ...added];
    assert.ok(shapes.length >= 15, `${shapes.length} nodes of shapes are left`);
    assert.ok(shapes.some(({ operator }) => operator === 'Sqrt'));
    assert.equal(shapeCount, shapes.length);
    assert.deepEqual(namesOf(data), namesOf(all.filter((node) => !shapes.includes(node))));
    // Operators that are on both sides: the operator alone tells nothing.
    const both = data.filter(({ operator }) => shapes.some((node) => node.operator === operator));
    assert.deepEqual([...new Set(both.map(({ operator }) => operator))].sort(), ['Cast', 'Gather', 'Unsqueeze']);
  });

  test('an input that no row fills is no batch data', (t) => {
    const { model: spec } = transformer();
    const { graph } = load(t, spec);
    const seen = (inputs: string[]) => traceNodes(graph, inputs).filter(({ seesData }) => seesData).length;
    assert.equal(seen([]), 0);
    assert.ok(seen(['ids']) < seen(['ids', 'mask']));
  });

  test('without names a node is one of shapes only if all of its operator are', (t) => {
    const { model: spec } = transformer();
    const nameless = { ...spec, nodes: spec.nodes.map((node) => ({ ...node, name: '' })) };
    const { data, all } = sortAll(t, nameless, ['ids', 'mask']);
    const operators = new Set(data.map(({ operator }) => operator));
    for (const operator of ['Gather', 'Mul', 'Unsqueeze', 'Shape', 'MatMul'])
      assert.ok(operators.has(operator), operator);
    const left = new Set(all.map(({ operator }) => operator).filter((operator) => !operators.has(operator)));
    for (const operator of ['Concat', 'Where', 'Slice']) assert.ok(left.has(operator), operator);
  });
});

describe('batch data', () => {
  test('passes every node of an MLP, fused ones too', (t) => {
    const { data, shapeCount, all } = sortAll(t, networkModel(randomNetwork([4, 8, 1], 3)), ['x']);
    assert.deepEqual(data, all);
    assert.equal(shapeCount, 0);
    const plain = model([
      { op: 'MatMul', name: 'product', inputs: ['x', 'w'], outputs: ['h'] },
      { op: 'Add', name: 'sum', inputs: ['h', 'b'], outputs: ['y'] },
    ]);
    const weights = [
      { name: 'w', elementType: 'float32', shape: [4, 4], values: Array<number>(16).fill(1) },
      { name: 'b', elementType: 'float32', shape: [4], values: [1, 2, 3, 4] },
    ] as const;
    const fused = sortAll(t, { ...plain, initializers: weights }, ['x']);
    assert.deepEqual(fused.data, [{ name: 'product/MatMulAddFusion', operator: 'Gemm' }]);
  });

  test('passes an unknown node, and one whose name belongs to another operator', (t) => {
    const { graph } = load(t, model([...rowsOf('x', 'a'), { op: 'Neg', name: 'n', inputs: ['x'], outputs: ['y'] }]));
    const strange = [
      { name: 'made up', operator: 'com.microsoft.FusedMatMul' },
      { name: 'a/Gather', operator: 'Neg' },
    ];
    assert.deepEqual(sortCpuNodes(graph, ['x'], strange), { shapeCount: 0, data: strange });
    const known = [{ name: 'made up', operator: 'Gather' }];
    assert.deepEqual(sortCpuNodes(graph, ['x'], known), { shapeCount: 1, data: [] });
    assert.deepEqual(sortCpuNodes(graph, ['x'], []), { shapeCount: 0, data: [] });
  });

  test('that meets a size again is batch data', (t) => {
    const spec = model([
      ...rowsOf('x', 'a'),
      { op: 'Cast', name: 'size', inputs: ['a/n'], outputs: ['size'], attributes: { to: { int: 1 } } },
      { op: 'Mul', name: 'scaled', inputs: ['x', 'size'], outputs: ['scaled'] },
      { op: 'Neg', name: 'negative', inputs: ['scaled'], outputs: ['y'] },
    ]);
    const { data, shapeCount } = sortAll(t, spec, ['x']);
    assert.deepEqual(namesOf(data), ['a/Shape', 'negative', 'scaled']);
    assert.equal(shapeCount, 2);
  });
});

describe('bodies and functions', () => {
  const branch = (name: string, nodes: NodeSpec[]) => ({
    inputs: [],
    outputs: [tensor(name, 'float32', 'N', 4)],
    nodes,
  });

  test('what a branch takes from outside passes the If too', (t) => {
    const spec = model([
      ...rowsOf('x', 'a'),
      { op: 'Greater', name: 'isLarge', inputs: ['a/n', 'ten'], outputs: ['large'] },
      {
        op: 'If',
        name: 'if',
        inputs: ['large'],
        outputs: ['y'],
        attributes: {
          then_branch: {
            graph: branch('then', [
              ...rowsOf('x', 'then'),
              { op: 'Cast', name: 'thenSize', inputs: ['then/n'], outputs: ['s'], attributes: { to: { int: 1 } } },
              { op: 'Add', name: 'thenSum', inputs: ['x', 's'], outputs: ['then'] },
            ]),
          },
          else_branch: { graph: branch('else', [{ op: 'Neg', name: 'elseNeg', inputs: ['x'], outputs: ['else'] }]) },
        },
      },
    ]);
    const { data, shapeCount, all } = sortAll(t, spec, ['x']);
    assert.deepEqual(namesOf(data), ['a/Shape', 'elseNeg', 'if', 'then/Shape', 'thenSum']);
    assert.equal(shapeCount, all.length - data.length);
    assert.ok(shapeCount >= 3);
  });

  test('a loop carries batch data from its end to its start', (t) => {
    const body = {
      inputs: [tensor('i', 'int64'), tensor('goOn', 'bool'), tensor('sum', 'float32', 'N', 4)],
      outputs: [tensor('still', 'bool'), tensor('next', 'float32', 'N', 4)],
      nodes: [
        { op: 'Identity', name: 'still', inputs: ['goOn'], outputs: ['still'] },
        // Constant at first, batch data from the second round on.
        { op: 'Neg', name: 'negative', inputs: ['sum'], outputs: ['negative'] },
        { op: 'Add', name: 'add', inputs: ['negative', 'x'], outputs: ['next'] },
      ],
    };
    const spec = model([
      ...rowsOf('x', 'a'),
      { op: 'Unsqueeze', name: 'list', inputs: ['a/n', 'axis'], outputs: ['list'] },
      { op: 'Concat', name: 'sizes', inputs: ['list', 'four'], outputs: ['sizes'], attributes: { axis: { int: 0 } } },
      { op: 'ConstantOfShape', name: 'start', inputs: ['sizes'], outputs: ['start'] },
      { op: 'Loop', name: 'loop', inputs: ['ten', '', 'start'], outputs: ['y'], attributes: { body: { graph: body } } },
    ]);
    const { data } = sortAll(t, spec, ['x']);
    for (const name of ['negative', 'add', 'loop']) assert.ok(namesOf(data).includes(name), name);
    for (const name of ['a/Gather', 'list', 'sizes', 'start']) assert.ok(!namesOf(data).includes(name), name);
  });

  test('functions are opened up, and their nodes found by the end of their names', (t) => {
    const nodes: NodeSpec[] = [
      ...rowsOf('a', 'f').map((node) => ({ ...node, inputs: node.inputs.map((n) => (n === 'zero' ? 'index' : n)) })),
      { op: 'Cast', name: 'f/Cast', inputs: ['f/n'], outputs: ['size'], attributes: { to: { int: 1 } } },
      { op: 'Add', name: 'f/Add', inputs: ['a', 'size'], outputs: ['b'] },
    ];
    const spec = model(
      [
        { op: 'Grow', domain: localDomain, name: 'first', inputs: ['x', 'zero'], outputs: ['h'] },
        // The operator alone would not tell the function's Cast from this one.
        { op: 'Cast', name: 'castX', inputs: ['h'], outputs: ['c'], attributes: { to: { int: 11 } } },
        { op: 'Neg', name: 'negative', inputs: ['c'], outputs: ['y'] },
      ],
      {
        outputs: [{ name: 'y', elementType: 'float64', shape: ['N', 4] }],
        functions: {
          Grow: {
            inputs: [tensor('a', 'float32'), tensor('index', 'int64')],
            outputs: [tensor('b', 'float32')],
            nodes,
          },
        },
      },
    );
    const { data, all } = sortAll(t, spec, ['x']);
    const shapes = all.filter((node) => !data.includes(node));
    assert.deepEqual(namesOf(data), ['_inlfunc_Grow_f/Add', '_inlfunc_Grow_f/Shape', 'castX', 'negative']);
    assert.deepEqual(namesOf(shapes), ['_inlfunc_Grow_f/Cast', '_inlfunc_Grow_f/Gather']);
  });
});

test('operators that CUDA has not are known without a GPU', (t) => {
  const trees = randomTrees({ treeCount: 2, leafCount: 3, ranges: [[0, 1]], seed: 1 });
  const boosted = cpuOnlyNodes(load(t, treeRegressorModel(trees, 1, true)).graph, ['x']);
  assert.deepEqual(boosted, [{ name: 'TreeEnsembleRegressor_0', operator: 'ai.onnx.ml.TreeEnsembleRegressor' }]);
  assert.equal(cpuOnlyNodes(load(t, treeClassifierModel(trees, 1)).graph, ['x']).length, 1);
  const text = model([{ op: 'StringNormalizer', name: 'lower', inputs: ['x'], outputs: ['y'] }], {
    inputs: [{ name: 'x', elementType: 'string', shape: ['N'] }],
    outputs: [{ name: 'y', elementType: 'string', shape: ['N'] }],
  });
  assert.deepEqual(cpuOnlyNodes(load(t, text).graph, ['x']), [{ name: 'lower', operator: 'StringNormalizer' }]);
  const label = model(
    [
      {
        op: 'LabelEncoder',
        domain: mlDomain,
        inputs: ['x'],
        outputs: ['y'],
        attributes: { keys_floats: { floats: [1] }, values_floats: { floats: [2] } },
      },
    ],
    {
      opset: [
        { domain: '', version: 17 },
        { domain: mlDomain, version: 4 },
      ],
    },
  );
  assert.deepEqual(cpuOnlyNodes(load(t, label).graph, ['x']), []);
  assert.deepEqual(cpuOnlyNodes(load(t, networkModel(randomNetwork([4, 1], 3))).graph, ['x']), []);
});
