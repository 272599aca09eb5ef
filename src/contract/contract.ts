/**
 * The contract between a table and a model, in the one form that all stages read. `tandem.json` (see `schema.ts`) has
 * shorthands; loading it resolves them into these types.
 */

/** Element types of tensors. */
export type ElementType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'uint64'
  | 'bool'
  | 'string';

/** Where a feature's value comes from: a column of the shard, or one scalar DuckDB expression over its row. */
export type Source = { readonly column: string } | { readonly sql: string };

/** One step of arithmetic on a number, in float64. */
export type NumericStep =
  /** log(1 + x) */
  | { readonly kind: 'log1p' }
  /** (x - mean) / std */
  | { readonly kind: 'standardize'; readonly mean: number; readonly std: number }
  /** (x - min) / (max - min) */
  | { readonly kind: 'minMax'; readonly min: number; readonly max: number }
  /** Into [low, high]; NaN stays NaN. */
  | { readonly kind: 'clip'; readonly low: number; readonly high: number }
  /** How many boundaries are <= x (numpy.digitize): 0 to boundaries.length; NaN stays NaN. */
  | { readonly kind: 'bucketize'; readonly boundaries: readonly number[] };

/** What to do with a value that the list of categories does not hold. */
export type Unknown =
  /** The row is bad. */
  | 'error'
  /** One-hot only: all zeros. */
  | 'zeros'
  /** As if it were the last listed value. */
  | 'last'
  /** A category of its own after the last listed one: index n. */
  | 'own';

/** What a null becomes. `undefined`: a null makes the row bad. */
export type Missing = number | string | undefined;

/** One feature: one or more neighbouring values of a tensor's row. */
export type Feature =
  | {
      /** Number (or boolean, or integer passed through exactly when there are no steps). Width 1. */
      readonly kind: 'number';
      readonly source: Source;
      /** A number (NaN allowed) in the column's own unit, put in before the steps. */
      readonly missing: number | undefined;
      readonly steps: readonly NumericStep[];
    }
  | {
      /** A list column of fixed length; the steps apply to each value. */
      readonly kind: 'list';
      readonly source: Source;
      /** Values per row; undefined: taken from the column's type (FLOAT[n]) or else from the tensor's width. */
      readonly length: number | undefined;
      /** Fills a null list and null values in a list. */
      readonly missing: number | undefined;
      readonly steps: readonly NumericStep[];
    }
  | {
      /** How many values a list column holds in this row. Width 1. */
      readonly kind: 'length';
      readonly source: Source;
      readonly missing: number | undefined;
    }
  | {
      /** Index of the value in `categories`, counted from 0. Width 1. */
      readonly kind: 'index';
      readonly source: Source;
      readonly categories: readonly string[] | readonly number[];
      readonly unknown: Exclude<Unknown, 'zeros'>;
      readonly missing: Missing;
    }
  | {
      /** Width: categories, plus 1 when unknown is 'own', minus 1 with dropLast. */
      readonly kind: 'oneHot';
      readonly source: Source;
      readonly categories: readonly string[] | readonly number[];
      readonly unknown: Unknown;
      readonly missing: Missing;
      /** Leaves out the last position, whose rows become all zeros (Spark's OneHotEncoder). */
      readonly dropLast: boolean;
    }
  | {
      /** MurmurHash3 x86 32 bit, seed 42, of the UTF-8 bytes, as a signed number, modulo buckets, never negative. Width 1. */
      readonly kind: 'hash';
      readonly source: Source;
      readonly buckets: number;
      readonly missing: string | undefined;
    }
  | {
      /** The string itself, for string tensors. Width 1. */
      readonly kind: 'text';
      readonly source: Source;
      readonly missing: string | undefined;
    };

/** One input tensor of the model. */
export type InputContract =
  | { readonly features: readonly Feature[] }
  /** The same values for every batch (a sampling rate, a zero state). `shape` may hold "N" once: the batch. */
  | {
      readonly constant: number | string | boolean | readonly (number | string | boolean)[];
      readonly shape: readonly (number | 'N')[] | undefined;
    };

/** What becomes of one output tensor. `undefined` in the map means: left out. */
export interface OutputContract {
  /** Column names: one for a scalar or a list column, several for `select`ed or split positions. */
  readonly columns: readonly string[];
  /** Positions of a row's values that become columns; undefined: the whole row (a scalar, or a fixed-size list). */
  readonly select: readonly number[] | undefined;
}

export interface Contract {
  readonly version: 1;
  /** Absolute path of the model file. */
  readonly modelPath: string;
  /** By input name. An input of the model that is not here must have a default in the model. */
  readonly inputs: Readonly<Record<string, InputContract>>;
  /** By output name. Undefined: all outputs, each under its own name. */
  readonly outputs: Readonly<Record<string, OutputContract | false>> | undefined;
  /** Columns copied from the shard; undefined: all of them. */
  readonly keep: readonly string[] | undefined;
  /** One SQL condition over a row of a shard; undefined: every row is taken. */
  readonly where: string | undefined;
  /** Columns of shards under the names that all else uses: old name to new. */
  readonly renames: Readonly<Record<string, string>> | undefined;
  /** Absolute path of golden.parquet beside the contract, and how far scores may be from it. */
  readonly golden: { readonly path: string; readonly tolerance: number };
  /** How far the scores of a kernel of ours may be from ONNX Runtime's, for it to score in its place. */
  readonly kernels: { readonly tolerance: number };
  /** How shards that are CSV are read. */
  readonly csv: CsvContract;
}

/** What is not said of CSV files is found out from their first rows. */
export interface CsvContract {
  /** Default: a tab for .tsv, else found out. */
  readonly delimiter?: string | undefined;
  /** Whether the first line names the columns. Default: true. Without names they are column0, column1, ... */
  readonly header?: boolean | undefined;
  /** Default: a double quote. */
  readonly quote?: string | undefined;
  /** What stands for a null besides nothing. */
  readonly nullText?: string | readonly string[] | undefined;
  /** Whether it stands for a null in quotes too; where not, "" is an empty text. Default: true. */
  readonly quotedNull?: boolean | undefined;
  /** DuckDB's types by column. */
  readonly types?: Readonly<Record<string, string>> | undefined;
}

/** Values per row of a feature whose width does not depend on the column's type; undefined for a list of unknown length. */
export function featureWidth(feature: Feature): number | undefined {
  switch (feature.kind) {
    case 'oneHot':
      return feature.categories.length + (feature.unknown === 'own' ? 1 : 0) - (feature.dropLast ? 1 : 0);
    case 'list':
      return feature.length;
    default:
      return 1;
  }
}

/** How errors and plans name a source. */
export function sourceName(source: Source): string {
  return 'column' in source ? source.column : `sql ${source.sql}`;
}
