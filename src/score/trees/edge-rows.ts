/** Rows on the edges of a forest's leaves: below, at and above what its nodes compare with, and what is no number. */
import { oddValues, pickSome } from '../kernels/made-up.ts';
import { nextDown, nextUp, type Forest, type NumberType } from './forest.ts';
import { goesRight } from './reference.ts';

/** Values of some of the forest's columns. */
export type EdgeRow = ReadonlyMap<number, number>;

/** Larger than what thresholds are, and finite in both types, also after a scaler of usual size. */
const large = 1e30;

/**
 * First rows whose columns all hold the same odd value. Then, of each node, rows that come to it from its root and hold
 * there what it compares with and the neighbours of that; of a forest with more nodes, of some. Then rows with a single
 * odd value.
 * @param random in [0, 1)
 */
export function edgeRows(forest: Forest, rowsMax: number, random: () => number): EdgeRow[] {
  const columns = Array.from({ length: forest.columnCount }, (_, column) => column);
  if (columns.length === 0) return [];
  const values = [...oddValues, large, -large];
  const whole = values.map((value) => new Map(columns.map((column) => [column, value])));
  const some = pickSome(columns, rowsMax / 8 / values.length, random);
  const single = some.flatMap((column) => values.map((value) => new Map([[column, value]])));
  const edges = nodeRows(forest, rowsMax - whole.length - single.length, random);
  return [...whole, ...pickSome([...edges, ...single], edges.length + single.length, random)].slice(0, rowsMax);
}

function nodeRows(forest: Forest, rowsMax: number, random: () => number): EdgeRow[] {
  const nodeCount = forest.columns.length;
  const parents = parentsOf(forest);
  const rows: EdgeRow[] = [];
  // A node gives three rows mostly: of fewer nodes than that all are taken.
  const areAll = 3 * nodeCount <= rowsMax;
  const tries = areAll ? nodeCount : rowsMax;
  for (let at = 0; at < tries && rows.length < rowsMax; at++) {
    rows.push(...rowsAt(forest, parents, areAll ? at : Math.floor(random() * nodeCount), random));
  }
  return rows.slice(0, Math.max(0, rowsMax));
}

function parentsOf({ left, right }: Forest): Int32Array {
  const parents = new Int32Array(left.length).fill(-1);
  for (let node = 0; node < left.length; node++) {
    if (left[node]! >= 0) parents[left[node]!] = node;
    if (right[node]! >= 0) parents[right[node]!] = node;
  }
  return parents;
}

/** Rows that come to a node and hold a value at which it decides; none where nothing comes there. */
function rowsAt(forest: Forest, parents: Int32Array, node: number, random: () => number): EdgeRow[] {
  const own = forest.columns[node]!;
  let deciding = valuesAround(forest, node, random);
  const row = new Map<number, number>();
  for (let child = node, parent = parents[node]!; parent >= 0; child = parent, parent = parents[parent]!) {
    const column = forest.columns[parent]!;
    const isRight = forest.right[parent] === child;
    const goesOn = (value: number): boolean => goesRight(forest, parent, value) === isRight;
    if (column === own) {
      deciding = deciding.filter(goesOn);
      continue;
    }
    // Of several tests of a column the lowest one is the narrowest on its side: what just passes it passes those above.
    const value = row.get(column) ?? valuesAround(forest, parent, random).find(goesOn);
    if (value === undefined || !goesOn(value)) return [];
    row.set(column, value);
  }
  return deciding.map((value) => new Map(row).set(own, value));
}

/** What a node compares with, and the numbers next to it; of a set the bounds of one of its intervals. */
function valuesAround(forest: Forest, node: number, random: () => number): number[] {
  const { columnType } = forest;
  const set = forest.setIndices[node]!;
  if (set < 0) return around(columnType, forest.thresholds[node]!);
  const bounds = forest.sets[set]!;
  const interval = 2 * Math.floor((random() * bounds.length) / 2);
  return [...new Set(bounds.subarray(interval, interval + 2))].flatMap((bound) => around(columnType, bound));
}

function around(type: NumberType, value: number): number[] {
  return Number.isFinite(value) ? [value, nextDown(type, value), nextUp(type, value)] : [value];
}
