/** What may stand before and after the trees of a model, against ONNX Runtime; and what may not, in words. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { BoundTensor } from '../../engines/onnxruntime/run.ts';
import { readWeightedGraph } from '../../engines/onnxruntime/model-weights.ts';
import { mlDomain, writeModel, type ModelSpec, type NodeSpec, type TensorSpec } from '../../testing/onnx.ts';
import { seededRandom } from '../../testing/random.ts';
import { randomTrees, treeClassifierModel, treeRegressorModel } from '../../testing/trees.ts';
import { scoreByKernel, treesOf } from '../../testing/score-trees.ts';
import { runModel } from '../../testing/run-model.ts';
import { kernelForms, readTrees } from './trees.ts';

const folder = mkdtempSync(join(tmpdir(), 'tandem-read-trees-'));
after(() => rmSync(folder, { recursive: true }));

const width = 4;
const rowCount = 200;
const float = 1;
const double = 11;
const trees = randomTrees({
  treeCount: 9,
  leafCount: 12,
  ranges: Array.from({ length: width }, () => [-2, 2]),
  seed: 3,
});
const rangeOf = (scale: number): [number, number][] => Array.from({ length: width }, () => [-2 * scale, 2 * scale]);

type Part = Partial<Pick<ModelSpec, 'inputs' | 'outputs' | 'initializers'>> & { readonly nodes: readonly NodeSpec[] };

/** The nodes of `before` make `x` of other inputs; those of `after` start at the trees' own outputs. */
function join3(before: Part | undefined, middle: ModelSpec, behind: Part | undefined): ModelSpec {
  const inputs = before?.inputs ?? middle.inputs;
  return {
    inputs,
    outputs: behind?.outputs ?? middle.outputs,
    nodes: [...(before?.nodes ?? []), ...middle.nodes, ...(behind?.nodes ?? [])],
    initializers: [...(before?.initializers ?? []), ...(behind?.initializers ?? [])],
  };
}

function inputValues({ elementType, shape }: TensorSpec, seed: number): Float32Array | Float64Array | BigInt64Array {
  const random = seededRandom(seed);
  const count = rowCount * Number(shape[1] ?? 1);
  const value = (): number => (random() < 0.1 ? NaN : (random() - 0.5) * 5);
  if (elementType === 'int64') return BigInt64Array.from({ length: count }, () => BigInt(Math.floor(random() * 7) - 3));
  const numbers = Array.from({ length: count }, value);
  return elementType === 'float64' ? Float64Array.from(numbers) : Float32Array.from(numbers);
}

function compare(name: string, spec: ModelSpec, tolerance = 0): void {
  test(name, () => {
    const values = new Map(spec.inputs.map((input, index) => [input.name, inputValues(input, index + 1)]));
    const bound = spec.inputs.map(({ name: input, elementType, shape }): BoundTensor => ({
      name: input,
      elementType,
      shape: [rowCount, ...shape.slice(1).map(Number)],
      values: values.get(input)!,
    }));
    const expected = runModel(folder, spec, bound);
    const model = treesOf(join(folder, 'model.onnx'), spec);
    const widths = new Map(spec.inputs.map((input) => [input.name, Number(input.shape[1] ?? 1)]));
    const [form] = kernelForms(model);
    const got = scoreByKernel(model, form!, rowCount, (input, element, row) =>
      Number(values.get(input)![row * widths.get(input)! + element]),
    );
    model.outputs.forEach((output, index) => {
      const { shape, values: others } = expected[output.name]!;
      assert.deepEqual([rowCount, ...output.rowShape], shape, output.name);
      for (let at = 0; at < others.length; at++) {
        const [value, other] = [Number(got[index]![at]), Number(others[at])];
        assert.ok(
          Math.abs(value - other) <= tolerance * Math.abs(other),
          `${output.name}[${at}]: ${value}, not ${other}`,
        );
      }
    });
  });
}

const sums = treeRegressorModel(trees, width);
const classes = treeClassifierModel(trees, width);
const x = (elementType: TensorSpec['elementType'] = 'float32', size = width): TensorSpec => ({
  name: 'raw',
  elementType,
  shape: ['N', size],
});
const ml = (
  op: string,
  inputs: string[],
  outputs: string[],
  attributes: NonNullable<NodeSpec['attributes']>,
): NodeSpec => ({
  op,
  domain: mlDomain,
  inputs,
  outputs,
  attributes,
});
const constant = (
  name: string,
  values: readonly number[],
  elementType: 'float32' | 'float64' | 'int64' = 'float32',
) => ({
  name,
  elementType,
  shape: [values.length],
  values: elementType === 'int64' ? values.map(BigInt) : values,
});

