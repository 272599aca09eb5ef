/** Entry of a thread that turns files of other formats into Parquet, one task after the other. */
import { parentPort, workerData } from 'node:worker_threads';
import { closeDatabase, Connection, openDatabase } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { asTandemError, TandemError } from '../errors.ts';
import { DuckDbError } from '../engines/duckdb/database.ts';
import type { StageReply, StageRequest, StagerStart } from '../stage/messages.ts';
import { carryOut } from '../stage/stage-file.ts';

const { threads, memoryLimitBytes } = workerData as StagerStart;
const opened: { readonly database: Pointer; readonly connection: Connection }[] = [];

function post(reply: StageReply): void {
  parentPort!.postMessage(reply);
}

/** Opened at first use, and then the same. */
function lazily(databaseThreads: number): () => Connection {
  let connection: Connection | undefined;
  return () => {
    if (connection !== undefined) return connection;
    const database = openDatabase({ memoryLimitBytes, threads: databaseThreads });
    connection = new Connection(database);
    opened.push({ database, connection });
    connection.execute('SET enable_progress_bar = true; SET enable_progress_bar_print = false');
    post({ kind: 'connected', connection: connection.pointer });
    return connection;
  };
}

const connections = { text: lazily(threads), arrow: lazily(1) };

async function answer(request: StageRequest): Promise<StageReply> {
  if (request.kind === 'close') {
    for (const { database, connection } of opened) {
      connection.close();
      closeDatabase(database);
    }
    return { kind: 'closed' };
  }
  try {
    return { kind: 'done', result: await carryOut(request, connections) };
  } catch (error) {
    return { kind: 'failed', error: explained(error).toRecord() };
  }
}

/** What is left has to do with where it is written. */
function explained(error: unknown): TandemError {
  if (!(error instanceof DuckDbError)) return asTandemError(error);
  const remedy = 'Make room, or choose another --output, and run the same command again.';
  return new TandemError('TRANSIENT', `Expected the file to be turned into Parquet, got: ${error.message}.`, {
    remedy,
    cause: error,
  });
}

parentPort!.on('message', (request: StageRequest) => {
  answer(request).then((reply) => {
    post(reply);
    if (reply.kind === 'closed') parentPort!.close();
  });
});
