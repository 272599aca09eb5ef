/** Flags about the files of the output. */
import { rowGroupRowsDefault, rowGroupRowsMax, zstdLevelMax } from '../limits.ts';
import type { Compression, OutputOptions } from '../output-options.ts';
import { planOutputFiles } from '../write/output-files.ts';
import type { Arguments, Flag } from './flags.ts';
import { formatCount } from './format.ts';

export const outputFlags: readonly Flag[] = [
  {
    name: 'compression',
    value: 'name',
    choices: ['snappy', 'zstd', 'gzip', 'none'],
    describe: 'Of the output',
    otherwise: 'snappy',
  },
  {
    name: 'compression-level',
    value: 'level',
    describe: 'Of zstd, from 1 (fast) to 22 (small)',
    otherwise: '3',
  },
  {
    name: 'row-group-rows',
    value: 'rows',
    describe: 'Rows of a row group of the output, rounded up to a multiple of 2,048',
    otherwise: formatCount(rowGroupRowsDefault),
  },
  {
    name: 'rows-per-file',
    value: 'rows',
    describe:
      "At most so many rows a file, 2,048 or more: a shard's output becomes name-00000.parquet, name-00001.parquet, ...",
    otherwise: 'one file for each shard',
  },
];

/** @throws USAGE */
export function outputOptions(given: Arguments): OutputOptions {
  const compressionLevel = given.count('compression-level', zstdLevelMax);
  const rowGroupRows = given.count('row-group-rows', rowGroupRowsMax);
  const rowsPerFile = given.count('rows-per-file', Number.MAX_SAFE_INTEGER);
  const options: OutputOptions = {
    compression: (given.text('compression') ?? 'snappy') as Compression,
    ...(compressionLevel === undefined ? {} : { compressionLevel }),
    ...(rowGroupRows === undefined ? {} : { rowGroupRows }),
    ...(rowsPerFile === undefined ? {} : { rowsPerFile }),
  };
  planOutputFiles(options);
  return options;
}
