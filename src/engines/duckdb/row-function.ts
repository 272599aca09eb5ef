/**
 * A SQL function whose value in each row is the next of the rows that JavaScript supplies: how scores get beside columns of
 * any query without anything being held. DuckDB calls it once for each vector of rows, in order, since its database has
 * one thread.
 */
import { asTandemError, bug } from '../../errors.ts';
import type { Pointer } from '../native.ts';
import { loadDuckDb, registerCallback, unregisterCallback } from './bindings.ts';
import type { Connection } from './database.ts';
import { withType, writeVector, type TableColumn, type TableRows } from './table-function.ts';

export interface RowFunction {
  /** Forgets what the query before has left. */
  reset(): void;
  /** Frees the callback. No query may run with the function any more. */
  dispose(): void;
}

/**
 * Registers a function without arguments that gives a STRUCT with fields `c0`, `c1`, ... for the columns. It may stand once
 * in a query.
 * @param next called on this thread; gives the next rows, at least one: what it throws fails the query
 */
export function registerRowFunction(
  connection: Connection,
  name: string,
  columns: readonly TableColumn[],
  next: () => TableRows,
): RowFunction {
  const duckdb = loadDuckDb();
  const none: TableRows = { rowCount: 0, columns: [] };
  let rows = none;
  let taken = 0;
  const fill = (rowCount: number, struct: Pointer): void => {
    for (let filled = 0; filled < rowCount;) {
      if (taken === rows.rowCount) {
        rows = next();
        taken = 0;
        if (rows.rowCount === 0) throw bug(`${name} has no rows left`);
      }
      const count = Math.min(rowCount - filled, rows.rowCount - taken);
      columns.forEach((column, index) => {
        const vector = duckdb.duckdb_struct_vector_get_child(struct, index);
        writeVector(vector, column, rows.columns[index]!, { from: taken, to: filled, count });
      });
      taken += count;
      filled += count;
    }
  };
  const callback = registerCallback('rows', (info, input, output) => {
    try {
      fill(Number(duckdb.duckdb_data_chunk_get_size(input)), output);
    } catch (thrown) {
      duckdb.duckdb_scalar_function_set_error(info, asTandemError(thrown).message);
    }
  });
  const scalar = duckdb.duckdb_create_scalar_function();
  duckdb.duckdb_scalar_function_set_name(scalar, name);
  // Otherwise it would be called once for all rows.
  duckdb.duckdb_scalar_function_set_volatile(scalar);
  withStruct(columns, (type) => duckdb.duckdb_scalar_function_set_return_type(scalar, type));
  duckdb.duckdb_scalar_function_set_function(scalar, callback);
  const registered = duckdb.duckdb_register_scalar_function(connection.pointer, scalar);
  duckdb.duckdb_destroy_scalar_function([scalar]);
  if (registered !== 0) throw bug(`Function ${name} could not be registered`);
  return {
    reset: () => {
      rows = none;
      taken = 0;
    },
    dispose: () => unregisterCallback(callback),
  };
}

/** Gives the type of all columns together to `use`, and frees it. */
function withStruct(
  columns: readonly TableColumn[],
  use: (type: Pointer) => void,
  types: readonly Pointer[] = [],
): void {
  const column = columns[types.length];
  if (column !== undefined) return withType(column, (type) => withStruct(columns, use, [...types, type]));
  const duckdb = loadDuckDb();
  const names = types.map((_, index) => `c${index}`);
  const struct = duckdb.duckdb_create_struct_type(BigUint64Array.from(types), names, types.length);
  use(struct);
  duckdb.duckdb_destroy_logical_type([struct]);
}
