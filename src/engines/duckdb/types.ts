/** DuckDB's type numbers (enum DUCKDB_TYPE of duckdb.h 1.5.6) and the memory of their vectors. */
import { elementBytes, viewOf, type NumberArray } from '../../batch.ts';
import type { ElementType } from '../../contract/contract.ts';

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

/** Typed array for the values of a type of fixed width, over given memory or its own. Undefined: the type is none. */
export function arrayFor(
  type: number,
  length: number,
  memory?: { readonly buffer: ArrayBufferLike; readonly byteOffset: number },
): NumberArray | undefined {
  const elementType = elementTypes[type];
  if (elementType === undefined) return undefined;
  const { buffer, byteOffset } = memory ?? {
    buffer: new ArrayBuffer(length * elementBytes[elementType]),
    byteOffset: 0,
  };
  return viewOf(elementType, buffer, byteOffset, length);
}

/** Bytes of a value of a type of fixed width; 0: the type is none. */
export function typeBytes(type: number): number {
  const elementType = elementTypes[type];
  return elementType === undefined ? 0 : elementBytes[elementType];
}

/** Booleans are bytes of 0 and 1. */
const elementTypes: Readonly<Partial<Record<number, ElementType>>> = {
  [duckDbType.BOOLEAN]: 'uint8',
  [duckDbType.TINYINT]: 'int8',
  [duckDbType.SMALLINT]: 'int16',
  [duckDbType.INTEGER]: 'int32',
  [duckDbType.BIGINT]: 'int64',
  [duckDbType.UTINYINT]: 'uint8',
  [duckDbType.USMALLINT]: 'uint16',
  [duckDbType.UINTEGER]: 'uint32',
  [duckDbType.UBIGINT]: 'uint64',
  [duckDbType.FLOAT]: 'float32',
  [duckDbType.DOUBLE]: 'float64',
};

/**
 * Types of fixed width whose vectors are, byte for byte, what Arrow has for them: the numbers, TIMESTAMP (12), DATE,
 * TIME, TIMESTAMP_S, _MS, _NS (20 to 22), TIMESTAMP_TZ (31), TIME_NS (39). Not BOOLEAN (bytes here, bits there).
 */
export function holdsArrowLayout(type: number): boolean {
  return (type >= duckDbType.TINYINT && type <= 14) || (type >= 20 && type <= 22) || type === 31 || type === 39;
}
