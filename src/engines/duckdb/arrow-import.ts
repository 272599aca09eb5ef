/** The rows of an apache-arrow RecordBatch as a SQL table function, without copying what DuckDB can read in place. */
import type { RecordBatch } from 'apache-arrow';
import { asTandemError, bug } from '../../errors.ts';
import type { Pointer } from '../native.ts';
import { throwErrorData } from './arrow-memory.ts';
import { arrayStruct, schemaStruct, type CStruct } from './arrow-structs.ts';
import { harmlessFunction, loadDuckDb, registerCallback, unregisterCallback } from './bindings.ts';
import type { Connection } from './database.ts';
import { vectorRows } from './types.ts';

/** A registered table: `SELECT ... FROM name()` reads its batch, in order, as often as wanted. */
export interface ArrowTable {
  /** What a callback threw, if anything did; the query failed with its message. */
  readonly failure: unknown;
  /** Puts another batch in place of the last. No query may run on the table. @throws BAD_COLUMN, DuckDbError */
  replace(batch: RecordBatch): void;
  /** Frees everything. No query may run on the table, nor start, any more: DuckDB keeps the name until it closes. */
  dispose(): void;
}

/**
 * Makes a batch readable as `SELECT ... FROM name()` to all connections of the database; queries on it must run on this
 * thread. The batch's buffers are read in place while a query runs, and are kept alive until `replace` or `dispose`.
 * Types are DuckDB's for Arrow's; dictionaries come as their values.
 * @param more the batches after it, of the same columns: then the table can be read once
 * @throws BAD_COLUMN for a type without counterpart, DuckDbError
 */
export function registerArrowTable(
  connection: Connection,
  name: string,
  batch: RecordBatch,
  more: () => RecordBatch | undefined = () => undefined,
): ArrowTable {
  const duckdb = loadDuckDb();
  const table = new ImportedBatches(connection, batch, more);
  const cursors = new Map<bigint, number>();
  let lastScan = 0n;
  let failure: unknown;
  const guard = (fail: (message: string) => void, work: () => void): void => {
    try {
      work();
    } catch (thrown) {
      failure ??= thrown;
      fail(asTandemError(thrown).message);
    }
  };
  const bind = registerCallback('info', (info) =>
    guard(
      (message) => duckdb.duckdb_bind_set_error(info, message),
      () => table.describe(info),
    ),
  );
  // A number of its own for each scan, in place of a pointer: a query may name the table twice.
  const init = registerCallback('info', (info) => {
    cursors.set(++lastScan, 0);
    duckdb.duckdb_init_set_init_data(info, lastScan, null);
  });
  const fill = registerCallback('fill', (info, chunk) => {
    guard(
      (message) => duckdb.duckdb_function_set_error(info, message),
      () => {
        const scan = duckdb.duckdb_function_get_init_data(info);
        const firstRow = cursors.get(scan);
        if (firstRow === undefined) throw bug('A scan went on after its end');
        cursors.set(scan, table.fill(chunk, firstRow));
      },
    );
  });
  const tableFunction = duckdb.duckdb_create_table_function();
  duckdb.duckdb_table_function_set_name(tableFunction, name);
  duckdb.duckdb_table_function_set_bind(tableFunction, bind);
  duckdb.duckdb_table_function_set_init(tableFunction, init);
  duckdb.duckdb_table_function_set_function(tableFunction, fill);
  const registered = duckdb.duckdb_register_table_function(connection.pointer, tableFunction);
  duckdb.duckdb_destroy_table_function([tableFunction]);
  if (registered !== 0) throw bug(`Table function ${name} could not be registered`);
  return {
    get failure() {
      return failure;
    },
    replace: (next) => {
      table.replace(next);
      cursors.clear();
    },
    dispose: () => {
      table.dispose();
      [bind, init, fill].forEach(unregisterCallback);
    },
  };
}

/** A batch, and those that come after it. */
class ImportedBatches {
  readonly #connection: Connection;
  readonly #more: () => RecordBatch | undefined;
  #now: ImportedBatch;
  /** DuckDB may still hold the rows that it was given last. */
  #before: ImportedBatch | undefined;

