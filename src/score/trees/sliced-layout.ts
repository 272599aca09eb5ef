/**
 * Where the sliced kernel keeps what. It scores a block of rows at once, one bit of a vector for each row:
 * 1. the rank of every value among the cuts of its column sets one bit of one entry (`hits`);
 * 2. running along the entries gives, for each cut, the rows that lie above it (`above`);
 * 3. a node splits the rows that reach it by two instructions, until each leaf of a tree has its rows (`slots`);
 * 4. leaf numbers are put together from the bits, and their votes are summed up row by row, in the order of the trees.
 */
import { forestRunTreesMax } from '../../limits.ts';
import { leavesOf, type Forest } from './forest.ts';
import { nanRank, planCuts, ranksBetween, rankOf, type ColumnCuts } from './cuts.ts';

export interface SlicedColumn extends ColumnCuts {
  /** In the tables: the cuts, padded with +Infinity. */
  readonly cutsAt: number;
  /** In the scratch: an entry for each rank, that of NaN included. */
  readonly hitsAt: number;
  /**
   * In the scratch: where the rows above each cut come to lie, without and with those that hold NaN: one entry more than
   * there are cuts. One of the two takes the place of `hits`.
   */
  readonly aboveAt: number;
  readonly aboveWithNanAt: number;
}

/** Rows for which one set's test says right. */
export interface SlicedSet {
  readonly at: number;
  /** Entries of `hits` that it is the union of. */
  readonly hits: readonly number[];
}

export interface ForestTree {
  readonly root: number;
  /** From left to right. */
  readonly leaves: readonly number[];
  /** Target of all votes; 0 where each leaf may vote for several. */
  readonly target: number;
}

export interface SlicedTree extends ForestTree {
  /** Leaves after padding: there is one piece of code for each such number. */
  readonly leafCount: number;
}

/** Trees whose leaf numbers are found before their votes are summed up. */
export interface SlicedRun {
  readonly target: number;
  readonly first: number;
  readonly end: number;
}

export interface SlicedLayout {
  /** 128 rows each; an entry has as many. */
  readonly vectorCount: number;
  readonly blockRows: number;
  readonly entryBytes: number;
  readonly columns: readonly SlicedColumn[];
  readonly sets: readonly SlicedSet[];
  /** By a node: the entry that says which rows go right. */
  entryOf(node: number): number;
  readonly trees: readonly SlicedTree[];
  readonly runs: readonly SlicedRun[];
  /** Leaves vote for one target each, the same in a tree; else each for all targets, row by row. */
  readonly hasOneTarget: boolean;
  /** Sums that lie beside each other: 1, or one for each target and padding. */
  readonly sumWidth: number;
  readonly voteBytes: number;
  /** A leaf number's byte holds it times 2^indexShift. */
  readonly indexShift: number;
  /** Leaf numbers take two bytes, the upper ones `runBytes` behind the lower ones. */
  readonly isWide: boolean;
  readonly runBytes: number;
  /** Offsets in what all threads share. */
  readonly tables: {
    readonly bytes: number;
    readonly trees: number;
    readonly splits: number;
    readonly leaves: number;
    readonly sets: number;
  };
  /** Offsets in a thread's own. */
  readonly scratch: {
    readonly bytes: number;
    readonly columns: number;
    readonly zero: number;
    readonly slots: number;
    readonly indices: number;
    readonly sums: number;
  };
}

/** Bytes of the tables for each tree and each split. */
export const treeBytes = 16;
export const splitBytes = 8;

export function layOutSliced(forest: Forest, vectorCount: number): SlicedLayout {
  const entryBytes = 16 * vectorCount;
  const blockRows = 128 * vectorCount;
  const numberBytes = forest.columnType === 'float32' ? 4 : 8;
  const voteBytes = forest.sumType === 'float32' ? 4 : 8;
  const hasOneTarget = votesForOneTarget(forest);
  const trees = planTrees(forest, hasOneTarget).map((tree) => ({
    ...tree,
    leafCount: paddedCount(tree.leaves.length),
  }));
  const lanes = 16 / voteBytes;
  const sumWidth = hasOneTarget ? 1 : Math.ceil(forest.targetCount / lanes) * lanes;
  const leafCountMax = Math.max(...trees.map(({ leafCount }) => leafCount));
  const isWide = leafCountMax > 256;
  const shiftMax = hasOneTarget ? Math.log2(voteBytes) : 0;
  const indexShift = isWide ? 0 : Math.min(shiftMax, Math.floor(Math.log2(256 / leafCountMax)));

  const tables = counter();
  const scratch = counter();
  const columnsAt = scratch.take(4 * forest.columnCount);
  const zero = scratch.take(entryBytes);
  const columns = planCuts(forest).map((cuts): SlicedColumn => {
    const hitsAt = scratch.take((nanRank(cuts) + 1) * entryBytes);
    const needsBoth = cuts.sendsNanLeft && cuts.sendsNanRight;
    const aboveWithNanAt = needsBoth ? scratch.take((cuts.cuts.length + 1) * entryBytes) : hitsAt;
    return { ...cuts, cutsAt: tables.take(nanRank(cuts) * numberBytes), hitsAt, aboveAt: hitsAt, aboveWithNanAt };
  });
  const { sets, entryOf } = layOutTests(forest, columns, entryBytes, scratch.take);
  const total = (count: (tree: SlicedTree) => number): number => trees.reduce((sum, tree) => sum + count(tree), 0);
  return {
    vectorCount,
    blockRows,
    entryBytes,
    columns,
    sets,
    entryOf,
    trees,
    runs: planRuns(trees),
    hasOneTarget,
    sumWidth,
    voteBytes,
    indexShift,
    isWide,
    runBytes: forestRunTreesMax * blockRows,
    scratch: {
      columns: columnsAt,
      zero,
      slots: scratch.take(leafCountMax * entryBytes),
      indices: scratch.take(forestRunTreesMax * blockRows * (isWide ? 2 : 1)),
      sums: scratch.take((hasOneTarget ? forest.targetCount : sumWidth) * blockRows * voteBytes),
      bytes: scratch.taken(),
    },
    tables: {
      trees: tables.take(trees.length * treeBytes),
      splits: tables.take(total(({ leafCount }) => leafCount - 1) * splitBytes),
      leaves: tables.take(total(({ leaves }) => leaves.length) * sumWidth * voteBytes),
      sets: tables.take(sets.reduce((sum, { hits }) => sum + setBytes(hits.length), 0)),
      bytes: tables.taken(),
    },
  };
}

