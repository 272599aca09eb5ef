/** Random ensembles of trees as ONNX nodes: every mode, thresholds that many values hit, votes of several kinds. */
import { mlDomain, type Attribute, type ModelSpec } from './onnx.ts';

export type RandomMode = 'LEQ' | 'LT' | 'GTE' | 'GT' | 'EQ' | 'NEQ' | 'MEMBER';

export interface EnsembleOptions {
  readonly treeCount: number;
  /** Of each tree at most. */
  readonly leafCountMax: number;
  readonly columnCount: number;
  /** MEMBER needs `version` 5. */
  readonly modes: readonly RandomMode[];
  readonly version: 3 | 5;
  readonly type: 'float32' | 'float64';
  /** Whether nodes say where NaN goes. */
  readonly tracksMissing: boolean;
  readonly targetCount: number;
  /** Whether a leaf votes for all targets, for one that its tree has, or for any one. */
  readonly votes: 'all' | 'tree' | 'any';
  readonly weightMin: number;
  readonly weightMax: number;
}

interface RandomNode {
  readonly mode: RandomMode | 'LEAF';
  readonly column: number;
  readonly value: number;
  readonly members: readonly number[];
  readonly missingIsTrue: boolean;
  whenTrue: number;
  whenFalse: number;
  readonly votes: readonly { readonly target: number; readonly weight: number }[];
}

/** Quarters between -3 and 3, and now and then what is special: values and thresholds meet often. */
export function randomValue(random: () => number): number {
  const special = [NaN, Infinity, -Infinity, -0, 0, 1e-45, -1e-45];
  return random() < 0.12 ? special[Math.floor(random() * special.length)]! : Math.floor(random() * 25 - 12) / 4;
}

function randomThreshold(random: () => number): number {
  const value = randomValue(random);
  // Exporters write infinite thresholds, but none that is NaN.
  return Number.isNaN(value) ? 0.1 : value;
}

/** Nodes of each tree, the root first. */
function randomTrees(options: EnsembleOptions, random: () => number): RandomNode[][] {
  return Array.from({ length: options.treeCount }, (_, tree) => {
    const nodes: RandomNode[] = [];
    const treeTarget = tree % options.targetCount;
    const weight = (): number => options.weightMin + (options.weightMax - options.weightMin) * random();
    const leaf = (): RandomNode => {
      const other = Math.floor(random() * options.targetCount);
      const targets =
        options.votes === 'all'
          ? Array.from({ length: options.targetCount }, (_unused, target) => target)
          : [options.votes === 'tree' ? treeTarget : other];
      const votes = targets.map((target) => ({ target, weight: Math.fround(weight()) }));
      return { mode: 'LEAF', column: 0, value: 0, members: [], missingIsTrue: false, whenTrue: 0, whenFalse: 0, votes };
    };
    const branch = (): RandomNode => {
      const members = Array.from({ length: 1 + Math.floor(random() * 9) }, () => Math.floor(random() * 12) - 2);
      return {
        mode: options.modes[Math.floor(random() * options.modes.length)]!,
        column: Math.floor(random() * options.columnCount),
        value: options.type === 'float32' ? Math.fround(randomThreshold(random)) : randomThreshold(random),
        members: [...new Set(members)],
        missingIsTrue: options.tracksMissing && random() < 0.5,
        whenTrue: 0,
        whenFalse: 0,
        votes: [],
      };
    };
    const leafCount = 1 + Math.floor(random() * options.leafCountMax);
    const open = [nodes.push(leaf()) - 1];
    // ONNX Runtime wants a test at the root of version 5.
    for (let count = 1; count < Math.max(options.version === 5 ? 2 : 1, leafCount); count++) {
      const [at] = open.splice(Math.floor(random() * open.length), 1);
      const node = branch();
      nodes[at!] = node;
      open.push((node.whenTrue = nodes.push(leaf()) - 1), (node.whenFalse = nodes.push(leaf()) - 1));
    }
    return nodes;
  });
}

export interface Labels {
  readonly postTransform: string;
  readonly baseValues: readonly number[];
  /** With them it is a classifier. */
  readonly labels?: readonly number[];
  readonly aggregate?: 'SUM' | 'AVERAGE' | 'MIN' | 'MAX';
}

/** A model of input `x` [N, columnCount]: outputs `y`, or `label` and `y` of a classifier. */
export function randomEnsemble(options: EnsembleOptions, more: Labels, random: () => number): ModelSpec {
  const trees = randomTrees(options, random);
  const isClassifier = more.labels !== undefined;
  const outputType = options.version === 5 ? options.type : 'float32';
  const op = options.version === 5 ? 'TreeEnsemble' : isClassifier ? 'TreeEnsembleClassifier' : 'TreeEnsembleRegressor';
  const attributes = options.version === 5 ? version5(options, trees, more) : version3(options, trees, more);
  const label = { name: 'label', elementType: 'int64', shape: ['N'] } as const;
  const y = { name: 'y', elementType: outputType, shape: ['N', options.targetCount] } as const;
  return {
    inputs: [{ name: 'x', elementType: options.type, shape: ['N', options.columnCount] }],
    outputs: isClassifier ? [label, y] : [y],
    nodes: [{ op, domain: mlDomain, inputs: ['x'], outputs: isClassifier ? ['label', 'y'] : ['y'], attributes }],
    opset: [
      { domain: '', version: 17 },
      { domain: mlDomain, version: options.version },
    ],
  };
}

