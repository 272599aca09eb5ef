/**
 * Chunks of a query as Arrow arrays in native memory, through DuckDB's Arrow C data functions. The converter copies
 * each value once, in C++; nested types come out in Arrow's own layout.
 */
import type { Pointer } from '../native.ts';
import {
  arrayAt,
  arrayBytes,
  flagNullable,
  readText,
  readWords,
  schemaAt,
  schemaBytes,
  throwErrorData,
  wordAt,
} from './arrow-memory.ts';
import { callWithMemory, loadDuckDb } from './bindings.ts';
import type { Connection, RowStream } from './database.ts';

/** `struct ArrowSchema` as plain data. `format` is Arrow's type string, for example `tsu:UTC` or `+w:3`. */
export interface ArrowField {
  readonly name: string;
  readonly format: string;
  readonly nullable: boolean;
  readonly children: readonly ArrowField[];
  /** Of the values, where `format` is that of the indices. */
  readonly dictionary: ArrowField | null;
}

/** `struct ArrowArray` as plain data. The pointers hold until the chunk that it came from is released. */
export interface ArrowPiece {
  readonly length: number;
  readonly nullCount: number;
  readonly offset: number;
  /** Validity first; 0n where there is none. */
  readonly buffers: BigUint64Array;
  readonly children: readonly ArrowPiece[];
  readonly dictionary: ArrowPiece | null;
}

/** Turns columns of a running query into Arrow, chunk by chunk. */
export class ArrowExport {
  /** One per column of the query. */
  readonly fields: readonly ArrowField[];
  readonly #stream: RowStream;
  readonly #duckdb = loadDuckDb();
  readonly #options: [Pointer | null] = [null];
  /** For each column asked for, a chunk of one vector that refers to the stream's. */
  readonly #chunks = new Map<number, Pointer>();
  readonly #filled: BigUint64Array[] = [];

  /** @throws DuckDbError for a type that Arrow does not have */
  constructor(connection: Connection, stream: RowStream) {
    this.#stream = stream;
    this.#duckdb.duckdb_connection_get_arrow_options(connection.pointer, this.#options);
    try {
      this.fields = stream.columns.map((_, column) => this.#exportField(column));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** A column of the stream's current chunk, until {@link release}. @throws DuckDbError */
  piece(column: number, rowCount: number): ArrowPiece {
    const chunk = this.#chunkFor(column);
    this.#duckdb.duckdb_vector_reference_vector(
      this.#duckdb.duckdb_data_chunk_get_vector(chunk, 0),
      this.#stream.vector(column),
    );
    this.#duckdb.duckdb_data_chunk_set_size(chunk, rowCount);
    const array = new BigUint64Array(arrayBytes / 8);
    throwErrorData(this.#duckdb.duckdb_data_chunk_to_arrow(this.#options[0]!, chunk, array));
    this.#filled.push(array);
    return readPiece(array).children[0]!;
  }

  /** Frees the memory of all pieces. */
  release(): void {
    for (const array of this.#filled) callWithMemory(wordAt(array, arrayAt.release), array);
    this.#filled.length = 0;
  }

  /** Frees everything; the stream stays open. */
  close(): void {
    this.release();
    for (const chunk of this.#chunks.values()) this.#duckdb.duckdb_destroy_data_chunk([chunk]);
    this.#chunks.clear();
    if (this.#options[0] !== null) this.#duckdb.duckdb_destroy_arrow_options(this.#options);
    this.#options[0] = null;
  }

  #chunkFor(column: number): Pointer {
    let chunk = this.#chunks.get(column);
    if (chunk === undefined) {
      chunk = this.#stream.withLogicalType(column, (type) =>
        this.#duckdb.duckdb_create_data_chunk(BigUint64Array.of(type), 1),
      );
      this.#chunks.set(column, chunk);
    }
    return chunk;
  }

  #exportField(column: number): ArrowField {
    const schema = new BigUint64Array(schemaBytes / 8);
    const names = [this.#stream.columns[column]!.name];
    throwErrorData(
      this.#stream.withLogicalType(column, (type) =>
        this.#duckdb.duckdb_to_arrow_schema(this.#options[0]!, BigUint64Array.of(type), names, 1, schema),
      ),
    );
    try {
      return readField(schema).children[0]!;
    } finally {
      callWithMemory(wordAt(schema, schemaAt.release), schema);
    }
  }
}

function readField(words: BigUint64Array): ArrowField {
  const children = readWords(wordAt(words, schemaAt.children), Number(wordAt(words, schemaAt.childCount)));
  const dictionary = wordAt(words, schemaAt.dictionary);
  return {
    name: readText(wordAt(words, schemaAt.name)),
    format: readText(wordAt(words, schemaAt.format)),
    nullable: (wordAt(words, schemaAt.flags) & flagNullable) !== 0n,
    children: Array.from(children, (address) => readField(readWords(address, schemaBytes / 8))),
    dictionary: dictionary === 0n ? null : readField(readWords(dictionary, schemaBytes / 8)),
  };
}

function readPiece(words: BigUint64Array): ArrowPiece {
  const children = readWords(wordAt(words, arrayAt.children), Number(wordAt(words, arrayAt.childCount)));
  const dictionary = wordAt(words, arrayAt.dictionary);
  return {
    length: Number(wordAt(words, arrayAt.length)),
    nullCount: Number(BigInt.asIntN(64, wordAt(words, arrayAt.nullCount))),
    offset: Number(wordAt(words, arrayAt.offset)),
    buffers: readWords(wordAt(words, arrayAt.buffers), Number(wordAt(words, arrayAt.bufferCount))),
    children: Array.from(children, (address) => readPiece(readWords(address, arrayBytes / 8))),
    dictionary: dictionary === 0n ? null : readPiece(readWords(dictionary, arrayBytes / 8)),
  };
}
