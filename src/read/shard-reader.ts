/** The numeric lane: rows of one shard as chunks of typed arrays, which the next chunk overwrites. */
import type {
  CategoryVector,
  Chunk,
  ColumnRequest,
  ColumnVector,
  ListVector,
  NumberVector,
  TextVector,
} from '../batch.ts';
import type { Connection, RowStream } from '../engines/duckdb/database.ts';
import { loadDuckDb } from '../engines/duckdb/bindings.ts';
import { duckDbType, vectorRows } from '../engines/duckdb/types.ts';
import { copyValues, readListEntries, readStrings, readValidity } from '../engines/duckdb/vectors.ts';
import type { Pointer } from '../engines/native.ts';
import { createVectorPlaces, type VectorPlace } from './vector-places.ts';

/** Rows in file order; what every reader offers. */
export interface ChunkSource {
  /** The next rows, valid until the next call; undefined at the end. */
  next(): Chunk | undefined;
  close(): void;
}

/**
 * Reads the result of a query whose columns are the requests', in order.
 * @param places where the columns' vectors go, one for each request; other streams must not use them meanwhile
 * @throws DuckDbError
 */
export function openChunks(
  connection: Connection,
  sql: string,
  requests: readonly ColumnRequest[],
  places: readonly VectorPlace[] = createVectorPlaces(requests),
): ChunkSource {
  const stream = connection.stream(sql);
  const readers = requests.map((request, column) => columnReader(stream, column, request, places[column]!));
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

function columnReader(stream: RowStream, column: number, request: ColumnRequest, place: VectorPlace): ColumnReader {
  const type = stream.columns[column]!.type;
  switch (request.as) {
    case 'number':
      return numberReader(type, place);
    case 'category':
      return categoryReader(place);
    case 'text':
      return textReader();
    case 'list':
      return type === duckDbType.ARRAY ? arrayReader(stream, column, place) : listReader(stream, column, place);
  }
}

function numberReader(type: number, place: VectorPlace): ColumnReader {
  const values = place.values(type, vectorRows);
  const vector: NumberVector = { kind: 'number', values, validity: null };
  return {
    vector,
    read(source, rowCount) {
      copyValues(source, values, rowCount);
      vector.validity = readValidity(source, rowCount, place.rowBits);
    },
  };
}

function categoryReader(place: VectorPlace): ColumnReader {
  const codes = place.values(duckDbType.INTEGER, vectorRows) as Int32Array;
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

/** The `count` values of a list's child vector. */
function readChild(vector: ListVector, child: Pointer, type: number, count: number, place: VectorPlace): void {
  vector.values = place.values(type, count);
  vector.valueValidity = null;
  if (count === 0) return;
  copyValues(child, vector.values, count);
  vector.valueValidity = readValidity(child, count, place.valueBits(count));
}

function emptyList(place: VectorPlace, type: number): ListVector {
  const { offsets, lengths } = place;
  return { kind: 'list', values: place.values(type, 0), valueValidity: null, offsets, lengths, validity: null };
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

function listReader(stream: RowStream, column: number, place: VectorPlace): ColumnReader {
  const type = childType(stream, column, 'list');
  const vector = emptyList(place, type);
  return {
    vector,
    read(source, rowCount) {
      const duckdb = loadDuckDb();
      const count = Number(duckdb.duckdb_list_vector_get_size(source));
      readChild(vector, duckdb.duckdb_list_vector_get_child(source), type, count, place);
      readListEntries(source, rowCount, vector.offsets, vector.lengths);
      vector.validity = readValidity(source, rowCount, place.rowBits);
    },
  };
}

function arrayReader(stream: RowStream, column: number, place: VectorPlace): ColumnReader {
  const type = childType(stream, column, 'array');
  const length = stream.withLogicalType(column, (type) => Number(loadDuckDb().duckdb_array_type_array_size(type)));
  const vector = emptyList(place, type);
  vector.lengths.fill(length);
  vector.offsets.forEach((_, row) => {
    vector.offsets[row] = row * length;
  });
  return {
    vector,
    read(source, rowCount) {
      readChild(vector, loadDuckDb().duckdb_array_vector_get_child(source), type, rowCount * length, place);
      vector.validity = readValidity(source, rowCount, place.rowBits);
    },
  };
}
