/** Which rows of the shards a sample takes: some from here and there, since shards are sorted by day, or by label. */
import { sampleBytesLeast, sampleBytesMax, sampleBytesShare, sampleStretchesMax } from '../limits.ts';

/** A shard as far as its rows are chosen. */
export interface SampledShard {
  readonly rowCount: number;
  /** Undefined: it can be read from its start only. */
  readonly rowGroupRows: readonly number[] | undefined;
  /** Compressed bytes of the columns that are read. */
  readonly bytes: number;
}

/** Rows of one shard that follow one another. */
export interface Stretch {
  /** Position among the shards. */
  readonly shard: number;
  readonly firstRow: number;
  readonly rowCount: number;
}

/** Of all row groups, one after another: the first, the last, the one in the middle, those in the middle of the halves, ... */
const order = [0, 1, 1 / 2, 1 / 4, 3 / 4, 1 / 8, 5 / 8, 3 / 8];

/**
 * At most `rowsMax` rows in stretches, each from the start of a row group: a page of it, often all of it, is decompressed
 * for the first row already, which bounds how many are worth while.
 */
export function planStretches(shards: readonly SampledShard[], rowsMax: number): Stretch[] {
  const total = shards.reduce((sum, { bytes }) => sum + bytes, 0);
  let left = Math.max(sampleBytesLeast, Math.min(sampleBytesMax, total * sampleBytesShare));
  const starts: Pick<Stretch, 'shard' | 'firstRow'>[] = [];
  for (const index of pickGroups(shards)) {
    const start = startOf(shards, index);
    const { bytes, rowGroupRows } = shards[start.shard]!;
    left -= bytes / (rowGroupRows?.length ?? 1);
    if (left < 0 && starts.length > 0) break;
    starts.push(start);
  }
  starts.sort((one, other) => one.shard - other.shard || one.firstRow - other.firstRow);
  let rowsLeft = rowsMax;
  return starts.map(({ shard, firstRow }, at) => {
    const next = starts[at + 1];
    const end = next?.shard === shard ? next.firstRow : shards[shard]!.rowCount;
    const rowCount = Math.min(end - firstRow, Math.ceil(rowsLeft / (starts.length - at)));
    rowsLeft -= rowCount;
    return { shard, firstRow, rowCount };
  });
}

/** Different row groups, by their positions among those of all shards, the most wanted first. */
function pickGroups(shards: readonly SampledShard[]): readonly number[] {
  const count = shards.reduce((sum, shard) => sum + groupsOf(shard).length, 0);
  if (count === 0) return [];
  const picks = order.slice(0, sampleStretchesMax).map((share) => Math.round(share * (count - 1)));
  return [...new Set(shards.some(({ rowGroupRows }) => rowGroupRows === undefined) ? [0] : picks)];
}

function startOf(shards: readonly SampledShard[], index: number): Pick<Stretch, 'shard' | 'firstRow'> {
  let before = 0;
  const shard = shards.findIndex((each) => index < (before += groupsOf(each).length));
  const groups = groupsOf(shards[shard]!);
  const within = index - (before - groups.length);
  return { shard, firstRow: groups.slice(0, within).reduce((sum, rows) => sum + rows, 0) };
}

/** Empty row groups count: their stretch is what follows. */
function groupsOf({ rowCount, rowGroupRows }: SampledShard): readonly number[] {
  if (rowCount === 0) return [];
  return rowGroupRows === undefined || rowGroupRows.length === 0 ? [rowCount] : rowGroupRows;
}
