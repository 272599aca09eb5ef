/** What the shards' footers say: rows, row groups, column types, compressed sizes. */
import { closeSync, openSync, readSync, fstatSync } from 'node:fs';
import { outOfMemory, quoteIdentifier, quotePath, DuckDbError, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { parquetFile, type Relation } from '../relation.ts';
import type { ShardFile } from './find-shards.ts';
import type { ColumnType } from './projection.ts';

/** Rows that SQL can read: a shard, or batches that somebody hands over. */
export interface SourceTable {
  /** As errors name it. */
  readonly name: string;
  /** What stands after FROM. */
  readonly from: string;
  /** Of the rows that are taken. */
  readonly rowCount: number;
  readonly columns: readonly ColumnType[];
  /** As in `NamedRows`; undefined where the rows come from no file. */
  readonly numberedFrom?: string | undefined;
  readonly rowGroupRows?: readonly number[] | undefined;
  /** As in `PlannedShard`. */
  readonly takenBlocks?: readonly number[] | undefined;
  /** By name of a top-level column; undefined where the rows come from no file. */
  readonly columnSizes?: ReadonlyMap<string, ColumnSize> | undefined;
}

export interface Footer extends SourceTable, Relation {
  readonly bytes: number;
  readonly modifiedMs: number;
  /** Of the file, whichever rows are taken. */
  readonly rowGroupRows: readonly number[];
  readonly columnSizes: ReadonlyMap<string, ColumnSize>;
  /** As in `PlannedShard`. `bytes` and `modifiedMs` are of that file. */
  readonly sourcePath?: string;
  /** Only the first rows were looked at, and counted. */
  readonly rowsUnknown?: boolean;
}

/** Compressed bytes of a column in one shard. */
export interface ColumnSize {
  readonly bytes: number;
  /** Of the row group where it is largest. */
  readonly rowGroupBytesMax: number;
}

/** Files whose footers one query reads: hides what a query costs, and bounds the rows it gives. */
const filesPerQuery = 256;

/** Reads every footer. @throws BAD_SHARD naming the first file that is none of ours */
export function readFooters(connection: Connection, files: readonly ShardFile[]): Footer[] {
  const typesOf = new Map<string, readonly ColumnType[]>();
  const footers: Footer[] = [];
  for (let first = 0; first < files.length; first += filesPerQuery) {
    footers.push(...readSomeFooters(connection, files.slice(first, first + filesPerQuery), typesOf));
  }
  return footers;
}

function readSomeFooters(
  connection: Connection,
  files: readonly ShardFile[],
  typesOf: Map<string, readonly ColumnType[]>,
): Footer[] {
  const stats = files.map(checkMagic);
  try {
    const list = `[${files.map((file) => quotePath(file.path)).join(', ')}]`;
    const rowGroups = readRowGroups(connection, list);
    const sizes = readColumnSizes(connection, list);
    const signatures = readSignatures(connection, list);
    return files.map((file, index) => {
      const { path, name } = file;
      const signature = signatures.get(path) ?? '';
      const columns = typesOf.get(signature) ?? describe(connection, '*', parquetFile(path));
      typesOf.set(signature, columns);
      const rowGroupRows = rowGroups.get(path) ?? [];
      const rowCount = rowGroupRows.reduce((sum, rows) => sum + rows, 0);
      return {
        path,
        name,
        from: parquetFile(path),
        numberedFrom: `${parquetFile(path, true)} AS shard`,
        ...stats[index]!,
        columns,
        rowCount,
        rowGroupRows,
        columnSizes: sizes.get(path) ?? new Map(),
      };
    });
  } catch (error) {
    if (!(error instanceof DuckDbError)) throw error;
    // One of them cannot be read: one by one tells which.
    if (files.length === 1) throw shardError(error, files[0]!.name);
    return files.flatMap((file) => readSomeFooters(connection, [file], typesOf));
  }
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
      place: { shard: file.name },
      remedy: 'Check the path and its permissions.',
      cause,
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
    if (head.toString('latin1') !== 'PAR1')
      throw bad(`a file that starts with ${JSON.stringify(head.toString('latin1'))}`, 'Leave it out of the pattern.');
    if (size < 12 || tail.toString('latin1') !== 'PAR1') {
      throw bad(
        'one that is cut off (its last bytes are not PAR1)',
        'Write it again: its end, where the footer is, is missing.',
      );
    }
    return { bytes: size, modifiedMs: Math.floor(mtimeMs) };
  } finally {
    closeSync(descriptor);
  }
}

