/** Kernels against ONNX Runtime on rows of shards and on made-up ones: sound kernels pass, also where rows hide their faults. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TensorLayout } from '../batch.ts';
import { readWeightedGraph } from '../engines/onnxruntime/model-weights.ts';
import { closeSession, openSession } from '../engines/onnxruntime/session.ts';
import type { ModelPlan } from '../plan.ts';
import type { Agreement } from '../score/kernels/agreement.ts';
import { readKernelModels, type FoundKernels } from '../score/kernels/kernel.ts';
import { classifierModel, modelOf, scores } from '../testing/linear-models.ts';
import { mlDomain, writeModel, type ModelSpec, type NodeSpec } from '../testing/onnx.ts';
import { randomFloats, seededRandom } from '../testing/random.ts';
import { randomEnsemble, type EnsembleOptions, type Labels } from '../testing/random-ensembles.ts';
import { tempDir } from '../testing/shards.ts';
import { Trial } from './trial.ts';

type Remover = { after(remove: () => void): void };

function planOf(path: string, spec: ModelSpec): ModelPlan {
  const inputs = spec.inputs;
  const outputs = spec.outputs.filter((output) => 'shape' in output);
  const layOut = (shape: readonly unknown[]) => {
    const rowShape = shape.slice(1).map(Number);
    return { rowShape, width: rowShape.reduce((product, size) => product * size, 1) };
  };
  const nothing = { bytes: 0, sha256: '', contractSha256: '', constants: [], columns: [], fixedBatchRows: undefined };
  return {
    ...nothing,
    path,
    inputs: inputs.map((input): TensorLayout => ({
      ...input,
      ...layOut(input.shape),
      features: [],
      featureWidths: [],
    })),
    outputs: outputs.map(({ name, elementType, shape }) => ({ name, elementType, ...layOut(shape) })),
  };
}

function kernelsOf(folder: string, spec: ModelSpec): FoundKernels & { readonly model: ModelPlan } {
  const path = join(folder, 'model.onnx');
  writeModel(path, spec);
  const model = planOf(path, spec);
  const found = readKernelModels(readWeightedGraph(path), model.inputs, model.outputs, {}, Infinity);
  if (typeof found === 'string') throw new Error(found);
  return { ...found, model };
}

/** The agreement of each kernel of a model with ONNX Runtime, which runs `spec`. */
function agreements(t: Remover, spec: ModelSpec, x: Float32Array | Float64Array, ofKernel = spec): Agreement[] {
  const folder = tempDir(t);
  const { kernels, makeUp } = kernelsOf(folder, ofKernel);
  const { model } = kernelsOf(folder, spec);
  const columns = model.inputs.map((tensor) => ({ ...tensor, order: 'columns' as const }));
  const ours = { kernels, makeUp, model: { ...model, inputs: columns }, restSession: undefined };
  const sample = { rowCount: x.length / model.inputs[0]!.width, values: [x], nameOf: (row: number) => `row ${row}` };
  const session = openSession(model.path, { intraOpThreads: 1 });
  const trial = new Trial(model, ours, sample, session);
  try {
    trial.scoreByOnnxRuntime(() => 0);
    return kernels.map((kernel) => trial.compare(kernel));
  } finally {
    trial.close();
    closeSession(session);
  }
}

const width = 4;
const base: EnsembleOptions = {
  treeCount: 6,
  leafCountMax: 15,
  columnCount: width,
  modes: ['LEQ', 'LT', 'GTE', 'GT', 'EQ', 'NEQ'],
  version: 3,
  type: 'float32',
  tracksMissing: true,
  targetCount: 1,
  votes: 'all',
  weightMin: -1,
  weightMax: 1,
};
const plain: Labels = { postTransform: 'NONE', baseValues: [] };

