/** Footers through parquetjs-lite, in the same shape as the native reader's. */
import { readParquetFile, type ParquetFile } from '../../engines/parquetjs/file.ts';
import type { ShardFile } from '../find-shards.ts';
import { parquetFile } from '../../relation.ts';
import { checkMagic, type ColumnSize, type Footer } from '../footers.ts';
import { explainParquetJs } from './refusals.ts';

/** Reads every footer once. @throws BAD_SHARD naming the first file that is none of ours */
export function readParquetJsFooters(shards: readonly ShardFile[]): Footer[] {
  return shards.map((shard) => {
    const magic = checkMagic(shard);
    return { ...footerOf(openParquetJs(shard)), ...magic, name: shard.name };
  });
}

/** Reads one footer. @throws BAD_SHARD */
export function openParquetJs(shard: ShardFile): ParquetFile {
  try {
    return readParquetFile(shard.path);
  } catch (error) {
    throw explainParquetJs(error, shard.name) ?? error;
  }
}

function footerOf(file: ParquetFile): Omit<Footer, 'name' | 'bytes' | 'modifiedMs'> {
  return {
    path: file.path,
    from: parquetFile(file.path),
    rowCount: file.rowCount,
    columns: file.columns.map(({ name, type }) => ({ name, type })),
    rowGroupRows: file.rowGroups.map((group) => group.rowCount),
    columnSizes: columnSizes(file),
  };
}

function columnSizes(file: ParquetFile): Map<string, ColumnSize> {
  const sizes = new Map<string, ColumnSize>();
  for (const group of file.rowGroups) {
    const ofGroup = new Map<string, number>();
    for (const {
      path: [name = ''],
      byteCount,
    } of group.chunks)
      ofGroup.set(name, (ofGroup.get(name) ?? 0) + byteCount);
    for (const [name, groupBytes] of ofGroup) {
      const { bytes, rowGroupBytesMax } = sizes.get(name) ?? { bytes: 0, rowGroupBytesMax: 0 };
      sizes.set(name, { bytes: bytes + groupBytes, rowGroupBytesMax: Math.max(rowGroupBytesMax, groupBytes) });
    }
  }
  return sizes;
}
