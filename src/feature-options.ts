/** What `featurize` takes: plain data, the same for the command line and for TypeScript. */
import { TandemError } from './errors.ts';
import { outputShardsMax } from './limits.ts';
import type { InputOptions, RunOptions, ScoreOptions } from './options.ts';
import type { FeatureFiles, OutputOptions } from './output-options.ts';

/** Of `score` what is not about the model's run. */
export interface FeaturizeOptions
  extends
    InputOptions,
    OutputOptions,
    Pick<RunOptions, 'threads' | 'memoryBytes' | 'signal' | 'onWarning'>,
    Pick<
      ScoreOptions,
      'overwrite' | 'onProgress' | 'onSelection' | 'onRecord' | 'command' | 'trace' | 'metrics' | 'onRun'
    > {
  /** Folder for the features; made if it is missing. */
  readonly output: string;
  /**
   * So many files, whose rows differ by one at most, in the order of the shards: `part-00000-of-00016.parquet`. Default: one
   * file for each shard.
   */
  readonly outputShards?: number;
  /** Arrow: IPC files with the ending `.arrow`, features as FixedSizeList; `rowGroupRows` are those of a record batch then. */
  readonly format?: FeatureFiles['format'];
  /** Columns to copy from the shards, such as a label. Overrides the contract's list; default: that list, or none. */
  readonly keep?: readonly string[] | 'all';
}

/** What the run is to write. @throws USAGE */
export function featureFiles(options: FeaturizeOptions): FeatureFiles {
  const { outputShards: shards, rowsPerFile, format = 'parquet' } = options;
  if (format === 'arrow') refuseParquetOptions(options);
  if (shards === undefined) return { format };
  if (rowsPerFile !== undefined) {
    throw new TandemError('USAGE', 'Expected --shards or --rows-per-file, got both.', {
      remedy: 'Each says how many files there are: leave one out.',
    });
  }
  if (!Number.isSafeInteger(shards) || shards < 1 || shards > outputShardsMax) {
    const message = `Expected --shards to be a whole number from 1 to ${outputShardsMax}, got \`${shards}\`.`;
    throw new TandemError('USAGE', message, { remedy: 'Leave it out for one file for each shard.' });
  }
  return { shards, format };
}

function refuseParquetOptions({ compression, compressionLevel, rowsPerFile }: FeaturizeOptions): void {
  const given = Object.entries({ compression, 'compression-level': compressionLevel, 'rows-per-file': rowsPerFile });
  const flag = given.find(([, value]) => value !== undefined)?.[0];
  if (flag === undefined) return;
  throw new TandemError('USAGE', `Expected --${flag} to come with --format parquet, got it with arrow.`, {
    remedy: 'Leave it out: Arrow files are not compressed, and --shards says how many there are.',
  });
}
