/** What `check --row` is asked and what it finds: plain data. */
import type { AgainstOptions, KnownReport } from './against-report.ts';
import type { RunOptions } from '../options.ts';

/** One row: by shard and number, or by what a column holds. */
export type RowAddress =
  { readonly shard: string; readonly row: number } | { readonly column: string; readonly value: string };

export interface RowOptions extends RunOptions, Partial<Pick<AgainstOptions, 'against' | 'key' | 'map' | 'tolerance'>> {
  readonly model: string;
  /** Where the row is; the shard that the address names has one of these files' names. */
  readonly shards: string | readonly string[];
  readonly row: RowAddress;
}

/** What is asked of the planner's thread. */
export interface RowRequest extends Pick<RowOptions, 'model' | 'shards' | 'row' | 'against' | 'key' | 'threads'> {
  /** Folder that gets the row as `row.parquet`, and with known files by position theirs as `known.parquet`. */
  readonly scratch: string;
}

/** A feature's value, and what each step makes of it. */
export interface RowStep {
  /** `value`, `missing`, `standardize`, `category`, ... */
  readonly step: string;
  /** One for each value of a list. */
  readonly values: readonly (string | null)[];
}

export interface RowFeature {
  readonly input: string;
  /** Of its first value within the input's row. */
  readonly position: number;
  readonly kind: string;
  /** Column or expression. */
  readonly source: string;
  readonly steps: readonly RowStep[];
  /** As the tensor holds them, by the plain reference; empty: the row cannot be used. */
  readonly values: readonly string[];
  /** What makes them in a run: `SIMD kernel`, or why a JavaScript loop does. */
  readonly madeBy: string;
  /** Why the row cannot be used; undefined: it can. */
  readonly problem: string | undefined;
}

export interface RowWay {
  readonly version: 1;
  readonly shard: string;
  /** Counted from 0. */
  readonly row: number;
  /** The contract's `where`, which leaves this row out; undefined: a run scores it. */
  readonly leftOutBy: string | undefined;
  /** Columns that features read. */
  readonly columns: readonly { readonly name: string; readonly type: string; readonly value: string | null }[];
  readonly features: readonly RowFeature[];
  /** Values that a run's kernels and loops make otherwise than the reference: none, or it is a bug. */
  readonly differences: readonly {
    readonly input: string;
    readonly position: number;
    readonly reference: string;
    readonly made: string;
  }[];
  /** What ONNX Runtime gives for this row alone, every output of the model; empty: the row cannot be used. */
  readonly outputs: readonly { readonly name: string; readonly type: string; readonly values: readonly string[] }[];
}

export interface RowReport extends RowWay {
  readonly device: string;
  /** What scored the row; `none`: it cannot be used, or is left out. */
  readonly scorer: string;
  /** Output columns, by the path that a run takes; empty: the row cannot be used. */
  readonly scores: readonly { readonly name: string; readonly value: string | null }[];
  /** What is known of this row; undefined: nothing was given. */
  readonly known: KnownReport | undefined;
}
