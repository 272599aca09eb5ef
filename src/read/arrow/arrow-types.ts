/** Finished columns as apache-arrow's objects, without copying their buffers. */
import {
  Binary,
  Bool,
  type Data,
  type DataType,
  DateDay,
  DateMillisecond,
  Decimal,
  Dictionary,
  Field,
  FixedSizeList,
  Float32,
  Float64,
  Int16,
  Int32,
  Int64,
  Int8,
  IntervalMonthDayNano,
  List,
  makeData,
  Map_,
  Null,
  RecordBatch,
  Schema,
  Struct,
  Time,
  Timestamp,
  TimeUnit,
  Uint16,
  Uint32,
  Uint64,
  Uint8,
  Utf8,
  Vector,
} from 'apache-arrow';
import { bug } from '../../errors.ts';
import type { ArrowField } from '../../engines/duckdb/arrow.ts';
import { decimalOf, type ColumnData } from './layout.ts';

/** Turns the columns of one shard into RecordBatches. */
export class RecordBatchMaker {
  readonly schema: Schema;
  readonly #dictionaries: readonly (Vector | undefined)[];

  /** `dictionaries`: one per field; null where it has none. */
  constructor(fields: readonly ArrowField[], dictionaries: readonly (ColumnData | null)[]) {
    this.schema = new Schema(fields.map(fieldOf));
    this.#dictionaries = dictionaries.map((data, index) => {
      const type = this.schema.fields[index]!.type as Dictionary;
      return data === null ? undefined : new Vector([dataOf(type.dictionary, data)]);
    });
  }

  make(rowCount: number, columns: readonly ColumnData[]): RecordBatch {
    const children = columns.map((column, index) =>
      dataOf(this.schema.fields[index]!.type, column, this.#dictionaries[index]),
    );
    const type = new Struct(this.schema.fields);
    return new RecordBatch(this.schema, makeData({ type, length: rowCount, nullCount: 0, children }));
  }
}

function fieldOf(field: ArrowField): Field {
  const type = typeOf(field);
  const values = field.dictionary === null ? type : new Dictionary(typeOf(field.dictionary), type as Int32);
  return new Field(field.name, values, field.nullable);
}

const timeUnits: Readonly<Record<string, TimeUnit>> = {
  s: TimeUnit.SECOND,
  m: TimeUnit.MILLISECOND,
  u: TimeUnit.MICROSECOND,
  n: TimeUnit.NANOSECOND,
};

function typeOf(field: ArrowField): DataType {
  const { format } = field;
  const children = field.children.map(fieldOf);
  if (format.startsWith('ts')) {
    // DuckDB names the session's time zone, which is the machine's; what a column with a zone holds are UTC instants.
    return new Timestamp(timeUnits[format[2]!]!, format.length > 4 ? 'UTC' : null);
  }
  if (format.startsWith('tt')) return new Time(timeUnits[format[2]!]!, /[sm]/.test(format[2]!) ? 32 : 64);
  if (format.startsWith('d:')) {
    const { precision, scale, bitWidth } = decimalOf(format);
    return new Decimal(scale, precision, bitWidth);
  }
  if (format.startsWith('+w:')) return new FixedSizeList(Number(format.slice(3)), children[0]!);
  switch (format) {
    case 'n':
      return new Null();
    case 'b':
      return new Bool();
    case 'c':
      return new Int8();
    case 'C':
      return new Uint8();
    case 's':
      return new Int16();
    case 'S':
      return new Uint16();
    case 'i':
      return new Int32();
    case 'I':
      return new Uint32();
    case 'l':
      return new Int64();
    case 'L':
      return new Uint64();
    case 'f':
      return new Float32();
    case 'g':
      return new Float64();
    case 'u':
      return new Utf8();
    case 'z':
      return new Binary();
    case 'tdD':
      return new DateDay();
    case 'tdm':
      return new DateMillisecond();
    case 'tin':
      return new IntervalMonthDayNano();
    case '+l':
      return new List(children[0]!);
    case '+s':
      return new Struct(children);
    case '+m':
      return new Map_(children[0] as Field<Struct<{ key: DataType; value: DataType }>>);
    default:
      throw bug(`Arrow type ${format} has a layout but no class`);
  }
}

function dataOf(type: DataType, column: ColumnData, dictionary?: Vector): Data {
  const children = column.children.map((child, index) => dataOf(type.children[index]!.type, child));
  const { length, values, offsets } = column;
  return makeData({
    type,
    length,
    nullBitmap: column.validity,
    ...(column.validity === null ? { nullCount: 0 } : {}),
    ...(values === null ? {} : { data: typedValues(type, values) }),
    ...(offsets === null ? {} : { valueOffsets: offsets }),
    ...(dictionary === undefined ? {} : { dictionary }),
    ...(children.length === 0 ? {} : { child: children[0]!, children }),
  } as never);
}

/** The bytes as the array class that apache-arrow expects for the type. */
function typedValues(type: DataType, bytes: Uint8Array<ArrayBuffer>): unknown {
  const arrayClass = type.ArrayType as Uint8ArrayConstructor;
  return new arrayClass(bytes.buffer, bytes.byteOffset, bytes.byteLength / arrayClass.BYTES_PER_ELEMENT);
}
