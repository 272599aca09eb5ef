import { type Feature, sourceName } from '../contract/contract.ts';

/** What is wrong with a row's value: "Expected <feature> <expected>, got <got>." and what to do about it. */
export interface BadRowReason {
  readonly expected: string;
  readonly got: string;
  readonly remedy: string;
}

/**
 * A value in a row that the contract cannot turn into a tensor's value. Whoever knows the shard turns it into a
 * TandemError with the code BAD_ROW and the row's address.
 */
export class BadRowError extends Error {
  override readonly name = 'BadRowError';
  /** Counted from 0 within the chunk. */
  readonly rowInChunk: number;
  /** The column, or the SQL expression, as errors name it. */
  readonly featureLabel: string;
  readonly remedy: string;

  constructor(rowInChunk: number, feature: Feature, reason: BadRowReason) {
    super(`Expected ${featureWords(feature)} ${reason.expected}, got ${reason.got}.`);
    this.rowInChunk = rowInChunk;
    this.featureLabel = sourceName(feature.source);
    this.remedy = reason.remedy;
  }
}

/** The feature's source within a sentence. */
export function featureWords(feature: Feature): string {
  return 'column' in feature.source ? `column ${feature.source.column}` : sourceName(feature.source);
}
