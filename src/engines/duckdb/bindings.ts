/**
 * DuckDB's C API as far as we use it, from the library that the npm package brings. One table of signatures, checked by
 * `npm run engines:check`; a wrong one would kill the process.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi, { type TypeObject } from 'koffi';
import { TandemError } from '../../errors.ts';
import { nameInProfiles, openLibrary, type Memory, type Pointer } from '../native.ts';

/** Version of the library that this table was written for. */
export const duckDbVersion = 'v1.5.6';

/** `duckdb_result`, passed by value; opaque to us. */
export interface ResultStruct {
  readonly deprecated1?: number;
}
type Out = [Pointer | null];

const signatures = {
  duckdb_library_version: 'const char *duckdb_library_version()',
  duckdb_create_config: 'int duckdb_create_config(_Out_ void **config)',
  duckdb_set_config: 'int duckdb_set_config(void *config, const char *name, const char *option)',
  duckdb_destroy_config: 'void duckdb_destroy_config(_Inout_ void **config)',
  duckdb_open_ext: 'int duckdb_open_ext(const char *path, _Out_ void **database, void *config, _Out_ void **error)',
  duckdb_free: 'void duckdb_free(void *pointer)',
  duckdb_close: 'void duckdb_close(_Inout_ void **database)',
  duckdb_connect: 'int duckdb_connect(void *database, _Out_ void **connection)',
  duckdb_disconnect: 'void duckdb_disconnect(_Inout_ void **connection)',
  duckdb_interrupt: 'void duckdb_interrupt(void *connection)',
  duckdb_query_progress: 'duckdb_query_progress_type duckdb_query_progress(void *connection)',
  duckdb_query: 'int duckdb_query(void *connection, const char *sql, _Out_ duckdb_result *result)',
  duckdb_prepare: 'int duckdb_prepare(void *connection, const char *sql, _Out_ void **statement)',
  duckdb_prepare_error: 'const char *duckdb_prepare_error(void *statement)',
  duckdb_destroy_prepare: 'void duckdb_destroy_prepare(_Inout_ void **statement)',
  duckdb_pending_prepared_streaming: 'int duckdb_pending_prepared_streaming(void *statement, _Out_ void **pending)',
  duckdb_pending_error: 'const char *duckdb_pending_error(void *pending)',
  duckdb_destroy_pending: 'void duckdb_destroy_pending(_Inout_ void **pending)',
  duckdb_execute_pending: 'int duckdb_execute_pending(void *pending, _Out_ duckdb_result *result)',
  duckdb_result_error: 'const char *duckdb_result_error(duckdb_result *result)',
  duckdb_destroy_result: 'void duckdb_destroy_result(_Inout_ duckdb_result *result)',
  duckdb_column_count: 'uint64_t duckdb_column_count(duckdb_result *result)',
  duckdb_column_name: 'const char *duckdb_column_name(duckdb_result *result, uint64_t column)',
  duckdb_column_type: 'int duckdb_column_type(duckdb_result *result, uint64_t column)',
  duckdb_column_logical_type: 'void *duckdb_column_logical_type(duckdb_result *result, uint64_t column)',
  duckdb_fetch_chunk: 'void *duckdb_fetch_chunk(duckdb_result result)',
  duckdb_destroy_data_chunk: 'void duckdb_destroy_data_chunk(_Inout_ void **chunk)',
  duckdb_data_chunk_get_size: 'uint64_t duckdb_data_chunk_get_size(void *chunk)',
  duckdb_data_chunk_set_size: 'void duckdb_data_chunk_set_size(void *chunk, uint64_t size)',
  duckdb_data_chunk_get_vector: 'void *duckdb_data_chunk_get_vector(void *chunk, uint64_t column)',
  duckdb_vector_get_data: 'void *duckdb_vector_get_data(void *vector)',
  duckdb_vector_get_validity: 'void *duckdb_vector_get_validity(void *vector)',
  duckdb_vector_ensure_validity_writable: 'void duckdb_vector_ensure_validity_writable(void *vector)',
  duckdb_vector_assign_string_element_len:
    'void duckdb_vector_assign_string_element_len(void *vector, uint64_t row, const void *bytes, uint64_t length)',
  duckdb_list_vector_get_child: 'void *duckdb_list_vector_get_child(void *vector)',
  duckdb_list_vector_get_size: 'uint64_t duckdb_list_vector_get_size(void *vector)',
  duckdb_array_vector_get_child: 'void *duckdb_array_vector_get_child(void *vector)',
  duckdb_create_logical_type: 'void *duckdb_create_logical_type(int type)',
  duckdb_create_array_type: 'void *duckdb_create_array_type(void *type, uint64_t length)',
  duckdb_destroy_logical_type: 'void duckdb_destroy_logical_type(_Inout_ void **type)',
  duckdb_get_type_id: 'int duckdb_get_type_id(void *type)',
  duckdb_list_type_child_type: 'void *duckdb_list_type_child_type(void *type)',
  duckdb_array_type_child_type: 'void *duckdb_array_type_child_type(void *type)',
  duckdb_array_type_array_size: 'uint64_t duckdb_array_type_array_size(void *type)',
  duckdb_vector_get_column_type: 'void *duckdb_vector_get_column_type(void *vector)',
  duckdb_vector_reference_vector: 'void duckdb_vector_reference_vector(void *target, void *source)',
  duckdb_create_data_chunk: 'void *duckdb_create_data_chunk(const void *types, uint64_t count)',
  duckdb_data_chunk_reset: 'void duckdb_data_chunk_reset(void *chunk)',
  duckdb_connection_get_arrow_options:
    'void duckdb_connection_get_arrow_options(void *connection, _Out_ void **options)',
  duckdb_destroy_arrow_options: 'void duckdb_destroy_arrow_options(_Inout_ void **options)',
  duckdb_to_arrow_schema:
    'void *duckdb_to_arrow_schema(void *options, const void *types, const char **names, uint64_t count, void *schema)',
  duckdb_data_chunk_to_arrow: 'void *duckdb_data_chunk_to_arrow(void *options, void *chunk, void *array)',
  duckdb_schema_from_arrow: 'void *duckdb_schema_from_arrow(void *connection, void *schema, _Out_ void **converted)',
  duckdb_data_chunk_from_arrow:
    'void *duckdb_data_chunk_from_arrow(void *connection, void *array, void *converted, _Out_ void **chunk)',
  duckdb_destroy_arrow_converted_schema: 'void duckdb_destroy_arrow_converted_schema(_Inout_ void **converted)',
  duckdb_error_data_message: 'const char *duckdb_error_data_message(void *error)',
  duckdb_destroy_error_data: 'void duckdb_destroy_error_data(_Inout_ void **error)',
  duckdb_create_table_function: 'void *duckdb_create_table_function()',
  duckdb_destroy_table_function: 'void duckdb_destroy_table_function(_Inout_ void **function)',
  duckdb_table_function_set_name: 'void duckdb_table_function_set_name(void *function, const char *name)',
  duckdb_table_function_set_bind: 'void duckdb_table_function_set_bind(void *function, TandemInfoCallback *bind)',
  duckdb_table_function_set_init: 'void duckdb_table_function_set_init(void *function, TandemInfoCallback *init)',
  duckdb_table_function_set_function:
    'void duckdb_table_function_set_function(void *function, TandemFillCallback *fill)',
  duckdb_register_table_function: 'int duckdb_register_table_function(void *connection, void *function)',
  duckdb_bind_add_result_column: 'void duckdb_bind_add_result_column(void *info, const char *name, void *type)',
  duckdb_bind_set_error: 'void duckdb_bind_set_error(void *info, const char *message)',
  duckdb_init_set_init_data: 'void duckdb_init_set_init_data(void *info, void *data, void *destroy)',
  duckdb_function_get_init_data: 'void *duckdb_function_get_init_data(void *info)',
  duckdb_function_set_error: 'void duckdb_function_set_error(void *info, const char *message)',
  duckdb_create_struct_type: 'void *duckdb_create_struct_type(const void *types, const char **names, uint64_t count)',
  duckdb_struct_vector_get_child: 'void *duckdb_struct_vector_get_child(void *vector, uint64_t index)',
  duckdb_create_scalar_function: 'void *duckdb_create_scalar_function()',
  duckdb_destroy_scalar_function: 'void duckdb_destroy_scalar_function(_Inout_ void **function)',
  duckdb_scalar_function_set_name: 'void duckdb_scalar_function_set_name(void *function, const char *name)',
  duckdb_scalar_function_set_volatile: 'void duckdb_scalar_function_set_volatile(void *function)',
  duckdb_scalar_function_set_return_type: 'void duckdb_scalar_function_set_return_type(void *function, void *type)',
  duckdb_scalar_function_set_function:
    'void duckdb_scalar_function_set_function(void *function, TandemRowsCallback *rows)',
  duckdb_scalar_function_set_error: 'void duckdb_scalar_function_set_error(void *info, const char *message)',
  duckdb_register_scalar_function: 'int duckdb_register_scalar_function(void *connection, void *function)',
} as const;

