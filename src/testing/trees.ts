/** Boosted trees: random ones, the ONNX model (regressor or binary classifier), a plain reference. */
import { mlDomain, type Attribute, type ModelSpec, type NodeSpec } from './onnx.ts';
import { seededRandom } from './random.ts';

/** Arrays with one entry per node; node 0 is the root. A leaf has `left` = -1. */
export interface Tree {
  readonly features: number[];
  /** float32: a row with value <= threshold goes left, NaN goes right. */
  readonly thresholds: number[];
  readonly left: number[];
  readonly right: number[];
  /** float32, of leaves; 0 elsewhere. */
  readonly weights: number[];
}

export interface RandomTreesOptions {
  readonly treeCount: number;
  readonly leafCount: number;
  /** Per feature, [low, high]: where thresholds lie. */
  readonly ranges: readonly (readonly [number, number])[];
  readonly seed: number;
}

/** Binary trees of exactly `leafCount` leaves, nearly balanced as trees of boosting libraries are. */
export function randomTrees(options: RandomTreesOptions): Tree[] {
  const random = seededRandom(options.seed);
  return Array.from({ length: options.treeCount }, () => randomTree(options, random));
}

function randomTree({ leafCount, ranges }: RandomTreesOptions, random: () => number): Tree {
  const tree: Tree = { features: [], thresholds: [], left: [], right: [], weights: [] };
  const addLeaf = (): number => {
    tree.features.push(0);
    tree.thresholds.push(0);
    tree.left.push(-1);
    tree.right.push(-1);
    return tree.weights.push(Math.fround((random() - 0.5) * 0.2)) - 1;
  };
  // The leaf that is split comes from the front half of the queue, so that depths differ by a few levels only.
  const leaves = [addLeaf()];
  while (leaves.length < leafCount) {
    const [node] = leaves.splice(Math.floor(random() * Math.ceil(leaves.length / 2)), 1);
    const feature = Math.floor(random() * ranges.length);
    const [low, high] = ranges[feature]!;
    tree.features[node!] = feature;
    tree.thresholds[node!] = Math.fround(low + (high - low) * random());
    tree.weights[node!] = 0;
    leaves.push((tree.left[node!] = addLeaf()), (tree.right[node!] = addLeaf()));
  }
  return tree;
}

/** Sum of the trees' leaves for one row of float32 values, in float64; ONNX Runtime sums in float32. */
export function scoreTrees(trees: readonly Tree[], row: ArrayLike<number>): number {
  let sum = 0;
  for (const tree of trees) {
    let node = 0;
    while (tree.left[node]! >= 0) {
      node = row[tree.features[node]!]! <= tree.thresholds[node]! ? tree.left[node]! : tree.right[node]!;
    }
    sum += tree.weights[node]!;
  }
  return sum;
}

/**
 * `x` float32 [N, width] to `y` float32 [N, 1]: the sum of the trees, through a sigmoid if asked for. The sigmoid is a
 * node of its own: ONNX Runtime ignores `post_transform` LOGISTIC where there is one target.
 */
export function treeRegressorModel(trees: readonly Tree[], width: number, sigmoid = false): ModelSpec {
  const sums = sigmoid ? 'sums' : 'y';
  const ensemble: NodeSpec = {
    op: 'TreeEnsembleRegressor',
    domain: mlDomain,
    inputs: ['x'],
    outputs: [sums],
    attributes: {
      ...nodeAttributes(trees),
      ...leafAttributes(trees, 'target'),
      n_targets: { int: 1 },
      aggregate_function: { text: 'SUM' },
      post_transform: { text: 'NONE' },
    },
  };
  return {
    inputs: [{ name: 'x', elementType: 'float32', shape: ['N', width] }],
    outputs: [{ name: 'y', elementType: 'float32', shape: ['N', 1] }],
    nodes: sigmoid ? [ensemble, { op: 'Sigmoid', inputs: [sums], outputs: ['y'] }] : [ensemble],
  };
}

