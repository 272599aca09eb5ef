/** Parquet shards for tests: made, read back and broken. */
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  closeDatabase,
  Connection,
  openDatabase,
  quoteIdentifier,
  quotePath,
  quoteText,
  type Value,
} from '../engines/duckdb/database.ts';
import { pageHeaderBytes } from './page-header.ts';

export interface WriteOptions {
  /** A multiple of 2,048 (DuckDB closes a row group between chunks only). Default: DuckDB's, 122,880. */
  readonly rowGroupRows?: number;
  readonly compression?: 'snappy' | 'zstd' | 'gzip' | 'uncompressed';
  /** Statements that run before the query, on the same connection. */
  readonly before?: string;
}

/** Writes the rows of a query to a Parquet file; its folder too where there is none. */
export function writeShard(path: string, sql: string, options: WriteOptions = {}): void {
  mkdirSync(dirname(path), { recursive: true });
  const settings = ['FORMAT parquet', `COMPRESSION ${options.compression ?? 'snappy'}`];
  if (options.rowGroupRows !== undefined) settings.push(`ROW_GROUP_SIZE ${options.rowGroupRows}`);
  withConnection((connection) => {
    if (options.before !== undefined) connection.execute(options.before);
    connection.execute(`COPY (${sql}) TO ${quoteText(path)} (${settings.join(', ')})`);
  });
}

/** A Parquet file that needs a key to be read. */
export function writeEncryptedShard(path: string, sql: string): void {
  mkdirSync(dirname(path), { recursive: true });
  withConnection((connection) => {
    connection.execute("SET force_mbedtls_unsafe = 'true'; PRAGMA add_parquet_key('key', '0123456789112345')");
    connection.execute(`COPY (${sql}) TO ${quoteText(path)} (FORMAT parquet, ENCRYPTION_CONFIG {footer_key: 'key'})`);
  });
}

const plainTypes = /^(BOOLEAN|U?(TINY|SMALL|BIG)INT|U?INTEGER|FLOAT|DOUBLE|VARCHAR)$/;

/**
 * All rows of one Parquet file in file order, as objects by column name. 64-bit integers are bigint; what is neither
 * number, boolean nor string (lists, decimals, timestamps, ...) comes as DuckDB's text for it.
 */
export function readRows(path: string): Record<string, Value>[] {
  return withConnection((connection) => {
    const source = `read_parquet(${quotePath(path)}, hive_partitioning=false)`;
    const columns = connection.rows(`SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM ${source})`);
    const selected = columns.map(([name, type]) => {
      const identifier = quoteIdentifier(String(name));
      return plainTypes.test(String(type)) ? identifier : `${identifier}::VARCHAR`;
    });
    const rows = connection.rows(`SELECT ${selected.join(', ')} FROM ${source}`);
    return rows.map((row) => Object.fromEntries(row.map((value, index) => [String(columns[index]![0]), value])));
  });
}

/** Where the first data page of a column chunk lies in the file, from the footer. */
export interface PageAddress {
  readonly offset: number;
  readonly rowGroupCount: number;
  readonly compression: string;
}

/** `column`: its name. */
export function findPage(path: string, rowGroup: number, column: string): PageAddress {
  const chunks = withConnection((connection) =>
    connection.rows(
      `SELECT row_group_id, data_page_offset, compression FROM parquet_metadata(${quotePath(path)})
    WHERE path_in_schema = ${quoteText(column)} ORDER BY row_group_id`,
    ),
  );
  const chunk = chunks[rowGroup];
  if (chunk === undefined) throw new RangeError(`Expected ${path} to have column ${column} in row group ${rowGroup}.`);
  return { offset: Number(chunk[1]), rowGroupCount: chunks.length, compression: String(chunk[2]) };
}

/**
 * Damages the body of a column chunk's first data page so that a reader notices when it decompresses that page, and not
 * before: the snappy stream then starts with a length that cannot be. Footer and page header stay whole.
 */
export function corruptPage(path: string, rowGroup: number, column: string): void {
  const page = findPage(path, rowGroup, column);
  if (page.compression !== 'SNAPPY') throw new RangeError(`Expected a page of SNAPPY, got ${page.compression}.`);
  const header = Buffer.alloc(512);
  const file = openSync(path, 'r+');
  try {
    readSync(file, header, 0, header.length, page.offset);
    writeSync(file, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0x7f), 0, 6, page.offset + pageHeaderBytes(header));
  } finally {
    closeSync(file);
  }
}

/** Cuts a file off after `byteCount` bytes; from its end when negative. */
export function truncateShard(path: string, byteCount: number): void {
  const size = statSync(path).size;
  truncateSync(path, byteCount < 0 ? size + byteCount : byteCount);
}

/** Overwrites bytes of a file; a negative offset counts from its end. */
export function overwrite(path: string, offset: number, bytes: Uint8Array): void {
  const at = offset < 0 ? statSync(path).size + offset : offset;
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, at);
  closeSync(file);
}

/** A new folder that is removed after the test. */
export function tempDir(test: { after(remove: () => void): void }): string {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-'));
  test.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Gives `use` a connection to a database of its own, and closes both afterwards. */
export function withConnection<Result>(use: (connection: Connection) => Result): Result {
  const database = openDatabase();
  const connection = new Connection(database);
  try {
    return use(connection);
  } finally {
    connection.close();
    closeDatabase(database);
  }
}
