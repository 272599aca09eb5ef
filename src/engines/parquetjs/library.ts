/**
 * parquetjs-lite 0.8.7 as far as we use it: its Thrift structures, its page decoder and its file envelope. Its cursor
 * and its row writer are left aside: rows lose what the pages still have (microseconds, integers beyond 2^53, NaN).
 */
import { createRequire } from 'node:module';

/** A 64-bit integer of the Thrift decoder; `Number()` gives its value. */
type Int64 = number | { valueOf(): number };

/** One node of the schema, in depth-first order. Absent fields are null. */
export interface ThriftSchemaElement {
  readonly name: string;
  readonly type: number | null;
  readonly type_length: number | null;
  readonly repetition_type: number | null;
  readonly num_children: number | null;
  readonly converted_type: number | null;
  readonly scale: number | null;
  readonly precision: number | null;
  /** A union: at most one is not null. Members that the library does not know leave all of them null. */
  readonly logicalType: null | {
    readonly TIMESTAMP: null | ThriftTime;
    readonly TIME: null | ThriftTime;
    readonly DECIMAL: null | { readonly precision: number; readonly scale: number };
    readonly INTEGER: null | { readonly bitWidth: number; readonly isSigned: boolean };
    readonly STRING: null | object;
    readonly DATE: null | object;
    readonly LIST: null | object;
    readonly MAP: null | object;
    readonly JSON: null | object;
    readonly ENUM: null | object;
    readonly UNKNOWN: null | object;
  };
}

interface ThriftTime {
  readonly isAdjustedToUTC: boolean;
  /** Neither: nanoseconds, which the library does not know. */
  readonly unit: { readonly MILLIS: null | object; readonly MICROS: null | object };
}

export interface ThriftColumnChunk {
  readonly file_path: string | null;
  readonly meta_data: null | {
    readonly type: number;
    readonly path_in_schema: readonly string[];
    readonly encodings: readonly number[];
    readonly codec: number;
    readonly num_values: Int64;
    readonly total_compressed_size: Int64;
    readonly data_page_offset: Int64;
    readonly dictionary_page_offset: Int64 | null;
  };
}

export interface ThriftFileMetaData {
  readonly num_rows: Int64;
  readonly schema: readonly ThriftSchemaElement[];
  readonly row_groups: readonly { readonly num_rows: Int64; readonly columns: readonly ThriftColumnChunk[] }[];
}

export interface ThriftPageHeader {
  type: number;
  uncompressed_page_size: number;
  compressed_page_size: number;
  data_page_header: null | {
    num_values?: number;
    encoding: number;
    definition_level_encoding?: number;
    repetition_level_encoding?: number;
  };
  data_page_header_v2: null | { readonly encoding: number; readonly is_compressed: boolean | null };
}

/** Values of a column chunk as the library decodes them; nulls have levels and no value. */
export interface DecodedPages {
  readonly rlevels: number[];
  readonly dlevels: number[];
  readonly values: unknown[];
  readonly pageHeaders: readonly ThriftPageHeader[];
}

/** What the page decoder must be told; it puts the dictionary that it meets into `dictionary`, as strings. */
export interface DecodeOptions {
  readonly type: string;
  readonly compression: string;
  readonly rLevelMax: number;
  readonly dLevelMax: number;
  readonly num_values: number;
  readonly rawStatistics: true;
  readonly column: {
    readonly primitiveType: string;
    readonly encoding: 'PLAIN';
    readonly typeLength: number | undefined;
  };
  dictionary?: readonly string[];
}

/** A node of the schema as the envelope writer reads it. */
export interface WriterField {
  readonly name: string;
  readonly path: readonly string[];
  readonly repetitionType: 'REQUIRED' | 'OPTIONAL' | 'REPEATED';
  /** A key of ConvertedType. */
  readonly originalType: string | undefined;
  readonly isNested: boolean;
  /** Of a nested field. */
  readonly fieldCount?: number;
  /** Of a leaf. */
  readonly primitiveType?: string;
  readonly encoding?: 'PLAIN';
  readonly compression?: string;
  readonly rLevelMax?: number;
  readonly dLevelMax?: number;
  readonly statistics: false;
}

