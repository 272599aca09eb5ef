/** Joins pieces of at most 2,048 rows into one column of a batch's size, in buffers that JavaScript owns. */
import { bug, TandemError } from '../../errors.ts';
import type { ArrowField, ArrowPiece } from '../../engines/duckdb/arrow.ts';
import { addressOf } from '../../engines/native.ts';
import { memcpy, type Pointer } from '../../engines/native.ts';
import { areAllSet, copyBits, setBits } from './bits.ts';
import { layoutOf, type ColumnData, type Layout } from './layout.ts';

/** Arrow's offsets are int32; so no column of a batch may hold more bytes or list elements. */
const offsetMax = 2 ** 31 - 1;

/** Room for the next batch's bytes and list elements beyond what the last batch took. */
const growthMargin = 1.125;

export class ColumnBuilder {
  readonly #name: string;
  readonly #layout: Layout;
  readonly #children: readonly ColumnBuilder[];
  #length = 0;
  #validity: Uint8Array<ArrayBuffer> | null = null;
  #capacity = 0;
  #values: Uint8Array<ArrayBuffer> | null = null;
  #valuesAddress: Pointer = 0n;
  #valueBytes = 0;
  #offsets: Int32Array<ArrayBuffer> | null = null;

  /** @throws BAD_COLUMN for a type that Tandem does not read */
  constructor(field: ArrowField) {
    this.#name = field.name;
    const layout = layoutOf(field);
    if (layout === undefined) {
      throw new TandemError('BAD_COLUMN', `Expected a type that Arrow batches can hold, got \`${field.format}\`.`, {
        place: { column: field.name },
        remedy: 'Leave the column out with `columns`, or rewrite the file with the column cast to another type.',
      });
    }
    this.#layout = layout;
    this.#children = field.children.map((child) => new ColumnBuilder(child));
  }

