/**
 * Write: a shard's writer (kept id, score), against a bare COPY of the same: the id from the shard, the score from a
 * table function, synced. Beside it the COPY of both columns from memory, which reads nothing and leaves the file to the
 * page cache.
 */
import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { vectorRows, duckDbType } from '../src/engines/duckdb/types.ts';
import { closeDatabase, Connection, openDatabase, quotePath, quoteText } from '../src/engines/duckdb/database.ts';
import { registerTableFunction, type TableRows } from '../src/engines/duckdb/table-function.ts';
import type { PlannedShard, RunPlan } from '../src/plan.ts';
import { ShardWriter } from '../src/write/shard-writer.ts';
import { sliceColumns } from '../src/write/score-columns.ts';
import type { Stage, StageTask } from './measure.ts';

export function openWrite(task: StageTask): Stage {
  const { threadIndex } = task;
  const shard = renamed(task.plan, threadIndex);
  const plan: RunPlan = { ...task.plan, output: `${task.plan.output}-written-${threadIndex}`, shards: [shard] };
  mkdirSync(plan.output, { recursive: true });
  const database = openDatabase();
  const connection = new Connection(database);
  const writer = new ShardWriter(connection, plan, randomBytes(6).toString('hex'), 'bench');
  const scores = Float32Array.from({ length: shard.rowCount }, Math.random);
  const firstId = (threadIndex % task.plan.shards.length) * shard.rowCount;
  const ids = BigInt64Array.from({ length: shard.rowCount }, (_, row) => BigInt(firstId + row));
  const format = 'FORMAT parquet, COMPRESSION snappy, USE_TMP_FILE false';
  const ours = (): number => {
    rmSync(join(plan.output, '_manifests'), { recursive: true, force: true });
    writer.write(
      shard,
      inChunks(shard, (row, rowCount) => sliceColumns(plan.model, [scores], row, rowCount)),
    );
    return shard.rowCount;
  };
  const barePath = join(plan.output, 'bare.parquet');
  let next: () => TableRows = () => ({ rowCount: 0, columns: [] });
  const columns = [
    { name: 'id', type: duckDbType.BIGINT, arrayLength: undefined },
    { name: 'score', type: duckDbType.FLOAT, arrayLength: undefined },
  ];
  const bare = registerTableFunction(connection, 'bare', columns, () => next());
  const copy = (select: string): number => {
    next = inChunks(shard, (row, count) => [ids.subarray(row, row + count), scores.subarray(row, row + count)]);
    connection.execute(`COPY (${select}) TO ${quoteText(barePath)} (${format})`);
    return shard.rowCount;
  };
  const fromMemory = (): number => copy('SELECT * FROM bare()');
  const limit = (): number => {
    copy(
      `SELECT shard.id, scores.score FROM read_parquet(${quotePath(shard.path)}) AS shard POSITIONAL JOIN bare() AS scores`,
    );
    syncFile(barePath);
    return shard.rowCount;
  };
  return {
    check() {
      ours();
      limit();
      checkFile(connection, join(plan.output, shard.name), firstId, scores);
      checkFile(connection, barePath, firstId, scores);
    },
    contestants: { ours, limit, fromMemory },
    close() {
      bare.dispose();
      writer.close();
      connection.close();
      closeDatabase(database);
      rmSync(plan.output, { recursive: true, force: true });
    },
  };
}

/** The product's files are on disk before they count. */
function syncFile(path: string): void {
  const descriptor = openSync(path, 'r');
  fsyncSync(descriptor);
  closeSync(descriptor);
}

/** The thread's shard under a name of its own. */
function renamed(plan: RunPlan, threadIndex: number): PlannedShard {
  return { ...plan.shards[threadIndex % plan.shards.length]!, index: 0, name: `written-${threadIndex}.parquet` };
}

function inChunks(
  shard: PlannedShard,
  columns: (row: number, rowCount: number) => TableRows['columns'],
): () => TableRows {
  let row = 0;
  return () => {
    const rowCount = Math.min(vectorRows, shard.rowCount - row);
    if (rowCount === 0) return { rowCount, columns: [] };
    const rows = { rowCount, columns: columns(row, rowCount) };
    row += rowCount;
    return rows;
  };
}

/** Row k holds the k-th id and the k-th score. */
function checkFile(connection: Connection, path: string, firstId: number, scores: Float32Array): void {
  for (let first = 0; first < scores.length; first += scores.length / 4) {
    const part = `FROM read_parquet(${quotePath(path)}) LIMIT 10000 OFFSET ${Math.floor(first)}`;
    const rows = connection.rows(`SELECT CAST(id AS DOUBLE), CAST(score AS DOUBLE) ${part}`);
    let row = Math.floor(first);
    for (const [id, score] of rows) {
      if (id !== firstId + row || score !== scores[row]) {
        throw new Error(`Expected row ${row} to hold ${firstId + row} and ${scores[row]}, got ${id} and ${score}.`);
      }
      row++;
    }
  }
  const [count] = connection.rows(`SELECT count(*) FROM read_parquet(${quotePath(path)})`)[0]!;
  if (Number(count) !== scores.length) throw new Error(`Expected ${scores.length} rows, got ${count}.`);
}
