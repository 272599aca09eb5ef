/** Entry of the thread that writes split shards, one after the other, from the rings that prep threads fill. */
import { parentPort, workerData } from 'node:worker_threads';
import { Connection } from '../engines/duckdb/database.ts';
import { vectorRows } from '../engines/duckdb/types.ts';
import type { TableRows } from '../engines/duckdb/table-function.ts';
import { asTandemError } from '../errors.ts';
import { ThreadProfiler } from '../measure/thread-profiler.ts';
import { TimeSheet } from '../measure/time-sheet.ts';
import type { WorkerMessage, WorkerStart } from '../messages.ts';
import { RingReader } from '../transfer/ring.ts';
import { sliceColumns } from '../write/score-columns.ts';
import { ShardWriter } from '../write/shard-writer.ts';

const start = workerData as WorkerStart;
const { plan, engines } = start;
const sheet = new TimeSheet(start.timeSheet);
const profiler = new ThreadProfiler(start.control, post);

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

function run(): void {
  const connection = new Connection(engines.database);
  post({ kind: 'connected', connections: [connection.pointer], runOptions: [] });
  const writer = new ShardWriter(connection, plan, start.attempt, 'writer');
  try {
    for (const memory of start.rings) {
      const shard = plan.shards[memory.shardIndex]!;
      const ring = new RingReader(memory, plan.model.outputs, start.control);
      const next = (): TableRows => {
        profiler.look();
        const { ringRow, rowCount } = sheet.during('waitForRows', () => ring.next(vectorRows));
        sheet.countRows(rowCount);
        return { rowCount, columns: rowCount === 0 ? [] : sliceColumns(plan.model, ring.outputs, ringRow, rowCount) };
      };
      const bytes = sheet.during('write', () => writer.write(shard, next));
      post({ kind: 'shardDone', shardIndex: shard.index, rowCount: shard.rowCount, bytes });
    }
  } finally {
    writer.close();
    profiler.end();
    sheet.end();
  }
}

try {
  run();
  post({ kind: 'finished' });
} catch (error) {
  post({ kind: 'failed', error: asTandemError(error).toRecord() });
}
