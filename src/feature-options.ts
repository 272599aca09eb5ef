/** What `featurize` takes: plain data, the same for the command line and for TypeScript. */
import type { InputOptions, RunOptions, ScoreOptions } from './options.ts';
import type { OutputOptions } from './output-options.ts';

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
  /** Columns to copy from the shards, such as a label. Overrides the contract's list; default: that list, or none. */
  readonly keep?: readonly string[] | 'all';
}