const ensembles: readonly (readonly [string, Partial<EnsembleOptions>, Partial<Labels>])[] = [
  ['every mode', {}, {}],
  ['many leaves', { leafCountMax: 700, treeCount: 3 }, {}],
  ['float64', { type: 'float64' }, {}],
  ['sets', { version: 5, modes: ['LEQ', 'MEMBER'], tracksMissing: false }, {}],
  ['two classes, logistic', { targetCount: 2 }, { labels: [0, 1], postTransform: 'LOGISTIC' }],
  ['three classes, softmax', { targetCount: 3 }, { labels: [0, 1, 2], postTransform: 'SOFTMAX' }],
  ['one tree of a single leaf', { treeCount: 1, leafCountMax: 1 }, {}],
];
for (const [what, options, labels] of ensembles) {
  test(`trees agree on made-up rows too: ${what}`, (t) => {
    for (let seed = 1; seed <= 5; seed++) {
      const random = seededRandom(seed * 31);
      const all = { ...base, ...options };
      const spec = randomEnsemble(all, { ...plain, ...labels }, random);
      const x = randomFloats(random, 50 * width, -3, 3);
      for (const agreement of agreements(t, spec, all.type === 'float64' ? Float64Array.from(x) : x)) {
        assert.ok(agreement.differenceMax <= 1e-6, `seed ${seed}: ${JSON.stringify(agreement)}`);
        assert.ok(agreement.madeUpRowCount > 0 || all.leafCountMax === 1);
      }
    }
  });
}

const weights = (rows: number, columns: number, seed = 1) =>
  ({
    name: 'w',
    elementType: 'float32',
    shape: [rows, columns],
    values: randomFloats(seededRandom(seed), rows * columns, -1, 1),
  }) as const;

function networkOf(...nodes: readonly NodeSpec[]): ModelSpec {
  return modelOf(width, nodes, [scores('y', 3)], [weights(width, 3)]);
}

const product: NodeSpec = { op: 'MatMul', inputs: ['x', 'w'], outputs: ['z'] };
const largest: NodeSpec = {
  op: 'ArgMax',
  inputs: ['y'],
  outputs: ['class'],
  attributes: { axis: { int: 1 }, keepdims: { int: 0 } },
};
const withLabel = ({ outputs, nodes, ...rest }: ModelSpec): ModelSpec => ({
  ...rest,
  nodes: [...nodes, largest],
  outputs: [...outputs, { name: 'class', elementType: 'int64', shape: ['N'] }],
});
const linear: readonly (readonly [string, ModelSpec])[] = [
  ...(['Sigmoid', 'Exp', 'Softmax'] as const).flatMap((op): (readonly [string, ModelSpec])[] => {
    const spec = networkOf(product, { op, inputs: ['z'], outputs: ['y'] });
    return [
      [op, spec],
      [`${op}, and a label`, withLabel(spec)],
    ];
  }),
  ...(['NONE', 'LOGISTIC', 'SOFTMAX'] as const).flatMap((transform) =>
    [2, 3, 10].map((classes): readonly [string, ModelSpec] => {
      const more = { isScaled: true, isNormalized: transform === 'LOGISTIC' };
      return [`LinearClassifier of ${classes}, ${transform}`, classifierModel({ width, classes, transform, ...more })];
    }),
  ),
  ...['L1', 'L2', 'MAX'].map((norm): readonly [string, ModelSpec] => {
    const node: NodeSpec = { op: 'Normalizer', domain: mlDomain, inputs: ['x'], outputs: ['n'] };
    const normalizer = { ...node, attributes: { norm: { text: norm } } };
    return [`Normalizer ${norm}`, networkOf(normalizer, { ...product, inputs: ['n', 'w'], outputs: ['y'] })];
  }),
];
for (const [what, spec] of linear) {
  test(`linear models agree on made-up rows too: ${what}`, (t) => {
    const [agreement] = agreements(t, spec, randomFloats(seededRandom(3), 200 * width, -2, 2));
    assert.ok(agreement!.differenceMax <= 2e-6, JSON.stringify(agreement));
    assert.ok(agreement!.madeUpRowCount > 50);
  });
}

