/** What Spark's `maxRecordsPerBatch` means in bytes, and what Tandem has in its place. Pure; the README shows it. */
import { formatBytes, formatCount } from '../../src/cli/format.ts';
import { slotRowsFor } from '../../src/planning/allocate.ts';

const floatBytes = Float32Array.BYTES_PER_ELEMENT;

export interface RecordsMeaning {
  /** Float32 values of a row. */
  readonly width: number;
  /** Arrow bytes of the values of one Spark batch, by its number of rows. */
  readonly sparkBytes: readonly number[];
  /** Rows that a slot of Tandem holds at most, with one score a row: the largest batch size. */
  readonly slotRows: number;
  readonly slotBytes: number;
}

/** Spark's default, and a size that guides recommend. */
export const recordsShown = [10_000, 100_000] as const;
export const widthsShown = [8, 32, 256, 2_048] as const;

export function meaningOf(width: number): RecordsMeaning {
  const bytesPerRow = (width + 1) * floatBytes;
  const slotRows = slotRowsFor(bytesPerRow, undefined);
  return {
    width,
    sparkBytes: recordsShown.map((records) => records * width * floatBytes),
    slotRows,
    slotBytes: slotRows * bytesPerRow,
  };
}

/** Lines of the README. */
export function meaningTable(): string[] {
  const titles = recordsShown.map((records) => `Spark, ${formatCount(records)} records`);
  const head = ['floats a row', ...titles, "Tandem's batch, at most", 'its slot'];
  const rows = widthsShown.map(meaningOf).map(({ width, sparkBytes, slotRows, slotBytes }) => {
    const sizes = sparkBytes.map(formatBytes);
    return [formatCount(width), ...sizes, `${formatCount(slotRows)} rows`, formatBytes(slotBytes)];
  });
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
}
