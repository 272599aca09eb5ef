/**
 * The other way to score a forest, for trees of many leaves: row by row from node to node, eight rows side by side and
 * without branches. Values become whole numbers in the same order first, NaN the largest or the smallest of them, so
 * that a node is one comparison; a leaf leads to itself.
 */
import { walkedRows } from '../../limits.ts';
import type { Forest } from './forest.ts';
import { counter, planTrees, votesForOneTarget, type ForestTree } from './sliced-layout.ts';

/** A column of keys: what NaN becomes is the largest key, or the smallest. */
export interface KeyColumn {
  readonly column: number;
  readonly nanRight: boolean;
}

export interface WalkLayout {
  readonly blockRows: number;
  readonly keys: readonly KeyColumn[];
  /** Place in `keys` of what a node tests. */
  keyOf(node: number): number;
  readonly trees: readonly ForestTree[];
  readonly hasOneTarget: boolean;
  readonly sumWidth: number;
  /** Votes of a leaf. */
  readonly voteBytes: number;
  /** Offsets in what all threads share: for each tree, and for each node what it tests and what it votes. */
  readonly tables: { readonly trees: number; readonly nodes: number; readonly votes: number; readonly bytes: number };
  readonly scratch: { readonly columns: number; readonly keys: number; readonly sums: number; readonly bytes: number };
}

/** Bits of a node's second half that name its child; the others name its key. */
export const childBits = 22;
const keysMax = 2 ** (32 - childBits);
/**
 * A tree in the tables: its nodes, its votes, the byte offset of its sums from those of the first target, the steps that
 * all rows take, and how many more a row may need.
 */
export const walkTreeBytes = 20;
export const walkNodeBytes = 8;

/** Why this forest cannot be walked; undefined: it can. */
export function refusesWalk(forest: Forest): string | undefined {
  if (forest.columnType !== 'float32' || forest.sumType !== 'float32') return 'trees of float64';
  if (forest.sets.length > 0) return 'tests for categories';
  if (planKeys(forest).keys.length > keysMax) return `more than ${keysMax} columns`;
  return undefined;
}

function planKeys(forest: Forest): Pick<WalkLayout, 'keys' | 'keyOf'> {
  const places = new Map<number, number>();
  const keys: KeyColumn[] = [];
  const keyOf = (node: number): number => {
    const id = 2 * forest.columns[node]! + forest.nanRight[node]!;
    let place = places.get(id);
    if (place === undefined) {
      place = keys.push({ column: forest.columns[node]!, nanRight: forest.nanRight[node] === 1 }) - 1;
      places.set(id, place);
    }
    return place;
  };
  forest.columns.forEach((_, node) => keyOf(node));
  return { keys, keyOf };
}

export function layOutWalk(forest: Forest): WalkLayout {
  const { keys, keyOf } = planKeys(forest);
  const hasOneTarget = votesForOneTarget(forest);
  const trees = planTrees(forest, hasOneTarget);
  const sumWidth = hasOneTarget ? 1 : Math.ceil(forest.targetCount / 4) * 4;
  const leafCount = trees.reduce((sum, { leaves }) => sum + leaves.length, 0);
  const nodeCount = leafCount * 2 - trees.length;
  const [tables, scratch] = [counter(), counter()];
  return {
    blockRows: walkedRows,
    keys,
    keyOf,
    trees,
    hasOneTarget,
    sumWidth,
    voteBytes: 4 * sumWidth,
    tables: {
      trees: tables.take(trees.length * walkTreeBytes),
      nodes: tables.take(nodeCount * walkNodeBytes),
      votes: tables.take(nodeCount * 4 + (hasOneTarget ? 0 : leafCount * 4 * sumWidth)),
      bytes: tables.taken(),
    },
    scratch: {
      columns: scratch.take(4 * forest.columnCount),
      keys: scratch.take(4 * keys.length * walkedRows),
      sums: scratch.take((hasOneTarget ? forest.targetCount : sumWidth) * walkedRows * 4),
      bytes: scratch.taken(),
    },
  };
}

/** A number's place in the order of all float32; there is one zero, at 0, for thresholds. */
export function keyOfNumber(value: number): number {
  const bits = new Int32Array(Float32Array.of(value).buffer)[0]!;
  return bits < 0 ? bits ^ 0x7fffffff : bits;
}

/** No key is larger: a leaf sends every row to the left, which is itself. */
const leafKey = 0x7fffffff;

/** Children lie side by side, the left one first; a tree's root is its first node. */
export function walkTables(forest: Forest, layout: WalkLayout): Uint8Array<SharedArrayBuffer> {
  const bytes = new Uint8Array(new SharedArrayBuffer(layout.tables.bytes));
  const view = new DataView(bytes.buffer);
  const nodesEnd = layout.trees.reduce((sum, { leaves }) => sum + 2 * leaves.length - 1, 0);
  let first = 0;
  let leafAt = layout.tables.votes + 4 * nodesEnd;
  layout.trees.forEach((tree, index) => {
    const at = layout.tables.trees + index * walkTreeBytes;
    const nodes = layout.tables.nodes + first * walkNodeBytes;
    const votes = layout.tables.votes + first * 4;
    const order = [tree.root];
    const depths = [0];
    for (let place = 0; place < order.length; place++) {
      const node = order[place]!;
      const nodeAt = nodes + place * walkNodeBytes;
      if (node < 0) {
        view.setInt32(nodeAt, leafKey, true);
        view.setUint32(nodeAt + 4, place, true);
        leafAt = writeLeaf(forest, layout, view, votes + 4 * place, leafAt, ~node);
        continue;
      }
      view.setInt32(nodeAt, keyOfNumber(forest.thresholds[node]!), true);
      view.setUint32(nodeAt + 4, (layout.keyOf(node) * 2 ** childBits + order.length) >>> 0, true);
      order.push(forest.left[node]!, forest.right[node]!);
      depths.push(depths[place]! + 1, depths[place]! + 1);
    }
    const { all, more } = stepsOf(depths.filter((_, place) => order[place]! < 0));
    const sums = tree.target * layout.blockRows * 4;
    [nodes, votes, sums, all, more].forEach((value, word) => view.setUint32(at + 4 * word, value, true));
    first += order.length;
  });
  return bytes;
}

/** A few steps too many cost less than looking whether all have arrived. */
const stepsUnseen = 3;

/** From the depths of a tree's leaves; at least one step. */
function stepsOf(depths: readonly number[]): { readonly all: number; readonly more: number } {
  const deepest = depths.reduce((most, depth) => Math.max(most, depth), 1);
  const mean = Math.ceil(depths.reduce((sum, depth) => sum + depth, 0) / depths.length);
  const all = deepest - mean <= stepsUnseen ? deepest : Math.max(1, mean);
  return { all, more: deepest - all };
}

/** With several targets, a leaf's word says where its votes lie. */
function writeLeaf(
  forest: Forest,
  layout: WalkLayout,
  view: DataView,
  at: number,
  votesAt: number,
  leaf: number,
): number {
  const start = forest.leafStarts[leaf]!;
  if (layout.hasOneTarget) {
    view.setFloat32(at, forest.voteWeights[start]!, true);
    return votesAt;
  }
  view.setUint32(at, votesAt, true);
  for (let vote = start; vote < forest.leafStarts[leaf + 1]!; vote++) {
    view.setFloat32(votesAt + 4 * forest.voteTargets[vote]!, forest.voteWeights[vote]!, true);
  }
  return votesAt + layout.voteBytes;
}
