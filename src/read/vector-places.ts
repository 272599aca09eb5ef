/**
 * Where a reader puts its columns: in the thread's kernel memory, where SIMD kernels read them, as long as they fit, and
 * in memory of their own after that. A place belongs to a request, whatever stream it is read from.
 */
import type { ColumnRequest, NumberArray } from '../batch.ts';
import { arrayFor, typeBytes, vectorRows } from '../engines/duckdb/types.ts';
import { alignedBytes, kernelAlignment, type KernelMemory } from '../engines/wasm.ts';
import { bug } from '../errors.ts';
import { kernelVectorBytesMax } from '../limits.ts';

/** Memory of one column's vector. Each method gives the same memory at every call: the next chunk overwrites it. */
export interface VectorPlace {
  /** Values of a DuckDB type of fixed width; new memory where there are more than were planned. */
  values(type: number, count: number): NumberArray;
  /** Bitmap of so many values in lists; new memory where there are more than were planned. */
  valueBits(count: number): Uint8Array;
  /** Of rows: bitmap, and where the lists begin and how long they are. */
  readonly rowBits: Uint8Array;
  readonly offsets: Int32Array;
  readonly lengths: Int32Array;
}

interface Stretch {
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
}

/** Bytes of each part of a place. */
interface PartBytes {
  readonly values: number;
  readonly valueBits: number;
  readonly rowBits: number;
  readonly offsets: number;
  readonly lengths: number;
}

/** Types are known only when a stream is open, and shards may differ: the widest type counts. */
const valueBytes = 8;
const bitmapBytes = vectorRows / 8;
const noBytes: PartBytes = { values: 0, valueBits: 0, rowBits: 0, offsets: 0, lengths: 0 };

function partBytes({ feature, as }: ColumnRequest): PartBytes {
  const perRow = vectorRows * Int32Array.BYTES_PER_ELEMENT;
  switch (as) {
    case 'number':
      return { ...noBytes, values: vectorRows * valueBytes, rowBits: bitmapBytes };
    case 'category':
      return { ...noBytes, values: perRow };
    case 'list': {
      const width = feature.kind === 'list' ? (feature.length ?? 0) : 0;
      const values = width * vectorRows * valueBytes;
      return { values, valueBits: width * bitmapBytes, rowBits: bitmapBytes, offsets: perRow, lengths: perRow };
    }
    case 'text':
      return noBytes;
  }
}

function placeBytes(request: ColumnRequest): number {
  return Object.values(partBytes(request)).reduce((sum: number, bytes: number) => sum + alignedBytes(bytes), 0);
}

/** What the places of these requests take of kernel memory: of those that fit, in order. */
export function vectorPlaceBytes(requests: readonly ColumnRequest[]): number {
  return fittingBytes(requests).reduce<number>((sum, bytes) => sum + (bytes ?? 0), 0);
}

/** Undefined: there is no room for this one within {@link kernelVectorBytesMax}. */
function fittingBytes(requests: readonly ColumnRequest[]): (number | undefined)[] {
  let left = kernelVectorBytesMax;
  return requests.map((request) => {
    // Kernels look at bitmaps in steps that may end beyond the last bit.
    const bytes = placeBytes(request) + kernelAlignment;
    if (request.as === 'text' || bytes > left) return undefined;
    left -= bytes;
    return bytes;
  });
}

/** A place for each request. Without kernel memory all are in memory of their own. */
export function createVectorPlaces(requests: readonly ColumnRequest[], memory?: KernelMemory): VectorPlace[] {
  const fitting = fittingBytes(requests);
  return requests.map((request, index) => {
    const bytes = fitting[index];
    if (memory === undefined || bytes === undefined) return place(request);
    return place(request, { buffer: memory.memory.buffer, byteOffset: memory.allocate(bytes) });
  });
}

/** @param memory where the place lies; otherwise each part is made when it is needed */
function place(request: ColumnRequest, memory?: Stretch): VectorPlace {
  const planned = partBytes(request);
  let next = memory?.byteOffset ?? 0;
  const part = (bytes: number): Stretch | undefined => {
    if (memory === undefined) return undefined;
    const byteOffset = next;
    next += alignedBytes(bytes);
    return { buffer: memory.buffer, byteOffset };
  };
  const own = (bytes: number): Stretch => part(bytes) ?? { buffer: new ArrayBuffer(bytes), byteOffset: 0 };
  const [rowBits, offsets, lengths] = [own(planned.rowBits), own(planned.offsets), own(planned.lengths)];
  const [values, valueBits] = [part(planned.values), part(planned.valueBits)];
  let array: NumberArray | undefined;
  let arrayType: number | undefined;
  let bits: Uint8Array = new Uint8Array(0);
  return {
    rowBits: new Uint8Array(rowBits.buffer, rowBits.byteOffset, planned.rowBits),
    offsets: new Int32Array(offsets.buffer, offsets.byteOffset, planned.offsets / Int32Array.BYTES_PER_ELEMENT),
    lengths: new Int32Array(lengths.buffer, lengths.byteOffset, planned.lengths / Int32Array.BYTES_PER_ELEMENT),
    values(type, count) {
      if (array !== undefined && arrayType === type && array.length >= count) return array;
      array = arrayFor(type, count, count * typeBytes(type) <= planned.values ? values : undefined);
      arrayType = type;
      if (array === undefined) throw bug(`There are no numbers of type ${type}`);
      return array;
    },
    valueBits(count) {
      const bytes = Math.ceil(count / 8);
      if (bits.length >= bytes) return bits;
      bits =
        valueBits !== undefined && bytes <= planned.valueBits
          ? new Uint8Array(valueBits.buffer, valueBits.byteOffset, planned.valueBits)
          : new Uint8Array(bytes);
      return bits;
    },
  };
}
