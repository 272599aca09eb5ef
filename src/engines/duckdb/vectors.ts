/** Copies DuckDB's vectors into typed arrays and strings. */
import type { NumberVector, TextVector, Validity } from '../../batch.ts';
import { bug } from '../../errors.ts';
import { memcpy, type Memory, type Pointer } from '../native.ts';
import { loadDuckDb } from './bindings.ts';
import { arrayFor, duckDbType, vectorRows } from './types.ts';

export type AnyVector = NumberVector | TextVector;

/** A vector of a flat type as new arrays. */
export function readVector(vector: Pointer, type: number, rowCount: number): AnyVector {
  if (type === duckDbType.VARCHAR || type === duckDbType.BLOB) {
    return { kind: 'text', values: readStrings(vector, rowCount) };
  }
  const values = arrayFor(type, rowCount);
  if (values === undefined) throw bug(`Type ${type} is not read here`);
  copyValues(vector, values, rowCount);
  return { kind: 'number', values, validity: readValidity(vector, rowCount) };
}

/** Copies the first `count` values of a vector of fixed width. */
export function copyValues(vector: Pointer, target: Memory, count: number): void {
  memcpy(target, loadDuckDb().duckdb_vector_get_data(vector), count * (target as Uint8Array).BYTES_PER_ELEMENT);
}

const validityScratch = new Uint8Array(vectorRows / 8);

/** The validity bitmap of the first rows; null when all are valid. With `scratch` the bitmap is reused by the next call. */
export function readValidity(
  vector: Pointer,
  rowCount: number,
  scratch: Uint8Array = new Uint8Array(Math.ceil(rowCount / 8)),
): Validity {
  const pointer = loadDuckDb().duckdb_vector_get_validity(vector);
  if (pointer === null) return null;
  memcpy(scratch, pointer, Math.ceil(rowCount / 8));
  return allValid(scratch, rowCount) ? null : scratch;
}

/** DuckDB often allocates a bitmap for a column that has no null in it. */
function allValid(bitmap: Uint8Array, rowCount: number): boolean {
  const wholeBytes = rowCount >> 3;
  for (let index = 0; index < wholeBytes; index++) if (bitmap[index] !== 0xff) return false;
  const restMask = (1 << (rowCount & 7)) - 1;
  return (bitmap[wholeBytes]! & restMask) === restMask || restMask === 0;
}

/** Bytes of a `duckdb_string_t`: length, then 12 bytes inline or a prefix of 4 and a pointer. */
const stringBytes = 16;
const inlineBytesMax = 12;
/** Strings that lie closer than this in the heap are copied in one go; what lies between is the same allocation's. */
const heapGapBytesMax = 4096;

const entries = new Uint8Array(vectorRows * stringBytes);
const entryView = new DataView(entries.buffer);
const entryBytes = Buffer.from(entries.buffer);

/** Strings of a VARCHAR vector, decoded as UTF-8; null where the row is null. */
export function readStrings(vector: Pointer, rowCount: number): (string | null)[] {
  memcpy(entries, loadDuckDb().duckdb_vector_get_data(vector), rowCount * stringBytes);
  const validity = readValidity(vector, rowCount, validityScratch);
  const values = new Array<string | null>(rowCount);
  const longRows: number[] = [];
  for (let row = 0; row < rowCount; row++) {
    if (validity !== null && ((validity[row >> 3]! >> (row & 7)) & 1) === 0) {
      values[row] = null;
      continue;
    }
    const at = row * stringBytes;
    const length = entryView.getUint32(at, true);
    if (length <= inlineBytesMax) values[row] = entryBytes.toString('utf8', at + 4, at + 4 + length);
    else longRows.push(row);
  }
  readLongStrings(longRows, values);
  return values;
}

function readLongStrings(rows: readonly number[], values: (string | null)[]): void {
  for (let first = 0; first < rows.length;) {
    const start = entryView.getBigUint64(rows[first]! * stringBytes + 8, true);
    let end = start + BigInt(entryView.getUint32(rows[first]! * stringBytes, true));
    let last = first + 1;
    for (; last < rows.length; last++) {
      const at = rows[last]! * stringBytes;
      const next = entryView.getBigUint64(at + 8, true);
      if (next < end || next - end > heapGapBytesMax) break;
      end = next + BigInt(entryView.getUint32(at, true));
    }
    const heap = Buffer.allocUnsafe(Number(end - start));
    memcpy(heap, start, heap.byteLength);
    for (let index = first; index < last; index++) {
      const at = rows[index]! * stringBytes;
      const offset = Number(entryView.getBigUint64(at + 8, true) - start);
      values[rows[index]!] = heap.toString('utf8', offset, offset + entryView.getUint32(at, true));
    }
    first = last;
  }
}

/** Words of offset and length of a list, both of 64 bits. */
const listEntryWords = 4;
const listEntries = new Uint32Array(vectorRows * listEntryWords);

/** Offsets and lengths of a LIST vector's rows in its child vector. Undefined for null lists. */
export function readListEntries(vector: Pointer, rowCount: number, offsets: Int32Array, lengths: Int32Array): void {
  copyValues(vector, listEntries, rowCount * listEntryWords);
  for (let row = 0; row < rowCount; row++) {
    offsets[row] = listEntries[row * listEntryWords]!;
    lengths[row] = listEntries[row * listEntryWords + 2]!;
  }
}
