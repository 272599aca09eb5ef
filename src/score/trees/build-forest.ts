/** From the nodes of a model's ensemble to a forest of tests of columns. */
import { treeNodesMax } from '../../limits.ts';
import { foldSteps, type ColumnStep, type FoldedTest, type Test } from './column-steps.ts';
import { nextDown, type Forest, type NumberType } from './forest.ts';
import type { Ensemble, EnsembleNode } from './read-ensemble.ts';
import { refuse } from './refusal.ts';

/** One for each column that the ensemble sees. */
export interface EnsembleColumn {
  /** Of the forest. */
  readonly column: number;
  readonly steps: readonly ColumnStep[];
}

type Branch = Extract<EnsembleNode, { mode: string }>;

export function buildForest(
  ensemble: Ensemble,
  columnAt: (index: number) => EnsembleColumn,
  columnType: NumberType,
): Omit<Forest, 'columnCount'> {
  const builder = new ForestBuilder(ensemble, columnAt, columnType);
  return builder.build();
}

class ForestBuilder {
  readonly #ensemble: Ensemble;
  readonly #columnAt: (index: number) => EnsembleColumn;
  readonly #columnType: NumberType;
  readonly #columns: number[] = [];
  readonly #thresholds: number[] = [];
  readonly #setIndices: number[] = [];
  readonly #nanRight: number[] = [];
  readonly #left: number[] = [];
  readonly #right: number[] = [];
  readonly #sets: Float64Array[] = [];
  readonly #leafStarts: number[] = [0];
  readonly #voteTargets: number[] = [];
  readonly #voteWeights: number[] = [];
  /** By place in the ensemble: leaves may be reached in more than one way. */
  readonly #leaves = new Map<number, number>();

  constructor(ensemble: Ensemble, columnAt: (index: number) => EnsembleColumn, columnType: NumberType) {
    this.#ensemble = ensemble;
    this.#columnAt = columnAt;
    this.#columnType = columnType;
  }

