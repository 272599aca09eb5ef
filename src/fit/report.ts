/** What `fit` takes and gives: plain data. */
import type { InputOptions, Progress } from '../options.ts';

export interface FitOptions extends InputOptions {
  /** Also parameters that have values; where a value does not say how it was found, a rule of an earlier fit has to. */
  readonly all?: boolean;
  /** Writes nothing. */
  readonly dryRun?: boolean;
  /** Threads that read and count. Default: the cores that this process may use. */
  readonly threads?: number;
  /** Bytes that the process may use. Default: what the machine or the container leaves free, less a tenth. */
  readonly memoryBytes?: number;
  /** Stops the fit; tandem.json stays as it was. The promise is rejected with STOPPED. */
  readonly signal?: AbortSignal;
  readonly onWarning?: (text: string) => void;
  /** Told a few times a second. */
  readonly onProgress?: (progress: FitProgress) => void;
}

export interface FitProgress {
  /** From 1; 0 while files that are no Parquet are read. How many there will be shows only as quantiles are narrowed down. */
  readonly pass: number;
  readonly rowsDone: number;
  readonly rowsTotal: number;
  /** Files that are no Parquet are being turned into it; undefined: they are not. */
  readonly reading?: NonNullable<Progress['reading']>;
  /** Since the fit began. */
  readonly secondsElapsed: number;
}

/** One parameter that was fitted. */
export interface FittedParameter {
  /** In tandem.json: `inputs.x[0].standardize` */
  readonly field: string;
  /** Column or expression that the values came from. */
  readonly source: string;
  /** How it was found, in words: `mean and sample deviation (n - 1)`. */
  readonly rule: string;
  /** What stood there; undefined: a word that asked for the fit. */
  readonly before: unknown;
  readonly value: unknown;
  /** Values that it was found from, nulls that were replaced included. */
  readonly count: number;
  readonly nulls: number;
  readonly nans: number;
  readonly infinite: number;
  /** What deserves a look: constants, ties, rare categories. */
  readonly notes: readonly string[];
}

export interface FitReport {
  readonly version: 1;
  /** tandem.json. */
  readonly path: string;
  readonly rowCount: number;
  readonly shards: number;
  readonly passes: number;
  readonly seconds: number;
  readonly parameters: readonly FittedParameter[];
  /** With `all`: fields that keep their values, since no rule of an earlier fit stands beside them (`inputs.x[0].clip`). */
  readonly unmarked: readonly string[];
  /** Whether tandem.json was written. */
  readonly written: boolean;
}