/** Rows of each row group, by path. Files without rows are left out. */
function readRowGroups(connection: Connection, list: string): Map<string, number[]> {
  const rows = connection.rows(
    `SELECT file_name, any_value(row_group_num_rows) FROM parquet_metadata(${list}) GROUP BY file_name, row_group_id ORDER BY row_group_id`,
  );
  const groups = new Map<string, number[]>();
  for (const [path, rowCount] of rows) {
    const known = groups.get(String(path));
    if (known === undefined) groups.set(String(path), [Number(rowCount)]);
    else known.push(Number(rowCount));
  }
  return groups;
}

function readColumnSizes(connection: Connection, list: string): Map<string, Map<string, ColumnSize>> {
  const rows = connection.rows(
    `SELECT file_name, name, sum(bytes)::BIGINT, max(bytes)::BIGINT
     FROM (SELECT file_name, row_group_id, split_part(path_in_schema, ', ', 1) AS name, sum(total_compressed_size) AS bytes
           FROM parquet_metadata(${list}) GROUP BY ALL)
     GROUP BY ALL`,
  );
  const sizes = new Map<string, Map<string, ColumnSize>>();
  for (const [path, name, bytes, rowGroupBytesMax] of rows) {
    const file = sizes.get(String(path)) ?? new Map<string, ColumnSize>();
    sizes.set(
      String(path),
      file.set(String(name), { bytes: Number(bytes), rowGroupBytesMax: Number(rowGroupBytesMax) }),
    );
  }
  return sizes;
}

/** By path; equal for files with the same columns in the same order: one DESCRIBE serves them all. */
function readSignatures(connection: Connection, list: string): Map<string, string> {
  const parts = [
    'name',
    'type',
    'type_length',
    'repetition_type',
    'num_children',
    'converted_type',
    'scale',
    'precision',
    'logical_type',
  ];
  const element = `concat_ws(chr(0), ${parts.map((part) => `coalesce(${part}::VARCHAR, '-')`).join(', ')})`;
  const rows = connection.rows(
    `SELECT file_name, md5(string_agg(${element}, chr(1))) FROM parquet_schema(${list}) GROUP BY file_name`,
  );
  return new Map(rows.map(([path, signature]) => [String(path), String(signature)]));
}

/** A read error in DuckDB's words, with the shard and what helps. */
export function shardError(error: DuckDbError, shard: string): TandemError {
  const memory = outOfMemory(error, { shard });
  if (memory !== undefined) return memory;
  const words = error.message.split('\n')[0]!;
  const remedy = /decompress|corrupt|Snappy|ZSTD|page|encoding/i.test(words)
    ? 'The file is damaged: write it again, or leave it out of the pattern.'
    : 'Leave it out of the pattern, or write it again.';
  return new TandemError('BAD_SHARD', `Expected the shard to be readable, got: ${words}`, {
    place: { shard },
    remedy,
    cause: error,
  });
}

/** Compressed bytes of the named columns in one row group, at most: each where it is largest. */
export function rowGroupBytesMax(footer: Footer, columns: ReadonlySet<string> | 'all'): number {
  return sumSizes(footer, columns, (size) => size.rowGroupBytesMax);
}

/** Compressed bytes of the named columns over all row groups. */
export function columnBytes(footer: SourceTable, columns: ReadonlySet<string> | 'all'): number {
  return sumSizes(footer, columns, (size) => size.bytes);
}

function sumSizes(
  { columnSizes = new Map() }: SourceTable,
  columns: ReadonlySet<string> | 'all',
  bytesOf: (size: ColumnSize) => number,
): number {
  let sum = 0;
  for (const [name, size] of columnSizes) if (columns === 'all' || columns.has(name)) sum += bytesOf(size);
  return sum;
}

/** The named columns as a SELECT list over `shard`. */
export function selectColumns(columns: readonly string[]): string {
  return columns.map((name) => `shard.${quoteIdentifier(name)}`).join(', ');
}
