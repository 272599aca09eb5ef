/**
 * TreeEnsembleRegressor and TreeEnsembleClassifier (ai.onnx.ml 1 to 4) and TreeEnsemble (ai.onnx.ml 5) as trees of
 * nodes with places in one list, whatever they are called in the model.
 * (https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleClassifier.html and its neighbours)
 */
import type { Attribute, WeightedNode } from '../../engines/onnxruntime/model-weights.ts';
import type { Interval } from './column-steps.ts';
import { nextDown, nextUp, type Aggregate, type NumberType, type PostTransform } from './forest.ts';
import { refuse } from './refusal.ts';

export type Mode = 'LEQ' | 'LT' | 'GTE' | 'GT' | 'EQ' | 'NEQ' | 'MEMBER';

/** Leaves have no mode. A child is a place in the ensemble's nodes. */
export type EnsembleNode =
  | {
      readonly mode: Mode;
      readonly column: number;
      /** Of LEQ, LT, GTE and GT. */
      readonly threshold: number;
      /** Of EQ, NEQ and MEMBER. */
      readonly intervals: readonly Interval[];
      /** NaN counts as true. */
      readonly missingIsTrue: boolean;
      readonly whenTrue: number;
      readonly whenFalse: number;
    }
  | { readonly mode: undefined; readonly votes: readonly { readonly target: number; readonly weight: number }[] };

export interface Ensemble {
  readonly nodes: readonly EnsembleNode[];
  /** Places, in the order in which ONNX Runtime adds the trees up. */
  readonly roots: readonly number[];
  readonly targetCount: number;
  readonly aggregate: Aggregate;
  readonly postTransform: PostTransform;
  readonly baseValues: readonly number[];
  /** Of a classifier. */
  readonly labels: readonly number[] | readonly string[] | undefined;
  /** What ONNX Runtime compares and adds up in; its results it rounds to `resultType`. */
  readonly type: NumberType;
  readonly resultType: NumberType;
}

export const ensembleOperators = [
  'ai.onnx.ml.TreeEnsembleRegressor',
  'ai.onnx.ml.TreeEnsembleClassifier',
  'ai.onnx.ml.TreeEnsemble',
] as const;

export function isEnsemble({ operator }: { readonly operator: string }): boolean {
  return ensembleOperators.some((name) => name === operator);
}

/** @param type float64 if the node's input is, float32 for any other number */
export function readEnsemble(node: WeightedNode, type: NumberType): Ensemble {
  return node.operator === 'ai.onnx.ml.TreeEnsemble' ? readVersion5(node, type) : readVersion3(node, type);
}

function readVersion3(node: WeightedNode, type: NumberType): Ensemble {
  const { attributes } = node;
  const isClassifier = node.operator.endsWith('Classifier');
  const votes = isClassifier ? 'class' : 'target';
  const ints = (name: string): Float64Array => attributes.get(name)?.ints ?? new Float64Array(0);
  const numbers = (name: string): ArrayLike<number> =>
    attributes.get(`${name}_as_tensor`)?.tensor?.values ?? attributes.get(name)?.floats ?? [];
  const treeIds = ints('nodes_treeids');
  const nodeIds = ints('nodes_nodeids');
  const modes = attributes.get('nodes_modes')?.texts ?? [];
  const columns = ints('nodes_featureids');
  const values = numbers('nodes_values');
  const missing = ints('nodes_missing_value_tracks_true');
  const whenTrue = ints('nodes_truenodeids');
  const whenFalse = ints('nodes_falsenodeids');
  const placeOf = findPlaces(treeIds, nodeIds);
  const leafVotes = new Map<number, { target: number; weight: number }[]>();
  const voteTrees = ints(`${votes}_treeids`);
  const voteNodes = ints(`${votes}_nodeids`);
  const voteTargets = ints(`${votes}_ids`);
  const voteWeights = numbers(`${votes}_weights`);
  voteTrees.forEach((tree, vote) => {
    const place = placeOf(tree, voteNodes[vote]!);
    let list = leafVotes.get(place);
    if (list === undefined) leafVotes.set(place, (list = []));
    list.push({ target: voteTargets[vote]!, weight: voteWeights[vote]! });
  });
  const labels = isClassifier ? labelsOf(attributes) : undefined;
  return {
    nodes: Array.from(treeIds, (tree, place): EnsembleNode => {
      if (modes[place] === 'LEAF') return { mode: undefined, votes: leafVotes.get(place) ?? [] };
      return {
        mode: modeOf(modes[place] ?? ''),
        column: columns[place]!,
        threshold: values[place]!,
        intervals: modes[place] === 'BRANCH_EQ' || modes[place] === 'BRANCH_NEQ' ? pointOf(values[place]!) : [],
        missingIsTrue: missing[place] === 1,
        whenTrue: placeOf(tree, whenTrue[place]!),
        whenFalse: placeOf(tree, whenFalse[place]!),
      };
    }),
    // The first node of a tree is its root, and a tree is a stretch of nodes.
    roots: Array.from(treeIds.keys()).filter((place) => place === 0 || treeIds[place] !== treeIds[place - 1]),
    targetCount: labels?.length ?? intOf(attributes, 'n_targets', 0),
    aggregate: isClassifier ? 'SUM' : aggregateOf(attributes.get('aggregate_function')?.texts[0] ?? 'SUM'),
    postTransform: postTransformOf(attributes.get('post_transform')?.texts[0] ?? 'NONE'),
    baseValues: Array.from(numbers('base_values')),
    labels,
    type,
    resultType: 'float32',
  };
}