  constructor(connection: Connection, batch: RecordBatch, more: () => RecordBatch | undefined) {
    this.#connection = connection;
    this.#more = more;
    this.#now = new ImportedBatch(connection, batch);
  }

  describe(info: Pointer): void {
    this.#now.describe(info);
  }

  /** Puts the next rows into DuckDB's chunk, none at the end, and gives the row of the batch at hand that comes after them. */
  fill(target: Pointer, firstRow: number): number {
    const rowCount = this.#now.fill(target, firstRow);
    if (rowCount > 0) return firstRow + rowCount;
    for (let next = this.#more(); next !== undefined; next = this.#more()) {
      this.#before?.dispose();
      this.#before = this.#now;
      this.#now = new ImportedBatch(this.#connection, next);
      const rows = this.#now.fill(target, 0);
      if (rows > 0) return rows;
    }
    return firstRow;
  }

  replace(next: RecordBatch): void {
    const now = new ImportedBatch(this.#connection, next);
    this.dispose();
    this.#now = now;
  }

  dispose(): void {
    this.#before?.dispose();
    this.#before = undefined;
    this.#now.dispose();
  }
}

class ImportedBatch {
  readonly #duckdb = loadDuckDb();
  readonly #connection: Pointer;
  readonly #batch: RecordBatch;
  readonly #release = harmlessFunction();
  readonly #converted: [Pointer | null] = [null];
  /** Structures of each 2,048 rows, made when first read; they keep their buffers alive. */
  readonly #pieces: CStruct[] = [];
  /** C reads its names, formats and children while it is converted. */
  readonly schema: CStruct;

  constructor(connection: Connection, batch: RecordBatch) {
    this.#connection = connection.pointer;
    this.#batch = batch;
    this.schema = schemaStruct(batch.schema, this.#release);
    throwErrorData(this.#duckdb.duckdb_schema_from_arrow(this.#connection, this.schema.memory, this.#converted));
  }

  /** Tells the binder the columns. */
  describe(info: Pointer): void {
    this.#withChunk(0, (chunk) => {
      this.#batch.schema.fields.forEach((field, index) => {
        const vector = this.#duckdb.duckdb_data_chunk_get_vector(chunk, index);
        const type = this.#duckdb.duckdb_vector_get_column_type(vector);
        this.#duckdb.duckdb_bind_add_result_column(info, field.name, type);
        this.#duckdb.duckdb_destroy_logical_type([type]);
      });
    });
  }

  /** Puts the next rows into DuckDB's chunk and gives their count; 0 at the end. */
  fill(target: Pointer, firstRow: number): number {
    const rowCount = Math.min(vectorRows, this.#batch.numRows - firstRow);
    if (rowCount > 0) {
      this.#withChunk(firstRow / vectorRows, (chunk) => {
        for (let column = 0; column < this.#batch.numCols; column++) {
          this.#duckdb.duckdb_vector_reference_vector(
            this.#duckdb.duckdb_data_chunk_get_vector(target, column),
            this.#duckdb.duckdb_data_chunk_get_vector(chunk, column),
          );
        }
      });
    }
    this.#duckdb.duckdb_data_chunk_set_size(target, Math.max(rowCount, 0));
    return Math.max(rowCount, 0);
  }

  dispose(): void {
    this.#duckdb.duckdb_destroy_arrow_converted_schema(this.#converted);
    this.#pieces.length = 0;
  }

  #withChunk(index: number, use: (chunk: Pointer) => void): void {
    const piece = (this.#pieces[index] ??= arrayStruct(
      this.#batch.data.slice(index * vectorRows, Math.min(vectorRows, this.#batch.numRows - index * vectorRows)),
      this.#release,
    ));
    const chunk: [Pointer | null] = [null];
    // DuckDB takes the structure over by copying it and clearing `release`; the next scan hands it over again.
    const handedOver = piece.memory.slice();
    throwErrorData(this.#duckdb.duckdb_data_chunk_from_arrow(this.#connection, handedOver, this.#converted[0]!, chunk));
    try {
      use(chunk[0]!);
    } finally {
      this.#duckdb.duckdb_destroy_data_chunk(chunk);
    }
  }
}
