/** What `check --against` is asked and what it finds: plain data. */
import type { Precision, RunOptions } from '../options.ts';
import type { SelectionOptions } from '../relation.ts';

export interface AgainstOptions extends RunOptions, SelectionOptions {
  /** A model folder, or an .onnx file. */
  readonly model: string;
  /** Paths, folders or glob patterns of the rows to score. */
  readonly shards: string | readonly string[];
  /** The same of files with scores that somebody else gave these rows. */
  readonly against: string | readonly string[];
  /** Columns that both sides have and that tell rows apart. Default: row by row, as they lie in the files. */
  readonly key?: readonly string[];
  /**
   * Score column to the known column of another name; on both sides `probability[1]` is the value at position 1 (from 0) of
   * a list or of a vector of Spark's. Columns that are called alike need no entry.
   */
  readonly map?: Readonly<Record<string, string>>;
  /** Largest |score - known| / max(1, |known|) that passes. Default: the contract's for golden rows. */
  readonly tolerance?: number;
  /** Rows to name for each column, those with the largest differences first, within the tolerance too. Default: ten beyond it. */
  readonly worst?: number;
}

/** What is asked of the planner's thread, once the shards are scored. */
export interface KnownRequest extends Pick<AgainstOptions, 'against' | 'shards' | 'model' | 'threads'> {
  readonly selection: SelectionOptions;
  readonly key: readonly string[];
  readonly map: Readonly<Record<string, string>>;
  readonly tolerance: number;
  /** Undefined: those beyond the tolerance. */
  readonly worst: number | undefined;
  /** Of the shards, in their order. */
  readonly shardNames: readonly string[];
  /** Folder with the scores, the key's columns beside them. */
  readonly scores: string;
  /** Folder for what is joined; the caller removes it. */
  readonly scratch: string;
}

/** Of one of two sides alone. */
export interface OneSided {
  readonly known: number;
  readonly score: number;
}

export interface KnownColumn {
  /** Of the scores. */
  readonly name: string;
  /** What it was compared with. */
  readonly known: string;
  /** Labels (texts, integers) are equal or not. */
  readonly kind: 'number' | 'list' | 'label';
  /** Infinity where one of the two is null or NaN, or a label differs. */
  readonly differenceMax: number;
  /** Of the finite ones; undefined: there are none, or these are labels. Exact up to 10 million rows, then about. */
  readonly differenceMedian: number | undefined;
  readonly differenceP99: number | undefined;
  readonly rowsBeyond: number;
  /** Rows with a null, or a NaN, on one side where the other has none. */
  readonly nulls: OneSided;
  readonly nans: OneSided;
  /** Worst first: at most ten beyond the tolerance; where so many were asked for, any that differ. */
  readonly worst: readonly {
    readonly shard: string;
    /** Counted from 0 within the shard. */
    readonly row: number;
    /** Empty: joined by position. */
    readonly key: string;
    readonly known: string;
    readonly score: string;
    readonly difference: number;
  }[];
  /** Labels that differ, the most frequent pairs first. */
  readonly confusion: readonly { readonly known: string; readonly score: string; readonly rows: number }[];
  /** What all rows show, as sentences: an offset, the other class, a logit for a probability. */
  readonly hints: readonly string[];
}

export interface KnownComparison {
  readonly version: 1;
  /** Empty: by position. */
  readonly key: readonly string[];
  readonly rows: {
    readonly shards: number;
    readonly known: number;
    readonly both: number;
    readonly onlyShards: number;
    readonly onlyKnown: number;
  };
  readonly tolerance: number;
  /** Rows are on both sides, and none of them is beyond the tolerance. */
  readonly passed: boolean;
  /** Score columns that no known column stands against. */
  readonly notCompared: readonly string[];
  readonly columns: readonly KnownColumn[];
}

export interface KnownReport extends KnownComparison {
  readonly device: string;
  readonly precision: Precision;
}