const scaler = (input: string, output: string): NodeSpec =>
  ml('Scaler', [input], [output], {
    offset: { floats: [0.1, -0.2, 0, 0.3] },
    scale: { floats: [0.7, 1.3, -0.9, 1e-3] },
  });

compare(
  'inputs of their own, joined',
  join3(
    {
      inputs: ['a', 'b', 'c', 'd'].map((name) => ({ name, elementType: 'float32', shape: ['N', 1] })),
      nodes: [{ op: 'Concat', inputs: ['a', 'b', 'c', 'd'], outputs: ['x'], attributes: { axis: { int: 1 } } }],
    },
    sums,
    undefined,
  ),
);
compare(
  "a vector as Spark's exporter assembles it",
  join3(
    {
      inputs: [
        { name: 'a', elementType: 'float32', shape: ['N', 1] },
        { name: 'b', elementType: 'float32', shape: ['N', 3] },
      ],
      nodes: [ml('FeatureVectorizer', ['a', 'b'], ['x'], { inputdimensions: { ints: [1, 3] } })],
    },
    classes,
    undefined,
  ),
);
compare(
  'an imputer and a scaler',
  join3(
    {
      inputs: [x()],
      nodes: [
        ml('Imputer', ['raw'], ['filled'], {
          imputed_value_floats: { floats: [0.5, -1, 0, 1.5] },
          replaced_value_float: { float: NaN },
        }),
        scaler('filled', 'x'),
      ],
    },
    sums,
    undefined,
  ),
);
compare(
  'a scaler before an imputer',
  join3(
    {
      inputs: [x()],
      nodes: [
        scaler('raw', 'scaled'),
        ml('Imputer', ['scaled'], ['x'], {
          imputed_value_floats: { floats: [0.25] },
          replaced_value_float: { float: NaN },
        }),
      ],
    },
    sums,
    undefined,
  ),
);
compare('a scaler of float64', join3({ inputs: [x('float64')], nodes: [scaler('raw', 'x')] }, sums, undefined));
compare('a scaler of whole numbers', join3({ inputs: [x('int64')], nodes: [scaler('raw', 'x')] }, sums, undefined));
compare(
  'whole numbers cast to float32',
  join3(
    {
      inputs: [x('int64')],
      nodes: [{ op: 'Cast', inputs: ['raw'], outputs: ['x'], attributes: { to: { int: float } } }],
    },
    sums,
    undefined,
  ),
);
compare(
  'float64 cast to float32',
  join3(
    {
      inputs: [x('float64')],
      nodes: [{ op: 'Cast', inputs: ['raw'], outputs: ['x'], attributes: { to: { int: float } } }],
    },
    sums,
    undefined,
  ),
);
compare(
  'arithmetic in float64 with the order turned around',
  join3(
    {
      inputs: [x('float64')],
      initializers: [
        constant('mean', [0.1, 0.2, -0.3, 0], 'float64'),
        constant('std', [3, -0.7, 1.1, 0.9], 'float64'),
        constant('one', [1], 'float64'),
      ],
      nodes: [
        { op: 'Sub', inputs: ['raw', 'mean'], outputs: ['centered'] },
        { op: 'Div', inputs: ['centered', 'std'], outputs: ['scaled'] },
        { op: 'Sub', inputs: ['one', 'scaled'], outputs: ['turned'] },
        { op: 'Cast', inputs: ['turned'], outputs: ['x'], attributes: { to: { int: float } } },
      ],
    },
    sums,
    undefined,
  ),
);

