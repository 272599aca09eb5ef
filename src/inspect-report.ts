/** What `inspect` gives: plain data. */
import type { PlannedSelection } from './relation.ts';

/** One column as the shards have it and what becomes of it. */
export interface InspectedColumn {
  readonly name: string;
  /** DuckDB's name of the type; several where the shards differ. */
  readonly types: readonly string[];
  /** Shards that hold the column. */
  readonly shards: number;
  /** For example `x[0]`, `dest`; empty: feeds nothing. */
  readonly feeds: readonly string[];
  readonly kept: boolean;
  /** A key of the path (`dt=2026-05-01/`), not a column of the files. */
  readonly isOfPath?: true;
}

export interface InspectReport {
  readonly version: 1;
  readonly shards: readonly {
    readonly name: string;
    /** Undefined: a text file too large to count the rows of in passing. */
    readonly rowCount: number | undefined;
    readonly rowGroups: number;
    readonly bytes: number;
  }[];
  /** Of the rows that are taken; undefined: that of a shard is. */
  readonly rowCount: number | undefined;
  /** Which rows are taken, and of how many; undefined: all. */
  readonly selection?: PlannedSelection;
  readonly bytes: number;
  readonly rowGroups: {
    readonly count: number;
    readonly rowsMin: number;
    readonly rowsMax: number;
    readonly compressedBytesMax: number;
  };
  readonly columns: readonly InspectedColumn[];
  /** One line for each way in which shards differ from the first one. Empty: none does. */
  readonly drift: readonly string[];
  /** Undefined without a model. */
  readonly model:
    | undefined
    | {
        readonly path: string;
        /** What would run it on the CPU, in one line; undefined: `score` would not start. */
        readonly scorer: string | undefined;
        readonly inputs: readonly {
          readonly name: string;
          readonly type: string;
          readonly features: readonly string[];
        }[];
        readonly outputs: readonly {
          readonly name: string;
          readonly type: string;
          readonly columns: readonly string[];
        }[];
      };
  /** Why `score` would refuse, as formatted errors. Empty: it would start. */
  readonly problems: readonly string[];
}
