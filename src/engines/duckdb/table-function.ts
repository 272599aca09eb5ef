/** A SQL table function whose rows JavaScript supplies: how scores get into `COPY`. */
import { asTandemError, bug } from '../../errors.ts';
import { memcpy, type Memory, type Pointer } from '../native.ts';
import { loadDuckDb, registerCallback, unregisterCallback } from './bindings.ts';
import type { Connection } from './database.ts';
import { duckDbType } from './types.ts';

/** A column of the function's result. `arrayLength`: a fixed-size list of that many values. */
export interface TableColumn {
  readonly name: string;
  readonly type: number;
  readonly arrayLength: number | undefined;
}

/** Values for the next rows of one column: whole rows, dense; strings as an array. */
export type TableValues = Memory | readonly (string | null)[];

export interface TableRows {
  /** At most 2,048; 0 ends the table. */
  readonly rowCount: number;
  /** One per column, with rowCount x (arrayLength or 1) values. Copied before the next call. */
  readonly columns: readonly TableValues[];
}

/** A registered function: its name in SQL, and the error that its callback threw, if any. */
export interface TableFunction {
  readonly name: string;
  readonly failure: unknown;
  /** Frees the callbacks. No query may run with the function any more. */
  dispose(): void;
}

const encoder = new TextEncoder();

/**
 * Registers a table function; `next` is called on this thread, in row order, until it gives 0 rows. What it throws fails
 * the query and is kept in `failure`: a throw that left the callback once committed a file of NULL scores.
 */
export function registerTableFunction(
  connection: Connection,
  name: string,
  columns: readonly TableColumn[],
  next: () => TableRows,
): TableFunction {
  const duckdb = loadDuckDb();
  const state: { failure: unknown } = { failure: undefined };
  const guard = (fail: (message: string) => void, work: () => void): void => {
    try {
      work();
    } catch (thrown) {
      state.failure ??= thrown;
      fail(asTandemError(thrown).message);
    }
  };
  const bind = registerCallback('info', (info) => {
    guard(
      (message) => duckdb.duckdb_bind_set_error(info, message),
      () => {
        for (const column of columns)
          withType(column, (type) => duckdb.duckdb_bind_add_result_column(info, column.name, type));
      },
    );
  });
  const init = registerCallback('info', () => {});
  const fill = registerCallback('fill', (info, chunk) => {
    guard(
      (message) => duckdb.duckdb_function_set_error(info, message),
      () => {
        const rows = next();
        rows.columns.forEach((values, index) => {
          const vector = duckdb.duckdb_data_chunk_get_vector(chunk, index);
          writeVector(vector, columns[index]!, values, { from: 0, to: 0, count: rows.rowCount });
        });
        duckdb.duckdb_data_chunk_set_size(chunk, rows.rowCount);
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
    name,
    get failure() {
      return state.failure;
    },
    dispose: () => [bind, init, fill].forEach(unregisterCallback),
  };
}

/** Gives the column's type to `use`, and frees it. */
export function withType(column: TableColumn, use: (type: Pointer) => void): void {
  const duckdb = loadDuckDb();
  const element = duckdb.duckdb_create_logical_type(column.type);
  if (column.arrayLength === undefined) use(element);
  else {
    const array = duckdb.duckdb_create_array_type(element, column.arrayLength);
    use(array);
    duckdb.duckdb_destroy_logical_type([array]);
  }
  duckdb.duckdb_destroy_logical_type([element]);
}

/** Copies `count` rows of the values, `from` one of them on, to rows `to` and on of a vector. */
export function writeVector(
  vector: Pointer,
  column: TableColumn,
  values: TableValues,
  { from, to, count }: { readonly from: number; readonly to: number; readonly count: number },
): void {
  if (count === 0) return;
  const duckdb = loadDuckDb();
  const target = column.arrayLength === undefined ? vector : duckdb.duckdb_array_vector_get_child(vector);
  const width = column.arrayLength ?? 1;
  if (column.type !== duckDbType.VARCHAR) {
    const source = (values as Uint8Array).subarray(from * width, (from + count) * width);
    const bytesBefore = BigInt(to * width * source.BYTES_PER_ELEMENT);
    memcpy(duckdb.duckdb_vector_get_data(target) + bytesBefore, source, source.byteLength);
    return;
  }
  const strings = values as readonly string[];
  for (let index = 0; index < count * width; index++) {
    const bytes = encoder.encode(strings[from * width + index]!);
    duckdb.duckdb_vector_assign_string_element_len(target, to * width + index, bytes, bytes.byteLength);
  }
}
