/** Parquet files through parquetjs-lite: the footer, and column chunks as levels and values. Reads are synchronous. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import {
  attempt,
  loadParquetJs,
  nameIn,
  ParquetJsError,
  type DecodedPages,
  type DecodeOptions,
  type ThriftColumnChunk,
} from './library.ts';
import { columnsOf, type Leaf, type ParquetColumn } from './schema.ts';

export interface ParquetFile {
  readonly path: string;
  readonly rowCount: number;
  readonly columns: readonly ParquetColumn[];
  readonly rowGroups: readonly ParquetRowGroup[];
}

export interface ParquetRowGroup {
  readonly rowCount: number;
  /** Leaves in file order, nested ones too. */
  readonly chunks: readonly ParquetChunk[];
}

/** Where the pages of one leaf lie, dictionary first. */
export interface ParquetChunk {
  readonly path: readonly string[];
  readonly offset: number;
  readonly byteCount: number;
  readonly valueCount: number;
  readonly compression: string;
  readonly encodings: readonly string[];
}

/** One leaf of a row group: a definition and a repetition level for each entry, and the values that are not null. */
export interface RawColumn {
  readonly leaf: Leaf;
  readonly definitionLevels: readonly number[];
  readonly repetitionLevels: readonly number[];
  readonly values: readonly RawValue[];
}

/** INT32, FLOAT, DOUBLE: number; INT64: bigint; BYTE_ARRAY: bytes, or a string where it came from a dictionary. */
export type RawValue = number | bigint | boolean | Buffer | string;

const footerTailBytes = 8;

/** Reads the footer. @throws ParquetJsError */
export function readParquetFile(path: string): ParquetFile {
  const { thrift, decodeThrift } = loadParquetJs();
  return withFile(path, (descriptor) =>
    attempt(() => {
      const { size } = fstatSync(descriptor);
      const footerBytes = readBytes(descriptor, size - footerTailBytes, footerTailBytes).readUInt32LE(0);
      if (footerBytes + footerTailBytes > size) throw new ParquetJsError('the footer is longer than the file');
      const metadata = new thrift.FileMetaData();
      decodeThrift(metadata, readBytes(descriptor, size - footerTailBytes - footerBytes, footerBytes));
      return {
        path,
        rowCount: Number(metadata.num_rows),
        columns: columnsOf(metadata.schema),
        rowGroups: metadata.row_groups.map((group) => ({
          rowCount: Number(group.num_rows),
          chunks: group.columns.map(chunkOf),
        })),
      };
    }),
  );
}

function chunkOf(chunk: ThriftColumnChunk): ParquetChunk {
  const { CompressionCodec, Encoding } = loadParquetJs().thrift;
  const data = chunk.meta_data;
  if (data === null || chunk.file_path !== null) throw new ParquetJsError('a column lies in another file');
  const dictionary = Number(data.dictionary_page_offset ?? 0);
  const pages = Number(data.data_page_offset);
  return {
    path: data.path_in_schema,
    // Some writers point to the dictionary as to the first page.
    offset: dictionary > 0 ? Math.min(dictionary, pages) : pages,
    byteCount: Number(data.total_compressed_size),
    valueCount: Number(data.num_values),
    compression: nameIn({ ...CompressionCodec, ...youngerCodecs }, data.codec)!,
    encodings: data.encodings.map((encoding) => nameIn({ ...Encoding, BYTE_STREAM_SPLIT: 9 }, encoding)!),
  };
}

const youngerCodecs = { BROTLI: 4, LZ4: 5, ZSTD: 6, LZ4_RAW: 7 };
const codecs = new Set(['UNCOMPRESSED', 'SNAPPY', 'GZIP']);
const encodings = new Set(['PLAIN', 'PLAIN_DICTIONARY', 'RLE', 'BIT_PACKED']);
const physicalTypes = new Set(['BOOLEAN', 'INT32', 'INT64', 'FLOAT', 'DOUBLE', 'BYTE_ARRAY']);

/** Why a column cannot be read, as far as the footer tells: `compression ZSTD`. Undefined: it can. */
export function whyUnreadable(file: ParquetFile, column: ParquetColumn): string | undefined {
  const { leaf, type } = column;
  if (leaf === undefined) return `nested type ${type}`;
  if (!physicalTypes.has(leaf.physical)) return `physical type ${leaf.physical} (${type})`;
  if (/^DECIMAL|_NS|INTERVAL|does not know/.test(leaf.type)) return `type ${type}`;
  for (const group of file.rowGroups) {
    const chunk = group.chunks.find((candidate) => samePath(candidate.path, leaf.path));
    if (chunk === undefined) return `a row group without ${column.name}`;
    if (!codecs.has(chunk.compression)) return `compression ${chunk.compression}`;
    const encoding = chunk.encodings.find((name) => !encodings.has(name));
    if (encoding !== undefined) return `encoding ${encoding}`;
  }
  return undefined;
}

