/** DuckDB's type numbers (enum DUCKDB_TYPE of duckdb.h 1.5.6) and the memory of their vectors. */
import type { NumberArray } from '../../batch.ts';

export const duckDbType = {
  BOOLEAN: 1,
  TINYINT: 2,
  SMALLINT: 3,
  INTEGER: 4,
  BIGINT: 5,
  UTINYINT: 6,
  USMALLINT: 7,
  UINTEGER: 8,
  UBIGINT: 9,
  FLOAT: 10,
  DOUBLE: 11,
  VARCHAR: 17,
  BLOB: 18,
  ENUM: 23,
  LIST: 24,
  ARRAY: 33,
} as const;

/** Largest row count of a chunk; compiled into the library. */
export const vectorRows = 2048;

/** Typed array for the values of a type of fixed width. Undefined: the type is none. */
export function arrayFor(type: number, length: number): NumberArray | undefined {
  switch (type) {
    case duckDbType.BOOLEAN:
    case duckDbType.UTINYINT:
      return new Uint8Array(length);
    case duckDbType.TINYINT:
      return new Int8Array(length);
    case duckDbType.SMALLINT:
      return new Int16Array(length);
    case duckDbType.INTEGER:
      return new Int32Array(length);
    case duckDbType.BIGINT:
      return new BigInt64Array(length);
    case duckDbType.USMALLINT:
      return new Uint16Array(length);
    case duckDbType.UINTEGER:
      return new Uint32Array(length);
    case duckDbType.UBIGINT:
      return new BigUint64Array(length);
    case duckDbType.FLOAT:
      return new Float32Array(length);
    case duckDbType.DOUBLE:
      return new Float64Array(length);
    default:
      return undefined;
  }
}

/**
 * Types of fixed width whose vectors are, byte for byte, what Arrow has for them: the numbers, TIMESTAMP (12), DATE,
 * TIME, TIMESTAMP_S, _MS, _NS (20 to 22), TIMESTAMP_TZ (31), TIME_NS (39). Not BOOLEAN (bytes here, bits there).
 */
export function holdsArrowLayout(type: number): boolean {
  return (type >= duckDbType.TINYINT && type <= 14) || (type >= 20 && type <= 22) || type === 31 || type === 39;
}
