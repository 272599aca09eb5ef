/** What crosses between the caller's thread and the reader's. */
import type { ErrorRecord } from '../../errors.ts';
import type { ArrowField } from '../../engines/duckdb/arrow.ts';
import type { SelectionOptions } from '../../relation.ts';
import type { ShardFile } from '../find-shards.ts';
import type { ColumnData } from './layout.ts';

/** What the reader's thread starts with. */
export interface ReaderTask {
  readonly shards: readonly ShardFile[];
  readonly selection: SelectionOptions;
  /** Undefined: all of the files. */
  readonly columns: readonly string[] | undefined;
  readonly batchRows: number;
  /** See {@link control}; shared by both threads. */
  readonly control: Int32Array;
}

/** Comes before a shard's batches. `dictionaries`: one per column; null where it has none. */
export interface ShardStart {
  readonly kind: 'shard';
  readonly fields: readonly ArrowField[];
  readonly dictionaries: readonly (ColumnData | null)[];
}

/** A finished batch, whose buffers are transferred. */
export interface ShardBatch {
  readonly kind: 'batch';
  readonly rowCount: number;
  readonly columns: readonly ColumnData[];
}

export type ReaderMessage =
  | { readonly kind: 'connected'; readonly connection: bigint }
  | ShardStart
  | ShardBatch
  | { readonly kind: 'done' }
  | { readonly kind: 'failed'; readonly error: ErrorRecord };

/** Indices of the control array. */
export const control = {
  /** Batches that the caller has taken; the reader sleeps on it. */
  taken: 0,
  /** 1: the reader ends as soon as it can. */
  stop: 1,
  /** One of {@link connectionState}; whoever closes or interrupts the connection holds it for that time. */
  connection: 2,
  length: 3,
} as const;

export const connectionState = { closed: 0, open: 1, interrupting: 2 } as const;

/** Batches that the reader may have finished before the caller asks for them. */
export const batchesAheadMax = 2;
