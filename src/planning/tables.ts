/** What planning asks of whatever reads the tables: DuckDB, or parquetjs-lite for shards. */
import type { ColumnRequest } from '../batch.ts';
import { sourceName, type Source } from '../contract/contract.ts';
import { DuckDbError, type Connection } from '../engines/duckdb/database.ts';
import { bug, TandemError } from '../errors.ts';
import { describe, selectColumns, shardError, type SourceTable } from '../read/footers.ts';
import { createEnum, projectColumn, sourceSql, type ColumnType } from '../read/projection.ts';
import { explainRowFailure, fileRowOf, type NamedRows } from '../read/row-failure.ts';
import { between } from '../relation.ts';
import { openChunks, type ChunkSource } from '../read/shard-reader.ts';
import type { VectorPlace } from '../read/vector-places.ts';

export type SqlSource = Extract<Source, { readonly sql: string }>;

export interface TableReader {
  /** DuckDB's name of the type that an expression has over a table. @throws BAD_CONTRACT */
  typeOfSql(source: SqlSource, table: SourceTable): string;
  /** A request over a source of the given type, as one item of a SELECT list. @throws BAD_COLUMN */
  project(request: ColumnRequest, type: string, table: SourceTable): string;
  /** The kept columns as a SELECT list. @throws BAD_COLUMN */
  projectKept(names: readonly string[], table: SourceTable): string;
  /** At least the first `rowCount` rows, where the table has so many. DuckDB's go into `places`, if there are any. */
  openFirst(
    table: SourceTable,
    projection: string,
    requests: readonly ColumnRequest[],
    rowCount: number,
    places?: readonly VectorPlace[],
  ): ChunkSource;
  /** Number in its file of a row that is counted among those that are taken, from a row of the file on (default: 0). */
  fileRow(table: SourceTable, row: number, from?: number): number;
  /** Rows of a table whose rows are numbered, from one of the file on, whichever are taken. */
  openStretch(
    table: SourceTable,
    projection: string,
    requests: readonly ColumnRequest[],
    firstRow: number,
    rowCount: number,
  ): ChunkSource;
  /** What a failure of the library means; undefined: it is none. */
  explain(error: unknown, table: SourceTable, requests: readonly ColumnRequest[]): TandemError | undefined;
}

export class DuckDbTables implements TableReader {
  readonly #connection: Connection;
  readonly #enums = new Map<string, string>();

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  typeOfSql(source: SqlSource, table: SourceTable): string {
    try {
      const columns = describe(this.#connection, sourceSql(source), table.from);
      if (columns.length === 1) {
        // Spans and batches evaluate it over parts of the rows. WHERE takes only what a row gives by itself.
        describe(this.#connection, '1', `(FROM ${table.from} AS shard WHERE ${sourceSql(source)} IS NOT NULL)`);
        return columns[0]!.type;
      }
      const message = `Expected ${sourceName(source)} to be one scalar expression, got ${columns.length} columns.`;
      throw new TandemError('BAD_CONTRACT', message, {
        place: { shard: table.name },
        remedy: 'Write one expression for each feature.',
      });
    } catch (error) {
      if (!(error instanceof DuckDbError)) throw error;
      const name = sourceName(source);
      const words = error.message.split('\n')[0]!;
      const message = `Expected ${name} to be a scalar expression over the shard's columns, got: ${words}`;
      throw new TandemError('BAD_CONTRACT', message, {
        place: { shard: table.name },
        cause: error,
        remedy: /window function|aggregate|unnest/i.test(words)
          ? 'Write an expression that each row gives by itself, or write its value into the shards as a column.'
          : `The shard has: ${columnNames(table.columns)}.`,
      });
    }
  }

  project(request: ColumnRequest, type: string): string {
    return projectColumn(request, type, this.#enumOf(request));
  }

  projectKept(names: readonly string[]): string {
    return selectColumns(names);
  }

  openFirst(
    table: SourceTable,
    projection: string,
    requests: readonly ColumnRequest[],
    rowCount: number,
    places?: readonly VectorPlace[],
  ): ChunkSource {
    const sql = `SELECT ${projection} FROM ${table.from} AS shard LIMIT ${rowCount}`;
    return openChunks(this.#connection, sql, requests, places);
  }

  fileRow(table: SourceTable, row: number, from = 0): number {
    if (table.takenBlocks === undefined) return from + row;
    return fileRowOf(this.#connection, { ...namedRows(table), fileRows: { firstRow: from, rowCount: 2 ** 52 } }, row);
  }

  openStretch(
    { name, numberedFrom, takenBlocks }: SourceTable,
    projection: string,
    requests: readonly ColumnRequest[],
    firstRow: number,
    rowCount: number,
  ): ChunkSource {
    if (numberedFrom === undefined) throw bug(`Rows of ${name} have no numbers`);
    const rows =
      takenBlocks === undefined
        ? between({ firstRow, rowCount })
        : `shard.file_row_number >= ${firstRow} LIMIT ${rowCount}`;
    return openChunks(this.#connection, `SELECT ${projection} FROM ${numberedFrom} WHERE ${rows}`, requests);
  }

  explain(error: unknown, table: SourceTable, requests: readonly ColumnRequest[]): TandemError | undefined {
    if (!(error instanceof DuckDbError)) return undefined;
    const sources = requests.map((request) => request.feature.source);
    const rows = namedRows(table);
    return explainRowFailure(this.#connection, sources, rows, error) ?? shardError(error, table.name);
  }

  /** The ENUM type of a request's categories, created at first use; equal lists share one. */
  #enumOf(request: ColumnRequest): string | undefined {
    const { feature } = request;
    if (request.as !== 'category' || !('categories' in feature)) return undefined;
    const categories = feature.categories.map(String);
    const key = JSON.stringify(categories);
    let name = this.#enums.get(key);
    if (name === undefined) {
      name = `tandem_categories_${this.#enums.size}`;
      this.#connection.execute(createEnum(name, categories));
      this.#enums.set(key, name);
    }
    return name;
  }
}

/** All that are taken. */
function namedRows({ name, rowCount, rowGroupRows = [], numberedFrom }: SourceTable): NamedRows {
  const fileRowCount = rowGroupRows.reduce((sum, rows) => sum + rows, 0);
  return { name, fileRows: { firstRow: 0, rowCount: fileRowCount || rowCount }, rowGroupRows, numberedFrom };
}

/** The names of a table's columns, for a sentence. */
export function columnNames(columns: readonly ColumnType[]): string {
  const shown = columns
    .slice(0, 40)
    .map((column) => column.name)
    .join(', ');
  return columns.length > 40 ? `${shown} and ${columns.length - 40} more` : shown;
}
