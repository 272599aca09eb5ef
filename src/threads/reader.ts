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
    for (const shard of task.shards) {
      for (const part of readShardBatches(connection, shard, task.columns, task.batchRows)) {
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
