/** What counts the rows that conditions take: a database beside the planner's, which calls back and has one thread therefore. */
import { closeDatabase, Connection, openDatabase } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { countingIntervalMs } from '../limits.ts';
import { planning } from '../measure/progress.ts';
import type { PlannerReply } from '../messages.ts';
import type { RowCounter } from '../planning/selection.ts';

let open: { readonly database: Pointer; readonly connection: Connection } | undefined;

/**
 * Opened at first use, and then the same.
 * @param rowsTotal of all shards
 * @param post is told of the connection, and how far counting is
 */
export function openCounter(
  settings: { readonly threads: number; readonly memoryLimitBytes: number },
  rowsTotal: number,
  post: (reply: PlannerReply) => void,
): RowCounter {
  if (open === undefined) {
    const database = openDatabase(settings);
    open = { database, connection: new Connection(database) };
    post({ kind: 'connected', connection: open.connection.pointer });
  }
  const startMs = performance.now();
  let [rowsDone, toldMs] = [0, startMs];
  const tell = (rowCount: number): void => {
    rowsDone += rowCount;
    const nowMs = performance.now();
    if (nowMs - toldMs < countingIntervalMs) return;
    toldMs = nowMs;
    const secondsElapsed = (nowMs - startMs) / 1000;
    post({ kind: 'progress', progress: { ...planning, phase: 'counting', rowsDone, rowsTotal, secondsElapsed } });
  };
  return { connection: open.connection, tell };
}

export function closeCounter(): void {
  open?.connection.close();
  if (open !== undefined) closeDatabase(open.database);
  open = undefined;
}
