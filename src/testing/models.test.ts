import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { elementBytes, viewOf, type TensorValues } from '../batch.ts';
import type { ElementType } from '../contract/contract.ts';
import { OnnxRuntimeError } from '../engines/onnxruntime/bindings.ts';
import type { BoundTensor } from '../engines/onnxruntime/run.ts';
import { closeSession, describeSession, openSession } from '../engines/onnxruntime/session.ts';
import {
  batchSumModel,
  castModel,
  defaultInputModel,
  externalDataModel,
  identityModel,
  integerDivisionModel,
  mixedInputsModel,
  rowSumModel,
  scoreMixed,
  squareRootModel,
  stateModel,
  unknownOperatorModel,
  type MixedClassifier,
} from './models.ts';
import { linearNetwork, networkModel, randomNetwork, scoreNetwork } from './networks.ts';
import { rawBytes, writeModel } from './onnx.ts';
import { seededRandom } from './random.ts';
import { runModel } from './run-model.ts';
import { tempDir } from './shards.ts';
import { randomTrees, scoreTrees, treeClassifierModel, treeRegressorModel } from './trees.ts';

const numberTypes = Object.keys(elementBytes).filter((type) => type !== 'string') as ElementType[];
/** 0, 1 and 2 in float16. */
const halfBits = [0, 0x3c00, 0x4000];

function tensor(
  name: string,
  elementType: ElementType,
  shape: readonly number[],
  values: ArrayLike<number | bigint>,
): BoundTensor {
  const bytes = rawBytes(elementType, values);
  return { name, elementType, shape, values: viewOf(elementType, bytes.buffer, 0, values.length) };
}
function numbers(values: TensorValues): number[] {
  return Array.from(values as Iterable<number | bigint>, Number);
}
function rowsOf(width: number, rowCount: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length: width * rowCount }, () => random() * 4 - 2);
}
function splitRows(values: Float32Array, width: number): Float32Array[] {
  return Array.from({ length: values.length / width }, (_, row) => values.subarray(row * width, (row + 1) * width));
}

test('identity gives back every element type', (t) => {
  const folder = tempDir(t);
  for (const type of numberTypes) {
    const { y } = runModel(folder, identityModel(type), [tensor('x', type, [3, 1], [0, 1, 1])]);
    assert.deepEqual([y?.elementType, y?.shape, numbers(y!.values)], [type, [3, 1], [0, 1, 1]]);
  }
  const words = ['', 'ä', 'a longer text than the other ones'];
  const x = { name: 'x', elementType: 'string', shape: [3, 1], values: words } as const;
  const { y } = runModel(folder, identityModel('string'), [x]);
  assert.deepEqual([y?.shape, y?.values], [[3, 1], words]);
});

test('casts go from and to every numeric type', (t) => {
  const folder = tempDir(t);
  for (const type of numberTypes) {
    const given = type === 'float16' ? halfBits : type === 'bool' ? [0, 1, 1] : [0, 1, 2];
    const plain = type === 'bool' ? [0, 1, 1] : [0, 1, 2];
    const { y: float } = runModel(folder, castModel(type, 'float32'), [tensor('x', type, [3, 1], given)]);
    assert.deepEqual(numbers(float!.values), plain, `${type} to float32`);
    const { y: back } = runModel(folder, castModel('float32', type), [tensor('x', 'float32', [3, 1], [0, 1, 2])]);
    assert.deepEqual([back!.elementType, numbers(back!.values)], [type, given], `float32 to ${type}`);
  }
});

test('sums of rows, open and fixed batch, and of the batch', (t) => {
  const folder = tempDir(t);
  const x = tensor('x', 'float32', [4, 3], [0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1]);
  assert.deepEqual(numbers(runModel(folder, rowSumModel(3), [x])['y']!.values), [0, 1, 2, 3]);
  assert.deepEqual(numbers(runModel(folder, rowSumModel(3, 4), [x])['y']!.values), [0, 1, 2, 3]);
  const fiveRows = tensor('x', 'float32', [5, 3], new Float32Array(15));
  assert.throws(() => runModel(folder, rowSumModel(3, 4), [fiveRows]), OnnxRuntimeError);
  const { y } = runModel(folder, batchSumModel(3), [x]);
  assert.deepEqual(
    [y!.shape, numbers(y!.values)],
    [
      [1, 3],
      [3, 2, 1],
    ],
  );
});

