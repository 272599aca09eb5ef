/** How scores are written: what readers of the output expect of its files. */

export type Compression = 'snappy' | 'zstd' | 'gzip' | 'none';

export interface OutputOptions {
  /** Default: snappy. */
  readonly compression?: Compression;
  /** Of zstd, 1 (fast) to 22 (small). Default: 3. */
  readonly compressionLevel?: number;
  /** Rows of a row group, rounded up to a multiple of 2,048. Default: 122,880. */
  readonly rowGroupRows?: number;
  /**
   * A shard's output becomes several files, `05-00000.parquet`, `05-00001.parquet`, ..., of at most so many rows (2,048 or
   * more), in whole row groups. Default: one file for each shard.
   */
  readonly rowsPerFile?: number;
}

/** The same with nothing left open. */
export interface OutputFiles {
  readonly compression: Compression;
  readonly compressionLevel: number | undefined;
  /** Row groups are closed once they have so many: a multiple of 2,048, unless a condition takes rows and files end at some. */
  readonly rowGroupRows: number;
  /** As it was asked for; undefined: one file for each shard. */
  readonly rowsPerFile: number | undefined;
  /** Row groups of each such file. */
  readonly rowGroupsPerFile: number | undefined;
}

/** Files of features in place of scores. */
export interface FeatureFiles {
  /** So many files of equally many rows, in the order of the shards; undefined: one file for each shard. */
  readonly shards?: number;
  /** Arrow: IPC files, which are read by mapping them into memory. */
  readonly format: 'parquet' | 'arrow';
}
