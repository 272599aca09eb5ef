/** What a row of the output takes in the memory of the thread that writes it. */
import type { ModelPlan } from '../plan.ts';
import type { Footer } from '../read/footers.ts';
import { scoreBytesPerRow } from './allocate.ts';

/** By DuckDB's name of the type; what is not listed has values beside the vector. */
const fixedBytes: Readonly<Record<string, number>> = {
  BOOLEAN: 1,
  TINYINT: 1,
  UTINYINT: 1,
  SMALLINT: 2,
  USMALLINT: 2,
  INTEGER: 4,
  UINTEGER: 4,
  FLOAT: 4,
  DATE: 4,
  BIGINT: 8,
  UBIGINT: 8,
  DOUBLE: 8,
  TIME: 8,
  TIMESTAMP: 8,
  'TIMESTAMP WITH TIME ZONE': 8,
};
/** Of a text or a list itself (`string_t`, list entry), and of wide numbers. */
const wideBytes = 16;
/** Text and lists are taken to take so many times their compressed bytes. */
const unpackedFactor = 4;

/** Bytes, estimated from the first shard. @param keep undefined: all columns */
export function outputRowBytes(
  { columns, columnSizes, rowGroupRows }: Pick<Footer, 'columns' | 'columnSizes' | 'rowGroupRows'>,
  keep: readonly string[] | undefined,
  model: Pick<ModelPlan, 'outputs'>,
): number {
  const kept = keep && new Set(keep.map((name) => name.toLowerCase()));
  // Sizes are those of the whole file, however few of its rows are taken.
  const fileRows = rowGroupRows.reduce((sum, rows) => sum + rows, 0);
  let bytes = scoreBytesPerRow(model);
  for (const { name, type } of columns) {
    if (kept?.has(name.toLowerCase()) === false) continue;
    const packed = (columnSizes.get(name)?.bytes ?? 0) / Math.max(1, fileRows);
    bytes += fixedBytes[type] ?? wideBytes + unpackedFactor * packed;
  }
  return bytes;
}
