/** What crosses between the planner's thread and those that turn other formats into Parquet. */
import type { CsvContract } from '../contract/contract.ts';
import type { Pointer } from '../engines/native.ts';
import type { ErrorRecord } from '../errors.ts';
import type { ShardFormat } from '../shard-format.ts';

/** A shard that is no Parquet. */
export interface StageSource {
  readonly path: string;
  /** As errors name it. */
  readonly name: string;
  readonly format: Exclude<ShardFormat, 'parquet'>;
}

/** How one CSV file is read: as the contract says, and as its first rows say where it does not. */
export interface CsvForm {
  readonly delimiter: string;
  readonly header: boolean;
  readonly quote: string;
  readonly escape: string;
  readonly skip: number;
  readonly nullText: readonly string[];
  readonly quotedNull: boolean;
  readonly dateFormat: string | undefined;
  readonly timestampFormat: string | undefined;
  /** In the file's order. */
  readonly columns: readonly (readonly [name: string, type: string])[];
}

/** What stands after FROM, or a thread makes of the file. */
export interface StageForm {
  readonly csv?: CsvForm;
  /** Of JSON, where types of the first rows do not hold: of all rows. */
  readonly sampleAll?: boolean;
}

export type StageTask =
  /** The first rows as Parquet at `to`, and how all of them are read. */
  | { readonly kind: 'look'; readonly source: StageSource; readonly to: string; readonly csv: CsvContract }
  /** All rows as Parquet at `to`. */
  | { readonly kind: 'stage'; readonly source: StageSource; readonly to: string; readonly form: StageForm }
  | { readonly kind: 'count'; readonly source: StageSource; readonly form: StageForm };

export interface StageResult {
  /** Written or counted. */
  readonly rowCount: number;
  /** Of a look: how to read all of it. */
  readonly form: StageForm;
  /** Of a look: names of columns that hold no value in these rows. */
  readonly emptyColumns: readonly string[];
}

export type StageReply =
  | { readonly kind: 'connected'; readonly connection: Pointer }
  | { readonly kind: 'done'; readonly result: StageResult }
  | { readonly kind: 'failed'; readonly error: ErrorRecord }
  | { readonly kind: 'closed' };

export type StageRequest = StageTask | { readonly kind: 'close' };

export interface StagerStart {
  /** Of DuckDB, for text. */
  readonly threads: number;
  readonly memoryLimitBytes: number;
}