type Attributes = Record<string, Attribute>;

function version3(options: EnsembleOptions, trees: readonly RandomNode[][], more: Labels): Attributes {
  const votes = more.labels === undefined ? 'target' : 'class';
  const all = trees.flatMap((nodes, tree) => nodes.map((node, id) => ({ ...node, tree, id })));
  const cast = all.flatMap((node) => node.votes.map((vote) => ({ ...vote, tree: node.tree, id: node.id })));
  const numbers = (name: string, values: readonly number[]): Attributes =>
    options.type === 'float32'
      ? { [name]: { floats: values } }
      : { [`${name}_as_tensor`]: { tensor: { name, elementType: 'float64', shape: [values.length], values } } };
  return {
    nodes_treeids: { ints: all.map(({ tree }) => tree) },
    nodes_nodeids: { ints: all.map(({ id }) => id) },
    nodes_featureids: { ints: all.map(({ column }) => column) },
    nodes_modes: { texts: all.map(({ mode }) => (mode === 'LEAF' ? mode : `BRANCH_${mode}`)) },
    nodes_truenodeids: { ints: all.map(({ whenTrue }) => whenTrue) },
    nodes_falsenodeids: { ints: all.map(({ whenFalse }) => whenFalse) },
    ...numbers(
      'nodes_values',
      all.map(({ value }) => value),
    ),
    ...(options.tracksMissing
      ? { nodes_missing_value_tracks_true: { ints: all.map(({ missingIsTrue }) => (missingIsTrue ? 1 : 0)) } }
      : {}),
    [`${votes}_treeids`]: { ints: cast.map(({ tree }) => tree) },
    [`${votes}_nodeids`]: { ints: cast.map(({ id }) => id) },
    [`${votes}_ids`]: { ints: cast.map(({ target }) => target) },
    ...numbers(
      `${votes}_weights`,
      cast.map(({ weight }) => weight),
    ),
    ...(more.baseValues.length === 0 ? {} : numbers('base_values', more.baseValues)),
    post_transform: { text: more.postTransform },
    ...(more.labels === undefined
      ? { n_targets: { int: options.targetCount }, aggregate_function: { text: more.aggregate ?? 'SUM' } }
      : { classlabels_int64s: { ints: more.labels } }),
  };
}

function version5(options: EnsembleOptions, trees: readonly RandomNode[][], more: Labels): Attributes {
  const branches: { readonly node: RandomNode; readonly tree: number }[] = [];
  const leaves: RandomNode[] = [];
  const places = trees.map((nodes, tree) =>
    nodes.map((node) => (node.mode === 'LEAF' ? leaves.push(node) : branches.push({ node, tree })) - 1),
  );
  const child = (which: 'whenTrue' | 'whenFalse'): number[] =>
    branches.map(({ node, tree }) => places[tree]![node[which]]!);
  const isLeaf = (which: 'whenTrue' | 'whenFalse'): number[] =>
    branches.map(({ node, tree }) => (trees[tree]![node[which]]!.mode === 'LEAF' ? 1 : 0));
  const tensor = (
    values: readonly number[],
    elementType: 'uint8' | 'float32' | 'float64' = options.type,
  ): Attribute => ({
    tensor: { name: '', elementType, shape: [values.length], values },
  });
  const modes = ['LEQ', 'LT', 'GTE', 'GT', 'EQ', 'NEQ', 'MEMBER'];
  const members = branches.flatMap(({ node }) => (node.mode === 'MEMBER' ? [...node.members, NaN] : []));
  return {
    tree_roots: { ints: places.map(([root]) => root!) },
    nodes_featureids: { ints: branches.map(({ node }) => node.column) },
    nodes_modes: tensor(
      branches.map(({ node }) => modes.indexOf(node.mode)),
      'uint8',
    ),
    nodes_splits: tensor(branches.map(({ node }) => node.value)),
    nodes_truenodeids: { ints: child('whenTrue') },
    nodes_falsenodeids: { ints: child('whenFalse') },
    nodes_trueleafs: { ints: isLeaf('whenTrue') },
    nodes_falseleafs: { ints: isLeaf('whenFalse') },
    ...(options.tracksMissing
      ? { nodes_missing_value_tracks_true: { ints: branches.map(({ node }) => (node.missingIsTrue ? 1 : 0)) } }
      : {}),
    ...(members.length === 0 ? {} : { membership_values: tensor(members) }),
    leaf_targetids: { ints: leaves.map(({ votes }) => votes[0]!.target) },
    leaf_weights: tensor(leaves.map(({ votes }) => votes[0]!.weight)),
    n_targets: { int: options.targetCount },
    aggregate_function: { int: ['AVERAGE', 'SUM', 'MIN', 'MAX'].indexOf(more.aggregate ?? 'SUM') },
    post_transform: { int: ['NONE', 'SOFTMAX', 'LOGISTIC', 'SOFTMAX_ZERO', 'PROBIT'].indexOf(more.postTransform) },
  };
}
