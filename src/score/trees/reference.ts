/** The forest row by row, as the kernels must score it: sums in the order and the precision of ONNX Runtime on one thread. */
import type { Forest } from './forest.ts';

/** Number of the leaf that a row of column values reaches from a root. */
export function leafOf(forest: Forest, root: number, row: ArrayLike<number>): number {
  let place = root;
  while (place >= 0) {
    const isRight = goesRight(forest, place, row[forest.columns[place]!]!);
    place = isRight ? forest.right[place]! : forest.left[place]!;
  }
  return ~place;
}

/** Where a node sends a row that has this value in the node's column. */
export function goesRight(forest: Forest, node: number, value: number): boolean {
  if (Number.isNaN(value)) return forest.nanRight[node] === 1;
  const set = forest.setIndices[node]!;
  if (set < 0) return value > forest.thresholds[node]!;
  const bounds = forest.sets[set]!;
  return bounds.some((low, at) => at % 2 === 0 && value >= low && value <= bounds[at + 1]!);
}

/** One sum (or least, or largest) of votes for each target; 0 where no leaf votes. */
export function sumsOf(forest: Forest, row: ArrayLike<number>): number[] {
  const round = forest.sumType === 'float32' ? Math.fround : (value: number) => value;
  const sums: (number | undefined)[] = new Array<undefined>(forest.targetCount).fill(undefined);
  for (const root of forest.roots) {
    const leaf = leafOf(forest, root, row);
    for (let vote = forest.leafStarts[leaf]!; vote < forest.leafStarts[leaf + 1]!; vote++) {
      const target = forest.voteTargets[vote]!;
      const weight = forest.voteWeights[vote]!;
      const sum = sums[target];
      if (sum === undefined) sums[target] = weight;
      else if (forest.aggregate === 'MIN') sums[target] = Math.min(sum, weight);
      else if (forest.aggregate === 'MAX') sums[target] = Math.max(sum, weight);
      else sums[target] = round(sum + weight);
    }
  }
  return sums.map((sum) => sum ?? 0);
}
