/** Linear models, each as an exporter writes it, against ONNX Runtime. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { viewOf, type NumberArray, type TensorLayout, type TensorValues } from '../../batch.ts';
import { readWeightedGraph } from '../../engines/onnxruntime/model-weights.ts';
import { createSharedMemory, kernelMemory } from '../../engines/wasm.ts';
import type { OutputLayout } from '../../plan.ts';
import { classifierModel, modelOf, scores } from '../../testing/linear-models.ts';
import { mlDomain, type Attribute, type ModelSpec, type NodeSpec } from '../../testing/onnx.ts';
import { randomFloats, seededRandom } from '../../testing/random.ts';
import { runModel } from '../../testing/run-model.ts';
import { tempDir } from '../../testing/shards.ts';
import { compareScores } from '../kernels/agreement.ts';
import { KernelScorer } from '../kernels/kernel-scorer.ts';
import { kernelRows, kernelSizes, writeKernelTables } from '../kernels/kernel.ts';
import { layOutSlot, slotBytes } from '../scorer.ts';
import { compileLinear } from './linear-kernel.ts';
import { readLinear, type LinearModel } from './linear-model.ts';

type Remover = { after(remove: () => void): void };

function inputOf(name: string, width: number): TensorLayout {
  return { name, elementType: 'float32', rowShape: [width], width, features: [], featureWidths: [] };
}

/** Scores of a few rows by ONNX Runtime, and the layouts that they show. */
function scoreByOnnxRuntime(folder: string, spec: ModelSpec, rows: Float32Array, rowCount: number) {
  const width = rows.length / rowCount;
  const tensor = { name: 'x', elementType: 'float32', shape: [rowCount, width], values: rows } as const;
  const found = runModel(folder, spec, [tensor]);
  const outputs = spec.outputs.map(({ name }): OutputLayout => {
    const { elementType, shape } = found[name]!;
    const rowShape = shape.slice(1);
    return { name, elementType, rowShape, width: rowShape.reduce((product, size) => product * size, 1) };
  });
  return { outputs, values: spec.outputs.map(({ name }): TensorValues => found[name]!.values) };
}

/** The same rows by the kernel. What lies behind the last row is not read as one. */
function scoreByKernel(
  model: LinearModel,
  outputs: readonly OutputLayout[],
  rows: Float32Array,
  rowCount: number,
): readonly TensorValues[] {
  const width = rows.length / rowCount;
  const slotRows = Math.ceil(rowCount / kernelRows) * kernelRows;
  const layouts = { inputs: [inputOf('x', width)], outputs };
  const kernel = { kind: 'linear', compiled: compileLinear(model) } as const;
  const { tableBytes, scratchBytes } = kernelSizes(kernel);
  const bytes = slotBytes(layouts, slotRows);
  const memory = createSharedMemory(bytes + tableBytes + scratchBytes);
  const slot = layOutSlot(layouts, slotRows, memory.buffer, 0);
  writeKernelTables(kernel, memory.buffer, bytes);
  const [columns] = slot.inputs as readonly Float32Array[];
  columns!.fill(NaN);
  for (let at = 0; at < rows.length; at++) columns![(at % width) * slotRows + Math.floor(at / width)] = rows[at]!;
  const scorer = new KernelScorer(kernel, kernelMemory(memory, bytes + tableBytes, scratchBytes), bytes, slot);
  scorer.score(rowCount);
  scorer.close();
  return slot.outputs.map((values, index) => {
    const { elementType, width: each } = outputs[index]!;
    return viewOf(elementType, memory.buffer, (values as NumberArray).byteOffset, rowCount * each);
  });
}

function read(folder: string, outputs: readonly OutputLayout[], width: number): LinearModel | string {
  return readLinear(readWeightedGraph(join(folder, 'model.onnx')), [inputOf('x', width)], outputs);
}

const rowCounts = [1, 15, 16, 17, 100];