/** Gives the place of a node. Mostly nodes are numbered in order from the first one of their tree. */
function findPlaces(treeIds: Float64Array, nodeIds: Float64Array): (tree: number, id: number) => number {
  const firsts = new Map<number, number>();
  treeIds.forEach((tree, place) => {
    if (!firsts.has(tree)) firsts.set(tree, place);
  });
  let others: ReadonlyMap<string, number> | undefined;
  return (tree, id) => {
    const guess = (firsts.get(tree) ?? NaN) + id;
    if (treeIds[guess] === tree && nodeIds[guess] === id) return guess;
    others ??= new Map(Array.from(treeIds, (each, place) => [`${each} ${nodeIds[place]}`, place]));
    return others.get(`${tree} ${id}`) ?? refuse(`node ${id} of tree ${tree} is not there`);
  };
}

const modesVersion5: readonly Mode[] = ['LEQ', 'LT', 'GTE', 'GT', 'EQ', 'NEQ', 'MEMBER'];
const aggregatesVersion5: readonly Aggregate[] = ['AVERAGE', 'SUM', 'MIN', 'MAX'];
/** By ONNX Runtime's numbers, which it takes version 5 for too (found by trying): ONNX has 1 and 2 the other way round. */
const postTransforms: readonly PostTransform[] = ['NONE', 'LOGISTIC', 'SOFTMAX', 'SOFTMAX_ZERO', 'PROBIT'];

function readVersion5({ attributes }: WeightedNode, type: NumberType): Ensemble {
  const ints = (name: string): Float64Array => attributes.get(name)?.ints ?? new Float64Array(0);
  const tensor = (name: string): Float64Array => attributes.get(name)?.tensor?.values ?? new Float64Array(0);
  const modes = Array.from(tensor('nodes_modes'), (mode) => modesVersion5[mode] ?? refuse(`mode ${mode} of a node`));
  const columns = ints('nodes_featureids');
  const splits = tensor('nodes_splits');
  const missing = ints('nodes_missing_value_tracks_true');
  const targets = ints('leaf_targetids');
  const weights = tensor('leaf_weights');
  const members = membersOf(modes, tensor('membership_values'));
  const childOf = (isLeaf: Float64Array, children: Float64Array, place: number): number =>
    children[place]! + (isLeaf[place] === 1 ? modes.length : 0);
  const trueLeaves = ints('nodes_trueleafs');
  const falseLeaves = ints('nodes_falseleafs');
  const whenTrue = ints('nodes_truenodeids');
  const whenFalse = ints('nodes_falsenodeids');
  return {
    nodes: [
      ...modes.map((mode, place): EnsembleNode => ({
        mode,
        column: columns[place]!,
        threshold: splits[place]!,
        intervals: mode === 'MEMBER' ? memberIntervals(members[place]!, type) : pointOf(splits[place]!),
        missingIsTrue: missing[place] === 1,
        whenTrue: childOf(trueLeaves, whenTrue, place),
        whenFalse: childOf(falseLeaves, whenFalse, place),
      })),
      ...Array.from(targets, (target, leaf): EnsembleNode => ({
        mode: undefined,
        votes: [{ target, weight: weights[leaf]! }],
      })),
    ],
    // A tree that is a single leaf has a root that goes to it either way.
    roots: Array.from(ints('tree_roots')),
    targetCount: intOf(attributes, 'n_targets', 0),
    aggregate: aggregatesVersion5[intOf(attributes, 'aggregate_function', 1)] ?? refuse('an unknown aggregate'),
    postTransform: postTransforms[intOf(attributes, 'post_transform', 0)] ?? refuse('an unknown post-transform'),
    baseValues: [],
    labels: undefined,
    type,
    resultType: type,
  };
}

/** By node: values up to the next NaN, for each MEMBER in turn. */
function membersOf(modes: readonly Mode[], values: Float64Array): number[][] {
  let next = 0;
  return modes.map((mode) => {
    const members: number[] = [];
    if (mode !== 'MEMBER') return members;
    for (; next < values.length && !Number.isNaN(values[next]!); next++) members.push(values[next]!);
    next++;
    return members;
  });
}

/** What equals a value; nothing equals NaN. */
function pointOf(value: number): Interval[] {
  return Number.isNaN(value) ? [] : [[value, value]];
}

/**
 * What ONNX Runtime finds in a set. Small sets are compared value by value; of others it looks up the whole part of a
 * value (TreeEnsembleAttributesV5::transformInputOneTree, BRANCH_MEMBER_BIGSET).
 */
function memberIntervals(members: readonly number[], type: NumberType): Interval[] {
  const isSmall = members.length < 31 && members.every((member) => member >= 0 && member <= 30);
  return members.flatMap((member): Interval[] => {
    if (isSmall) return pointOf(member);
    const below = Math.min(member, nextUp(type, member - 1));
    const above = Math.max(member, nextDown(type, member + 1));
    return [[member > 0 ? member : below, member < 0 ? member : above]];
  });
}

function labelsOf(attributes: ReadonlyMap<string, Attribute>): readonly number[] | readonly string[] {
  const texts = attributes.get('classlabels_strings')?.texts ?? [];
  return texts.length > 0 ? texts : Array.from(attributes.get('classlabels_int64s')?.ints ?? []);
}

function intOf(attributes: ReadonlyMap<string, Attribute>, name: string, otherwise: number): number {
  return attributes.get(name)?.ints[0] ?? otherwise;
}

const modesByText = new Map(modesVersion5.map((mode) => [`BRANCH_${mode}`, mode]));

function modeOf(text: string): Mode {
  return modesByText.get(text) ?? refuse(`mode ${text} of a node`);
}

function aggregateOf(text: string): Aggregate {
  return aggregatesVersion5.find((aggregate) => aggregate === text) ?? refuse(`aggregate ${text}`);
}

function postTransformOf(text: string): PostTransform {
  return postTransforms.find((postTransform) => postTransform === text) ?? refuse(`post-transform ${text}`);
}
