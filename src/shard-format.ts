/** What a shard's name says of it: how it is written, and what its output is called. */

/** Parquet is read as it is; all others are turned into Parquet first. */
export type ShardFormat = 'parquet' | 'csv' | 'json' | 'arrow';

/** Endings of files that are no Parquet. DuckDB unpacks `.gz`; Arrow files have compression of their own. */
const endings: readonly (readonly [RegExp, Exclude<ShardFormat, 'parquet'>])[] = [
  [/\.(?:csv|tsv)(?:\.gz)?$/i, 'csv'],
  [/\.(?:jsonl|ndjson|json)(?:\.gz)?$/i, 'json'],
  [/\.(?:arrow|arrows|feather|ipc)$/i, 'arrow'],
];

/** Of a file by its name: whatever is not called like another format is Parquet. */
export function formatOf(name: string): ShardFormat {
  return endings.find(([ending]) => ending.test(name))?.[1] ?? 'parquet';
}

/** Path of a shard's output under the folder: `05.parquet` for `05.parquet`, `05.csv.gz` and `05`. */
export function outputName(shardName: string): string {
  if (shardName.endsWith('.parquet')) return shardName;
  const ending = endings.find(([each]) => each.test(shardName))?.[0];
  return `${ending === undefined ? shardName : shardName.replace(ending, '')}.parquet`;
}