  build(): Omit<Forest, 'columnCount'> {
    const { aggregate, roots, targetCount, type } = this.#ensemble;
    return {
      columnType: this.#columnType,
      sumType: type,
      roots: Int32Array.from(roots, (root) => this.#addTree(root)),
      columns: Int32Array.from(this.#columns),
      thresholds: Float64Array.from(this.#thresholds),
      setIndices: Int32Array.from(this.#setIndices),
      nanRight: Uint8Array.from(this.#nanRight),
      left: Int32Array.from(this.#left),
      right: Int32Array.from(this.#right),
      sets: this.#sets,
      leafStarts: Int32Array.from(this.#leafStarts),
      voteTargets: Int32Array.from(this.#voteTargets),
      voteWeights: Float64Array.from(this.#voteWeights),
      targetCount,
      aggregate,
    };
  }

  /** A node that several others lead to is copied for each. */
  #addTree(root: number): number {
    const first = this.#columns.length;
    // What is to be added, and where the parent waits for its place.
    const stack: { place: number; depth: number; put: (place: number) => void }[] = [];
    let top = 0;
    stack.push({ place: root, depth: 0, put: (place) => void (top = place) });
    for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
      const node = this.#ensemble.nodes[next.place];
      if (node === undefined) refuse(`a tree leads to node ${next.place}, which is not there`);
      if (node.mode === undefined) {
        next.put(~this.#addLeaf(next.place, node.votes));
        continue;
      }
      // A loop is as deep as can be.
      if (this.#columns.length - first > treeNodesMax || next.depth > treeNodesMax) {
        refuse(`a tree has more than ${treeNodesMax} nodes`);
      }
      const { branch, whenFalse } = this.#mergeEquals(node);
      const { test, swaps } = this.#testOf(branch);
      const at = this.#addNode(this.#columnAt(branch.column).column, test);
      next.put(at);
      const isRightTrue = swaps !== isTrueRight(branch);
      const depth = next.depth + 1;
      stack.push(
        { place: branch.whenTrue, depth, put: (place) => void ((isRightTrue ? this.#right : this.#left)[at] = place) },
        { place: whenFalse, depth, put: (place) => void ((isRightTrue ? this.#left : this.#right)[at] = place) },
      );
    }
    return top;
  }

  /** A chain of EQ, as exporters write a set: each leads to the same node when true, and to the next one when false. */
  #mergeEquals(node: Branch): { readonly branch: Branch; readonly whenFalse: number } {
    const intervals = [...node.intervals];
    let { whenFalse } = node;
    while (node.mode === 'EQ' || node.mode === 'MEMBER') {
      const next: EnsembleNode | undefined = this.#ensemble.nodes[whenFalse];
      const continues =
        (next?.mode === 'EQ' || next?.mode === 'MEMBER') &&
        next.column === node.column &&
        next.whenTrue === node.whenTrue &&
        next.missingIsTrue === node.missingIsTrue;
      if (!continues) break;
      if (intervals.length > treeNodesMax) refuse(`a chain of tests has more than ${treeNodesMax} nodes`);
      intervals.push(...next.intervals);
      whenFalse = next.whenFalse;
    }
    return { branch: { ...node, intervals }, whenFalse };
  }

  #testOf(branch: Branch): FoldedTest {
    return foldSteps(this.#columnType, this.#columnAt(branch.column).steps, canonicalTest(branch, this.#ensemble.type));
  }

  #addNode(column: number, test: Test): number {
    this.#setIndices.push(test.kind === 'set' ? this.#sets.push(Float64Array.from(test.intervals.flat())) - 1 : -1);
    this.#thresholds.push(test.kind === 'threshold' ? test.threshold : 0);
    this.#nanRight.push(test.nanRight ? 1 : 0);
    this.#left.push(0);
    this.#right.push(0);
    return this.#columns.push(column) - 1;
  }

  #addLeaf(place: number, votes: Extract<EnsembleNode, { mode: undefined }>['votes']): number {
    const known = this.#leaves.get(place);
    if (known !== undefined) return known;
    if (new Set(votes.map(({ target }) => target)).size !== votes.length) {
      refuse('a leaf votes more than once for one target');
    }
    for (const { target, weight } of votes) {
      if (!(target >= 0 && target < this.#ensemble.targetCount)) refuse(`a leaf votes for target ${target}`);
      this.#voteTargets.push(target);
      this.#voteWeights.push(weight);
    }
    const leaf = this.#leafStarts.push(this.#voteTargets.length) - 2;
    this.#leaves.set(place, leaf);
    return leaf;
  }
}

/** Whether `canonicalTest` sends to the right what the branch finds true. */
function isTrueRight({ mode, threshold }: Branch): boolean {
  switch (mode) {
    case 'NEQ':
      return false;
    case 'EQ':
    case 'MEMBER':
      return true;
    case 'LEQ':
    case 'LT':
      // What never holds, but for NaN, is a set of nothing.
      return Number.isNaN(threshold) || (mode === 'LT' && threshold === -Infinity);
    case 'GT':
    case 'GTE':
      return Number.isNaN(threshold) || mode === 'GT' || threshold !== -Infinity;
  }
}

/** A branch as a test, with the side of {@link isTrueRight}. */
function canonicalTest(branch: Branch, type: NumberType): Test {
  const { mode, threshold, intervals, missingIsTrue } = branch;
  // NaN differs from everything.
  const nanRight = mode === 'NEQ' ? false : isTrueRight(branch) === missingIsTrue;
  if (mode === 'EQ' || mode === 'NEQ' || mode === 'MEMBER') return { kind: 'set', intervals, nanRight };
  const isInclusive = mode === 'LEQ' || mode === 'GT';
  if (Number.isNaN(threshold) || (!isInclusive && threshold === -Infinity)) {
    return { kind: 'set', intervals: [], nanRight };
  }
  // There is one zero: -0 is no other place to cut.
  const cut = isInclusive ? threshold : nextDown(type, threshold);
  return { kind: 'threshold', threshold: cut === 0 ? 0 : cut, nanRight };
}