type Name = keyof typeof signatures;
type Result = ResultStruct;

/** The functions as TypeScript sees them: pointers are bigint, C strings are strings, `idx_t` takes and gives numbers. */
export interface DuckDb {
  duckdb_library_version(): string;
  duckdb_create_config(config: Out): number;
  duckdb_set_config(config: Pointer, name: string, option: string): number;
  duckdb_destroy_config(config: Out): void;
  duckdb_open_ext(path: string | null, database: Out, config: Pointer, error: Out): number;
  duckdb_free(pointer: Pointer): void;
  duckdb_close(database: Out): void;
  duckdb_connect(database: Pointer, connection: Out): number;
  duckdb_disconnect(connection: Out): void;
  duckdb_interrupt(connection: Pointer): void;
  duckdb_query_progress(connection: Pointer): { readonly percentage: number };
  duckdb_query(connection: Pointer, sql: string, result: Result): number;
  duckdb_prepare(connection: Pointer, sql: string, statement: Out): number;
  duckdb_prepare_error(statement: Pointer): string | null;
  duckdb_destroy_prepare(statement: Out): void;
  duckdb_pending_prepared_streaming(statement: Pointer, pending: Out): number;
  duckdb_pending_error(pending: Pointer): string | null;
  duckdb_destroy_pending(pending: Out): void;
  duckdb_execute_pending(pending: Pointer, result: Result): number;
  duckdb_result_error(result: Result): string | null;
  duckdb_destroy_result(result: Result): void;
  duckdb_column_count(result: Result): number;
  duckdb_column_name(result: Result, column: number): string;
  duckdb_column_type(result: Result, column: number): number;
  duckdb_column_logical_type(result: Result, column: number): Pointer;
  duckdb_fetch_chunk(result: Result): Pointer | null;
  duckdb_destroy_data_chunk(chunk: Out): void;
  duckdb_data_chunk_get_size(chunk: Pointer): number;
  duckdb_data_chunk_set_size(chunk: Pointer, size: number): void;
  duckdb_data_chunk_get_vector(chunk: Pointer, column: number): Pointer;
  duckdb_vector_get_data(vector: Pointer): Pointer;
  duckdb_vector_get_validity(vector: Pointer): Pointer | null;
  duckdb_vector_ensure_validity_writable(vector: Pointer): void;
  duckdb_vector_assign_string_element_len(vector: Pointer, row: number, bytes: Memory, length: number): void;
  duckdb_list_vector_get_child(vector: Pointer): Pointer;
  duckdb_list_vector_get_size(vector: Pointer): number;
  duckdb_array_vector_get_child(vector: Pointer): Pointer;
  duckdb_create_logical_type(type: number): Pointer;
  duckdb_create_array_type(type: Pointer, length: number): Pointer;
  duckdb_destroy_logical_type(type: Out): void;
  duckdb_get_type_id(type: Pointer): number;
  duckdb_list_type_child_type(type: Pointer): Pointer;
  duckdb_array_type_child_type(type: Pointer): Pointer;
  duckdb_array_type_array_size(type: Pointer): number;
  duckdb_vector_get_column_type(vector: Pointer): Pointer;
  duckdb_vector_reference_vector(target: Pointer, source: Pointer): void;
  /** `types`: array of pointers to logical types. */
  duckdb_create_data_chunk(types: BigUint64Array, count: number): Pointer;
  duckdb_data_chunk_reset(chunk: Pointer): void;
  duckdb_connection_get_arrow_options(connection: Pointer, options: Out): void;
  duckdb_destroy_arrow_options(options: Out): void;
  /** Gives an error object; null: it worked. So do the next three. */
  duckdb_to_arrow_schema(
    options: Pointer,
    types: BigUint64Array,
    names: readonly string[],
    count: number,
    schema: Memory,
  ): Pointer | null;
  duckdb_data_chunk_to_arrow(options: Pointer, chunk: Pointer, array: Memory): Pointer | null;
  duckdb_schema_from_arrow(connection: Pointer, schema: Memory, converted: Out): Pointer | null;
  duckdb_data_chunk_from_arrow(connection: Pointer, array: Memory, converted: Pointer, chunk: Out): Pointer | null;
  duckdb_destroy_arrow_converted_schema(converted: Out): void;
  duckdb_error_data_message(error: Pointer): string | null;
  duckdb_destroy_error_data(error: Out): void;
  duckdb_create_table_function(): Pointer;
  duckdb_destroy_table_function(tableFunction: Out): void;
  duckdb_table_function_set_name(tableFunction: Pointer, name: string): void;
  duckdb_table_function_set_bind(tableFunction: Pointer, bind: Pointer): void;
  duckdb_table_function_set_init(tableFunction: Pointer, init: Pointer): void;
  duckdb_table_function_set_function(tableFunction: Pointer, fill: Pointer): void;
  duckdb_register_table_function(connection: Pointer, tableFunction: Pointer): number;
  duckdb_bind_add_result_column(info: Pointer, name: string, type: Pointer): void;
  duckdb_bind_set_error(info: Pointer, message: string): void;
  duckdb_init_set_init_data(info: Pointer, data: Pointer, destroy: Pointer | null): void;
  duckdb_function_get_init_data(info: Pointer): Pointer;
  duckdb_function_set_error(info: Pointer, message: string): void;
  /** `types`: array of pointers to logical types, which it copies. */
  duckdb_create_struct_type(types: BigUint64Array, names: readonly string[], count: number): Pointer;
  duckdb_struct_vector_get_child(vector: Pointer, index: number): Pointer;
  duckdb_create_scalar_function(): Pointer;
  duckdb_destroy_scalar_function(scalar: Out): void;
  duckdb_scalar_function_set_name(scalar: Pointer, name: string): void;
  duckdb_scalar_function_set_volatile(scalar: Pointer): void;
  duckdb_scalar_function_set_return_type(scalar: Pointer, type: Pointer): void;
  duckdb_scalar_function_set_function(scalar: Pointer, rows: Pointer): void;
  duckdb_scalar_function_set_error(info: Pointer, message: string): void;
  duckdb_register_scalar_function(connection: Pointer, scalar: Pointer): number;
}
const everyNameIsTyped: Record<Name, true> extends Record<keyof DuckDb, true> ? true : never = true;
void everyNameIsTyped;

