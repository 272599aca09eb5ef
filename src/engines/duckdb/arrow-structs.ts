/** apache-arrow's columns as the structures of Arrow's C data interface, over the memory that they have. */
import {
  type BinaryView,
  DataType,
  DateUnit,
  type Data,
  type DataType as AnyType,
  type Field,
  IntervalUnit,
  type Schema,
  TimeUnit,
  type Timestamp,
  vectorFromArray,
} from 'apache-arrow';
import { TandemError } from '../../errors.ts';
import { addressOf, type Memory, type Pointer } from '../native.ts';
import { arrayAt, arrayBytes, flagNullable, schemaAt, schemaBytes } from './arrow-memory.ts';

/** A structure for C, with everything that its pointers lead to: it must be referenced as long as C reads. */
export interface CStruct {
  readonly memory: BigUint64Array;
  readonly keep: readonly unknown[];
}

/** `struct ArrowSchema` of a whole schema, as a struct type. @throws BAD_COLUMN for a type that DuckDB does not take */
export function schemaStruct(schema: Schema, release: Pointer): CStruct {
  return fieldStruct(
    '',
    '+s',
    false,
    schema.fields.map((field) => structOfField(field, release)),
    null,
    release,
  );
}

function structOfField(field: Field, release: Pointer): CStruct {
  const type: AnyType = field.type;
  if (DataType.isDictionary(type)) {
    const values = fieldStruct('', formatOf(type.dictionary, field.name), true, [], null, release);
    return fieldStruct(field.name, formatOf(type.indices, field.name), field.nullable, [], values, release);
  }
  const children = (type.children ?? []).map((child: Field) => structOfField(child, release));
  return fieldStruct(field.name, formatOf(type, field.name), field.nullable, children, null, release);
}

function fieldStruct(
  name: string,
  format: string,
  nullable: boolean,
  children: readonly CStruct[],
  dictionary: CStruct | null,
  release: Pointer,
): CStruct {
  const memory = new BigUint64Array(schemaBytes / 8);
  const texts = { name: Buffer.from(`${name}\0`), format: Buffer.from(`${format}\0`) };
  const pointers = BigUint64Array.from(children, (child) => addressOf(child.memory));
  put(memory, schemaAt.format, addressOf(texts.format));
  put(memory, schemaAt.name, addressOf(texts.name));
  put(memory, schemaAt.flags, nullable ? flagNullable : 0n);
  put(memory, schemaAt.childCount, BigInt(children.length));
  put(memory, schemaAt.children, addressOf(pointers));
  put(memory, schemaAt.dictionary, dictionary === null ? 0n : addressOf(dictionary.memory));
  put(memory, schemaAt.release, release);
  return { memory, keep: [texts, pointers, children, dictionary] };
}

const timeUnits: Readonly<Record<TimeUnit, string>> = {
  [TimeUnit.SECOND]: 's',
  [TimeUnit.MILLISECOND]: 'm',
  [TimeUnit.MICROSECOND]: 'u',
  [TimeUnit.NANOSECOND]: 'n',
};
const intervalUnits: Readonly<Record<IntervalUnit, string>> = {
  [IntervalUnit.YEAR_MONTH]: 'M',
  [IntervalUnit.DAY_TIME]: 'D',
  [IntervalUnit.MONTH_DAY_NANO]: 'n',
};
const floatFormats = ['e', 'f', 'g'];

/** Arrow's type string. */
function formatOf(type: AnyType, column: string): string {
  if (DataType.isNull(type)) return 'n';
  if (DataType.isBool(type)) return 'b';
  if (DataType.isInt(type)) {
    const letter = { 8: 'c', 16: 's', 32: 'i', 64: 'l' }[type.bitWidth];
    return type.isSigned ? letter : letter.toUpperCase();
  }
  if (DataType.isFloat(type) && type.precision > 0) return floatFormats[type.precision]!;
  if (DataType.isUtf8(type)) return 'u';
  if (DataType.isLargeUtf8(type)) return 'U';
  if (DataType.isBinary(type)) return 'z';
  if (DataType.isLargeBinary(type)) return 'Z';
  if (DataType.isUtf8View(type)) return 'vu';
  if (DataType.isBinaryView(type)) return 'vz';
  if (DataType.isFixedSizeBinary(type)) return `w:${type.byteWidth}`;
  if (DataType.isDecimal(type)) return `d:${type.precision},${type.scale},${type.bitWidth}`;
  if (DataType.isDate(type)) return type.unit === DateUnit.DAY ? 'tdD' : 'tdm';
  if (DataType.isTime(type)) return `tt${timeUnits[type.unit]}`;
  if (DataType.isTimestamp(type)) return `ts${timeUnits[type.unit]}:${(type as Timestamp).timezone ?? ''}`;
  if (DataType.isDuration(type)) return `tD${timeUnits[type.unit]}`;
  if (DataType.isInterval(type)) return `ti${intervalUnits[type.unit]}`;
  if (DataType.isList(type)) return '+l';
  if (DataType.isLargeList(type)) return '+L';
  if (DataType.isFixedSizeList(type)) return `+w:${type.listSize}`;
  if (DataType.isStruct(type)) return '+s';
  if (DataType.isMap(type)) return '+m';
  throw new TandemError('BAD_COLUMN', `Expected an Arrow type that DuckDB takes, got \`${String(type)}\`.`, {
    place: { column },
    remedy: 'Cast the column before scoring; float16 to float32, for example.',
  });
}

