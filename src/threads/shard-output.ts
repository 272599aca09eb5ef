/** What a prep thread writes whole shards with. */
import type { Connection } from '../engines/duckdb/database.ts';
import type { PlannedShard, RunPlan } from '../plan.ts';
import { ShardWriter, type NextScores } from '../write/shard-writer.ts';

export interface ShardOutput {
  /** Writes, checks and publishes the output of a shard; gives its bytes. @throws what `next` throws; BAD_SHARD, TRANSIENT, BAD_OUTPUT */
  write(shard: PlannedShard, next: NextScores): number;
  close(): void;
}

type OpenShardOutput = (connection: Connection, plan: RunPlan, attempt: string, threadName: string) => ShardOutput;

let open: OpenShardOutput = (...from) => new ShardWriter(...from);

/** For the whole thread, by its entry, in place of Parquet. */
export function useShardOutput(other: OpenShardOutput): void {
  open = other;
}

export function openShardOutput(...from: Parameters<OpenShardOutput>): ShardOutput {
  return open(...from);
}
