/** Names the row behind an error: its row group, and which row it is when a query fails without saying where. */
import type { Span } from '../batch.ts';
import { sourceName, type Source } from '../contract/contract.ts';
import { DuckDbError, type Connection } from '../engines/duckdb/database.ts';
import { TandemError, type ErrorPlace } from '../errors.ts';
import { between } from '../relation.ts';
import { sourceSql } from './projection.ts';

/** Rows of one shard, as errors name them. */
export interface NamedRows {
  readonly name: string;
  /** Where they lie in the file; of a selection, between which rows. */
  readonly fileRows: Span;
  /** Of the file; empty for rows that do not come from one. */
  readonly rowGroupRows: readonly number[];
  /** What stands after FROM, with `file_row_number` as a column; undefined: single rows cannot be looked up. */
  readonly numberedFrom: string | undefined;
}

/**
 * The row of the file, counted from 0, that is the given one of the rows.
 * @param row counted from 0 among those that are taken
 */
export function fileRowOf(
  connection: Pick<Connection, 'rows'>,
  { fileRows, numberedFrom }: NamedRows,
  row: number,
): number {
  if (numberedFrom === undefined) return fileRows.firstRow + row;
  const [[number] = []] = connection.rows(
    `SELECT shard.file_row_number FROM ${numberedFrom} WHERE ${between(fileRows)} LIMIT 1 OFFSET ${row}`,
  );
  return Number(number ?? fileRows.firstRow);
}

/** Shard, row group and row of the file. */
export function placeOfRow(rows: Pick<NamedRows, 'name' | 'rowGroupRows'>, row: number): ErrorPlace {
  return { shard: rows.name, ...rowGroupOf(rows.rowGroupRows, row), row };
}

function rowGroupOf(rowGroupRows: readonly number[], row: number): { readonly rowGroup?: number } {
  let end = 0;
  const rowGroup = rowGroupRows.findIndex((rows) => row < (end += rows));
  return rowGroup === -1 ? {} : { rowGroup };
}

const rowErrors = /^(Conversion|Out of Range|Invalid Input|Invalid) Error/;

/**
 * The failure of a query that evaluated these sources over these rows, with the source and the first row that cause it.
 * @returns undefined when it is a failure of another kind
 */
export function explainRowFailure(
  connection: Pick<Connection, 'rows'>,
  sources: readonly Source[],
  rows: NamedRows,
  error: DuckDbError,
): TandemError | undefined {
  if (!rowErrors.test(error.message) || rows.numberedFrom === undefined) return undefined;
  for (const source of sources) {
    if ('column' in source) continue;
    const search = new RowSearch(connection, source, rows.numberedFrom);
    const found = search.find(rows.fileRows);
    if (found === undefined) continue;
    return new TandemError(
      'BAD_ROW',
      `Expected ${sourceName(source)} to give a value, got: ${found.message.split('\n')[0]}`,
      {
        place: { ...placeOfRow(rows, found.row), column: sourceName(source) },
        remedy: 'Use TRY_CAST(...) or TRY(...) in the expression and say what "missing" becomes.',
        cause: error,
      },
    );
  }
  return undefined;
}

/** Finds the first row for which an expression fails, by halves. */
class RowSearch {
  readonly #connection: Pick<Connection, 'rows'>;
  readonly #source: Source;
  readonly #numberedFrom: string;

  constructor(connection: Pick<Connection, 'rows'>, source: Source, numberedFrom: string) {
    this.#connection = connection;
    this.#source = source;
    this.#numberedFrom = numberedFrom;
  }

  find({ firstRow, rowCount }: Span): { readonly row: number; readonly message: string } | undefined {
    let row = firstRow;
    let message = this.#failureIn(row, rowCount);
    if (message === undefined) return undefined;
    for (let count = rowCount; count > 1;) {
      const half = Math.ceil(count / 2);
      const inFirstHalf = this.#failureIn(row, half);
      if (inFirstHalf === undefined) row += half;
      message = inFirstHalf ?? message;
      count = inFirstHalf === undefined ? count - half : half;
    }
    return { row, message: this.#failureIn(row, 1) ?? message };
  }

  #failureIn(firstRow: number, rowCount: number): string | undefined {
    // The hash keeps DuckDB from leaving the expression out.
    const sql = `SELECT max(hash(${sourceSql(this.#source)})) FROM ${this.#numberedFrom}
      WHERE ${between({ firstRow, rowCount })}`;
    try {
      this.#connection.rows(sql);
      return undefined;
    } catch (error) {
      if (error instanceof DuckDbError && rowErrors.test(error.message)) return error.message;
      if (error instanceof DuckDbError) return undefined;
      throw error;
    }
  }
}
