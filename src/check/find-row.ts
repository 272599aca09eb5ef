/** Which row an address means. */
import { resolve } from 'node:path';
import { DuckDbError, quoteIdentifier, quotePath, quoteText, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { describe, type Footer } from '../read/footers.ts';
import { parquetFile, takenRows } from '../relation.ts';
import { pairFiles } from './join-rows.ts';
import { findNamed } from './pair-columns.ts';
import type { RowAddress, RowReport } from './row-report.ts';

export interface FoundRow {
  readonly table: Footer & { readonly numberedFrom: string };
  readonly row: number;
}

/** @throws NO_SHARDS, USAGE for a row or a value that is not there, or is there twice; BAD_COLUMN */
export function findRow(connection: Connection, footers: readonly Footer[], address: RowAddress): FoundRow {
  if ('column' in address) return findByValue(connection, footers, address.column, address.value);
  const { shard, row } = address;
  const named = footers.filter(({ name }) => name === shard);
  const alike = footers.filter(({ name, path }) => path === resolve(shard) || name.endsWith(`/${shard}`));
  const [table, other] = named.length > 0 ? named : alike;
  if (table === undefined || other !== undefined) {
    const names = footers.slice(0, 5).map(({ name }) => name);
    const got = other === undefined ? 'none' : `${table!.name} and ${other.name}`;
    const list = `${names.join(', ')}${footers.length > names.length ? ', ...' : ''}`;
    throw new TandemError('NO_SHARDS', `Expected one shard called \`${shard}\`, got ${got}.`, {
      remedy: `The shards are: ${list}.`,
    });
  }
  if (row >= table.rowCount) {
    throw new TandemError('USAGE', `Expected a row from 0 to ${table.rowCount - 1}, got \`${row}\`.`, {
      place: { shard: table.name },
      remedy: 'Rows are counted from 0 within their shard, as errors and worst rows count them.',
    });
  }
  return { table: numbered(table), row };
}

function findByValue(connection: Connection, footers: readonly Footer[], name: string, value: string): FoundRow {
  const found: FoundRow[] = [];
  for (const table of footers.map(numbered)) {
    const column = findNamed(table.columns, name);
    if (column === undefined) {
      const names = table.columns.map((each) => each.name).join(', ');
      throw new TandemError('BAD_COLUMN', `Expected column ${name} in the shard, got none of that name.`, {
        place: { shard: table.name, column: name },
        remedy: `The shard has: ${names}.`,
      });
    }
    // The literal takes the column's type, so that statistics of row groups help.
    const condition = `shard.${quoteIdentifier(column.name)} = ${quoteText(value)}`;
    try {
      const rows = connection.rows(`SELECT file_row_number FROM ${table.numberedFrom} WHERE ${condition} LIMIT 2`);
      found.push(...rows.map(([row]) => ({ table, row: Number(row) })));
    } catch (error) {
      if (!(error instanceof DuckDbError) || !/Conversion Error/.test(error.message)) throw error;
      throw new TandemError('USAGE', `Expected ${name} to be a value of type ${column.type}, got \`${value}\`.`);
    }
    if (found.length > 1) break;
  }
  const [first, second] = found;
  if (first === undefined) {
    throw new TandemError('USAGE', `Expected a row with ${name} = \`${value}\` in the shards, got none.`, {
      remedy: 'Or name it by its place: --row part-3.parquet:17.',
    });
  }
  if (second === undefined) return first;
  const places = [first, second].map(({ table, row }) => `${table.name}:${row}`);
  throw new TandemError('USAGE', `Expected one row with ${name} = \`${value}\`, got ${places.join(' and ')}.`, {
    remedy: `Name one by its place: --row ${places[0]}.`,
  });
}

/** A row of the shards among those that the contract takes. */
interface TakenRow extends FoundRow {
  readonly footers: readonly Footer[];
  readonly where: string | undefined;
}

/** The known row that lies where this one does among the rows that are scored. @throws BAD_SHARD */
export function copyKnown(
  connection: Connection,
  { footers, table, row, where }: TakenRow,
  known: readonly Footer[],
  to: string,
): void {
  const selection = { where: where === undefined ? [] : [where], sample: undefined };
  const countRows = (footer: Footer, endRow?: number): number => {
    if (where === undefined) return endRow ?? footer.rowCount;
    const [[count] = []] = connection.rows(`SELECT count(*) FROM ${takenRows({ ...footer, endRow }, selection)}`);
    return Number(count);
  };
  const scored = footers.map((footer) => ({ name: footer.name, rowCount: countRows(footer) }));
  const files = pairFiles(scored, known);
  const index = footers.findIndex(({ name }) => name === table.name);
  const before = scored.slice(0, index).reduce((sum, { rowCount }) => sum + rowCount, 0);
  const at = countRows(table, row) + (files.length === 1 ? before : 0);
  const file = numbered(files.length === 1 ? files[0]! : files[index]!);
  connection.execute(
    `COPY (SELECT * EXCLUDE (file_row_number) FROM ${file.numberedFrom} WHERE shard.file_row_number = ${at})
     TO ${quotePath(to)} (FORMAT parquet)`,
  );
}

/** Columns of a file's first row, in DuckDB's words. */
export function readScores(connection: Connection, path: string): RowReport['scores'] {
  const table = parquetFile(path);
  const columns = describe(connection, '*', table);
  const items = columns.map(({ name }) => `CAST(${quoteIdentifier(name)} AS VARCHAR)`);
  const [row = []] = connection.rows(`SELECT ${items.join(', ')} FROM ${table} LIMIT 1`);
  return columns.map(({ name }, index) => {
    const value = row[index] ?? null;
    return { name, value: value === null ? null : String(value) };
  });
}

/** @throws BAD_COLUMN where a column hides the number of its rows */
function numbered(table: Footer): FoundRow['table'] {
  const { name, numberedFrom, columns } = table;
  if (numberedFrom !== undefined && findNamed(columns, 'file_row_number') === undefined)
    return { ...table, numberedFrom };
  throw new TandemError(
    'BAD_COLUMN',
    'Expected no column called file_row_number, got one: single rows cannot be read.',
    {
      place: { shard: name, column: 'file_row_number' },
      remedy: 'Rename the column.',
    },
  );
}