  /** Starts a new column, with room for that many rows. */
  begin(rowCount: number): void {
    const lastValueBytes = this.#valueBytes;
    this.#length = 0;
    this.#valueBytes = 0;
    this.#validity = this.#values = this.#offsets = null;
    this.#capacity = 0;
    const { kind } = this.#layout;
    if (kind === 'bytes' || kind === 'list') this.#offsets = new Int32Array(1);
    this.#reserveRows(rowCount);
    if (kind === 'bytes') this.#reserveBytes(Math.ceil(lastValueBytes * growthMargin));
    for (const child of this.#children) {
      child.begin(kind === 'struct' ? rowCount : Math.ceil(child.#length * growthMargin));
    }
  }

  /** Appends rows of a vector of fixed width whose memory is Arrow's layout already. */
  appendFixed(data: Pointer, validity: Pointer | null, first: number, count: number): void {
    this.#reserveRows(this.#length + count);
    this.#appendValidity(validity ?? 0n, first, count);
    this.#appendFixedValues(data, first, count);
    this.#length += count;
  }

  /** Appends rows of an Arrow array, `first` counted from the array's own offset. */
  append(piece: ArrowPiece, first: number, count: number): void {
    if (count === 0) return;
    this.#reserveRows(this.#length + count);
    const at = piece.offset + first;
    const layout = this.#layout;
    if (layout.kind !== 'null') this.#appendValidity(piece.nullCount === 0 ? 0n : piece.buffers[0]!, at, count);
    switch (layout.kind) {
      case 'fixed':
        this.#appendFixedValues(piece.buffers[1]!, at, count);
        break;
      case 'bits':
        copyBits(this.#values!, this.#length, copyBitmap(piece.buffers[1]!, at, count), at & 7, count);
        break;
      case 'bytes':
        this.#appendBytes(piece, at, count);
        break;
      case 'list': {
        const { from, length } = this.#appendOffsets(piece, at, count, this.#children[0]!.#length);
        this.#children[0]!.append(piece.children[0]!, from, length);
        break;
      }
      case 'fixedList':
        this.#children[0]!.append(piece.children[0]!, at * layout.length, count * layout.length);
        break;
      case 'struct':
        this.#children.forEach((child, index) => child.append(piece.children[index]!, at, count));
        break;
      case 'null':
        break;
    }
    this.#length += count;
  }

  /** The column so far; its buffers now belong to the caller, and {@link begin} starts the next. */
  finish(): ColumnData {
    const bitmapBytes = Math.ceil(this.#length / 8);
    const { kind } = this.#layout;
    const valueBytes =
      this.#layout.kind === 'fixed'
        ? this.#length * this.#layout.bytes
        : kind === 'bits'
          ? bitmapBytes
          : this.#valueBytes;
    return {
      length: this.#length,
      validity: this.#validity?.subarray(0, bitmapBytes) ?? null,
      values: this.#values?.subarray(0, valueBytes) ?? null,
      offsets: this.#offsets?.subarray(0, this.#length + 1) ?? null,
      children: this.#children.map((child) => child.finish()),
    };
  }

  #appendValidity(bitmapAddress: Pointer, first: number, count: number): void {
    const bitmap = bitmapAddress === 0n ? null : copyBitmap(bitmapAddress, first, count);
    if (bitmap === null || areAllSet(bitmap, first & 7, count)) {
      if (this.#validity !== null) setBits(this.#validity, this.#length, count);
      return;
    }
    if (this.#validity === null) {
      this.#validity = new Uint8Array(Math.ceil(this.#capacity / 8));
      setBits(this.#validity, 0, this.#length);
    }
    copyBits(this.#validity, this.#length, bitmap, first & 7, count);
  }

  #appendFixedValues(data: Pointer, first: number, count: number): void {
    if (this.#layout.kind !== 'fixed') throw bug(`Column ${this.#name} is not of fixed width`);
    const { bytes } = this.#layout;
    memcpy(this.#valuesAddress + BigInt(this.#length * bytes), data + BigInt(first * bytes), count * bytes);
  }

  #appendBytes(piece: ArrowPiece, at: number, count: number): void {
    const { from, length } = this.#appendOffsets(piece, at, count, this.#valueBytes);
    this.#reserveBytes(this.#valueBytes + length);
    if (length > 0) memcpy(this.#valuesAddress + BigInt(this.#valueBytes), piece.buffers[2]! + BigInt(from), length);
    this.#valueBytes += length;
  }

  /** Appends offsets, moved so that they start at `base`, and gives the range in the piece that they cover. */
  #appendOffsets(piece: ArrowPiece, at: number, count: number, base: number): { from: number; length: number } {
    const source = new Int32Array(count + 1);
    memcpy(source, piece.buffers[1]! + BigInt(at * 4), source.byteLength);
    const from = source[0]!;
    const length = source[count]! - from;
    if (base + length > offsetMax) {
      throw new TandemError('MEMORY', `Expected at most ${offsetMax} bytes or list elements in a batch, got more.`, {
        place: { column: this.#name },
        remedy: 'Ask for smaller batches with `batchRows`.',
      });
    }
    const target = this.#offsets!;
    for (let row = 1, to = this.#length + 1; row <= count; row++, to++) target[to] = source[row]! - from + base;
    return { from, length };
  }

  #reserveRows(rowCount: number): void {
    if (rowCount <= this.#capacity) return;
    this.#capacity = this.#capacity === 0 ? rowCount : Math.max(rowCount, this.#capacity * 2);
    if (this.#validity !== null) this.#validity = grown(this.#validity, Math.ceil(this.#capacity / 8));
    if (this.#layout.kind === 'fixed') this.#setValues(this.#capacity * this.#layout.bytes);
    else if (this.#layout.kind === 'bits') this.#setValues(Math.ceil(this.#capacity / 8));
    if (this.#offsets !== null) {
      const offsets = new Int32Array(this.#capacity + 1);
      offsets.set(this.#offsets.subarray(0, this.#length + 1));
      this.#offsets = offsets;
    }
  }

  #reserveBytes(byteCount: number): void {
    const capacity = this.#values?.byteLength ?? 0;
    if (byteCount > capacity || this.#values === null) this.#setValues(Math.max(byteCount, capacity * 2));
  }

  #setValues(byteCount: number): void {
    const larger = this.#layout.kind === 'bits' ? new Uint8Array(byteCount) : uninitialized(byteCount);
    if (this.#values !== null) larger.set(this.#values);
    this.#values = larger;
    this.#valuesAddress = addressOf(this.#values);
  }
}

function grown(bytes: Uint8Array, byteCount: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(byteCount);
  larger.set(bytes);
  return larger;
}

/** Memory that need not be zero: the C library may give pages that the process has already, which is cheaper. */
function uninitialized(byteCount: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.allocUnsafeSlow(byteCount).buffer as ArrayBuffer);
}

let bitmapScratch = new Uint8Array(512);

/** The bytes of a native bitmap that hold the bits; the first of them is bit `first & 7`. Valid until the next call. */
function copyBitmap(address: Pointer, first: number, count: number): Uint8Array {
  const byteCount = ((first & 7) + count + 7) >> 3;
  if (bitmapScratch.byteLength < byteCount) bitmapScratch = new Uint8Array(byteCount * 2);
  memcpy(bitmapScratch, address + BigInt(first >> 3), byteCount);
  return bitmapScratch;
}
