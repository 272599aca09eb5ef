/** Spark's trees as the TreeEnsemble of ai.onnx.ml 5, whose numbers are float64. */
import { z } from 'zod';
import { TandemError } from '../../errors.ts';
import { mlDomain, type Initializer } from '../../engines/onnxruntime/write-model.ts';
import type { Graph } from './graph.ts';
import { dataOf, type SavedStage } from './saved.ts';

const nodeForm = z.object({
  id: z.number(),
  prediction: z.number(),
  impurityStats: z.array(z.number()),
  /** -1: a leaf. */
  leftChild: z.number(),
  rightChild: z.number(),
  split: z.object({
    featureIndex: z.number(),
    leftCategoriesOrThreshold: z.array(z.number()),
    /** -1: a threshold. */
    numCategories: z.number(),
  }),
});

export type TreeNode = z.output<typeof nodeForm>;

export interface Tree {
  readonly weight: number;
  /** By their numbers; the root is 0. */
  readonly nodes: ReadonlyMap<number, TreeNode>;
}

/** The trees of a forest, or the one tree of a model of one. @throws TandemError BAD_MODEL */
export function readForest(stage: SavedStage): Tree[] {
  if (stage.kind.startsWith('DecisionTree')) {
    return [{ weight: 1, nodes: new Map(dataOf(stage, nodeForm).map((node) => [node.id, node])) }];
  }
  // Spark 3 names the columns, Spark 4 counts them.
  const weightForm = z.record(z.string(), z.unknown()).transform((row) => {
    const [tree, , weight] = Object.values(row);
    return { tree: Number(tree), weight: Number(weight) };
  });
  const weights = dataOf(stage, weightForm, 'treesMetadata').sort((one, other) => one.tree - other.tree);
  const nodes = new Map<number, Map<number, TreeNode>>(weights.map(({ tree }) => [tree, new Map()]));
  for (const { treeID, nodeData } of dataOf(stage, z.object({ treeID: z.number(), nodeData: nodeForm }))) {
    nodes.get(treeID)?.set(nodeData.id, nodeData);
  }
  // Votes of a forest weigh the same; only boosting weighs its trees.
  const isBoosted = stage.kind.startsWith('GBT');
  return weights.map(({ tree, weight }) => ({ weight: isBoosted ? weight : 1, nodes: nodes.get(tree)! }));
}

/** Numbers of ONNX for the tests of a node. */
const atMost = 0;
const isMember = 6;

/** What the attributes of a TreeEnsemble list. */
interface Ensemble {
  readonly roots: number[];
  readonly columns: number[];
  readonly modes: number[];
  readonly thresholds: number[];
  readonly members: number[];
  readonly whenTrue: Child[];
  readonly whenFalse: Child[];
  readonly targets: number[];
  readonly weights: number[];
}

interface Child {
  readonly isLeaf: boolean;
  readonly place: number;
}

/**
 * Adds the trees; gives the sums of what their leaves vote for: [N, targets]. A leaf has one vote in ONNX, so there is a
 * copy of the trees for each target.
 * @throws TandemError BAD_MODEL where a tree lacks a node
 */
