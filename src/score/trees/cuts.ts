/**
 * The numbers at which a forest's tests cut its columns. A value's rank among the sorted cuts of its column is how many
 * of them lie below it; every test of a node is a question about that rank alone.
 */
import { nextDown, type Forest, type NumberType } from './forest.ts';

export interface ColumnCuts {
  readonly column: number;
  /** Different ones, ascending; +Infinity may be the last. */
  readonly cuts: Float64Array;
  /** Steps of the search for a rank: 2^levels - 1 cuts after padding with +Infinity. */
  readonly levels: number;
  /** Whether there are thresholds that send NaN to the left, and to the right. */
  readonly sendsNanLeft: boolean;
  readonly sendsNanRight: boolean;
}

/** One for each column that some node tests, in the order of the columns. */
export function planCuts(forest: Forest): ColumnCuts[] {
  const found = new Map<number, { cuts: Set<number>; sendsNanLeft: boolean; sendsNanRight: boolean }>();
  forest.columns.forEach((column, node) => {
    const entry = found.get(column) ?? { cuts: new Set(), sendsNanLeft: false, sendsNanRight: false };
    found.set(column, entry);
    const set = forest.setIndices[node]!;
    if (set < 0) {
      entry.cuts.add(forest.thresholds[node]!);
      if (forest.nanRight[node] === 1) entry.sendsNanRight = true;
      else entry.sendsNanLeft = true;
      return;
    }
    const bounds = forest.sets[set]!;
    for (let at = 0; at < bounds.length; at += 2) {
      const below = lowerCut(forest.columnType, bounds[at]!);
      if (below !== undefined) entry.cuts.add(below);
      entry.cuts.add(bounds[at + 1]!);
    }
  });
  return [...found.entries()]
    .sort(([one], [other]) => one - other)
    .map(([column, { cuts: set, ...sends }]) => {
      const cuts = Float64Array.from(set).sort();
      // Two more than there are cuts: a rank for what is above all of them, and one for NaN.
      return { column, cuts, levels: Math.ceil(Math.log2(cuts.length + 2)), ...sends };
    });
}

/** What lies above this cut is `low` or more; nothing needs to be cut below -Infinity. */
function lowerCut(type: NumberType, low: number): number | undefined {
  return low === -Infinity ? undefined : nextDown(type, low);
}

/** First and last rank of the numbers from `low` to `high`, the bounds of a set. */
export function ranksBetween(cuts: ColumnCuts, type: NumberType, low: number, high: number): [number, number] {
  const below = lowerCut(type, low);
  return [below === undefined ? 0 : rankOf(cuts, below) + 1, rankOf(cuts, high)];
}

/** The rank of NaN: above all padding, which no number is. */
export function nanRank({ levels }: ColumnCuts): number {
  return 2 ** levels - 1;
}

/** How many cuts are below this one. */
export function rankOf({ column, cuts }: ColumnCuts, value: number): number {
  let low = 0;
  let high = cuts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cuts[middle]! < value) low = middle + 1;
    else high = middle;
  }
  if (cuts[low] !== value) throw new RangeError(`${value} cuts nothing of column ${column}. This is a bug.`);
  return low;
}
