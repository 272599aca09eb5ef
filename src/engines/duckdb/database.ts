/**
 * One database per process, one connection per thread and purpose. DuckDB's `threads` setting is 1 from the start: then
 * every query runs on the thread that asks for it, callbacks come on that thread, and rows come in file order.
 */
import koffi from 'koffi';
import { TandemError, type ErrorPlace } from '../../errors.ts';
import type { Pointer } from '../native.ts';
import { loadDuckDb, type DuckDb, type ResultStruct } from './bindings.ts';
import { readVector, type AnyVector } from './vectors.ts';

/** Why a query failed, in DuckDB's words. `message` starts with the kind of error ("IO Error: ..."). */
export class DuckDbError extends Error {
  override readonly name = 'DuckDbError';
}

export interface DatabaseSettings {
  /** Bytes that DuckDB's buffer manager may take; it does not count everything it allocates. */
  readonly memoryLimitBytes?: number;
  /** More than 1 where no callback is registered: DuckDB would call it on threads of its own, which hangs. Default: 1. */
  readonly threads?: number;
}

/** Opens an in-memory database. The pointer may be used by all threads of the process. @throws ENVIRONMENT */
export function openDatabase(settings: DatabaseSettings = {}): Pointer {
  const duckdb = loadDuckDb();
  const config: [Pointer | null] = [null];
  if (duckdb.duckdb_create_config(config) !== 0) throw cannotOpen('no memory for its settings');
  const options = [
    ['threads', String(settings.threads ?? 1)],
    ['autoinstall_known_extensions', 'false'],
    ['autoload_known_extensions', 'false'],
  ];
  if (settings.memoryLimitBytes !== undefined) options.push(['memory_limit', memoryText(settings.memoryLimitBytes)]);
  try {
    const refused = options.find(([name, value]) => duckdb.duckdb_set_config(config[0]!, name!, value!) !== 0);
    if (refused !== undefined) throw cannotOpen(`a refusal of ${refused.join(' = ')}`);
    const database: [Pointer | null] = [null];
    const words: [Pointer | null] = [null];
    const state = duckdb.duckdb_open_ext(null, database, config[0]!, words);
    if (state !== 0 || database[0] === null) throw cannotOpen(takeText(duckdb, words[0]) ?? 'an error without words');
    useUtc(database[0]);
    return database[0];
  } finally {
    duckdb.duckdb_destroy_config(config);
  }
}

/** Else the hour of an instant would be another one on another machine. Set once it is open: it belongs to an extension. */
function useUtc(database: Pointer): void {
  const connection = new Connection(database);
  connection.execute("SET GLOBAL TimeZone = 'UTC'");
  connection.close();
}

function cannotOpen(words: string): TandemError {
  return new TandemError('ENVIRONMENT', `Expected DuckDB to open a database in memory, got: ${words}.`);
}

/** A C string that DuckDB allocated, freed after reading. */
function takeText(duckdb: DuckDb, pointer: Pointer | null): string | undefined {
  if (pointer === null) return undefined;
  const text = koffi.decode(pointer, 'char', -1) as string;
  duckdb.duckdb_free(pointer);
  return text;
}

/** DuckDB's refusal to take more memory than it may; undefined: it failed otherwise. */
export function outOfMemory(error: DuckDbError, place: ErrorPlace): TandemError | undefined {
  if (!/^Out of Memory Error/i.test(error.message)) return undefined;
  return new TandemError(
    'MEMORY',
    `Expected the run to fit into the allowed memory, got: ${error.message.split('\n')[0]}`,
    {
      place,
      remedy: 'Give more --memory, fewer --threads, or write the shard with smaller row groups.',
      cause: error,
    },
  );
}

/** @param bytes that DuckDB's buffer manager may take from now on: {@link DatabaseSettings.memoryLimitBytes} */
export function limitMemory(connection: Connection, bytes: number): void {
  connection.execute(`SET memory_limit = '${memoryText(bytes)}'`);
}

