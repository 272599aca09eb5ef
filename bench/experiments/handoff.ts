/** How large the hand-off from storage to models is, and which of the two sides sets the pace. Pure. */
import { counted, formatCount } from '../../src/cli/format.ts';

/** Rows that readers hand to a model side. */
export interface Handoff {
  readonly rows: number;
  readonly columns: number;
  readonly bytesPerValue: number;
  readonly readers: number;
  /** Of each reader. */
  readonly bytesPerSecond: number;
  readonly shards: number;
}

export interface HandoffSize {
  readonly rowBytes: number;
  readonly datasetBytes: number;
  /** Of the largest shard, where the rows do not divide evenly. */
  readonly shardRows: number;
  readonly shardBytes: number;
  /** Of all readers. */
  readonly readerBytesPerSecond: number;
  readonly readerRowsPerSecond: number;
  /** All rows once, were the readers all that counts and every one of them busy to the end. */
  readonly readSeconds: number;
  /** The same with whole shards for each reader: the last round of shards may not fill all readers. */
  readonly readSecondsInShards: number;
  /** One shard by one reader. */
  readonly shardSeconds: number;
  /** One shard for each reader at a time. */
  readonly bytesInFlight: number;
}

export function sizeHandoff(handoff: Handoff): HandoffSize {
  const { rows, columns, bytesPerValue, readers, bytesPerSecond, shards } = handoff;
  const rowBytes = columns * bytesPerValue;
  const datasetBytes = rows * rowBytes;
  const shardRows = Math.ceil(rows / shards);
  const shardBytes = shardRows * rowBytes;
  const readerBytesPerSecond = readers * bytesPerSecond;
  const shardSeconds = shardBytes / bytesPerSecond;
  return {
    rowBytes,
    datasetBytes,
    shardRows,
    shardBytes,
    readerBytesPerSecond,
    readerRowsPerSecond: readerBytesPerSecond / rowBytes,
    readSeconds: datasetBytes / readerBytesPerSecond,
    readSecondsInShards: Math.ceil(shards / readers) * shardSeconds,
    shardSeconds,
    bytesInFlight: Math.min(readers, shards) * shardBytes,
  };
}

export interface Pace {
  readonly boundBy: 'readers' | 'model';
  /** All rows once. */
  readonly epochSeconds: number;
  /** Share of the epoch in which the faster side waits. */
  readonly fasterWaits: number;
  /** The readers' rate at which both sides are equally fast, by their rate now. */
  readonly flipsAtShare: number;
  /** Model sides like this one that would keep all readers busy. */
  readonly modelsForReaders: number;
}

/** @param modelRowsPerSecond what the model side can take */
export function judgePace(handoff: Handoff, modelRowsPerSecond: number): Pace {
  const { readerRowsPerSecond } = sizeHandoff(handoff);
  const flipsAtShare = modelRowsPerSecond / readerRowsPerSecond;
  return {
    boundBy: flipsAtShare < 1 ? 'model' : 'readers',
    epochSeconds: handoff.rows / Math.min(modelRowsPerSecond, readerRowsPerSecond),
    fasterWaits: 1 - Math.min(flipsAtShare, 1 / flipsAtShare),
    flipsAtShare,
    modelsForReaders: Math.ceil(1 / flipsAtShare),
  };
}

/** Who bounds whom now and with a tenth of the bandwidth, and where that changes, in words. */
export function paceSentence(handoff: Handoff, modelRowsPerSecond: number): string {
  const now = judgePace(handoff, modelRowsPerSecond);
  const tenth = judgePace({ ...handoff, bytesPerSecond: handoff.bytesPerSecond / 10 }, modelRowsPerSecond);
  const flips = `${gigabytes((now.flipsAtShare * handoff.bytesPerSecond) / 1e9)} GB/s a reader`;
  const boundedNow =
    now.boundBy === 'model'
      ? `the model side sets the pace and the readers wait ${percent(now.fasterWaits)} of the time ` +
        `(${counted(now.modelsForReaders, 'model side')} like this one would keep them busy)`
      : `the readers set the pace and the model side waits ${percent(now.fasterWaits)} of the time`;
  const boundedThen =
    tenth.boundBy !== now.boundBy
      ? `At a tenth of the bandwidth it flips: the ${tenth.boundBy === 'model' ? 'model side sets' : 'readers set'} the pace`
      : `At a tenth of the bandwidth ${tenth.boundBy === 'model' ? 'the model side still sets' : 'the readers still set'} the pace`;
  const [before, after] = [formatSpan(now.epochSeconds), formatSpan(tenth.epochSeconds)];
  return (
    `A model side of ${formatCount(modelRowsPerSecond)} rows/s: ${boundedNow}. ${boundedThen}, ` +
    `and an epoch ${after === before ? `still takes ${after}` : `takes ${after} instead of ${before}`}. ` +
    `Both sides are equal at ${flips}.`
  );
}

/** `0.26 s`, `64 s`, `640 s`, `33 min`, `2.2 h`, `2.1 days` */
export function formatSpan(seconds: number): string {
  if (seconds < 1000) return `${Number(seconds.toPrecision(3))} s`;
  if (seconds < 2 * 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Number((seconds / 3600).toPrecision(2))} h`;
  return `${Number((seconds / 86_400).toPrecision(2))} days`;
}

/** `2.05 TB`, powers of ten as links and disks are sold */
export function formatSize(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]}`;
}

function gigabytes(value: number): string {
  return String(Number(value.toPrecision(2)));
}

function percent(share: number): string {
  // 99.6 % is not always.
  return `${(share * 100).toFixed(share > 0.99 && share < 1 ? 1 : 0)} %`;
}