test('integer division divides, and kills the process where it overflows', { skip: process.arch !== 'x64' }, (t) => {
  const folder = tempDir(t);
  const inputs = [tensor('x', 'int64', [1, 1], [-7n]), tensor('divisor', 'int64', [1, 1], [2n])];
  assert.deepEqual(runModel(folder, integerDivisionModel(), inputs)['y']!.values, BigInt64Array.of(-3n));
  const script = `
    import { runModel } from ${JSON.stringify(new URL('run-model.js', import.meta.url).href)};
    import { integerDivisionModel } from ${JSON.stringify(new URL('models.js', import.meta.url).href)};
    const tensor = (name, value) => ({ name, elementType: 'int64', shape: [1, 1], values: BigInt64Array.of(value) });
    runModel(${JSON.stringify(folder)}, integerDivisionModel(), [tensor('x', -(2n ** 63n)), tensor('divisor', -1n)]);`;
  const child = spawnSync(process.execPath, ['--input-type=module', '-e', script]);
  assert.equal(child.signal, 'SIGFPE', child.stderr.toString());
});

test('a square root of a negative number is NaN', (t) => {
  const { y } = runModel(tempDir(t), squareRootModel(), [tensor('x', 'float32', [2, 1], [4, -1])]);
  assert.deepEqual(numbers(y!.values), [2, NaN]);
});

test('an unknown operator does not load', (t) => {
  assert.throws(() => runModel(tempDir(t), unknownOperatorModel(), []), /NoSuchOperator/);
});

test('an input with a default may be left out or given', (t) => {
  const folder = tempDir(t);
  const x = tensor('x', 'float32', [2, 1], [1, 2]);
  assert.deepEqual(numbers(runModel(folder, defaultInputModel(3), [x])['y']!.values), [3, 6]);
  const factor = tensor('factor', 'float32', [1], [10]);
  assert.deepEqual(numbers(runModel(folder, defaultInputModel(3), [x, factor])['y']!.values), [10, 20]);
  const session = openSession(join(folder, 'model.onnx'), { intraOpThreads: 1 });
  const { inputs, defaults } = describeSession(session);
  closeSession(session);
  assert.deepEqual([inputs.map((input) => input.name), defaults.map((input) => input.name)], [['x'], ['factor']]);
});

test('external data is read from the file beside the model, which fails without it', (t) => {
  const folder = tempDir(t);
  const x = tensor('x', 'float32', [1, 2], [1, 2]);
  assert.throws(() => runModel(folder, externalDataModel([10, 20], 'weights.bin'), [x]), /weights\.bin/);
  writeFileSync(join(folder, 'weights.bin'), rawBytes('float32', [10, 20]));
  assert.deepEqual(numbers(runModel(folder, externalDataModel([10, 20], 'weights.bin'), [x])['y']!.values), [11, 22]);
});

test('a state has the batch on axis 1', (t) => {
  const rows = 3;
  const inputs = [
    tensor('x', 'float32', [rows, 2], [1, 2, 3, 4, 5, 6]),
    tensor(
      'state',
      'float32',
      [2, rows, 4],
      Array.from({ length: 2 * rows * 4 }, (_, index) => index),
    ),
    tensor('rate', 'int64', [], [2]),
  ];
  const { y, next } = runModel(tempDir(t), stateModel(2), inputs);
  // Row n of the state: 4n .. 4n+3 and 12+4n .. 12+4n+3.
  const expected = [0, 1, 2].map((n) => (4 * n + 3 + 8 * (4 * n + 1.5) + 48) / 2);
  assert.deepEqual([y!.shape, numbers(y!.values)], [[rows, 1], expected]);
  assert.deepEqual([next!.shape, numbers(next!.values)[23]], [[2, rows, 4], 24]);
});

const mixed: MixedClassifier = {
  countries: ['DE', 'FR'],
  labels: [3, 5, 9],
  coefficients: [
    [0.1, -0.2, 0.3, 0.4, -0.5],
    [-0.05, 0.1, 0, -0.2, 0.3],
    [0.02, 0.3, -0.4, 0.1, 0.2],
  ],
  intercepts: [0.1, 0, -0.3],
};
const people = [
  { age: 30, visits: 2, member: true, country: 'DE' },
  { age: 4.5, visits: 9, member: false, country: 'FR' },
  { age: 0, visits: 0, member: false, country: 'elsewhere' },
];
const peopleInputs: readonly BoundTensor[] = [
  tensor(
    'age',
    'float32',
    [3, 1],
    people.map((person) => person.age),
  ),
  tensor(
    'visits',
    'int64',
    [3, 1],
    people.map((person) => person.visits),
  ),
  tensor(
    'member',
    'bool',
    [3, 1],
    people.map((person) => Number(person.member)),
  ),
  { name: 'country', elementType: 'string', shape: [3, 1], values: people.map((person) => person.country) },
];

