/** The spans of a split shard. Pure arithmetic. */
import type { Span, TakenSpan } from '../batch.ts';
import { ringBytesMax, ringSpansPerThread, spanRowsTarget } from '../limits.ts';
import { countedBlocks } from '../relation.ts';
import type { ShardSize } from './allocate.ts';

/** A split shard's spans, along row groups where these are small enough, and the rows that its ring holds. */
export function cutSpans(
  shard: Pick<ShardSize, 'rowCount' | 'rowGroupRows' | 'takenBlocks'>,
  threads: number,
  scoreBytesPerRow: number,
  slotRows: number,
): { readonly spans: readonly TakenSpan[]; readonly capacityRows: number } {
  const ringSpans = threads * ringSpansPerThread;
  const spanRowsByRing = Math.floor(ringBytesMax / Math.max(1, scoreBytesPerRow) / ringSpans);
  // Each thread gets four spans at least, so that they end at about the same time.
  const target = Math.max(1, Math.min(spanRowsTarget, spanRowsByRing, Math.ceil(shard.rowCount / threads / 4)));
  const spans = shard.takenBlocks === undefined ? cutRowGroups(shard, target) : joinBlocks(shard, target);
  const longest = spans.reduce((rows, span) => Math.max(rows, span.rowCount), 0);
  const ringRowsMax = Math.floor(ringBytesMax / Math.max(1, scoreBytesPerRow));
  return {
    spans,
    capacityRows: Math.min(shard.rowCount, Math.max(slotRows, Math.min(ringRowsMax, longest * ringSpans))),
  };
}

function cutRowGroups({ rowGroupRows }: Pick<ShardSize, 'rowGroupRows'>, target: number): Span[] {
  const spans: Span[] = [];
  let firstRow = 0;
  let pending = 0;
  const push = (rowCount: number): void => {
    spans.push({ firstRow, rowCount });
    firstRow += rowCount;
  };
  for (const groupRows of rowGroupRows) {
    pending += groupRows;
    if (pending < target) continue;
    // Between two thirds of the target and one and a half of it: groups below that are not cut.
    const parts = Math.round(pending / target);
    for (let part = parts; part > 0; part--) {
      const rowCount = Math.ceil(pending / part);
      push(rowCount);
      pending -= rowCount;
    }
  }
  if (pending > 0) push(pending);
  return spans;
}

/** Where a row that is taken lies within its block is not known: spans are made of whole ones. */
export function joinBlocks(
  { rowGroupRows, takenBlocks = [] }: Pick<ShardSize, 'rowGroupRows' | 'takenBlocks'>,
  target: number,
): TakenSpan[] {
  const spans: TakenSpan[] = [];
  let [firstRow, taken, fileRow, firstFileRow] = [0, 0, 0, 0];
  const push = (): void => {
    spans.push({ firstRow, rowCount: taken, fileRows: { firstRow: firstFileRow, rowCount: fileRow - firstFileRow } });
    firstRow += taken;
    firstFileRow = fileRow;
    taken = 0;
  };
  countedBlocks(rowGroupRows).forEach((rows, block) => {
    taken += takenBlocks[block] ?? 0;
    fileRow += rows;
    if (taken >= target) push();
  });
  if (taken > 0) push();
  return spans;
}