function agrees(t: Remover, spec: ModelSpec, width: number, tolerance = 1e-6): void {
  const folder = tempDir(t);
  const random = seededRandom(7);
  for (const rowCount of rowCounts) {
    const rows = randomFloats(random, rowCount * width, -2, 2);
    const { outputs, values } = scoreByOnnxRuntime(folder, spec, rows, rowCount);
    const model = read(folder, outputs, width);
    assert.ok(typeof model !== 'string', String(model));
    const found = scoreByKernel(model, outputs, rows, rowCount);
    const { differenceMax, worst } = compareScores(outputs, found, values, rowCount);
    assert.ok(differenceMax <= tolerance, `${rowCount} rows: ${JSON.stringify(worst)}`);
  }
}

const weights = (random: () => number, rows: number, columns: number, name = 'w') =>
  ({
    name,
    elementType: 'float32',
    shape: [rows, columns],
    values: randomFloats(random, rows * columns, -1, 1),
  }) as const;
const vector = (random: () => number, ...shape: readonly number[]) => {
  const length = shape.reduce((product, size) => product * size, 1);
  return { name: 'b', elementType: 'float32', shape, values: randomFloats(random, length, 0.5, 2) } as const;
};

for (const targets of [1, 2, 3, 7, 10]) {
  for (const width of [1, 5, 32]) {
    test(`Gemm of ${width} columns to ${targets} targets`, (t) => {
      const random = seededRandom(targets * 100 + width);
      const gemm: NodeSpec = { op: 'Gemm', inputs: ['x', 'w', 'b'], outputs: ['y'] };
      const initializers = [weights(random, width, targets), vector(random, targets)];
      agrees(t, modelOf(width, [gemm], [scores('y', targets)], initializers), width);
    });
  }
}

test('Gemm, transposed and scaled, then a sigmoid', (t) => {
  const random = seededRandom(1);
  const attributes: Record<string, Attribute> = { transB: { int: 1 }, alpha: { float: 0.5 }, beta: { float: -2 } };
  const nodes: readonly NodeSpec[] = [
    { op: 'Gemm', inputs: ['x', 'w', 'b'], outputs: ['sums'], attributes },
    { op: 'Sigmoid', inputs: ['sums'], outputs: ['y'] },
  ];
  const initializers = [weights(random, 3, 5), vector(random, 1, 3)];
  agrees(t, modelOf(5, nodes, [scores('y', 3)], initializers), 5);
});

test('MatMul, Add, Softmax, as PyTorch writes them, and the largest class', (t) => {
  const random = seededRandom(2);
  const nodes: readonly NodeSpec[] = [
    { op: 'MatMul', inputs: ['x', 'w'], outputs: ['products'] },
    { op: 'Add', inputs: ['b', 'products'], outputs: ['sums'] },
    { op: 'Softmax', inputs: ['sums'], outputs: ['y'], attributes: { axis: { int: 1 } } },
    { op: 'ArgMax', inputs: ['y'], outputs: ['class'], attributes: { axis: { int: 1 }, keepdims: { int: 0 } } },
  ];
  const outputs = [scores('y', 4), { name: 'class', elementType: 'int64', shape: ['N'] } as const];
  agrees(t, modelOf(6, nodes, outputs, [weights(random, 6, 4), vector(random, 4)]), 6);
});

for (const op of ['Add', 'Sub', 'Mul', 'Div'] as const) {
  for (const first of [true, false]) {
    if (op === 'Div' && !first) continue;
    test(`${op} with a constant, the scores ${first ? 'first' : 'second'}; then Exp`, (t) => {
      const random = seededRandom(3);
      const nodes: readonly NodeSpec[] = [
        { op: 'MatMul', inputs: ['x', 'w'], outputs: ['sums'] },
        { op, inputs: first ? ['sums', 'b'] : ['b', 'sums'], outputs: ['z'] },
        { op: 'Exp', inputs: ['z'], outputs: ['y'] },
      ];
      agrees(t, modelOf(4, nodes, [scores('y', 3)], [weights(random, 4, 3), vector(random, 3)]), 4, 2e-6);
    });
  }
}