/** `struct ArrowArray` of a column, or of the struct of all columns; no byte of the values is copied. */
export function arrayStruct(data: Data, release: Pointer): CStruct {
  const type: AnyType = data.type;
  const children = data.children.map((child) => arrayStruct(child, release));
  const dictionary = DataType.isDictionary(type) ? dictionaryStruct(data, release) : null;
  const buffers = buffersOf(data);
  const pointers = BigUint64Array.from(buffers, (buffer) => (buffer === null ? 0n : addressOf(buffer)));
  const childPointers = BigUint64Array.from(children, (child) => addressOf(child.memory));
  const memory = new BigUint64Array(arrayBytes / 8);
  put(memory, arrayAt.length, BigInt(data.length));
  put(memory, arrayAt.nullCount, buffers[0] === null ? 0n : BigInt(data.nullCount));
  put(memory, arrayAt.bufferCount, BigInt(buffers.length));
  put(memory, arrayAt.childCount, BigInt(children.length));
  put(memory, arrayAt.buffers, addressOf(pointers));
  put(memory, arrayAt.children, addressOf(childPointers));
  put(memory, arrayAt.dictionary, dictionary === null ? 0n : addressOf(dictionary.memory));
  put(memory, arrayAt.release, release);
  return { memory, keep: [buffers, pointers, children, childPointers, dictionary] };
}

function dictionaryStruct(data: Data, release: Pointer): CStruct {
  let values = data.dictionary!;
  if (values.data.length !== 1) values = vectorFromArray([...values], values.type);
  return arrayStruct(values.data[0]!, release);
}

/**
 * A column's buffers in Arrow's order, validity first. What apache-arrow calls `offset` counts only for bitmaps: slices
 * of other buffers start at their first value already.
 */
function buffersOf(data: Data): (Memory | null)[] {
  const type: AnyType = data.type;
  if (DataType.isNull(type)) return [];
  const validity = data.nullCount > 0 ? alignBits(data.nullBitmap as Uint8Array, data.offset, data.length) : null;
  if (DataType.isStruct(type) || DataType.isFixedSizeList(type)) return [validity];
  const values: Memory = data.values as Memory;
  if (DataType.isBool(type)) return [validity, alignBits(values as Uint8Array, data.offset, data.length)];
  if (DataType.isUtf8View(type) || DataType.isBinaryView(type)) {
    const sizes = BigInt64Array.from((data as Data<BinaryView>).variadicBuffers, (buffer) => BigInt(buffer.byteLength));
    return [validity, values, ...data.variadicBuffers, sizes];
  }
  if (data.valueOffsets === undefined) return [validity, values];
  const offsets: Memory = data.valueOffsets as Memory;
  return DataType.isList(type) || DataType.isLargeList(type) || DataType.isMap(type)
    ? [validity, offsets]
    : [validity, offsets, values];
}

/** The bits from `firstBit` on, as a bitmap that starts with them. */
function alignBits(bits: Uint8Array, firstBit: number, count: number): Uint8Array {
  const bytes = bits.subarray(firstBit >> 3, (firstBit + count + 7) >> 3);
  const shift = firstBit & 7;
  if (shift === 0) return bytes;
  return bytes.map((byte, index) => (byte >> shift) | ((bytes[index + 1] ?? 0) << (8 - shift)));
}

function put(words: BigUint64Array, byteOffset: number, value: bigint): void {
  words[byteOffset >> 3] = value;
}
