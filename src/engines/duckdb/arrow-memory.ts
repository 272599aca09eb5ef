/**
 * The structures of Arrow's C data interface (arrow.apache.org/docs/format/CDataInterface.html) as bytes: all pointers
 * and numbers are 8 bytes wide.
 */
import koffi from 'koffi';
import { memcpy, type Memory, type Pointer } from '../native.ts';
import { loadDuckDb } from './bindings.ts';
import { DuckDbError } from './database.ts';

/** Byte offsets in `struct ArrowSchema`. */
export const schemaAt = {
  format: 0,
  name: 8,
  metadata: 16,
  flags: 24,
  childCount: 32,
  children: 40,
  dictionary: 48,
  release: 56,
} as const;
export const schemaBytes = 72;
/** Bit of `flags`. */
export const flagNullable = 2n;

/** Byte offsets in `struct ArrowArray`. */
export const arrayAt = {
  length: 0,
  nullCount: 8,
  offset: 16,
  bufferCount: 24,
  childCount: 32,
  buffers: 40,
  children: 48,
  dictionary: 56,
  release: 64,
} as const;
export const arrayBytes = 80;

/** 64-bit words at an address. */
export function readWords(address: Pointer, count: number): BigUint64Array {
  const words = new BigUint64Array(count);
  if (count > 0) memcpy(words, address, count * 8);
  return words;
}

/** A word of a structure that {@link readWords} read. */
export function wordAt(words: BigUint64Array, byteOffset: number): bigint {
  return words[byteOffset >> 3]!;
}

/** A C string at an address. */
export function readText(address: Pointer): string {
  return address === 0n ? '' : (koffi.decode(address, 'char', -1) as string);
}

/** Throws what an Arrow function of DuckDB gave back, if anything, and frees it. @throws DuckDbError */
export function throwErrorData(error: Pointer | null): void {
  if (error === null) return;
  const duckdb = loadDuckDb();
  const message = duckdb.duckdb_error_data_message(error);
  duckdb.duckdb_destroy_error_data([error]);
  throw new DuckDbError(message ?? 'Unknown error.');
}
