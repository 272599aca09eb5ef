/** The first rows of each shard, for those who would take hours for all of them. */
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { quotePath } from '../../src/engines/duckdb/database.ts';
import { writeShard } from '../../src/testing/shards.ts';
import { defaultFolder, type Workloads } from '../data.ts';

const stampName = 'made-of.json';

/** Paths of copies with so many rows of each shard, made once and again when the shards change; all rows: the shards. */
export function shardsWith(workloads: Workloads, rowsPerShard: number, folder = defaultFolder): readonly string[] {
  if (rowsPerShard >= workloads.rowsPerShard) return workloads.shards;
  const home = join(folder, `first-${rowsPerShard}-rows`);
  const copies = workloads.shards.map((shard) => join(home, basename(shard)));
  const stamp = join(home, stampName);
  const madeOf = JSON.stringify(
    workloads.shards.map((shard) => {
      const { size, mtimeMs } = statSync(shard);
      return { name: basename(shard), size, mtimeMs };
    }),
  );
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === madeOf) return copies;
  rmSync(home, { recursive: true, force: true });
  workloads.shards.forEach((shard, index) => {
    writeShard(copies[index]!, `SELECT * FROM read_parquet(${quotePath(shard)}) LIMIT ${rowsPerShard}`);
  });
  writeFileSync(stamp, madeOf);
  return copies;
}
