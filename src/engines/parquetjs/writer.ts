/** Writes Parquet with parquetjs-lite's encoders and envelope: V1 pages, no dictionary, no statistics. Synchronous. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { loadParquetJs, type WriterField, type WriterPage } from './library.ts';
import type { RawColumn } from './file.ts';
import type { ParquetColumn } from './schema.ts';

export type WriterCompression = 'SNAPPY' | 'UNCOMPRESSED';

/** Entries of a page: its levels are encoded by appending to a buffer, in quadratic time. */
const pageEntriesMax = 8_192;

export class ParquetFileWriter {
  readonly #descriptor: number;
  readonly #envelope: InstanceType<ReturnType<typeof loadParquetJs>['ParquetEnvelopeWriter']>;
  readonly #compression: WriterCompression;

  /** Creates the file. @throws file system errors */
  constructor(path: string, columns: readonly ParquetColumn[], compression: WriterCompression) {
    const { ParquetEnvelopeWriter } = loadParquetJs();
    const descriptor = openSync(path, 'w');
    const fields = columns.map((column) => fieldsOf(column, compression));
    // The envelope counts `fields` and writes `fieldList`.
    const schema = { fields: fields.map(([first]) => first!), fieldList: fields.flat() };
    const options = { useDataPageV2: false, pageIndex: false } as const;
    this.#envelope = new ParquetEnvelopeWriter(
      schema,
      (bytes) => writeAll(descriptor, bytes),
      () => {},
      0,
      options,
    );
    this.#descriptor = descriptor;
    this.#compression = compression;
    this.#envelope.writeHeader();
  }

  /** `columns`: in the order of the schema. @throws file system errors */
  writeRowGroup(rowCount: number, columns: readonly RawColumn[]): void {
    const pages = Object.fromEntries(
      columns.map((column) => [column.leaf.path.join(','), encodePages(column, this.#compression)]),
    );
    this.#envelope.writeRowGroup({ rowCount, pages });
  }

  /** Ends the file with its footer. @throws file system errors */
  finish(): void {
    this.#envelope.writeFooter({});
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}

function writeAll(descriptor: number, bytes: Buffer): void {
  for (let written = 0; written < bytes.length;) written += writeSync(descriptor, bytes, written);
}

/** A column's node of the schema and those below it. */
function fieldsOf({ name, leaf, list }: ParquetColumn, compression: WriterCompression): WriterField[] {
  if (leaf === undefined) throw new RangeError(`Expected ${name} to be a value or a list of values. This is a bug.`);
  const value = {
    originalType: leaf.converted,
    isNested: false,
    primitiveType: leaf.physical,
    encoding: 'PLAIN',
    compression,
    statistics: false,
    rLevelMax: leaf.rLevelMax,
    dLevelMax: leaf.dLevelMax,
  } as const;
  const [, middle, last] = leaf.path;
  if (list === undefined) {
    return [{ ...value, name, path: leaf.path, repetitionType: optionalIf(leaf.dLevelMax > 0) }];
  }
  if (middle === undefined || last === undefined) {
    return [{ ...value, name, path: leaf.path, repetitionType: 'REPEATED' }];
  }
  const group = { isNested: true, fieldCount: 1, statistics: false } as const;
  return [
    { ...group, name, path: [name], repetitionType: optionalIf(list.presentLevel > 0), originalType: 'LIST' },
    { ...group, name: middle, path: [name, middle], repetitionType: 'REPEATED', originalType: undefined },
    { ...value, name: last, path: leaf.path, repetitionType: optionalIf(leaf.dLevelMax > list.entryLevel) },
  ];
}

function optionalIf(condition: boolean): 'OPTIONAL' | 'REQUIRED' {
  return condition ? 'OPTIONAL' : 'REQUIRED';
}

/** Pages begin with a row. */
function encodePages(column: RawColumn, compression: WriterCompression): WriterPage[] {
  const { definitionLevels, repetitionLevels, values, leaf } = column;
  const pages: WriterPage[] = [];
  let firstRow = 0;
  let firstValue = 0;
  for (let start = 0, end = 0; start < definitionLevels.length; start = end) {
    end = Math.min(start + pageEntriesMax, definitionLevels.length);
    while (end < definitionLevels.length && repetitionLevels[end] !== 0) end++;
    const levels = definitionLevels.slice(start, end);
    const repetitions = repetitionLevels.slice(start, end);
    const valueCount = levels.filter((level) => level === leaf.dLevelMax).length;
    const page = encodePage(leaf, levels, repetitions, values.slice(firstValue, firstValue + valueCount), compression);
    pages.push({ page, num_values: levels.length, first_row_index: firstRow });
    firstValue += valueCount;
    firstRow += repetitions.filter((level) => level === 0).length;
  }
  return pages;
}

function encodePage(
  leaf: RawColumn['leaf'],
  levels: readonly number[],
  repetitions: readonly number[],
  values: RawColumn['values'],
  compression: WriterCompression,
): Buffer {
  const { codecs, thrift, compress, serializeThrift } = loadParquetJs();
  const encodeLevels = (numbers: readonly number[], max: number): Buffer => {
    if (max === 0) return Buffer.alloc(0);
    return codecs.RLE.encodeValues('INT32', numbers, { bitWidth: Math.ceil(Math.log2(max + 1)) });
  };
  const body = Buffer.concat([
    encodeLevels(repetitions, leaf.rLevelMax),
    encodeLevels(levels, leaf.dLevelMax),
    codecs.PLAIN.encodeValues(leaf.physical, values, {}),
  ]);
  const compressed = compress(compression, body);
  const header = new thrift.PageHeader();
  header.type = thrift.PageType['DATA_PAGE']!;
  header.uncompressed_page_size = body.length;
  header.compressed_page_size = compressed.length;
  const data = new thrift.DataPageHeader();
  data.num_values = levels.length;
  data.encoding = thrift.Encoding['PLAIN']!;
  data.definition_level_encoding = thrift.Encoding['RLE']!;
  data.repetition_level_encoding = thrift.Encoding['RLE']!;
  header.data_page_header = data;
  return Buffer.concat([serializeThrift(header), compressed]);
}