/** Rows for which whatever stands in the column does not matter, since all are alike there. */
const alike = (column: number, value: number): Float32Array =>
  randomFloats(seededRandom(9), 100 * width, -1, 1).map((each, at) => (at % width === column ? value : each));

test('a sign that is turned around where no row of the shards shows it', (t) => {
  const specOf = (sign: number): ModelSpec => {
    const { values, ...rest } = weights(width, 1);
    const turned = values.map((weight, column) => (column === 1 ? sign * weight : weight));
    const end: NodeSpec = { op: 'Sigmoid', inputs: ['z'], outputs: ['y'] };
    return modelOf(width, [product, end], [scores('y', 1)], [{ ...rest, values: turned }]);
  };
  const [agreement] = agreements(t, specOf(1), alike(1, 0), specOf(-1));
  const { where, isGross } = agreement!.worst!;
  assert.match(where, /^a made-up row \(x = \[[^\]]+\]\)$/);
  assert.equal(isGross, true);
  const [same] = agreements(t, specOf(1), alike(1, 0));
  assert.ok(same!.differenceMax < 1e-6);
});

/** A tree of one node over column 2. */
function stump(mode: string, threshold: number, missingIsTrue: boolean): ModelSpec {
  const attributes = {
    nodes_treeids: { ints: [0, 0, 0] },
    nodes_nodeids: { ints: [0, 1, 2] },
    nodes_featureids: { ints: [2, 0, 0] },
    nodes_modes: { texts: [mode, 'LEAF', 'LEAF'] },
    nodes_values: { floats: [threshold, 0, 0] },
    nodes_truenodeids: { ints: [1, 0, 0] },
    nodes_falsenodeids: { ints: [2, 0, 0] },
    nodes_missing_value_tracks_true: { ints: [missingIsTrue ? 1 : 0, 0, 0] },
    target_treeids: { ints: [0, 0] },
    target_nodeids: { ints: [1, 2] },
    target_ids: { ints: [0, 0] },
    target_weights: { floats: [1, 1.001] },
    n_targets: { int: 1 },
  };
  const node: NodeSpec = { op: 'TreeEnsembleRegressor', domain: mlDomain, inputs: ['x'], outputs: ['y'], attributes };
  return modelOf(width, [node], [scores('y', 1)]);
}

const faults: readonly (readonly [string, ModelSpec, ModelSpec, RegExp])[] = [
  ['LT as LEQ', stump('BRANCH_LT', 7, false), stump('BRANCH_LEQ', 7, false), /\[[^,]+, [^,]+, 7, /],
  ['NaN to the wrong side', stump('BRANCH_LEQ', 7, true), stump('BRANCH_LEQ', 7, false), /NaN/],
  ['a threshold that is off', stump('BRANCH_LEQ', 7, false), stump('BRANCH_LEQ', 7.5, false), /, 7\.[45]\d*, /],
];
for (const [what, spec, wrong, where] of faults) {
  test(`trees that are wrong where no row of the shards shows it: ${what}`, (t) => {
    for (const agreement of agreements(t, spec, alike(2, 1), wrong)) {
      assert.ok(agreement.differenceMax > 1e-4, JSON.stringify(agreement));
      assert.match(agreement.worst!.where, /^a made-up row /);
      assert.match(agreement.worst!.where, where);
    }
  });
}

test('what a row of the shards shows is said of that row', (t) => {
  const x = alike(2, 1);
  x[width * 17 + 2] = 7.25;
  for (const agreement of agreements(t, stump('BRANCH_LEQ', 7, false), x, stump('BRANCH_LEQ', 7.5, false))) {
    assert.equal(agreement.worst!.where, 'row 17');
    assert.equal(agreement.rowCount, 100);
  }
});