type CallbackKind = 'info' | 'fill' | 'rows';

let functions: DuckDb | undefined;
let callbackTypes: Readonly<Record<CallbackKind, TypeObject>> | undefined;

/** Path of the library that npm installed for this platform. @throws ENVIRONMENT */
export function duckDbLibraryPath(): string {
  const require = createRequire(import.meta.url);
  const file =
    process.platform === 'win32' ? 'duckdb.dll' : process.platform === 'darwin' ? 'libduckdb.dylib' : 'libduckdb.so';
  const packageName = `@duckdb/node-bindings-${process.platform}-${process.arch}`;
  try {
    return join(dirname(require.resolve(`${packageName}/package.json`)), file);
  } catch (cause) {
    throw new TandemError('ENVIRONMENT', `Expected the package ${packageName} to be installed, got nothing.`, {
      remedy: `Run \`npm ci\` without \`--omit=optional\` (Linux x64), or \`npm install ${packageName}@1.5.6-r.1\`; or use \`--reader parquetjs\`.`,
      cause,
    });
  }
}

/** Binds the library once per thread and checks its version. @throws ENVIRONMENT */
export function loadDuckDb(): DuckDb {
  if (functions !== undefined) return functions;
  const library = openLibrary(duckDbLibraryPath(), 'DuckDB');
  koffi.struct('duckdb_result', {
    deprecated_column_count: 'uint64_t',
    deprecated_row_count: 'uint64_t',
    deprecated_rows_changed: 'uint64_t',
    deprecated_columns: 'void *',
    deprecated_error_message: 'void *',
    internal_data: 'void *',
  });
  koffi.struct('duckdb_query_progress_type', {
    percentage: 'double',
    rows_processed: 'uint64_t',
    total_rows_to_process: 'uint64_t',
  });
  callbackTypes = {
    info: koffi.proto('void TandemInfoCallback(void *info)'),
    fill: koffi.proto('void TandemFillCallback(void *info, void *chunk)'),
    rows: koffi.proto('void TandemRowsCallback(void *info, void *chunk, void *vector)'),
  };
  const bound = Object.fromEntries(
    Object.entries(signatures).map(([name, signature]) => [name, library.func(signature)]),
  );
  const loaded = nameInProfiles('libduckdb', bound as unknown as DuckDb);
  const version = loaded.duckdb_library_version();
  if (version !== duckDbVersion) {
    throw new TandemError('ENVIRONMENT', `Expected DuckDB ${duckDbVersion}, got ${version}.`, {
      remedy: 'Run `npm ci`, which installs the version that Tandem was built for.',
    });
  }
  functions = loaded;
  return loaded;
}

/** A JavaScript function as a C callback. Called only on the thread that registered it; must never throw. */
export function registerCallback(
  kind: CallbackKind,
  callback: (info: Pointer, chunk: Pointer, vector: Pointer) => void,
): Pointer {
  loadDuckDb();
  return koffi.register(callback, koffi.pointer(callbackTypes![kind])) as unknown as Pointer;
}

export function unregisterCallback(callback: Pointer): void {
  koffi.unregister(callback as unknown as never);
}

/** Calls a C function of the shape `void (void *)` by its address, as the `release` of an Arrow structure. */
export function callWithMemory(address: Pointer, memory: Memory): void {
  loadDuckDb();
  koffi.call(address, callbackTypes!.info, memory);
}

/** Address of a C function that changes nothing, whatever it is given: the `release` of memory that is JavaScript's. */
export function harmlessFunction(): Pointer {
  return openLibrary(duckDbLibraryPath(), 'DuckDB').symbol('duckdb_library_version') as Pointer;
}