const y = (shape: TensorSpec['shape'], elementType: TensorSpec['elementType'] = 'float32'): TensorSpec[] => [
  { name: 'out', elementType, shape },
];
compare(
  'a sigmoid',
  treeRegressorModel(randomTrees({ treeCount: 60, leafCount: 9, ranges: rangeOf(1), seed: 4 }), width, true),
  1e-6,
);
compare(
  'probabilities, and which is the largest',
  join3(undefined, classes, {
    outputs: [
      ...classes.outputs,
      { name: 'largest', elementType: 'int64', shape: ['N', 1] },
      { name: 'second', elementType: 'float32', shape: ['N'] },
    ],
    initializers: [{ name: 'one', elementType: 'int64', shape: [], values: [1n] }],
    nodes: [
      { op: 'ArgMax', inputs: ['probabilities'], outputs: ['largest'], attributes: { axis: { int: 1 } } },
      { op: 'Gather', inputs: ['probabilities', 'one'], outputs: ['second'], attributes: { axis: { int: 1 } } },
    ],
  }),
);
compare(
  'two classes made of one score',
  join3(undefined, treeRegressorModel(trees, width, true), {
    outputs: y(['N', 2], 'float64'),
    initializers: [constant('one', [1])],
    nodes: [
      { op: 'Sub', inputs: ['one', 'y'], outputs: ['other'] },
      { op: 'Concat', inputs: ['other', 'y'], outputs: ['both'], attributes: { axis: { int: -1 } } },
      { op: 'Cast', inputs: ['both'], outputs: ['out'], attributes: { to: { int: double } } },
    ],
  }),
  1e-6,
);
compare(
  'an average, its exponential, and another shape',
  join3(undefined, sums, {
    outputs: y(['N']),
    initializers: [constant('count', [9]), constant('shape', [-1], 'int64')],
    nodes: [
      { op: 'Div', inputs: ['y', 'count'], outputs: ['mean'] },
      { op: 'Exp', inputs: ['mean'], outputs: ['power'] },
      { op: 'Reshape', inputs: ['power', 'shape'], outputs: ['out'] },
    ],
  }),
  1e-6,
);
compare(
  'softmax, and labels from a table',
  join3(undefined, classes, {
    outputs: [...y(['N', 2]), { name: 'looked', elementType: 'int64', shape: ['N'] }],
    initializers: [constant('table', [70, 80], 'int64')],
    nodes: [
      { op: 'Softmax', inputs: ['probabilities'], outputs: ['out'], attributes: { axis: { int: 1 } } },
      { op: 'Gather', inputs: ['table', 'label'], outputs: ['looked'] },
    ],
  }),
  1e-6,
);

compare(
  'labels below 0 from a table, whose end they count from',
  join3(undefined, withAttributes(classes, { classlabels_int64s: { ints: [-2, 1] } }), {
    outputs: [{ name: 'looked', elementType: 'int64', shape: ['N'] }],
    initializers: [constant('table', [70, 80, 90, 100], 'int64')],
    nodes: [{ op: 'Gather', inputs: ['table', 'label'], outputs: ['looked'] }],
  }),
);

/** The first node with these, too. */
function withAttributes(spec: ModelSpec, attributes: NonNullable<NodeSpec['attributes']>): ModelSpec {
  const [first, ...others] = spec.nodes;
  return { ...spec, nodes: [{ ...first!, attributes: { ...first!.attributes, ...attributes } }, ...others] };
}

/** Why a model is left to ONNX Runtime. */
function expectRefusal(spec: ModelSpec, outputs: readonly string[], reason: RegExp): void {
  const path = join(folder, 'refused.onnx');
  writeModel(path, spec);
  const inputs = spec.inputs.map(({ name, elementType, shape }) => ({
    name,
    elementType,
    width: Number(shape[1] ?? 1),
  }));
  const model = readTrees(readWeightedGraph(path), inputs, outputs);
  assert.match(typeof model === 'string' ? model : 'none', reason);
}

test('what stays with ONNX Runtime', () => {
  const normalizer = ml('Normalizer', ['raw'], ['x'], { norm: { text: 'L2' } });
  expectRefusal(
    join3({ inputs: [x()], nodes: [normalizer] }, sums, undefined),
    ['y'],
    /^ai.onnx.ml.Normalizer comes before/,
  );
  const tanh: NodeSpec = { op: 'Tanh', inputs: ['y'], outputs: ['out'] };
  expectRefusal(
    join3(undefined, sums, { outputs: y(['N', 1]), nodes: [tanh] }),
    ['out'],
    /^Tanh comes after the trees$/,
  );
  expectRefusal(
    { ...sums, nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }] },
    ['y'],
    /^the model has no trees$/,
  );
  expectRefusal(sums, ['x'], /does not come from the trees/);
  const zero: NodeSpec = ml('Scaler', ['raw'], ['x'], { offset: { floats: [0] }, scale: { floats: [0] } });
  expectRefusal(join3({ inputs: [x()], nodes: [zero] }, sums, undefined), ['y'], /^a column is multiplied by 0/);
  const narrow = { ...sums, inputs: [{ name: 'x', elementType: 'float32', shape: ['N', 2] }] } as ModelSpec;
  expectRefusal(narrow, ['y'], /^the trees test value \d of 2$/);
  const probit = {
    ...sums.nodes[0]!,
    attributes: { ...sums.nodes[0]!.attributes, post_transform: { text: 'PROBIT' } },
  };
  expectRefusal({ ...sums, nodes: [probit] }, ['y'], /^post-transform PROBIT$/);
});
