/** From output options to what DuckDB's COPY is told, and what that costs. */
import { TandemError } from '../errors.ts';
import { rowGroupRowsDefault, rowGroupRowsMax, writtenRowFactor, zstdLevelMax } from '../limits.ts';
import type { Compression, OutputFiles, OutputOptions } from '../output-options.ts';

/** COPY closes row groups between vectors of so many rows only; of rows that a condition takes, vectors have fewer. */
const vectorRows = 2_048;

const codecs: Readonly<Record<Compression, string>> = {
  snappy: 'SNAPPY',
  zstd: 'ZSTD',
  gzip: 'GZIP',
  none: 'UNCOMPRESSED',
};

/** @param hasCondition whether a condition takes rows @throws USAGE */
export function planOutputFiles(options: OutputOptions, hasCondition = false): OutputFiles {
  const { compression = 'snappy', compressionLevel, rowGroupRows = rowGroupRowsDefault, rowsPerFile } = options;
  if (compressionLevel !== undefined && compression !== 'zstd') {
    throw new TandemError(
      'USAGE',
      `Expected a compression level to come with --compression zstd, got it with ${compression}.`,
      { remedy: 'Add --compression zstd, or leave out --compression-level: other codecs have one level.' },
    );
  }
  if (compressionLevel !== undefined) requireWithin('--compression-level', compressionLevel, 1, zstdLevelMax);
  requireWithin('--row-group-rows', rowGroupRows, 1, rowGroupRowsMax);
  const whole = Math.ceil(rowGroupRows / vectorRows) * vectorRows;
  if (rowsPerFile === undefined)
    return { compression, compressionLevel, rowGroupRows: whole, rowsPerFile, rowGroupsPerFile: undefined };
  requireWithin('--rows-per-file', rowsPerFile, vectorRows, Number.MAX_SAFE_INTEGER);
  // As few row groups as hold the rows, of equal size, and no row beyond what was asked for: where vectors have fewer rows
  // than they could, what closes a row group may bring almost a vector's too many.
  const beyond = hasCondition ? vectorRows - 1 : 0;
  const most = Math.floor(rowsPerFile / (vectorRows + beyond));
  const rowGroupsPerFile = Math.max(1, Math.min(Math.ceil(rowsPerFile / whole), most));
  const even = Math.floor(rowsPerFile / rowGroupsPerFile);
  const closedAt = hasCondition ? even - beyond : Math.floor(even / vectorRows) * vectorRows;
  return { compression, compressionLevel, rowGroupRows: closedAt, rowsPerFile, rowGroupsPerFile };
}

function requireWithin(flag: string, value: number, least: number, most: number): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw new TandemError('USAGE', `Expected ${flag} to be a whole number from ${least} to ${most}, got \`${value}\`.`, {
    remedy: 'Leave it out for the default.',
  });
}

/** What stands in the parentheses behind `COPY ... TO`. */
export function copySettings(files: OutputFiles): string {
  const { compression, compressionLevel, rowGroupRows, rowGroupsPerFile } = files;
  return [
    'FORMAT parquet',
    `COMPRESSION ${codecs[compression]}`,
    ...(compressionLevel === undefined ? [] : [`COMPRESSION_LEVEL ${compressionLevel}`]),
    `ROW_GROUP_SIZE ${rowGroupRows}`,
    // Several files go into a folder, and DuckDB has no temporary names there; ours are not the last ones anyway.
    ...(rowGroupsPerFile === undefined
      ? ['USE_TMP_FILE false']
      : [`ROW_GROUPS_PER_FILE ${rowGroupsPerFile}`, "FILENAME_PATTERN '{i}'", "FILE_EXTENSION 'part'"]),
  ].join(', ');
}

/** Bytes that a row group being written takes of its thread beyond what every thread has for one of usual size. */
export function writtenBytesBeyond({ rowGroupRows }: OutputFiles, bytesPerRow: number): number {
  return Math.ceil(Math.max(0, rowGroupRows - rowGroupRowsDefault) * bytesPerRow * writtenRowFactor);
}