/** `x` float32 [N, width] to `label` int64 [N] and `probabilities` float32 [N, 2], sigmoid of the sum in the second. */
export function treeClassifierModel(trees: readonly Tree[], width: number): ModelSpec {
  return {
    inputs: [{ name: 'x', elementType: 'float32', shape: ['N', width] }],
    outputs: [
      { name: 'label', elementType: 'int64', shape: ['N'] },
      { name: 'probabilities', elementType: 'float32', shape: ['N', 2] },
    ],
    nodes: [
      {
        op: 'TreeEnsembleClassifier',
        domain: mlDomain,
        inputs: ['x'],
        outputs: ['label', 'probabilities'],
        attributes: {
          ...nodeAttributes(trees),
          ...leafAttributes(trees, 'class'),
          classlabels_int64s: { ints: [0, 1] },
          post_transform: { text: 'LOGISTIC' },
        },
      },
    ],
  };
}

/** `x` float32 [N, width] to `label` int64 [N] and `probabilities` float32 [N, classCount]; tree t votes for t % classCount. */
export function treeClassesModel(trees: readonly Tree[], width: number, classCount: number): ModelSpec {
  return {
    inputs: [{ name: 'x', elementType: 'float32', shape: ['N', width] }],
    outputs: [
      { name: 'label', elementType: 'int64', shape: ['N'] },
      { name: 'probabilities', elementType: 'float32', shape: ['N', classCount] },
    ],
    nodes: [
      {
        op: 'TreeEnsembleClassifier',
        domain: mlDomain,
        inputs: ['x'],
        outputs: ['label', 'probabilities'],
        attributes: {
          ...nodeAttributes(trees),
          ...leafAttributes(trees, 'class', (tree) => tree % classCount),
          classlabels_int64s: { ints: Array.from({ length: classCount }, (_, label) => label) },
          post_transform: { text: 'SOFTMAX' },
        },
      },
    ],
  };
}

function nodeAttributes(trees: readonly Tree[]): Record<string, Attribute> {
  const eachNode = <Value>(value: (tree: Tree, node: number, treeIndex: number) => Value): Value[] =>
    trees.flatMap((tree, treeIndex) => tree.left.map((_, node) => value(tree, node, treeIndex)));
  const isLeaf = (tree: Tree, node: number): boolean => tree.left[node]! < 0;
  return {
    nodes_treeids: { ints: eachNode((_tree, _node, treeIndex) => treeIndex) },
    nodes_nodeids: { ints: eachNode((_tree, node) => node) },
    nodes_featureids: { ints: eachNode((tree, node) => tree.features[node]!) },
    nodes_values: { floats: eachNode((tree, node) => tree.thresholds[node]!) },
    nodes_modes: { texts: eachNode((tree, node) => (isLeaf(tree, node) ? 'LEAF' : 'BRANCH_LEQ')) },
    nodes_truenodeids: { ints: eachNode((tree, node) => Math.max(0, tree.left[node]!)) },
    nodes_falsenodeids: { ints: eachNode((tree, node) => Math.max(0, tree.right[node]!)) },
    nodes_missing_value_tracks_true: { ints: eachNode(() => 0) },
  };
}

function leafAttributes(
  trees: readonly Tree[],
  prefix: 'target' | 'class',
  targetOf: (treeIndex: number) => number = () => 0,
): Record<string, Attribute> {
  const leaves = trees.flatMap((tree, treeIndex) =>
    tree.left.flatMap((left, node) => (left < 0 ? [{ treeIndex, node, weight: tree.weights[node]! }] : [])),
  );
  return {
    [`${prefix}_treeids`]: { ints: leaves.map((leaf) => leaf.treeIndex) },
    [`${prefix}_nodeids`]: { ints: leaves.map((leaf) => leaf.node) },
    [`${prefix}_ids`]: { ints: leaves.map((leaf) => targetOf(leaf.treeIndex)) },
    [`${prefix}_weights`]: { floats: leaves.map((leaf) => leaf.weight) },
  };
}
