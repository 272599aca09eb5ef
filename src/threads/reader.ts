/** Entry of the thread behind `readShards`: reads shard after shard and posts finished batches, two ahead at most. */
import { parentPort, workerData, type MessagePort } from 'node:worker_threads';
import { asTandemError, bug } from '../errors.ts';
import { closeDatabase, Connection, openDatabase } from '../engines/duckdb/database.ts';
import { buffersOf } from '../read/arrow/layout.ts';
import {
  batchesAheadMax,
  connectionState,
  control,
  type ReaderMessage,
  type ReaderTask,
} from '../read/arrow/messages.ts';
import { readShardBatches } from '../read/arrow/shard-batches.ts';
import type { ShardFile } from '../read/find-shards.ts';
import { readFooters, type Footer } from '../read/footers.ts';
import { partitionColumns } from '../read/partitions.ts';
import { nameColumns } from '../read/shard-columns.ts';
import { isSelection, RowSelector } from '../planning/selection.ts';

function main(port: MessagePort, task: ReaderTask): void {
  const post = (message: ReaderMessage, buffers: ArrayBuffer[] = []): void => port.postMessage(message, buffers);
  try {
    readAll(task, post);
    post({ kind: 'done' });
  } catch (error) {
    post({ kind: 'failed', error: asTandemError(error).toRecord() });
  }
}

function readAll(task: ReaderTask, post: (message: ReaderMessage, buffers?: ArrayBuffer[]) => void): void {
  const database = openDatabase();
  const connection = new Connection(database);
  Atomics.store(task.control, control.connection, connectionState.open);
  post({ kind: 'connected', connection: connection.pointer });
  try {
    let produced = 0;
    for (const { shard, table, columns } of openTables(connection, task)) {
      for (const part of readShardBatches(connection, shard, columns, task.batchRows, table)) {
        if (part.kind === 'shard') post(part);
        else {
          post(part, buffersOf(part.columns));
          produced++;
        }
        if (!waitForRoom(task.control, produced)) return;
      }
    }
  } finally {
    lockConnection(task.control);
    connection.close();
    closeDatabase(database);
  }
}

interface OpenTable {
  readonly shard: ShardFile;
  readonly columns: readonly string[] | undefined;
  /** Undefined: every row, and the columns of the file. */
  readonly table: Footer | undefined;
}

/** The shards of which rows are taken, one by one: counting starts when a shard is about to be read. */
function* openTables(connection: Connection, { shards, columns, selection }: ReaderTask): Generator<OpenTable> {
  const partitions = partitionColumns(shards.map(({ path }) => path));
  const selector = isSelection(selection) ? new RowSelector(connection, selection, undefined) : undefined;
  for (const [index, shard] of shards.entries()) {
    const keys = partitions[index]!;
    if (selector === undefined && (columns === undefined || keys.length === 0)) {
      yield { shard, columns, table: undefined };
      continue;
    }
    const [named] = nameColumns(readFooters(connection, [shard]), {}, [keys]);
    const table = selector === undefined ? named : selector.take(named!);
    if (table === undefined) continue;
    const ofFile = table.columns.filter(({ isOfPath }) => isOfPath !== true).map(({ name }) => name);
    yield { shard, columns: columns ?? ofFile, table };
  }
}

/** Sleeps until the caller has taken enough batches. False: it wants no more. */
function waitForRoom(shared: Int32Array, produced: number): boolean {
  for (;;) {
    const taken = Atomics.load(shared, control.taken);
    if (Atomics.load(shared, control.stop) === 1) return false;
    if (produced - taken < batchesAheadMax) return true;
    Atomics.wait(shared, control.taken, taken);
  }
}

/** Marks the connection as closed, after an interrupt that is under way. */
function lockConnection(shared: Int32Array): void {
  const { open, closed, interrupting } = connectionState;
  while (Atomics.compareExchange(shared, control.connection, open, closed) === interrupting) {
    Atomics.wait(shared, control.connection, interrupting);
  }
}

if (parentPort === null) throw bug('The reader was started outside a worker thread');
main(parentPort, workerData as ReaderTask);