test('a constant of one number, and a column squeezed to [N]', (t) => {
  const random = seededRandom(4);
  const nodes: readonly NodeSpec[] = [
    { op: 'MatMul', inputs: ['x', 'w'], outputs: ['sums'] },
    { op: 'Add', inputs: ['sums', 'b'], outputs: ['z'] },
    { op: 'Sigmoid', inputs: ['z'], outputs: ['p'] },
    { op: 'Squeeze', inputs: ['p', 'axis'], outputs: ['y'] },
  ];
  const axis = { name: 'axis', elementType: 'int64', shape: [1], values: [1] } as const;
  const flat = { name: 'y', elementType: 'float32', shape: ['N'] } as const;
  agrees(t, modelOf(4, nodes, [flat], [weights(random, 4, 1), vector(random), axis]), 4);
});

for (const transform of ['NONE', 'LOGISTIC', 'SOFTMAX'] as const) {
  for (const classes of [2, 3, 10]) {
    test(`LinearClassifier of ${classes} classes, ${transform}, scaled and normalized`, (t) => {
      const options = { width: 8, classes, transform, isScaled: true, isNormalized: transform === 'LOGISTIC' };
      agrees(t, classifierModel(options), 8, transform === 'NONE' ? 2e-6 : 1e-6);
    });
  }
}

const singles = ['NONE', 'LOGISTIC', 'SOFTMAX', 'SOFTMAX_ZERO'].flatMap((transform) =>
  [[4, 9], []].map((labels) => ({ transform, labels })),
);
for (const { transform, labels } of singles) {
  test(`LinearClassifier of a single row of coefficients, ${transform}, labels ${labels.join(', ') || 'left out'}`, (t) => {
    const random = seededRandom(5);
    const attributes: Record<string, Attribute> = {
      coefficients: { floats: [...randomFloats(random, 4, -1, 1)] },
      intercepts: { floats: [0.1] },
      classlabels_ints: { ints: labels },
      post_transform: { text: transform },
    };
    const node: NodeSpec = {
      op: 'LinearClassifier',
      domain: mlDomain,
      inputs: ['x'],
      outputs: ['label', 'y'],
      attributes,
    };
    const outputs = [
      { name: 'label', elementType: 'int64', shape: ['N'] } as const,
      scores('y', Math.max(1, labels.length)),
    ];
    agrees(t, modelOf(4, [node], outputs), 4);
  });
}

test('LinearRegressor of two targets behind Normalizers of every norm', (t) => {
  for (const norm of ['L1', 'L2', 'MAX']) {
    const random = seededRandom(6);
    const regressor: Record<string, Attribute> = {
      coefficients: { floats: [...randomFloats(random, 10, -1, 1)] },
      intercepts: { floats: [0.5, -0.5] },
      targets: { int: 2 },
    };
    const nodes: readonly NodeSpec[] = [
      { op: 'Normalizer', domain: mlDomain, inputs: ['x'], outputs: ['n'], attributes: { norm: { text: norm } } },
      { op: 'LinearRegressor', domain: mlDomain, inputs: ['n'], outputs: ['y'], attributes: regressor },
    ];
    // What is divided by a largest value near 0 is large, and cancels out.
    agrees(t, modelOf(5, nodes, [scores('y', 2)]), 5, norm === 'MAX' ? 1e-5 : 1e-6);
  }
});

test('NaN makes NaN of its own row only', (t) => {
  const folder = tempDir(t);
  const spec = classifierModel({ width: 3, classes: 3, transform: 'SOFTMAX' });
  const rows = Float32Array.from({ length: 60 }, (_, at) => (at === 7 ? NaN : at / 10));
  const { outputs } = scoreByOnnxRuntime(folder, spec, rows, 20);
  const model = read(folder, outputs, 3) as LinearModel;
  const probabilities = scoreByKernel(model, outputs, rows, 20)[1] as Float32Array;
  probabilities.forEach((value, at) => assert.equal(Number.isNaN(value), Math.floor(at / 3) === 2, `${at}`));
});

