/** What all threads of the sliced kernel read: cuts, splits, votes. */
import type { Forest } from './forest.ts';
import { setBytes, splitBytes, treeBytes, type SlicedLayout, type SlicedTree } from './sliced-layout.ts';
import { nanRank } from './cuts.ts';

export function slicedTables(forest: Forest, layout: SlicedLayout): Uint8Array<SharedArrayBuffer> {
  const bytes = new Uint8Array(new SharedArrayBuffer(layout.tables.bytes));
  const view = new DataView(bytes.buffer);
  writeCuts(forest, layout, view);
  writeSets(layout, view);
  let split = layout.tables.splits;
  let leaf = layout.tables.leaves;
  layout.trees.forEach((tree, index) => {
    const splitEnd = writeSplits(forest, layout, tree, view, split);
    const place = layout.tables.trees + index * treeBytes;
    view.setUint32(place, split, true);
    view.setUint32(place + 4, splitEnd, true);
    view.setUint32(place + 8, tree.leafCount, true);
    view.setUint32(place + 12, leaf, true);
    split = splitEnd;
    leaf = writeVotes(forest, layout, tree, view, leaf);
  });
  return bytes;
}

function writeCuts(forest: Forest, { columns }: SlicedLayout, view: DataView): void {
  for (const column of columns) {
    for (let rank = 0; rank < nanRank(column); rank++) {
      const cut = column.cuts[rank] ?? Infinity;
      if (forest.columnType === 'float32') view.setFloat32(column.cutsAt + 4 * rank, cut, true);
      else view.setFloat64(column.cutsAt + 8 * rank, cut, true);
    }
  }
}

function writeSets({ sets, tables }: SlicedLayout, view: DataView): void {
  let place = tables.sets;
  for (const { at, hits } of sets) {
    [at, hits.length, ...hits].forEach((value, index) => view.setUint32(place + 4 * index, value, true));
    place += setBytes(hits.length);
  }
}

/**
 * A split names the rows that go right, the slot that it splits and the slot for the right part; what goes left stays.
 * Slots end as the tree's leaves from left to right; splits of no row at all clear those beyond the last.
 * @returns the end of what is written
 */
function writeSplits(forest: Forest, layout: SlicedLayout, tree: SlicedTree, view: DataView, from: number): number {
  const { entryBytes } = layout;
  let at = from;
  const write = (entry: number, slot: number, rightSlot: number): void => {
    view.setUint32(at, entry, true);
    view.setUint16(at + 4, slot * entryBytes, true);
    view.setUint16(at + 6, rightSlot * entryBytes, true);
    at += splitBytes;
  };
  const sizes = leafCounts(forest, tree.root);
  const stack = [{ place: tree.root, slot: 0 }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { place, slot } = next;
    if (place < 0) continue;
    const left = forest.left[place]!;
    const rightSlot = slot + (left < 0 ? 1 : sizes.get(left)!);
    write(layout.entryOf(place), slot, rightSlot);
    stack.push({ place: forest.right[place]!, slot: rightSlot }, { place: left, slot });
  }
  for (let slot = tree.leaves.length; slot < tree.leafCount; slot++) write(layout.scratch.zero, 0, slot);
  return at;
}

/** Leaves below each node of a tree. */
function leafCounts(forest: Forest, root: number): ReadonlyMap<number, number> {
  const sizes = new Map<number, number>();
  const order: number[] = [];
  const stack = [root];
  for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
    if (place < 0) continue;
    order.push(place);
    stack.push(forest.left[place]!, forest.right[place]!);
  }
  const size = (place: number): number => (place < 0 ? 1 : sizes.get(place)!);
  for (const node of order.reverse()) sizes.set(node, size(forest.left[node]!) + size(forest.right[node]!));
  return sizes;
}

function writeVotes(forest: Forest, layout: SlicedLayout, tree: SlicedTree, view: DataView, from: number): number {
  const { hasOneTarget, sumWidth, voteBytes } = layout;
  const write = (place: number, weight: number): void => {
    if (voteBytes === 4) view.setFloat32(place, weight, true);
    else view.setFloat64(place, weight, true);
  };
  tree.leaves.forEach((leaf, position) => {
    const start = from + position * sumWidth * voteBytes;
    for (let vote = forest.leafStarts[leaf]!; vote < forest.leafStarts[leaf + 1]!; vote++) {
      const place = hasOneTarget ? 0 : forest.voteTargets[vote]!;
      write(start + place * voteBytes, forest.voteWeights[vote]!);
    }
  });
  return from + tree.leaves.length * sumWidth * voteBytes;
}
