/** Rows that no shard holds, on which a kernel must agree with ONNX Runtime too: shards that are sorted hide half of a model. */

/** A value of a row that is another one than in the row it is made of. */
export interface ValueChange {
  /** Position in the plan's inputs, and within a row. */
  readonly input: number;
  readonly column: number;
  /** The value, or a factor of the one that was there. */
  readonly value: number;
  readonly isFactor: boolean;
}

/** A value in place of the one that was there. */
export function changedTo({ input, column }: Pick<ValueChange, 'input' | 'column'>, value: number): ValueChange {
  return { input, column, value, isFactor: false };
}

/** A multiple of the value that was there. */
export function multipliedBy({ input, column }: Pick<ValueChange, 'input' | 'column'>, value: number): ValueChange {
  return { input, column, value, isFactor: true };
}

/** A made-up row: some row of the shards, changed. */
export type RowChange = readonly ValueChange[];

/**
 * Made-up rows whose scores are of one size, so that the difference of each may be judged as a share of the largest. The
 * first ones matter most: a slow model is tried on few.
 */
export type MadeUpRows = readonly RowChange[];

/** What a row is asked besides numbers: everything that a comparison or a sum may take in another way. */
export const oddValues: readonly number[] = [NaN, 0, -0, Infinity, -Infinity];

/** `count` of the items, or all where there are fewer, in an order that the seed decides. */
export function pickSome<Item>(items: readonly Item[], count: number, random: () => number): Item[] {
  const left = [...items];
  const taken = Math.min(count, left.length);
  for (let at = 0; at < taken; at++) {
    const other = at + Math.floor(random() * (left.length - at));
    [left[at], left[other]] = [left[other]!, left[at]!];
  }
  return left.slice(0, taken);
}
