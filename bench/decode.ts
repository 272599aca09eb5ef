/** Decode: our reader over all feature columns, against DuckDB's own sum of the same columns. */
import { closeDatabase, Connection, openDatabase, quoteIdentifier } from '../src/engines/duckdb/database.ts';
import { requestsOf } from '../src/featurize/featurizer.ts';
import type { RunPlan } from '../src/plan.ts';
import { parquetFile } from '../src/relation.ts';
import { openChunks, type ChunkSource } from '../src/read/shard-reader.ts';
import { featureCount } from './data.ts';
import { expectClose, type Stage, type StageTask } from './measure.ts';

/** The chunks of a shard exactly as a prep thread reads them. */
export function openShard(connection: Connection, plan: RunPlan, shardIndex: number): ChunkSource {
  const shard = plan.shards[shardIndex]!;
  const sql = `SELECT ${plan.schemas[shard.schema]!.projection} FROM ${parquetFile(shard.path)} AS shard`;
  return openChunks(connection, sql, plan.model.inputs.flatMap(requestsOf));
}

export function openDecode({ plan, threadIndex }: StageTask): Stage {
  const database = openDatabase();
  const connection = new Connection(database);
  const shard = plan.shards[threadIndex % plan.shards.length]!;
  const sums = Array.from({ length: featureCount }, (_, f) => `sum(${quoteIdentifier(`f${f}`)})`);
  const aggregate = `SELECT ${sums.join(', ')} FROM ${parquetFile(shard.path)}`;
  return {
    check: () => checkSums(connection, plan, shard.index, aggregate),
    contestants: {
      ours() {
        const source = openShard(connection, plan, shard.index);
        let rows = 0;
        for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) rows += chunk.rowCount;
        source.close();
        return rows;
      },
      limit() {
        connection.execute(aggregate);
        return shard.rowCount;
      },
    },
    close() {
      connection.close();
      closeDatabase(database);
    },
  };
}

function checkSums(connection: Connection, plan: RunPlan, shardIndex: number, aggregate: string): void {
  const source = openShard(connection, plan, shardIndex);
  const sums = new Float64Array(featureCount);
  for (let chunk = source.next(); chunk !== undefined; chunk = source.next()) {
    for (let f = 0; f < featureCount; f++) {
      const vector = chunk.vectors[f]!;
      if (vector.kind !== 'number' || !(vector.values instanceof Float32Array)) {
        throw new Error('Expected float32 vectors.');
      }
      sums[f] = sumOf(vector.values, chunk.rowCount, sums[f]!);
    }
  }
  source.close();
  const expected = connection.rows(aggregate)[0]!;
  sums.forEach((sum, f) => expectClose(`the sum of f${f}`, sum, Number(expected[f]), 1e-9));
}

function sumOf(values: Float32Array, rowCount: number, start: number): number {
  let sum = start;
  for (let row = 0; row < rowCount; row++) sum += values[row]!;
  return sum;
}