/** Opens a file for reading column chunks, and closes it. */
export function withFile<Result>(path: string, use: (descriptor: number) => Result): Result {
  const descriptor = openSync(path, 'r');
  try {
    return use(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** Decodes one leaf of a row group. @throws ParquetJsError for what the library lacks or gets wrong, and for damage */
export function readColumn(path: string, group: ParquetRowGroup, leaf: Leaf): RawColumn {
  const chunk = group.chunks.find((candidate) => samePath(candidate.path, leaf.path));
  if (chunk === undefined) throw new ParquetJsError(`a row group lacks ${leaf.path.join('.')}`);
  const pages = withFile(path, (descriptor) => readBytes(descriptor, chunk.offset, chunk.byteCount));
  const options: DecodeOptions = {
    type: leaf.physical,
    compression: chunk.compression,
    rLevelMax: leaf.rLevelMax,
    dLevelMax: leaf.dLevelMax,
    num_values: chunk.valueCount,
    rawStatistics: true,
    column: { primitiveType: bitsOf[leaf.physical] ?? leaf.physical, encoding: 'PLAIN', typeLength: undefined },
  };
  const decoded = attempt(() => loadParquetJs().ParquetReader.prototype.decodePages(pages, options));
  checkPages(decoded, options.dictionary, leaf);
  checkCounts(decoded, group, chunk, leaf);
  const values =
    options.dictionary === undefined
      ? (decoded.values as RawValue[])
      : fromDictionary(decoded.values as string[], leaf.physical);
  return { leaf, definitionLevels: decoded.dlevels, repetitionLevels: decoded.rlevels, values };
}

/** The library turns dictionary entries into strings. As integers their bits survive that, -0 and NaN included. */
const bitsOf: Readonly<Record<string, string>> = { FLOAT: 'INT32', DOUBLE: 'INT64' };

function fromDictionary(values: readonly string[], physical: string): readonly RawValue[] {
  const bits = new DataView(new ArrayBuffer(8));
  switch (physical) {
    case 'INT32':
      return values.map(Number);
    case 'INT64':
      return values.map(BigInt);
    case 'FLOAT':
      return values.map((value) => (bits.setInt32(0, Number(value)), bits.getFloat32(0)));
    case 'DOUBLE':
      return values.map((value) => (bits.setBigInt64(0, BigInt(value)), bits.getFloat64(0)));
    default:
      return values;
  }
}

/** The library sums the bytes of an index in a run instead of joining them: right for one byte only. */
const dictionaryValuesMax = 256;

/** What decodes without an error and gives wrong values. */
function checkPages(decoded: DecodedPages, dictionary: readonly string[] | undefined, leaf: Leaf): void {
  const { Encoding } = loadParquetJs().thrift;
  const fail = (what: string): ParquetJsError => new ParquetJsError(`column ${leaf.path.join('.')} has ${what}`);
  if (dictionary !== undefined && dictionary.length > dictionaryValuesMax) {
    throw fail(`a dictionary of ${dictionary.length} values, more than ${dictionaryValuesMax}`);
  }
  if (dictionary !== undefined && (leaf.type === 'BLOB' || leaf.physical === 'BOOLEAN')) {
    throw fail(`a dictionary of ${leaf.type}`);
  }
  const wanted = dictionary === undefined ? Encoding['PLAIN'] : Encoding['PLAIN_DICTIONARY'];
  for (const { data_page_header: header, data_page_header_v2: headerV2 } of decoded.pageHeaders) {
    const encoding = (header ?? headerV2)?.encoding ?? null;
    const beside = dictionary === undefined ? '' : ' beside a dictionary';
    if (encoding !== wanted) throw fail(`a page of encoding ${nameIn(Encoding, encoding)}${beside}`);
    if (headerV2?.is_compressed === null) throw fail('a V2 page that does not say whether it is compressed');
  }
}

function checkCounts(decoded: DecodedPages, group: ParquetRowGroup, chunk: ParquetChunk, leaf: Leaf): void {
  const present = decoded.dlevels.reduce((count, level) => count + (level === leaf.dLevelMax ? 1 : 0), 0);
  const rows = decoded.rlevels.reduce((count, level) => count + (level === 0 ? 1 : 0), 0);
  const valueCount = decoded.values.length;
  if (present === valueCount && rows === group.rowCount && decoded.dlevels.length === chunk.valueCount) return;
  throw new ParquetJsError(
    `column ${leaf.path.join('.')} has ${valueCount} values in ${rows} rows, not ${present} in ${group.rowCount}`,
  );
}

function samePath(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((part, index) => part === b[index]);
}

function readBytes(descriptor: number, offset: number, byteCount: number): Buffer {
  const bytes = Buffer.alloc(byteCount);
  if (offset < 0 || readSync(descriptor, bytes, 0, byteCount, offset) !== byteCount) {
    throw new ParquetJsError('the file is cut off');
  }
  return bytes;
}
