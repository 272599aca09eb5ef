/** Models that hold trees and more than trees, of each shape where the two can be told apart. Their input is `x` [N, width]. */
import { networkModel, randomNetwork } from './networks.ts';
import { mlDomain, type ModelSpec, type NodeSpec, type TensorSpec } from './onnx.ts';
import { randomTrees, treeClassesModel, treeClassifierModel, treeRegressorModel, type Tree } from './trees.ts';

export interface TreeStackOptions {
  readonly width: number;
  readonly treeCount: number;
  readonly leafCount: number;
}

/** The trees of the first ensemble of all these models; values are expected between 0 and 1. */
export function stackTrees({ width, treeCount, leafCount }: TreeStackOptions, seed = 1): Tree[] {
  const ranges = Array.from({ length: width }, () => [0, 1] as const);
  return randomTrees({ treeCount, leafCount, ranges, seed });
}

function scores(name: string, width: number): TensorSpec {
  return { name, elementType: 'float32', shape: ['N', width] };
}

/** Nodes whose values and own names have another name each, but for those that are to be told from outside. */
function renamed({ nodes, initializers = [] }: ModelSpec, suffix: string, names: Readonly<Record<string, string>>) {
  const nameOf = (name: string): string => names[name] ?? `${name}${suffix}`;
  return {
    nodes: nodes.map((node, index): NodeSpec => ({
      ...node,
      name: `${node.op}_${index}${suffix}`,
      inputs: node.inputs.map(nameOf),
      outputs: node.outputs.map(nameOf),
    })),
    initializers: initializers.map((each) => ({ ...each, name: nameOf(each.name) })),
  };
}

function joined(
  parts: readonly Pick<ModelSpec, 'nodes' | 'initializers'>[],
  outputs: ModelSpec['outputs'],
  width: number,
) {
  return {
    inputs: [scores('x', width)],
    outputs,
    nodes: parts.flatMap(({ nodes }) => nodes),
    initializers: parts.flatMap(({ initializers = [] }) => initializers),
  };
}

/** By what stands beside the trees. */
export function treeStacks(options: TreeStackOptions): Readonly<Record<string, ModelSpec>> {
  const { width } = options;
  const trees = stackTrees(options);
  const regressor = renamed(treeRegressorModel(trees, width), '', { y: 'sums' });
  const other = renamed(treeRegressorModel(stackTrees(options, 2), width), ' 2', { x: 'x', y: 'others' });
  const network = (inputWidth: number, from: string, to: string) =>
    renamed(networkModel(randomNetwork([inputWidth, 8, 1], 3)), ' dense', { x: from, y: to });
  const node = (op: string, inputs: readonly string[], outputs: readonly string[], more: Partial<NodeSpec> = {}) => ({
    nodes: [{ op, inputs, outputs, ...more }],
  });
  const y = [scores('y', 1)];
  const concatenated = node('Concat', ['x', 'sums'], ['both'], { attributes: { axis: { int: 1 } } });
  const each = { offset: { floats: [0.25] }, scale: { floats: [2] } };
  const scaled = node('Scaler', ['x'], ['scaled'], { domain: mlDomain, attributes: each });
  const branch = (op: string) => ({
    inputs: [],
    outputs: [scores('of', 1)],
    nodes: [{ op, inputs: ['sums'], outputs: ['of'] }],
  });
  const branches = { then_branch: { graph: branch('Tanh') }, else_branch: { graph: branch('Neg') } };
  const always = node('Constant', [], ['always'], {
    attributes: { value: { tensor: { name: 'true', elementType: 'bool', shape: [], values: [1] } } },
  });
  return {
    'a network beside them': joined(
      [regressor, network(width, 'x', 'dense'), node('Add', ['sums', 'dense'], ['y'])],
      y,
      width,
    ),
    'a network behind them': joined([regressor, concatenated, network(width + 1, 'both', 'y')], y, width),
    'two ensembles': joined(
      [regressor, other, node('Sum', ['sums', 'others'], ['y'])],
      [...y, scores('others', 1)],
      width,
    ),
    'an operator without a kernel': joined([regressor, node('Tanh', ['sums'], ['y'])], y, width),
    'scaled inputs for both': joined(
      [
        scaled,
        renamed(treeRegressorModel(trees, width), '', { x: 'scaled', y: 'sums' }),
        network(width, 'scaled', 'dense'),
        node('Add', ['sums', 'dense'], ['y']),
      ],
      y,
      width,
    ),
    'a branch that reads them': joined(
      [regressor, always, node('If', ['always'], ['y'], { attributes: branches })],
      y,
      width,
    ),
    'labels that are text': textLabels(trees, width),
    'maps behind classes': mapsBehind(trees, width),
  };
}

/** As LightGBM's and scikit-learn's exporters write text classes. */
function textLabels(trees: readonly Tree[], width: number): ModelSpec {
  const { nodes, outputs, ...rest } = treeClassifierModel(trees, width);
  const [{ attributes: { classlabels_int64s: _places, ...attributes } = {}, ...node }] = nodes as [NodeSpec];
  return {
    ...rest,
    outputs: [{ name: 'label', elementType: 'string', shape: ['N'] }, outputs[1]!],
    nodes: [{ ...node, attributes: { ...attributes, classlabels_strings: { texts: ['no', 'yes'] } } }],
  };
}

/** A ZipMap that no column can take, beside an output that one can. */
function mapsBehind(trees: readonly Tree[], width: number): ModelSpec {
  const { nodes, ...rest } = treeClassesModel(trees, width, 3);
  const labels = { classlabels_int64s: { ints: [0, 1, 2] } };
  return {
    ...rest,
    outputs: [{ name: 'maps', mapsFrom: 'int64' }, scores('logs', 3)],
    nodes: [
      ...nodes,
      { op: 'ZipMap', domain: mlDomain, inputs: [nodes[0]!.outputs[1]!], outputs: ['maps'], attributes: labels },
      { op: 'HardSigmoid', inputs: [nodes[0]!.outputs[1]!], outputs: ['logs'] },
    ],
  };
}

/** The same model for so many rows at a time. */
export function fixedTo(rowCount: number, spec: ModelSpec): ModelSpec {
  const fix = (tensor: TensorSpec): TensorSpec => ({ ...tensor, shape: [rowCount, ...tensor.shape.slice(1)] });
  return {
    ...spec,
    inputs: spec.inputs.map(fix),
    outputs: spec.outputs.map((output) => ('mapsFrom' in output ? output : fix(output))),
  };
}