function memoryText(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)}MiB`;
}

/** Closes the database; every connection must be closed before. */
export function closeDatabase(database: Pointer): void {
  loadDuckDb().duckdb_close([database]);
}

/** Stops what runs on a connection; callable from any thread while the connection is open. */
export function interrupt(connection: Pointer): void {
  loadDuckDb().duckdb_interrupt(connection);
}

/** How much of what runs on a connection is done, 0 to 1; undefined: unknown. Callable as {@link interrupt} is. */
export function queryShare(connection: Pointer): number | undefined {
  const { percentage } = loadDuckDb().duckdb_query_progress(connection);
  return percentage < 0 ? undefined : Math.min(1, percentage / 100);
}

/** A connection, for one thread at a time. */
export class Connection {
  readonly pointer: Pointer;
  readonly #duckdb: DuckDb = loadDuckDb();

  constructor(database: Pointer) {
    const out: [Pointer | null] = [null];
    if (this.#duckdb.duckdb_connect(database, out) !== 0) throw new DuckDbError('Cannot connect.');
    this.pointer = out[0]!;
  }

  /** Runs one or more statements and drops their result. @throws DuckDbError */
  execute(sql: string): void {
    const result: ResultStruct = {};
    const state = this.#duckdb.duckdb_query(this.pointer, sql, result);
    const message = state === 0 ? null : this.#duckdb.duckdb_result_error(result);
    this.#duckdb.duckdb_destroy_result(result);
    if (state !== 0) throw new DuckDbError(message ?? 'Unknown error.');
  }

  /** Starts a query whose rows come chunk by chunk. @throws DuckDbError */
  stream(sql: string): RowStream {
    return new RowStream(this.#duckdb, this.pointer, sql);
  }

  /** All rows of a small query, as plain values: number, bigint, boolean, string or null. @throws DuckDbError */
  rows(sql: string): Value[][] {
    const stream = this.stream(sql);
    try {
      const rows: Value[][] = [];
      for (let count = stream.next(); count > 0; count = stream.next()) {
        const columns = stream.columns.map((column, index) =>
          valuesOf(readVector(stream.vector(index), column.type, count), count),
        );
        for (let row = 0; row < count; row++) rows.push(columns.map((values) => values[row] ?? null));
      }
      return rows;
    } finally {
      stream.close();
    }
  }

  close(): void {
    this.#duckdb.duckdb_disconnect([this.pointer]);
  }
}

export type Value = number | bigint | boolean | string | null;

function valuesOf(vector: AnyVector, count: number): Value[] {
  return Array.from({ length: count }, (_, row) => {
    if (vector.kind === 'text') return vector.values[row] ?? null;
    const valid = vector.validity === null || ((vector.validity[row >> 3]! >> (row & 7)) & 1) === 1;
    return valid ? vector.values[row]! : null;
  });
}

/** Column of a result: its name and DUCKDB_TYPE number (see `types.ts`). */
export interface ResultColumn {
  readonly name: string;
  readonly type: number;
}

/** Rows of a running query, at most 2,048 at a time. */
export class RowStream {
  readonly columns: readonly ResultColumn[];
  readonly #duckdb: DuckDb;
  readonly #statement: [Pointer | null] = [null];
  readonly #pending: [Pointer | null] = [null];
  readonly #result: ResultStruct = {};
  readonly #chunk: [Pointer | null] = [null];
  #open = true;
  /** Asking again after the end is an error to DuckDB. */
  #ended = false;

  constructor(duckdb: DuckDb, connection: Pointer, sql: string) {
    this.#duckdb = duckdb;
    if (duckdb.duckdb_prepare(connection, sql, this.#statement) !== 0) {
      this.#fail(duckdb.duckdb_prepare_error(this.#statement[0]!));
    }
    if (duckdb.duckdb_pending_prepared_streaming(this.#statement[0]!, this.#pending) !== 0) {
      this.#fail(duckdb.duckdb_pending_error(this.#pending[0]!));
    }
    if (duckdb.duckdb_execute_pending(this.#pending[0]!, this.#result) !== 0) {
      this.#fail(duckdb.duckdb_result_error(this.#result));
    }
    this.columns = Array.from({ length: Number(duckdb.duckdb_column_count(this.#result)) }, (_, column) => ({
      name: duckdb.duckdb_column_name(this.#result, column),
      type: duckdb.duckdb_column_type(this.#result, column),
    }));
  }

  /** Moves to the next chunk and gives its row count; 0 at the end. @throws DuckDbError */
  next(): number {
    this.#releaseChunk();
    if (this.#ended) return 0;
    const chunk = this.#duckdb.duckdb_fetch_chunk(this.#result);
    if (chunk === null) {
      this.#ended = true;
      // A damaged page or an interrupt ends the stream exactly as the end of the rows does; only this call tells.
      const message = this.#duckdb.duckdb_result_error(this.#result);
      if (message !== null && message !== '') this.#fail(message);
      return 0;
    }
    this.#chunk[0] = chunk;
    return Number(this.#duckdb.duckdb_data_chunk_get_size(chunk));
  }

  /** The current chunk. It and its vectors live until the next call of next or close. */
  get chunk(): Pointer {
    return this.#chunk[0]!;
  }

  vector(column: number): Pointer {
    return this.#duckdb.duckdb_data_chunk_get_vector(this.#chunk[0]!, column);
  }

  /** Gives a column's logical type to `use` and frees it afterwards. */
  withLogicalType<T>(column: number, use: (type: Pointer) => T): T {
    const type = this.#duckdb.duckdb_column_logical_type(this.#result, column);
    try {
      return use(type);
    } finally {
      this.#duckdb.duckdb_destroy_logical_type([type]);
    }
  }

  /** Frees everything; may be called twice. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#releaseChunk();
    this.#duckdb.duckdb_destroy_result(this.#result);
    if (this.#pending[0] !== null) this.#duckdb.duckdb_destroy_pending(this.#pending);
    if (this.#statement[0] !== null) this.#duckdb.duckdb_destroy_prepare(this.#statement);
  }

  #releaseChunk(): void {
    if (this.#chunk[0] !== null) this.#duckdb.duckdb_destroy_data_chunk(this.#chunk);
    this.#chunk[0] = null;
  }

  #fail(message: string | null): never {
    this.close();
    throw new DuckDbError(message ?? 'Unknown error.');
  }
}

/** `'o''brien'` */
export function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** `"a ""b"""` */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A path for read_parquet, which would otherwise read `g[1].parquet` as the pattern for `g1.parquet`. */
export function quotePath(path: string): string {
  return quoteText(path.replace(/[*?[]/g, (character) => `[${character}]`));
}
