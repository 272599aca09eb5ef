/** The slow second reader: a shard's row groups as chunks, one for each, decoded by parquetjs-lite. */
import {
  codeNull,
  codeUnknown,
  type Chunk,
  type ColumnRequest,
  type ColumnVector,
  type ListVector,
  type NumberArray,
  type Validity,
} from '../../batch.ts';
import { readColumn, type ParquetFile, type RawColumn, type RawValue } from '../../engines/parquetjs/file.ts';
import type { ParquetColumn } from '../../engines/parquetjs/schema.ts';
import { bug } from '../../errors.ts';
import type { ChunkSource } from '../shard-reader.ts';
import { requestedColumn } from './refusals.ts';

/** Rows in file order, a row group at a time. @throws BAD_CONTRACT, BAD_COLUMN; `next`: ParquetJsError */
export function openParquetJsChunks(file: ParquetFile, requests: readonly ColumnRequest[]): ChunkSource {
  const readers = requests.map((request) => {
    const column = requestedColumn(file, request);
    return { column, convert: converter(request, column) };
  });
  let nextGroup = 0;
  return {
    next() {
      while (file.rowGroups[nextGroup]?.rowCount === 0) nextGroup++;
      const group = file.rowGroups[nextGroup++];
      if (group === undefined) return undefined;
      const decoded = new Map<ParquetColumn, RawColumn>();
      const vectors = readers.map(({ column, convert }) => {
        const raw = decoded.get(column) ?? readColumn(file.path, group, column.leaf!);
        decoded.set(column, raw);
        return convert(raw, group.rowCount);
      });
      return { rowCount: group.rowCount, vectors } satisfies Chunk;
    },
    close: () => {},
  };
}

type Convert = (raw: RawColumn, rowCount: number) => ColumnVector;

function converter(request: ColumnRequest, column: ParquetColumn): Convert {
  const { type } = column.leaf!;
  switch (request.as) {
    case 'number': {
      const allocate = arrayOf(type, request.exactIntegers);
      return (raw, rowCount) => numbers(raw, rowCount, allocate(rowCount), type);
    }
    case 'text':
      return (raw, rowCount) => ({ kind: 'text', values: texts(raw, rowCount, type) });
    case 'category': {
      const codes = codesOf(request);
      const codeOf = (text: string | null): number => (text === null ? codeNull : (codes.get(text) ?? codeUnknown));
      return (raw, rowCount) => ({ kind: 'category', codes: Int32Array.from(texts(raw, rowCount, type), codeOf) });
    }
    case 'list': {
      // Whoever counts the entries of a list does not look at them, and they may be texts.
      const allocate = request.feature.kind === 'length' ? undefined : arrayOf(type, request.exactIntegers);
      return (raw, rowCount) => lists(raw, rowCount, allocate?.(raw.definitionLevels.length), column);
    }
  }
}

function codesOf({ feature }: ColumnRequest): ReadonlyMap<string, number> {
  if (!('categories' in feature)) throw bug('A feature without categories was asked for as codes');
  return new Map(feature.categories.map((category, code) => [String(category), code]));
}

/** The array that the native reader would deliver the type in. */
function arrayOf(type: string, exactIntegers: boolean): (length: number) => NumberArray {
  switch (type) {
    case 'BOOLEAN':
    case 'UTINYINT':
      return (length) => new Uint8Array(length);
    case 'TINYINT':
      return (length) => new Int8Array(length);
    case 'SMALLINT':
      return (length) => new Int16Array(length);
    case 'INTEGER':
      return (length) => new Int32Array(length);
    case 'USMALLINT':
      return (length) => new Uint16Array(length);
    case 'UINTEGER':
      return (length) => new Uint32Array(length);
    case 'FLOAT':
      return (length) => new Float32Array(length);
    case 'BIGINT':
      return (length) => (exactIntegers ? new BigInt64Array(length) : new Float64Array(length));
    case 'UBIGINT':
      return (length) => (exactIntegers ? new BigUint64Array(length) : new Float64Array(length));
    default:
      return (length) => new Float64Array(length);
  }
}

/** Puts a value into an array of its type. Arrays of unsigned integers undo the signs that the pages have. */
function setter(values: NumberArray, type: string): (index: number, value: RawValue) => void {
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
    return (index, value) => void (values[index] = value as bigint);
  }
  if (type === 'UBIGINT') return (index, value) => void (values[index] = Number(BigInt.asUintN(64, value as bigint)));
  return (index, value) => void (values[index] = Number(value));
}

/** One entry a row; marks the rows whose entry is a value. */
function numbers(raw: RawColumn, rowCount: number, values: NumberArray, type: string): ColumnVector {
  const set = setter(values, type);
  const validity = new Bits(rowCount);
  let next = 0;
  raw.definitionLevels.forEach((level, row) => {
    if (level === raw.leaf.dLevelMax) set(row, raw.values[next++]!);
    else validity.clear(row);
  });
  return { kind: 'number', values, validity: validity.bitmap };
}

function texts(raw: RawColumn, rowCount: number, type: string): (string | null)[] {
  const values = new Array<string | null>(rowCount).fill(null);
  let next = 0;
  raw.definitionLevels.forEach((level, row) => {
    if (level === raw.leaf.dLevelMax) values[row] = textOf(raw.values[next++]!, type);
  });
  return values;
}

/** As DuckDB casts it to VARCHAR. */
function textOf(value: RawValue, type: string): string {
  if (typeof value === 'object') return value.toString('utf8');
  if (type === 'UINTEGER') return String(Number(value) >>> 0);
  if (type === 'UBIGINT') return String(BigInt.asUintN(64, value as bigint));
  return String(value);
}

/** A repetition level of 0 begins a row. */
function lists(raw: RawColumn, rowCount: number, values: NumberArray | undefined, column: ParquetColumn): ListVector {
  const { presentLevel, entryLevel } = column.list!;
  const set = values === undefined ? () => {} : setter(values, raw.leaf.type);
  const offsets = new Int32Array(rowCount);
  const lengths = new Int32Array(rowCount);
  const validity = new Bits(rowCount);
  const valueValidity = new Bits(raw.definitionLevels.length);
  let row = -1;
  let entries = 0;
  let next = 0;
  raw.definitionLevels.forEach((level, index) => {
    if (raw.repetitionLevels[index] === 0) offsets[++row] = entries;
    if (level < presentLevel) validity.clear(row);
    if (level < entryLevel) return;
    if (level === raw.leaf.dLevelMax) set(entries, raw.values[next++]!);
    else valueValidity.clear(entries);
    entries++;
    lengths[row]!++;
  });
  return {
    kind: 'list',
    values: values ?? new Uint8Array(entries),
    valueValidity: valueValidity.bitmap,
    offsets,
    lengths,
    validity: validity.bitmap,
  };
}

/** A validity bitmap that exists once a bit is cleared. */
class Bits {
  bitmap: Validity = null;
  readonly #bytes: number;

  constructor(length: number) {
    this.#bytes = Math.ceil(length / 8);
  }

  clear(index: number): void {
    this.bitmap ??= new Uint8Array(this.#bytes).fill(0xff);
    this.bitmap[index >> 3]! &= ~(1 << (index & 7));
  }
}