const refusals: readonly (readonly [string, ModelSpec, number, RegExp])[] = [
  [
    'two matrix products',
    modelOf(
      2,
      [
        { op: 'MatMul', inputs: ['x', 'w'], outputs: ['h'] },
        { op: 'MatMul', inputs: ['h', 'w'], outputs: ['y'] },
      ],
      [scores('y', 2)],
      [weights(seededRandom(1), 2, 2)],
    ),
    2,
    /^it has more than one matrix product, and those of ONNX Runtime are faster$/,
  ],
  [
    'an operator without a kernel',
    modelOf(
      2,
      [
        { op: 'MatMul', inputs: ['x', 'w'], outputs: ['h'] },
        { op: 'Tanh', inputs: ['h'], outputs: ['y'], name: 'end' },
      ],
      [scores('y', 2)],
      [weights(seededRandom(1), 2, 2)],
    ),
    2,
    /^Tanh \(end\) has no kernel$/,
  ],
  [
    'an axis that no row has for itself',
    modelOf(
      2,
      [
        { op: 'MatMul', inputs: ['x', 'w'], outputs: ['h'] },
        { op: 'Softmax', inputs: ['h'], outputs: ['y'], attributes: { axis: { int: 0 } } },
      ],
      [scores('y', 2)],
      [weights(seededRandom(1), 2, 2)],
    ),
    2,
    /^Softmax \(Softmax_1\) over axis 0 has no kernel$/,
  ],
  [
    'no product at all',
    modelOf(2, [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }], [scores('y', 2)]),
    2,
    /^output y is no linear model$/,
  ],
  [
    'labels that are texts',
    classifierModel({ width: 2, classes: 2, transform: 'SOFTMAX', labels: ['no', 'yes'] }),
    2,
    /^output label is no linear model$/,
  ],
];
for (const [what, spec, width, words] of refusals) {
  test(`refused in words: ${what}`, (t) => {
    const folder = tempDir(t);
    const { outputs } = scoreByOnnxRuntime(folder, spec, new Float32Array(3 * width), 3);
    assert.match(read(folder, outputs, width) as string, words);
  });
}

test('labels that are texts do not matter where nobody uses them', (t) => {
  const folder = tempDir(t);
  const spec = classifierModel({ width: 2, classes: 2, transform: 'SOFTMAX', labels: ['no', 'yes'] });
  const { outputs } = scoreByOnnxRuntime(folder, spec, new Float32Array(6), 3);
  const model = read(folder, [outputs[1]!], 2);
  assert.ok(typeof model !== 'string', String(model));
  assert.deepEqual(
    model.outputs.map(({ kind }) => kind),
    ['scores'],
  );
});

test('several inputs, one beside the other', (t) => {
  const folder = tempDir(t);
  const spec: ModelSpec = {
    inputs: [
      { name: 'a', elementType: 'float32', shape: ['N', 1] },
      { name: 'b', elementType: 'float32', shape: ['N', 2] },
    ],
    outputs: [scores('y', 1)],
    nodes: [
      {
        op: 'Scaler',
        domain: mlDomain,
        inputs: ['b'],
        outputs: ['s'],
        attributes: { offset: { floats: [1] }, scale: { floats: [2] } },
      },
      { op: 'Concat', inputs: ['s', 'a'], outputs: ['c'], attributes: { axis: { int: 1 } } },
      { op: 'MatMul', inputs: ['c', 'w'], outputs: ['y'] },
    ],
    initializers: [weights(seededRandom(1), 3, 1)],
  };
  const tensor = (name: string, width: number) =>
    ({ name, elementType: 'float32', shape: [2, width], values: new Float32Array(2 * width) }) as const;
  runModel(folder, spec, [tensor('a', 1), tensor('b', 2)]);
  const outputs: OutputLayout[] = [{ name: 'y', elementType: 'float32', rowShape: [1], width: 1 }];
  const model = readLinear(readWeightedGraph(join(folder, 'model.onnx')), [inputOf('a', 1), inputOf('b', 2)], outputs);
  assert.ok(typeof model !== 'string', String(model));
  assert.deepEqual(model.columns, [
    { input: 1, column: 0 },
    { input: 1, column: 1 },
    { input: 0, column: 0 },
  ]);
  assert.deepEqual(model.front, [
    { kind: 'scale', offsets: Float32Array.of(1, 1, 0), scales: Float32Array.of(2, 2, 1) },
  ]);
});
