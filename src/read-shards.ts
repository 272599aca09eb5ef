/** Parquet shards as Arrow batches: the loader by itself. */
import type { RecordBatch } from 'apache-arrow';
import { bug, TandemError } from './errors.ts';
import type { SelectionOptions } from './relation.ts';
import { findShards } from './read/find-shards.ts';
import { RecordBatchMaker } from './read/arrow/arrow-types.ts';
import { ReaderThread } from './threads/reader-thread.ts';

export interface ReadShardsOptions extends SelectionOptions {
  /**
   * Names of the columns to read, in the order of the batches' columns; keys of the path (`dt=2026-05-01/`) are columns
   * too. Default: all of the file, in its order.
   */
  readonly columns?: readonly string[];
  /** Rows of a batch. Default: 65,536. */
  readonly batchRows?: number;
  /** Ends the reading with the error STOPPED. */
  readonly signal?: AbortSignal;
}

const batchRowsDefault = 65_536;
/** Offsets of nested columns are int32, and a batch is one allocation per column. */
const batchRowsMax = 2 ** 24;

/**
 * Reads Parquet shards, or the rows of them that are taken, in the order of their names, as apache-arrow RecordBatches of
 * exactly `batchRows` rows in file order. A batch never spans shards: the last one of a shard is shorter, and a shard without rows gives none.
 *
 * A thread of its own decodes, at most two batches ahead; the caller's thread only wraps the buffers, which belong to
 * the batch and stay valid as long as it is referenced. Leaving the loop stops the thread and frees everything.
 *
 * Types are Arrow's for Parquet's, except: UUID comes as Utf8, and a timestamp with a zone as `Timestamp` with `UTC`.
 *
 * @param patterns files, folders or globs, see `findShards`
 * @throws USAGE, NO_SHARDS, BAD_SHARD, BAD_COLUMN, MEMORY, STOPPED, ENVIRONMENT
 */
export async function* readShards(
  patterns: string | readonly string[],
  options: ReadShardsOptions = {},
): AsyncGenerator<RecordBatch, void, void> {
  const { columns, batchRows = batchRowsDefault, signal, where, limit, sample } = options;
  if (!Number.isInteger(batchRows) || batchRows < 1 || batchRows > batchRowsMax) {
    const expected = `a whole number from 1 to ${batchRowsMax}`;
    throw new TandemError('USAGE', `Expected batchRows to be ${expected}, got \`${batchRows}\`.`);
  }
  if (columns?.length === 0) throw new TandemError('USAGE', 'Expected columns to name at least one column, got [].');
  const shards = await findShards(patterns);
  const thread = new ReaderThread({ shards, columns, batchRows, selection: { where, limit, sample } });
  try {
    let maker: RecordBatchMaker | undefined;
    for (;;) {
      const message = await thread.next(signal);
      if (message.kind === 'done') return;
      if (message.kind === 'shard') maker = new RecordBatchMaker(message.fields, message.dictionaries);
      else if (maker === undefined) throw bug('A batch came before its shard');
      else yield maker.make(message.rowCount, message.columns);
    }
  } finally {
    await thread.close();
  }
}
