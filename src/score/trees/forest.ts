/** A forest as kernels score it: plain data, which crosses threads, with every kind of node brought to one of two tests. */

/**
 * Trees of two-way tests. A test of a node sends a row to the right or to the left:
 * - a threshold: right where x > threshold, and where x is NaN if `nanRight` says so;
 * - a set of intervals: right where x lies in one of them, and where x is NaN if `nanRight` says so.
 * A number >= 0 names a node, one below 0 the leaf with its bits inverted.
 */
export interface Forest {
  readonly columnCount: number;
  /** Of the columns' values; thresholds and intervals are exact in it. */
  readonly columnType: NumberType;
  /** Of the leaves' weights and their sums, as ONNX Runtime adds them up. */
  readonly sumType: NumberType;
  /** One entry for each tree: its node or leaf. */
  readonly roots: Int32Array;
  /** One entry for each node, in the next five. */
  readonly columns: Int32Array;
  readonly thresholds: Float64Array;
  /** -1: a threshold; else a place in `sets`. */
  readonly setIndices: Int32Array;
  readonly nanRight: Uint8Array;
  readonly left: Int32Array;
  readonly right: Int32Array;
  /** The least and the largest number of each interval, in turn. */
  readonly sets: readonly Float64Array[];
  /** Votes of leaf i: from leafStarts[i] to leafStarts[i + 1] in the next two. */
  readonly leafStarts: Int32Array;
  readonly voteTargets: Int32Array;
  readonly voteWeights: Float64Array;
  readonly targetCount: number;
  /** What becomes of several votes for one target. An average is a sum until the end. */
  readonly aggregate: Aggregate;
}

export type NumberType = 'float32' | 'float64';

export type Aggregate = 'SUM' | 'AVERAGE' | 'MIN' | 'MAX';
export type PostTransform = 'NONE' | 'LOGISTIC' | 'SOFTMAX' | 'SOFTMAX_ZERO' | 'PROBIT';

/** Leaves of the tree at a root, in the order of a walk that goes left first. */
export function leavesOf(forest: Forest, root: number): number[] {
  const leaves: number[] = [];
  const stack = [root];
  for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
    if (place < 0) leaves.push(~place);
    else stack.push(forest.right[place]!, forest.left[place]!);
  }
  return leaves;
}

/** The smallest number of the type that is larger; Infinity has none. */
export function nextUp(type: NumberType, value: number): number {
  return -nextDown(type, -value);
}

/** One number, as what it is and as its bits. */
const singles = new Float32Array(1);
const singleBits = new Int32Array(singles.buffer);
const doubles = new Float64Array(1);
const doubleBits = new BigInt64Array(doubles.buffer);

/** The largest number of the type that is smaller; -Infinity has none. */
export function nextDown(type: NumberType, value: number): number {
  if (value === -Infinity) throw new RangeError('Nothing is below -Infinity. This is a bug.');
  if (value === 0) return type === 'float32' ? -(2 ** -149) : -Number.MIN_VALUE;
  const step = value > 0 ? -1 : 1;
  if (type === 'float32') {
    singles[0] = value;
    singleBits[0]! += step;
    return singles[0];
  }
  doubles[0] = value;
  doubleBits[0]! += BigInt(step);
  return doubles[0];
}