/** Bytes of the tables for a set: where it lies, how many entries it is made of, which. */
export function setBytes(hitCount: number): number {
  return 8 + 4 * hitCount;
}

/** Gives offsets of pieces, one after another, each at a cache line's start. */
export function counter(): { take(bytes: number): number; taken(): number } {
  let next = 0;
  return {
    take(bytes) {
      const at = next;
      next += Math.ceil(bytes / 64) * 64;
      return at;
    },
    taken: () => next,
  };
}

/** Whether every leaf has one vote, for its tree's own target. */
export function votesForOneTarget(forest: Forest): boolean {
  return Array.from(forest.roots).every((root) => {
    const leaves = leavesOf(forest, root);
    const target = forest.voteTargets[forest.leafStarts[leaves[0]!]!];
    return leaves.every((leaf) => {
      const start = forest.leafStarts[leaf]!;
      return forest.leafStarts[leaf + 1] === start + 1 && forest.voteTargets[start] === target;
    });
  });
}

/** Trees that vote for the same target follow one another, in their own order. */
export function planTrees(forest: Forest, hasOneTarget: boolean): ForestTree[] {
  const trees = Array.from(forest.roots, (root) => {
    const leaves = leavesOf(forest, root);
    const target = hasOneTarget ? forest.voteTargets[forest.leafStarts[leaves[0]!]!]! : 0;
    return { root, leaves, target };
  });
  return trees.sort((one, other) => one.target - other.target);
}

function paddedCount(leafCount: number): number {
  const step = leafCount <= 32 ? 4 : leafCount <= 128 ? 16 : 64;
  return Math.ceil(leafCount / step) * step;
}

function planRuns(trees: readonly SlicedTree[]): SlicedRun[] {
  const runs: SlicedRun[] = [];
  for (let first = 0; first < trees.length;) {
    const { target } = trees[first]!;
    let end = first + 1;
    while (end < trees.length && trees[end]!.target === target && end - first < forestRunTreesMax) end++;
    runs.push({ target, first, end });
    first = end;
  }
  return runs;
}

function layOutTests(
  forest: Forest,
  columns: readonly SlicedColumn[],
  entryBytes: number,
  take: (bytes: number) => number,
): Pick<SlicedLayout, 'sets' | 'entryOf'> {
  const byColumn = new Map(columns.map((column) => [column.column, column]));
  const sets = new Map<string, SlicedSet>();
  const keyOf = (node: number): string => `${forest.columns[node]} ${forest.setIndices[node]} ${forest.nanRight[node]}`;
  forest.setIndices.forEach((set, node) => {
    if (set < 0 || sets.has(keyOf(node))) return;
    const column = byColumn.get(forest.columns[node]!)!;
    const bounds = forest.sets[set]!;
    const ranks: number[] = [];
    for (let at = 0; at < bounds.length; at += 2) {
      const [first, last] = ranksBetween(column, forest.columnType, bounds[at]!, bounds[at + 1]!);
      for (let rank = first; rank <= last; rank++) ranks.push(rank);
    }
    if (forest.nanRight[node] === 1) ranks.push(nanRank(column));
    sets.set(keyOf(node), { at: take(entryBytes), hits: ranks.map((rank) => column.hitsAt + rank * entryBytes) });
  });
  return {
    sets: [...sets.values()],
    entryOf(node) {
      if (forest.setIndices[node]! >= 0) return sets.get(keyOf(node))!.at;
      const column = byColumn.get(forest.columns[node]!)!;
      const start = forest.nanRight[node] === 1 ? column.aboveWithNanAt : column.aboveAt;
      // Above cut k are the ranks from k + 1 on.
      return start + (rankOf(column, forest.thresholds[node]!) + 1) * entryBytes;
    },
  };
}
