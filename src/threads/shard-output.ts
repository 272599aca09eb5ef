/** What a prep thread writes whole shards with: a seam, since Parquet and Arrow have nothing else in common. */
import type { Connection } from '../engines/duckdb/database.ts';
import type { PlannedShard, RunPlan } from '../plan.ts';
import type { NextScores } from '../write/shard-writer.ts';

export interface ShardOutput {
  /** Writes, checks and publishes the output of a shard; gives its bytes. @throws what `next` throws; BAD_SHARD, TRANSIENT, BAD_OUTPUT */
  write(shard: PlannedShard, next: NextScores): number;
  close(): void;
}

export type OpenShardOutput = (
  connection: Connection,
  plan: RunPlan,
  attempt: string,
  threadName: string,
) => ShardOutput;