export function writeForest(
  graph: Graph,
  x: string,
  trees: readonly Tree[],
  targetCount: number,
  votesOf: (leaf: TreeNode) => readonly number[],
): string {
  const ensemble: Ensemble = {
    roots: [],
    columns: [],
    modes: [],
    thresholds: [],
    members: [],
    whenTrue: [],
    whenFalse: [],
    targets: [],
    weights: [],
  };
  for (const tree of trees) {
    for (let target = 0; target < targetCount; target++) {
      addTree(ensemble, tree, (leaf) => ({ target, weight: tree.weight * votesOf(leaf)[target]! }));
    }
  }
  const { whenTrue, whenFalse } = ensemble;
  const places = (children: readonly Child[]) => ({ ints: children.map(({ place }) => place) });
  const leaves = (children: readonly Child[]) => ({ ints: children.map(({ isLeaf }) => (isLeaf ? 1 : 0)) });
  const tensor = (elementType: 'float64' | 'uint8', values: readonly number[]): { tensor: Initializer } => ({
    tensor: { name: '', elementType, shape: [values.length], values },
  });
  const sum = 1;
  const attributes = {
    n_targets: { int: targetCount },
    aggregate_function: { int: sum },
    tree_roots: { ints: ensemble.roots },
    nodes_featureids: { ints: ensemble.columns },
    nodes_modes: tensor('uint8', ensemble.modes),
    nodes_splits: tensor('float64', ensemble.thresholds),
    nodes_truenodeids: places(whenTrue),
    nodes_trueleafs: leaves(whenTrue),
    nodes_falsenodeids: places(whenFalse),
    nodes_falseleafs: leaves(whenFalse),
    leaf_targetids: { ints: ensemble.targets },
    leaf_weights: tensor('float64', ensemble.weights),
    ...(ensemble.members.length === 0 ? {} : { membership_values: tensor('float64', ensemble.members) }),
  };
  return graph.add('TreeEnsemble', [x], attributes, mlDomain);
}

type Vote = (leaf: TreeNode) => { readonly target: number; readonly weight: number };

function addTree(ensemble: Ensemble, tree: Tree, voteOf: Vote): void {
  const root = nodeOf(tree, 0);
  ensemble.roots.push(ensemble.modes.length);
  if (root.leftChild >= 0) {
    addNode(ensemble, tree, root, voteOf);
    return;
  }
  // A tree has a test at its root; this one goes to the same leaf either way.
  const place = addTest(ensemble, 0, atMost, 0);
  ensemble.whenTrue[place] = ensemble.whenFalse[place] = addLeaf(ensemble, root, voteOf);
}

function addNode(ensemble: Ensemble, tree: Tree, node: TreeNode, voteOf: Vote): Child {
  if (node.leftChild < 0) return addLeaf(ensemble, node, voteOf);
  const { featureIndex, leftCategoriesOrThreshold: left, numCategories } = node.split;
  const isThreshold = numCategories < 0;
  // Of the two sets Spark keeps the smaller one (CategoricalSplit), which decides where a number goes that is in neither.
  const isLeft = isThreshold || left.length <= Math.floor(numCategories / 2);
  const place = addTest(ensemble, featureIndex, isThreshold ? atMost : isMember, isThreshold ? left[0]! : 0);
  if (!isThreshold) {
    const all = Array.from({ length: numCategories }, (_, category) => category);
    ensemble.members.push(...(isLeft ? left : all.filter((category) => !left.includes(category))), NaN);
  }
  const child = (id: number): Child => addNode(ensemble, tree, nodeOf(tree, id), voteOf);
  const [whenTrue, whenFalse] = isLeft ? [node.leftChild, node.rightChild] : [node.rightChild, node.leftChild];
  ensemble.whenTrue[place] = child(whenTrue);
  ensemble.whenFalse[place] = child(whenFalse);
  return { isLeaf: false, place };
}

function addTest({ columns, modes, thresholds }: Ensemble, column: number, mode: number, threshold: number): number {
  columns.push(column);
  thresholds.push(threshold);
  return modes.push(mode) - 1;
}

function addLeaf({ targets, weights }: Ensemble, leaf: TreeNode, voteOf: Vote): Child {
  const { target, weight } = voteOf(leaf);
  targets.push(target);
  return { isLeaf: true, place: weights.push(weight) - 1 };
}

function nodeOf(tree: Tree, id: number): TreeNode {
  const node = tree.nodes.get(id);
  if (node !== undefined) return node;
  throw new TandemError('BAD_MODEL', `Expected a tree to have node ${id}, got ${tree.nodes.size} others.`, {
    remedy: 'Save the model again: a file of its data is missing.',
  });
}