/** Encoded pages of one column of a row group. */
export interface WriterPage {
  readonly page: Buffer;
  readonly num_values: number;
  readonly first_row_index: number;
}

export interface EnvelopeWriter {
  writeHeader(): void;
  /** `pages`: by the column's path, joined with commas. */
  writeRowGroup(rows: {
    readonly rowCount: number;
    readonly pages: Readonly<Record<string, readonly WriterPage[]>>;
  }): void;
  writeFooter(userMetadata: Readonly<Record<string, string>>): void;
}

interface Codec {
  encodeValues(type: string, values: readonly unknown[], options: { readonly bitWidth?: number }): Buffer;
}

export interface ParquetJs {
  readonly ParquetReader: { readonly prototype: { decodePages(pages: Buffer, options: DecodeOptions): DecodedPages } };
  /** `write` is called in the order of the bytes and may be synchronous; then every method is. */
  readonly ParquetEnvelopeWriter: new (
    schema: { readonly fields: readonly WriterField[]; readonly fieldList: readonly WriterField[] },
    write: (bytes: Buffer) => void,
    close: () => void,
    offset: number,
    options: { readonly useDataPageV2: false; readonly pageIndex: false },
  ) => EnvelopeWriter;
  readonly thrift: {
    readonly FileMetaData: new () => ThriftFileMetaData;
    readonly PageHeader: new () => ThriftPageHeader;
    readonly DataPageHeader: new () => NonNullable<ThriftPageHeader['data_page_header']>;
    readonly Type: Readonly<Record<string, number>>;
    readonly ConvertedType: Readonly<Record<string, number>>;
    readonly CompressionCodec: Readonly<Record<string, number>>;
    readonly Encoding: Readonly<Record<string, number>>;
    readonly PageType: Readonly<Record<string, number>>;
    readonly FieldRepetitionType: Readonly<Record<string, number>>;
  };
  decodeThrift(target: object, bytes: Buffer): number;
  serializeThrift(source: object): Buffer;
  compress(method: string, bytes: Buffer): Buffer;
  readonly codecs: { readonly PLAIN: Codec; readonly RLE: Codec };
}

let loaded: ParquetJs | undefined;

/** Loads the package at first use. */
export function loadParquetJs(): ParquetJs {
  if (loaded !== undefined) return loaded;
  const require = createRequire(import.meta.url);
  type Main = Pick<ParquetJs, 'ParquetReader' | 'ParquetEnvelopeWriter'>;
  type Thrift = Pick<ParquetJs, 'decodeThrift' | 'serializeThrift'>;
  const { ParquetReader, ParquetEnvelopeWriter } = require('parquetjs-lite') as Main;
  const thrift = require('parquetjs-lite/gen-nodejs/parquet_types.js') as ParquetJs['thrift'];
  const { decodeThrift, serializeThrift } = require('parquetjs-lite/lib/util.js') as Thrift;
  const { deflate } = require('parquetjs-lite/lib/compression.js') as { deflate: ParquetJs['compress'] };
  const codecs = require('parquetjs-lite/lib/codec/index.js') as ParquetJs['codecs'];
  loaded = { ParquetReader, ParquetEnvelopeWriter, thrift, decodeThrift, serializeThrift, compress: deflate, codecs };
  return loaded;
}

/** A file that the library cannot decode, because it is damaged or because the library lacks something. */
export class ParquetJsError extends Error {
  override readonly name = 'ParquetJsError';
}

/** The library throws strings as well as errors. */
export function attempt<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof ParquetJsError) throw thrown;
    throw new ParquetJsError(thrown instanceof Error ? thrown.message : String(thrown), { cause: thrown });
  }
}

/** Name of a number in one of the Thrift enumerations; the number itself where the library has no name for it. */
export function nameIn(enumeration: Readonly<Record<string, number>>, value: number | null): string | undefined {
  if (value === null) return undefined;
  return Object.keys(enumeration).find((name) => enumeration[name] === value) ?? `number ${value}`;
}