test('many named inputs of mixed types give label and probabilities', (t) => {
  const folder = tempDir(t);
  for (const labels of [mixed.labels, ['no', 'perhaps', 'yes']]) {
    const classifier = { ...mixed, labels };
    const expected = people.map((person) => scoreMixed(classifier, person));
    const { label, probabilities } = runModel(folder, mixedInputsModel(classifier), peopleInputs);
    assert.deepEqual([label!.shape, probabilities!.shape], [[3], [3, 3]]);
    const given = typeof labels[0] === 'string' ? label!.values : numbers(label!.values);
    assert.deepEqual(
      Array.from(given as unknown[]),
      expected.map((row) => row.label),
    );
    assertNear(
      numbers(probabilities!.values),
      expected.flatMap((row) => row.probabilities),
      1e-6,
    );
  }
  const labels = new Set(people.map((person) => scoreMixed(mixed, person).label));
  assert.ok(labels.size > 1, 'the rows differ in their label');
});

test('a ZipMap output is a sequence, the label beside it still runs', (t) => {
  const folder = tempDir(t);
  const { label } = runModel(folder, mixedInputsModel(mixed, true), peopleInputs, ['label']);
  assert.deepEqual(
    numbers(label!.values),
    people.map((person) => scoreMixed(mixed, person).label),
  );
  const session = openSession(join(folder, 'model.onnx'), { intraOpThreads: 1 });
  const kinds = describeSession(session).outputs.map((output) => [output.name, output.kind]);
  closeSession(session);
  assert.deepEqual(kinds, [
    ['label', 'tensor'],
    ['probabilities', 'sequence'],
  ]);
});

test('networks equal their reference', (t) => {
  const folder = tempDir(t);
  const networks = [
    linearNetwork([1, -2, 0.5], 0.25),
    linearNetwork([1, -2, 0.5], 0.25, true),
    randomNetwork([32, 256, 64, 1], 1),
    randomNetwork([5, 7, 3], 2, false),
  ];
  for (const network of networks) {
    const width = network.layers[0]!.inputWidth;
    const x = rowsOf(width, 9, 3);
    const { y } = runModel(folder, networkModel(network), [tensor('x', 'float32', [9, width], x)]);
    const expected = splitRows(x, width).flatMap((row) => scoreNetwork(network, row));
    assertNear(numbers(y!.values), expected, 1e-5);
  }
});

test('trees equal their reference, NaN included', (t) => {
  const folder = tempDir(t);
  const width = 32;
  const ranges = Array.from({ length: width }, () => [-2, 2] as const);
  const rowCount = 50;
  const x = rowsOf(width, rowCount, 5);
  x.fill(NaN, 3 * width, 4 * width);
  for (const [treeCount, leafCount] of [
    [100, 31],
    [3, 2],
    [1, 1],
  ] as const) {
    const trees = randomTrees({ treeCount, leafCount, ranges, seed: 7 });
    for (const tree of trees) assert.equal(tree.left.filter((node) => node < 0).length, leafCount);
    const sums = splitRows(x, width).map((row) => scoreTrees(trees, row));
    const input = tensor('x', 'float32', [rowCount, width], x);
    assertNear(numbers(runModel(folder, treeRegressorModel(trees, width), [input])['y']!.values), sums, 1e-5);
    const sigmoids = sums.map((sum) => 1 / (1 + Math.exp(-sum)));
    assertNear(numbers(runModel(folder, treeRegressorModel(trees, width, true), [input])['y']!.values), sigmoids, 1e-5);
    const { label, probabilities } = runModel(folder, treeClassifierModel(trees, width), [input]);
    assertNear(
      numbers(probabilities!.values),
      sigmoids.flatMap((value) => [1 - value, value]),
      1e-5,
    );
    assert.deepEqual(
      numbers(label!.values),
      sums.map((sum) => (sum > 0 ? 1 : 0)),
    );
  }
});

test('a model of one file is written with its folder', (t) => {
  const path = join(tempDir(t), 'a', 'b', 'model.onnx');
  writeModel(path, identityModel('float32', ['N', 2]));
  const session = openSession(path, { intraOpThreads: 1 });
  assert.deepEqual(describeSession(session).inputs[0]?.shape, ['N', 2]);
  closeSession(session);
});

function assertNear(actual: readonly number[], expected: readonly number[], tolerance: number): void {
  assert.equal(actual.length, expected.length);
  actual.forEach((value, index) => {
    const difference = Math.abs(value - expected[index]!);
    assert.ok(difference <= tolerance, `value ${index}: expected ${expected[index]}, got ${value}`);
  });
}
