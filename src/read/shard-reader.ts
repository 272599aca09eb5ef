/** The numeric lane: rows of one shard as chunks of typed arrays, which the next chunk overwrites. */
import type {
  CategoryVector,
  Chunk,
  ColumnRequest,
  ColumnVector,
  ListVector,
  NumberArray,
  NumberVector,
  TextVector,
} from '../batch.ts';
import type { Connection, RowStream } from '../engines/duckdb/database.ts';
import { loadDuckDb } from '../engines/duckdb/bindings.ts';
import { arrayFor, duckDbType, vectorRows } from '../engines/duckdb/types.ts';
import { copyValues, readListEntries, readStrings, readValidity } from '../engines/duckdb/vectors.ts';
import type { Pointer } from '../engines/native.ts';
import { bug } from '../errors.ts';

/** Rows in file order; what every reader offers. */
export interface ChunkSource {
  /** The next rows, valid until the next call; undefined at the end. */
  next(): Chunk | undefined;
  close(): void;
}

/** Reads the result of a query whose columns are the requests', in order. @throws DuckDbError */
export function openChunks(connection: Connection, sql: string, requests: readonly ColumnRequest[]): ChunkSource {
  const stream = connection.stream(sql);
  const readers = requests.map((request, column) => columnReader(stream, column, request));
  const chunk: Chunk = { rowCount: 0, vectors: readers.map((reader) => reader.vector) };
  return {
    next() {
      const rowCount = stream.next();
      if (rowCount === 0) return undefined;
      readers.forEach((reader, column) => reader.read(stream.vector(column), rowCount));
      chunk.rowCount = rowCount;
      return chunk;
    },
    close: () => stream.close(),
  };
}

interface ColumnReader {
  readonly vector: ColumnVector;
  read(source: Pointer, rowCount: number): void;
}

function columnReader(stream: RowStream, column: number, request: ColumnRequest): ColumnReader {
  const type = stream.columns[column]!.type;
  switch (request.as) {
    case 'number':
      return numberReader(type);
    case 'category':
      return categoryReader();
    case 'text':
      return textReader();
    case 'list':
      return type === duckDbType.ARRAY ? arrayReader(stream, column) : listReader(stream, column);
  }
}

function numberReader(type: number): ColumnReader {
  const values = arrayFor(type, vectorRows);
  if (values === undefined) throw bug(`A number column came as type ${type}`);
  const bitmap = new Uint8Array(vectorRows / 8);
  const vector: NumberVector = { kind: 'number', values, validity: null };
  return {
    vector,
    read(source, rowCount) {
      copyValues(source, values, rowCount);
      vector.validity = readValidity(source, rowCount, bitmap);
    },
  };
}

function categoryReader(): ColumnReader {
  const codes = new Int32Array(vectorRows);
  const vector: CategoryVector = { kind: 'category', codes };
  return { vector, read: (source, rowCount) => copyValues(source, codes, rowCount) };
}

function textReader(): ColumnReader {
  const vector: TextVector = { kind: 'text', values: [] };
  return {
    vector,
    read(source, rowCount) {
      vector.values = readStrings(source, rowCount);
    },
  };
}

/** A list's child vector as an array that grows with the largest chunk seen. */
function childValues(type: number): (child: Pointer, count: number) => Pick<ListVector, 'values' | 'valueValidity'> {
  let values: NumberArray | undefined;
  return (child, count) => {
    if (values === undefined || values.length < count) values = arrayFor(type, count);
    if (values === undefined) throw bug(`A list column came with values of type ${type}`);
    if (count > 0) copyValues(child, values.subarray(0, count), count);
    return { values, valueValidity: count === 0 ? null : readValidity(child, count) };
  };
}

function emptyList(): ListVector {
  return {
    kind: 'list',
    values: new Float32Array(0),
    valueValidity: null,
    offsets: new Int32Array(vectorRows),
    lengths: new Int32Array(vectorRows),
    validity: null,
  };
}

function childType(stream: RowStream, column: number, kind: 'list' | 'array'): number {
  const duckdb = loadDuckDb();
  return stream.withLogicalType(column, (type) => {
    const child =
      kind === 'list' ? duckdb.duckdb_list_type_child_type(type) : duckdb.duckdb_array_type_child_type(type);
    const id = duckdb.duckdb_get_type_id(child);
    duckdb.duckdb_destroy_logical_type([child]);
    return id;
  });
}

function listReader(stream: RowStream, column: number): ColumnReader {
  const readChild = childValues(childType(stream, column, 'list'));
  const vector = emptyList();
  return {
    vector,
    read(source, rowCount) {
      const duckdb = loadDuckDb();
      const count = Number(duckdb.duckdb_list_vector_get_size(source));
      Object.assign(
        vector,
        readChild(duckdb.duckdb_list_vector_get_child(source), count),
        readListEntries(source, rowCount),
      );
      vector.validity = readValidity(source, rowCount);
    },
  };
}

function arrayReader(stream: RowStream, column: number): ColumnReader {
  const readChild = childValues(childType(stream, column, 'array'));
  const length = stream.withLogicalType(column, (type) => Number(loadDuckDb().duckdb_array_type_array_size(type)));
  const vector = emptyList();
  vector.lengths.fill(length);
  vector.offsets.forEach((_, row) => {
    vector.offsets[row] = row * length;
  });
  return {
    vector,
    read(source, rowCount) {
      const child = loadDuckDb().duckdb_array_vector_get_child(source);
      Object.assign(vector, readChild(child, rowCount * length));
      vector.validity = readValidity(source, rowCount);
    },
  };
}
