/**
 * The relation of a shard: what stands after FROM. Its columns under the contract's names, those of its path, and the rows
 * that are taken. Made here alone, so that the side that reads and the side that writes see the same rows.
 */
import { createHash } from 'node:crypto';
import type { Span } from './batch.ts';
import { quoteIdentifier, quotePath } from './engines/duckdb/database.ts';
import { takenBlockRows } from './limits.ts';

/** A column of the shard under another name. */
export interface Rename {
  readonly from: string;
  readonly to: string;
}

/** A key of the path (`dt=2026-05-01/`) as a column: the same value in every row. */
export interface PartitionColumn {
  readonly name: string;
  readonly type: 'BIGINT' | 'DATE' | 'TIMESTAMP' | 'VARCHAR';
  /** The value as a SQL constant of the type. */
  readonly sql: string;
}

/** What makes a shard a table. */
export interface Relation {
  readonly path: string;
  /** Of the shard; a sample of its rows depends on it. */
  readonly name: string;
  /** Undefined: none. */
  readonly renames?: readonly Rename[];
  /** Undefined: none. */
  readonly partitions?: readonly PartitionColumn[];
  /** Where the rows end that may be taken, as a row number of the file; undefined: at its end. */
  readonly endRow?: number | undefined;
}

/** Which rows of the shards are taken; what is given here narrows the contract's `where`. */
export interface SelectionOptions {
  /** One boolean DuckDB expression over a row; a row for which it is NULL is left out. Default: every row. */
  readonly where?: string | undefined;
  /** The first rows in the order of the shards' names, after `where` and `sample`; at least 1. Default: all. */
  readonly limit?: number | undefined;
  /**
   * Share of the rows, more than 0 and at most 1, that a hash of shard name and row number chooses: the same ones in every
   * run. Default: all.
   */
  readonly sample?: number | undefined;
}

/** What decides row by row which are taken; all of it must hold. */
export interface Selection {
  /** SQL over the columns of a row; a row is taken where each is true, not where it is NULL. */
  readonly where: readonly string[];
  /** Share of the rows, 0 to 1; undefined: all. */
  readonly sample: number | undefined;
}

/** Which rows of which shards a run takes, and of how many. */
export interface PlannedSelection extends Selection {
  /** As the caller gave it; the contract's `where` comes on top. */
  readonly given: SelectionOptions;
  /** Names of the columns that the conditions look at, in lower case. */
  readonly columns: readonly string[];
  /** Before the selection. */
  readonly shardsFound: number;
  readonly rowsFound: number;
  /** What counting the rows took; undefined: none had to be looked at. */
  readonly countSeconds: number | undefined;
}

/** Whether rows must be looked at to know which are taken. */
export function hasCondition(selection: Selection | undefined): boolean {
  return selection !== undefined && (selection.where.length > 0 || selection.sample !== undefined);
}

/** Consecutive rows of a shard, counted among those that are taken. */
export interface RelationPart extends Relation, Span {
  /** All that are taken. */
  readonly isWhole: boolean;
  /** Rows of the file that they lie among. */
  readonly fileRows: Span;
  /** Taken rows among these that come before; undefined: none does and none comes after. */
  readonly skippedRows: number | undefined;
}

/** What of a footer crosses to the threads. */
export function relationOf({ path, name, renames = [], partitions = [], endRow }: Relation): Relation {
  return {
    path,
    name,
    ...(renames.length === 0 ? {} : { renames }),
    ...(partitions.length === 0 ? {} : { partitions }),
    ...(endRow === undefined ? {} : { endRow }),
  };
}

/** All rows of a Parquet file; `numbered` adds the column `file_row_number`. */
export function parquetFile(path: string, numbered = false): string {
  const number = numbered ? ', file_row_number=true' : '';
  return `read_parquet([${quotePath(path)}], hive_partitioning=false${number})`;
}

/** All rows of a shard, with the columns that the contract may name. */
export function shardTable({ path, renames = [], partitions = [] }: Relation, numbered = false): string {
  const file = parquetFile(path, numbered);
  if (renames.length === 0 && partitions.length === 0) return file;
  const renamed = renames.map(({ from, to }) => `${quoteIdentifier(from)} AS ${quoteIdentifier(to)}`);
  const star = renamed.length === 0 ? '*' : `* RENAME (${renamed.join(', ')})`;
  const constants = partitions.map(({ name, sql }) => `, ${sql} AS ${quoteIdentifier(name)}`);
  return `(SELECT ${star}${constants.join('')} FROM ${file})`;
}

/** The rows of a shard that are taken, in file order. */
export function takenRows(relation: Relation, selection: Selection | undefined, numbered = false): string {
  const { endRow } = relation;
  const conditions = selection === undefined ? [] : selection.where.map((sql) => `(${sql}\n)`);
  const needsNumbers = endRow !== undefined || selection?.sample !== undefined;
  if (selection?.sample !== undefined) conditions.push(sampleSql(relation.name, selection.sample));
  if (endRow !== undefined) conditions.push(`shard.file_row_number < ${endRow}`);
  const table = shardTable(relation, numbered || needsNumbers);
  return conditions.length === 0 ? table : `(FROM ${table} AS shard WHERE ${conditions.join(' AND ')})`;
}

/** The rows of a part, in file order. */
export function partRows(part: RelationPart, selection: Selection | undefined): string {
  if (part.isWhole) return takenRows(part, selection);
  const { fileRows, skippedRows, rowCount } = part;
  const stretch = skippedRows === undefined ? '' : ` LIMIT ${rowCount} OFFSET ${skippedRows}`;
  return `(FROM ${takenRows(part, selection, true)} AS shard WHERE ${between(fileRows)}${stretch})`;
}

/** As a condition on numbered rows. */
export function between({ firstRow, rowCount }: Span): string {
  return `shard.file_row_number BETWEEN ${firstRow} AND ${firstRow + rowCount - 1}`;
}

/**
 * True for the rows of the sample: a hash of the shard's name and the row's number in its file, below the share of its
 * range. Of nothing else, so that every run, both sides and any number of threads take the same rows. The hash is
 * multiply, xor-shift, multiply over 32 bits (the inner steps and constants of MurmurHash3's fmix32): DuckDB's own may
 * change with its version.
 */
function sampleSql(name: string, share: number): string {
  const seed = createHash('sha256').update(name).digest().readUInt32LE(0);
  const mixed = `(xor(shard.file_row_number::UBIGINT & 4294967295, ${seed}) * 2246822507 & 4294967295)`;
  return `(xor(${mixed}, ${mixed} >> 13) * 3266489909 & 4294967295) < ${Math.round(share * 2 ** 32)}`;
}

/**
 * The stretches of a shard whose taken rows are counted one by one, in rows of the file: row groups, large ones in parts.
 * A span of taken rows begins and ends at the bounds of these.
 */
export function countedBlocks(rowGroupRows: readonly number[]): number[] {
  return rowGroupRows.flatMap((rows) => {
    const parts = Math.ceil(rows / takenBlockRows);
    const bound = (part: number): number => Math.floor((rows * part) / parts);
    return Array.from({ length: parts }, (_, part) => bound(part + 1) - bound(part));
  });
}
