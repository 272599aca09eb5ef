/** How Arrow lays out a column of a given type in memory, and a finished column as plain data. */
import type { ArrowField } from '../../engines/duckdb/arrow.ts';

/** What an Arrow type's buffers are, after the validity bitmap. */
export type Layout =
  | { readonly kind: 'fixed'; readonly bytes: number }
  | { readonly kind: 'bits' }
  | { readonly kind: 'bytes' }
  | { readonly kind: 'list' }
  | { readonly kind: 'fixedList'; readonly length: number }
  | { readonly kind: 'struct' }
  | { readonly kind: 'null' };

const fixedBytes: Readonly<Record<string, number>> = {
  c: 1,
  C: 1,
  s: 2,
  S: 2,
  i: 4,
  I: 4,
  l: 8,
  L: 8,
  f: 4,
  g: 8,
  tdD: 4,
  tdm: 8,
  tts: 4,
  ttm: 4,
  ttu: 8,
  ttn: 8,
  tin: 16,
};

/** Undefined: Tandem does not read the type. */
export function layoutOf(field: ArrowField): Layout | undefined {
  const { format } = field;
  const bytes = fixedBytes[format];
  if (bytes !== undefined) return { kind: 'fixed', bytes };
  if (format.startsWith('ts')) return { kind: 'fixed', bytes: 8 };
  if (format.startsWith('d:')) return { kind: 'fixed', bytes: decimalOf(format).bitWidth / 8 };
  if (format.startsWith('+w:')) return { kind: 'fixedList', length: Number(format.slice(3)) };
  switch (format) {
    case 'b':
      return { kind: 'bits' };
    case 'u':
    case 'z':
      return { kind: 'bytes' };
    case '+l':
    case '+m':
      return { kind: 'list' };
    case '+s':
      return { kind: 'struct' };
    case 'n':
      return { kind: 'null' };
    default:
      return undefined;
  }
}

/** `d:18,3` and `d:18,3,64`: precision, scale, bits (128 unless said). */
export function decimalOf(format: string): { precision: number; scale: number; bitWidth: number } {
  const [precision, scale, bitWidth] = format.slice(2).split(',').map(Number);
  return { precision: precision!, scale: scale!, bitWidth: bitWidth ?? 128 };
}

/** A finished column in Arrow's layout: plain data, whose buffers are its own and may go to another thread. */
export interface ColumnData {
  readonly length: number;
  /** LSB first, 1 = valid; null: no row is null. */
  readonly validity: Uint8Array<ArrayBuffer> | null;
  /** Of fixed width, bits, or the bytes of all strings; null for nested types. */
  readonly values: Uint8Array<ArrayBuffer> | null;
  /** length + 1 positions in the bytes or the child; null without them. */
  readonly offsets: Int32Array<ArrayBuffer> | null;
  readonly children: readonly ColumnData[];
}

/** The buffers of columns, as a transfer list. */
export function buffersOf(columns: readonly ColumnData[]): ArrayBuffer[] {
  const buffers: ArrayBuffer[] = [];
  const visit = (column: ColumnData): void => {
    for (const part of [column.validity, column.values, column.offsets]) if (part !== null) buffers.push(part.buffer);
    column.children.forEach(visit);
  };
  columns.forEach(visit);
  return buffers;
}
