/** Output shards of equally many rows, out of the rows that shards hold, in their order. */
import { createHash } from 'node:crypto';
import { TandemError } from '../errors.ts';
import type { FeatureFiles } from '../output-options.ts';
import type { PlannedFeatures, PlannedPart } from '../plan.ts';
import type { ColumnSize, Footer } from '../read/footers.ts';
import { countedBlocks, relationOf, type RelationPart } from '../relation.ts';
import type { SchemaPlanner } from './schemas.ts';
import { refuseNumberColumn } from './selection.ts';

/** What becomes one output; `path`, columns and relation are those of the first part, all else of all of them. */
export interface OutputShard extends Footer {
  /** Undefined: it is a file by itself. */
  readonly parts?: readonly GatheredPart[];
}

export interface GatheredPart extends Pick<
  RelationPart,
  'firstRow' | 'rowCount' | 'isWhole' | 'fileRows' | 'skippedRows'
> {
  readonly footer: Footer;
}

/**
 * @returns `footers` themselves, or as many output shards as `features` wants, none of which is without rows
 * @throws USAGE for more of them than there are rows; BAD_COLUMN where rows of a file cannot be told apart
 */
export function gatherShards(footers: readonly Footer[], features: FeatureFiles | undefined): readonly OutputShard[] {
  if (features?.shards === undefined) return footers;
  const count = features.shards;
  const rowCount = footers.reduce((sum, footer) => sum + footer.rowCount, 0);
  if (count > rowCount) {
    const message = `Expected --shards to be at most the number of rows, ${rowCount}, got \`${count}\`.`;
    throw new TandemError('USAGE', message, { remedy: 'Give fewer shards, or more rows.' });
  }
  const left = footers.filter((footer) => footer.rowCount > 0);
  let taken = 0;
  return Array.from({ length: count }, (_, index) => {
    const parts: GatheredPart[] = [];
    // The first ones hold a row more where the rows do not divide.
    for (let wanted = Math.floor(rowCount / count) + (index < rowCount % count ? 1 : 0); wanted > 0;) {
      const footer = left[0]!;
      const take = Math.min(wanted, footer.rowCount - taken);
      parts.push(partOf(footer, taken, take));
      wanted -= take;
      taken += take;
      if (taken < footer.rowCount) continue;
      left.shift();
      taken = 0;
    }
    return gathered(parts, `part-${fiveDigits(index)}-of-${fiveDigits(count)}.parquet`);
  });
}

function fiveDigits(value: number): string {
  return String(value).padStart(5, '0');
}

function partOf(footer: Footer, firstRow: number, rowCount: number): GatheredPart {
  const isWhole = rowCount === footer.rowCount;
  if (!isWhole) refuseNumberColumn(footer);
  const { rowGroupRows, takenBlocks } = footer;
  if (takenBlocks === undefined)
    return { footer, firstRow, rowCount, isWhole, fileRows: { firstRow, rowCount }, skippedRows: undefined };
  let [rowsBefore, takenBefore] = [0, 0];
  let [fileRow, fileRowsEnd, skippedRows] = [0, 0, 0];
  countedBlocks(rowGroupRows).forEach((blockRows, block) => {
    const takenAfter = takenBefore + takenBlocks[block]!;
    if (takenBefore <= firstRow) [fileRow, skippedRows] = [rowsBefore, firstRow - takenBefore];
    if (takenBefore < firstRow + rowCount) fileRowsEnd = rowsBefore + blockRows;
    rowsBefore += blockRows;
    takenBefore = takenAfter;
  });
  const fileRows = { firstRow: fileRow, rowCount: fileRowsEnd - fileRow };
  return { footer, firstRow, rowCount, isWhole, fileRows, skippedRows };
}

function gathered(parts: readonly GatheredPart[], name: string): OutputShard {
  const rowCount = parts.reduce((sum, part) => sum + part.rowCount, 0);
  // What a file was made from stays with its part: other outputs may need it when this one is whole.
  const { sourcePath: _, ...first } = parts[0]!.footer;
  return {
    ...first,
    name,
    bytes: parts.reduce((sum, { footer }) => sum + footer.bytes, 0),
    modifiedMs: Math.max(...parts.map(({ footer }) => footer.modifiedMs)),
    rowCount,
    rowGroupRows: [rowCount],
    takenBlocks: undefined,
    endRow: undefined,
    columnSizes: sizesOf(parts),
    parts,
  };
}

/** By the share of the file's rows. */
function sizesOf(parts: readonly GatheredPart[]): Map<string, ColumnSize> {
  const sizes = new Map<string, ColumnSize>();
  for (const { footer, rowCount } of parts) {
    const fileRowCount = footer.rowGroupRows.reduce((sum, rows) => sum + rows, 0);
    for (const [name, { bytes, rowGroupBytesMax }] of footer.columnSizes) {
      const before = sizes.get(name) ?? { bytes: 0, rowGroupBytesMax: 0 };
      sizes.set(name, {
        bytes: before.bytes + Math.ceil((bytes * rowCount) / fileRowCount),
        rowGroupBytesMax: Math.max(before.rowGroupBytesMax, rowGroupBytesMax),
      });
    }
  }
  return sizes;
}

export function planParts({ parts }: OutputShard, schemas: SchemaPlanner): { readonly parts?: readonly PlannedPart[] } {
  if (parts === undefined) return {};
  return {
    parts: parts.map(({ footer, ...rows }) => ({
      ...relationOf(footer),
      ...rows,
      ...(footer.sourcePath === undefined ? {} : { sourcePath: footer.sourcePath }),
      bytes: footer.bytes,
      modifiedMs: footer.modifiedMs,
      rowGroupRows: footer.rowGroupRows,
      ...(footer.takenBlocks === undefined ? {} : { takenBlocks: footer.takenBlocks }),
      schema: schemas.indexOf(footer),
    })),
  };
}

/**
 * Every gathered output depends on all files: another one before it moves its rows.
 * @param keep undefined: all columns
 * @throws BAD_COLUMN where all columns are kept, and are not the same in all files
 */
export function planFeatureFiles(
  features: FeatureFiles | undefined,
  footers: readonly Footer[],
  keep: readonly string[] | undefined,
): PlannedFeatures | undefined {
  if (features?.shards === undefined) return features;
  if (keep === undefined) refuseOtherColumns(footers);
  const files = footers.map(({ name, bytes, modifiedMs, rowCount }) => [name, bytes, modifiedMs, rowCount]);
  return { ...features, inputsSha256: createHash('sha256').update(JSON.stringify(files)).digest('hex') };
}

function refuseOtherColumns(footers: readonly Footer[]): void {
  const namesOf = ({ columns }: Footer): string[] =>
    columns.filter(({ isOfPath }) => isOfPath !== true).map(({ name }) => name.toLowerCase());
  const first = new Set(namesOf(footers[0]!));
  for (const footer of footers) {
    const names = namesOf(footer);
    const other = names.find((name) => !first.has(name)) ?? [...first].find((name) => !names.includes(name));
    if (other === undefined) continue;
    throw new TandemError('BAD_COLUMN', `Expected all shards to have the same columns to keep, got ${other} in some.`, {
      place: { shard: footer.name, column: other },
      remedy: 'Name the columns to keep with --keep.',
    });
  }
}
