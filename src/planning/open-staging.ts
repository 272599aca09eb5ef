/** Threads and memory for turning files of other formats into Parquet. */
import { loadUnfitted } from '../contract/load.ts';
import type { Connection } from '../engines/duckdb/database.ts';
import { processBytesBase } from '../limits.ts';
import { coreBound } from '../machine.ts';
import type { ShardFile } from '../read/find-shards.ts';
import { formatOf } from '../shard-format.ts';
import { Stagers } from '../threads/stagers.ts';
import { memoryLimit } from './build-plan.ts';
import { Staging } from './staging.ts';

/** A thread for each file; where there are fewer files than threads, DuckDB shares each among several. */
export function openStaging(
  connection: Connection,
  files: readonly ShardFile[],
  {
    threads,
    memoryBytes,
    model,
  }: {
    readonly threads?: number | undefined;
    readonly memoryBytes?: number | undefined;
    readonly model: string | undefined;
  },
): Staging {
  const csv = model === undefined ? {} : loadUnfitted(model).contract.csv;
  const wanted = threads ?? coreBound().value;
  const count = Math.min(wanted, files.filter(({ name }) => formatOf(name) !== 'parquet').length);
  const memoryLimitBytes = Math.max(0, memoryLimit(memoryBytes).value - processBytesBase) / count;
  const start = { threads: Math.max(1, Math.floor(wanted / count)), memoryLimitBytes };
  return new Staging(connection, files, csv, () => new Stagers(count, start));
}
