/** What the shards' footers say: rows, row groups, column types, compressed sizes. */
import { closeSync, openSync, readSync, fstatSync } from 'node:fs';
import { quoteIdentifier, quotePath, DuckDbError, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import type { ShardFile } from './find-shards.ts';
import type { ColumnType } from './projection.ts';

/** Rows that SQL can read: a shard, or batches that somebody hands over. */
export interface SourceTable {
  /** As errors name it. */
  readonly name: string;
  /** What stands after FROM. */
  readonly from: string;
  readonly rowCount: number;
  readonly columns: readonly ColumnType[];
  /** As in `NamedRows`; undefined where the rows come from no file. */
  readonly numberedFrom?: string | undefined;
  readonly rowGroupRows?: readonly number[] | undefined;
}

export interface Footer extends SourceTable {
  readonly path: string;
  readonly bytes: number;
  readonly modifiedMs: number;
  readonly rowGroupRows: readonly number[];
  /** Compressed bytes of each row group, by top-level column. */
  readonly rowGroupBytes: readonly ReadonlyMap<string, number>[];
}

/** Reads every footer once. @throws BAD_SHARD naming the first file that is none of ours */
export function readFooters(connection: Connection, files: readonly ShardFile[]): Footer[] {
  const typesOf = new Map<string, readonly ColumnType[]>();
  return files.map((file) => {
    const { bytes, modifiedMs } = checkMagic(file);
    return explain(file, () => {
      const groups = readRowGroups(connection, file.path);
      const signature = schemaSignature(connection, file.path);
      let columns = typesOf.get(signature);
      if (columns === undefined) {
        columns = describe(connection, '*', readParquet(file.path));
        typesOf.set(signature, columns);
      }
      return { path: file.path, name: file.name, from: readParquet(file.path), numberedFrom: numberedRows(file.path), bytes, modifiedMs, columns, ...groups };
    });
  });
}

/** The table expression for one shard. */
export function readParquet(path: string, options = ''): string {
  return `read_parquet([${quotePath(path)}], hive_partitioning=false${options})`;
}

/** One shard after FROM, with `file_row_number` as a column. */
export function numberedRows(path: string): string {
  return `${readParquet(path, ', file_row_number=true')} AS shard`;
}

/** Names and types of a SELECT list over a table expression, which is called `shard` in it. */
export function describe(connection: Connection, projection: string, table: string): ColumnType[] {
  return connection
    .rows(`SELECT column_name, column_type FROM (DESCRIBE SELECT ${projection} FROM ${table} AS shard)`)
    .map(([name, type]) => ({ name: String(name), type: String(type) }));
}

/** First and last four bytes, which tell most wrong files apart better than a parser's error does. */
export function checkMagic(file: ShardFile): { bytes: number; modifiedMs: number } {
  const bad = (got: string, remedy: string): TandemError =>
    new TandemError('BAD_SHARD', `Expected a Parquet file, got ${got}.`, { place: { shard: file.name }, remedy });
  let descriptor: number;
  try {
    descriptor = openSync(file.path, 'r');
  } catch (cause) {
    throw new TandemError('BAD_SHARD', `Expected the file to be readable, got ${(cause as Error).message}.`, {
      place: { shard: file.name }, remedy: 'Check the path and its permissions.', cause,
    });
  }
  try {
    const { size, mtimeMs } = fstatSync(descriptor);
    if (size === 0) throw bad('an empty file', 'Remove it, or write it again.');
    const head = Buffer.alloc(4);
    const tail = Buffer.alloc(4);
    readSync(descriptor, head, 0, 4, 0);
    readSync(descriptor, tail, 0, 4, Math.max(0, size - 4));
    if (head.toString('latin1') === 'PARE' || tail.toString('latin1') === 'PARE') {
      throw bad('an encrypted Parquet file', 'Decrypt it first: keys are not supported.');
    }
    if (head.toString('latin1') !== 'PAR1') throw bad(`a file that starts with ${JSON.stringify(head.toString('latin1'))}`, 'Leave it out of the pattern.');
    if (size < 12 || tail.toString('latin1') !== 'PAR1') {
      throw bad('one that is cut off (its last bytes are not PAR1)', 'Write it again: its end, where the footer is, is missing.');
    }
    return { bytes: size, modifiedMs: Math.floor(mtimeMs) };
  } finally {
    closeSync(descriptor);
  }
}

/** A number for the order of row groups, their rows, and the compressed bytes of each top-level column. */
function readRowGroups(connection: Connection, path: string): Pick<Footer, 'rowCount' | 'rowGroupRows' | 'rowGroupBytes'> {
  const [[total] = [0n]] = connection.rows(`SELECT num_rows FROM parquet_file_metadata([${quotePath(path)}])`);
  const rows = connection.rows(
    `SELECT row_group_id, any_value(row_group_num_rows), split_part(path_in_schema, ', ', 1) AS name,
            sum(total_compressed_size)::BIGINT
     FROM parquet_metadata([${quotePath(path)}]) GROUP BY row_group_id, name ORDER BY row_group_id`,
  );
  const rowGroupRows: number[] = [];
  const rowGroupBytes: Map<string, number>[] = [];
  for (const [group, rowCount, column, bytes] of rows) {
    rowGroupRows[Number(group)] = Number(rowCount);
    (rowGroupBytes[Number(group)] ??= new Map()).set(String(column), Number(bytes));
  }
  return { rowCount: Number(total), rowGroupRows, rowGroupBytes };
}

/** Equal for files with the same columns in the same order: one DESCRIBE serves them all. */
function schemaSignature(connection: Connection, path: string): string {
  const rows = connection.rows(
    `SELECT name, type, type_length, repetition_type, num_children, converted_type, scale, precision, logical_type
     FROM parquet_schema([${quotePath(path)}])`,
  );
  return rows.map((row) => row.map(String).join('\u0000')).join('\u0001');
}

function explain<T>(file: ShardFile, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof DuckDbError) throw shardError(error, file.name);
    throw error;
  }
}

/** A read error in DuckDB's words, with the shard and what helps. */
export function shardError(error: DuckDbError, shard: string): TandemError {
  const words = error.message.split('\n')[0]!;
  const remedy = /decompress|corrupt|Snappy|ZSTD|page|encoding/i.test(words)
    ? 'The file is damaged: write it again, or leave it out of the pattern.'
    : 'Leave it out of the pattern, or write it again.';
  return new TandemError('BAD_SHARD', `Expected the shard to be readable, got: ${words}`, { place: { shard }, remedy, cause: error });
}

/** Compressed bytes of the named columns in the row group where they are largest. */
export function rowGroupBytesMax(footer: Footer, columns: ReadonlySet<string> | 'all'): number {
  const sizes = footer.rowGroupBytes.map((group) => bytesOf(group, columns));
  return sizes.reduce((largest, size) => Math.max(largest, size), 0);
}

/** Compressed bytes of the named columns over all row groups. */
export function columnBytes(footer: Footer, columns: ReadonlySet<string> | 'all'): number {
  return footer.rowGroupBytes.reduce((sum, group) => sum + bytesOf(group, columns), 0);
}

function bytesOf(group: ReadonlyMap<string, number>, columns: ReadonlySet<string> | 'all'): number {
  let sum = 0;
  for (const [name, bytes] of group) if (columns === 'all' || columns.has(name)) sum += bytes;
  return sum;
}

/** The named columns as a SELECT list over `shard`. */
export function selectColumns(columns: readonly string[]): string {
  return columns.map((name) => `shard.${quoteIdentifier(name)}`).join(', ');
}
