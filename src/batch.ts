/**
 * What travels: columns of a few thousand rows on their way into a slot, and the slot itself. Every stage may import
 * this file; it imports none of them.
 */
import type { ElementType, Feature } from './contract/contract.ts';

/** Consecutive rows, counted from 0 within their shard. */
export interface Span {
  readonly firstRow: number;
  readonly rowCount: number;
}

/** Consecutive rows among those of a shard that are taken. */
export interface TakenSpan extends Span {
  /** The rows of the file that they lie among; undefined: every row is taken, and they are these. */
  readonly fileRows?: Span;
}

/** Consecutive rows of a run's shard, counted among those that are taken. */
export interface SpanAddress extends Span {
  readonly shardIndex: number;
}

export type NumberArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** LSB-first bitmap, one bit per row, set = valid, as Arrow and DuckDB have it. Null: every row is valid. */
export type Validity = Uint8Array | null;

/** Numbers; booleans are Uint8Array of 0 and 1. What lies under a null is undefined. */
export interface NumberVector {
  readonly kind: 'number';
  values: NumberArray;
  validity: Validity;
}

/** Positions in a feature's list of categories. */
export interface CategoryVector {
  readonly kind: 'category';
  /** 0..n-1, {@link codeNull} or {@link codeUnknown}. */
  codes: Int32Array;
}
export const codeNull = -1;
export const codeUnknown = -2;

export interface TextVector {
  readonly kind: 'text';
  /** null = SQL null */
  values: (string | null)[];
}

/** Lists: row r holds values[offsets[r]] .. values[offsets[r] + lengths[r] - 1]. */
export interface ListVector {
  readonly kind: 'list';
  values: NumberArray;
  /** Of the values. */
  valueValidity: Validity;
  offsets: Int32Array;
  lengths: Int32Array;
  /** Of the rows. */
  validity: Validity;
}

export type ColumnVector = NumberVector | CategoryVector | TextVector | ListVector;

/** What a reader is asked to deliver for one feature, and as which vector. */
export interface ColumnRequest {
  readonly feature: Feature;
  readonly as: ColumnVector['kind'];
  /** `as: 'number' | 'list'` only: integers of 64 bit come as BigInt64Array/BigUint64Array (nothing is rounded), else as float64. */
  readonly exactIntegers: boolean;
}

/** Up to `rowCount` rows of every requested column, in the order of the requests. Valid until the reader's next call. */
export interface Chunk {
  rowCount: number;
  readonly vectors: readonly ColumnVector[];
}

export function isValid(validity: Validity, row: number): boolean {
  return validity === null || ((validity[row >> 3]! >> (row & 7)) & 1) === 1;
}

/** One input tensor as the slot holds it, of `slotRows` rows. */
export interface TensorLayout {
  readonly name: string;
  readonly elementType: ElementType;
  /** Dimensions without the batch's. Their product is `width`. */
  readonly rowShape: readonly number[];
  /** Values per row. */
  readonly width: number;
  /** None: a kernel of the model gives the values. */
  readonly features: readonly Feature[];
  /** Values per row of each feature, in order; sums to `width`. */
  readonly featureWidths: readonly number[];
  /** Value j of row r lies at [r * width + j]; with 'columns' at [j * slotRows + r], for kernels that read columns. */
  readonly order?: 'columns';
}

/** Tensors that columns are read for: not what a kernel gives, and once what lies in rows and in columns. */
export function readTensors(inputs: readonly TensorLayout[]): readonly TensorLayout[] {
  return inputs.filter(
    ({ name, features }, index) => features.length > 0 && inputs.findIndex((other) => other.name === name) === index,
  );
}

export const elementBytes: Readonly<Record<ElementType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  uint8: 1,
  uint16: 2,
  uint32: 4,
  uint64: 8,
  bool: 1,
  string: 0,
};

/** Values of one tensor: float16 as its bits in Uint16Array, bool as 0 and 1 in Uint8Array, strings as an ordinary array. */
export type TensorValues = NumberArray | string[];

/** A typed array of the element type over given memory. */
export function viewOf(
  elementType: ElementType,
  buffer: ArrayBufferLike,
  byteOffset: number,
  length: number,
): NumberArray {
  switch (elementType) {
    case 'float32':
      return new Float32Array(buffer, byteOffset, length);
    case 'float64':
      return new Float64Array(buffer, byteOffset, length);
    case 'float16':
      return new Uint16Array(buffer, byteOffset, length);
    case 'int8':
      return new Int8Array(buffer, byteOffset, length);
    case 'int16':
      return new Int16Array(buffer, byteOffset, length);
    case 'int32':
      return new Int32Array(buffer, byteOffset, length);
    case 'int64':
      return new BigInt64Array(buffer, byteOffset, length);
    case 'uint8':
    case 'bool':
      return new Uint8Array(buffer, byteOffset, length);
    case 'uint16':
      return new Uint16Array(buffer, byteOffset, length);
    case 'uint32':
      return new Uint32Array(buffer, byteOffset, length);
    case 'uint64':
      return new BigUint64Array(buffer, byteOffset, length);
    case 'string':
      throw new RangeError('Strings have no typed array. This is a bug.');
  }
}
