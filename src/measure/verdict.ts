/** One line on what holds a run up, and what would change it: derived from the ledger and the rates in it. Pure. */
import type { Bottleneck, StorageLedger, Verdict } from '../run-record.ts';
import type { CrewReading } from './ledger.ts';
import type { SheetReading } from './time-sheet.ts';

/** A scorer that computes for this share of the time has nothing to gain from its feeders. */
const busyShareMin = 0.9;
/** Storage that takes less of the threads' time is no bottleneck. */
const storageShareMin = 0.2;
/** Threads that wait so long for the last ones say more about the shards than about any stage. */
const idleShareMin = 0.3;
/** A run that starts for longer than it works says nothing about the rest. */
const warmUpShareMin = 0.5;

/** What bounds the number of threads. */
export interface ThreadRoom {
  /** That this process may use. */
  readonly cores: number;
  /** What set their number, in the plan's words; undefined: nobody asks. */
  readonly threadsBound?: string;
}

export function sumOf<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((sum, value) => sum + of(value), 0);
}

/** From a thread's first work to its last. */
export function workMs({ parts }: SheetReading): number {
  const { warmUp: _warmUp, idle: _idle, ...working } = parts;
  return sumOf(Object.values(working), (milliseconds) => milliseconds);
}

/** Milliseconds in which a prep thread worked for others than itself: what a row costs, without waiting for a GPU. */
export function preparingMs(sheet: SheetReading): number {
  return workMs(sheet) - sheet.parts.waitForScores;
}

/** Rows a second of GPUs that a pool of prep threads feeds: the slower of the two. */
export function predictRate(pool: {
  readonly threads: number;
  /** Of one thread: reading, featurizing, writing. */
  readonly secondsPerRow: number;
  /** Of all GPUs while they compute. */
  readonly deviceRowsPerSecond: number;
}): number {
  return Math.min(pool.threads / pool.secondsPerRow, pool.deviceRowsPerSecond);
}

export function verdictOf(reading: CrewReading, storage: StorageLedger, room: ThreadRoom): Verdict {
  const { prep, devices, wallMs } = reading;
  const rowCount =
    devices.length > 0 ? sumOf(devices, (device) => device.rowCount) : sumOf(prep, (sheet) => sheet.rowCount);
  if (rowCount === 0) return { bottleneck: 'warmUp', sentence: 'no row has been scored', whatIf: undefined };
  const warmUp = sumOf(prep, ({ parts }) => parts.warmUp) / Math.max(1, prep.length) / wallMs;
  if (warmUp >= warmUpShareMin) {
    const sentence = `starting took ${percent(warmUp)} of this run: the rest is too short to judge`;
    return { bottleneck: 'warmUp', sentence, whatIf: undefined };
  }
  return devices.length > 0 ? verdictOfGpus(reading, storage, room) : verdictOfLanes(reading, storage, room);
}

/** Shares of the threads' working time. */
function laneShares(
  prep: readonly SheetReading[],
): Readonly<Record<Exclude<Bottleneck, 'copies' | 'warmUp' | 'idle'>, number>> {
  const working = Math.max(1e-9, sumOf(prep, workMs));
  const share = (of: (parts: SheetReading['parts']) => number): number =>
    sumOf(prep, ({ parts }) => of(parts)) / working;
  return {
    model: share(({ compute, search, newShapes }) => compute + search + newShapes),
    storage: share(({ storage, writeStorage }) => storage + writeStorage),
    decode: share(({ decode }) => decode),
    featurize: share(({ featurize }) => featurize),
    writer: share(({ write, waitForRoom }) => write + waitForRoom),
  };
}

function verdictOfLanes({ prep, wallMs }: CrewReading, storage: StorageLedger, room: ThreadRoom): Verdict {
  const idle = sumOf(prep, ({ parts }) => parts.idle) / wallMs / prep.length;
  if (idle >= idleShareMin) {
    const sentence = `threads had nothing left to do for ${percent(idle)} of the time: the last shards were too large to share`;
    return { bottleneck: 'idle', sentence, whatIf: undefined };
  }
  const shares = laneShares(prep);
  const rowsPerSecond = (sumOf(prep, (sheet) => sheet.rowCount) / sumOf(prep, workMs)) * 1000 * prep.length;
  const without = (share: number): number => rowsPerSecond / Math.max(1e-3, 1 - share);
  const writes = sumOf(prep, ({ parts }) => parts.writeStorage) > sumOf(prep, ({ parts }) => parts.storage);
  if (shares.storage >= storageShareMin && writes) {
    const sentence = `storage for the output: the threads slept ${percent(shares.storage)} of the time for it`;
    return { bottleneck: 'storage', sentence, whatIf: undefined };
  }
  if (shares.storage >= storageShareMin) {
    return {
      bottleneck: 'storage',
      sentence: `storage: ${rates(storage)}; the threads slept ${percent(shares.storage)} of the time for it`,
      whatIf: {
        change: `storage of ${gigabytes(storage.neededBytesPerSecond)} GB/s`,
        rowsPerSecond: without(shares.storage),
      },
    };
  }
  const [bottleneck, share] = (Object.entries(shares) as [keyof typeof shares, number][]).reduce((most, part) =>
    part[1] > most[1] ? part : most,
  );
  const { cores } = room;
  const idleCores = cores - prep.length;
  const whatIf =
    idleCores > 0
      ? {
          change: `${count(idleCores, 'more thread')}${boundOf(room)}`,
          rowsPerSecond: (rowsPerSecond * cores) / prep.length,
        }
      : { change: `${words[bottleneck]} at no cost`, rowsPerSecond: without(share) };
  const more = idleCores > 0 ? `: ${count(idleCores, 'core')} of ${cores} had no thread${boundOf(room)}` : '';
  const sentence =
    bottleneck === 'model'
      ? `the model is the bottleneck, ${percent(share)} of the threads' time: the loader could feed ${times(1 / (1 - share))} as much${more}`
      : `${words[bottleneck]} is the bottleneck, ${percent(share)} of the threads' time (the model ${percent(shares.model)}): ` +
        `at no cost it would make the scoring ${times(1 / (1 - share))} as fast${more}`;
  return { bottleneck, sentence, whatIf };
}

function verdictOfGpus(reading: CrewReading, storage: StorageLedger, room: ThreadRoom): Verdict {
  const { prep, devices } = reading;
  const rowCount = sumOf(devices, (device) => device.rowCount);
  const deviceRowsPerSecond = sumOf(devices, (device) =>
    device.busyMs === 0 ? 0 : (device.steadyRows / device.busyMs) * 1000,
  );
  const pool = { threads: prep.length, secondsPerRow: sumOf(prep, preparingMs) / 1000 / rowCount, deviceRowsPerSecond };
  const judged = devices.filter(({ steadyMs, busyMs }) => steadyMs > 0 && busyMs > 0);
  if (judged.length === 0)
    return { bottleneck: 'warmUp', sentence: 'too few batches to judge: at most one on each GPU', whatIf: undefined };
  const worst = judged.map(waitsOf).reduce((most, waits) => (waits.share > most.share ? waits : most));
  if (worst.share <= 1 - busyShareMin) {
    const loaderRate = pool.threads / pool.secondsPerRow;
    const computed = `${worst.name} computed ${percent(1 - worst.share)} of the time`;
    return {
      bottleneck: 'model',
      sentence: `the model is the bottleneck, ${computed}: the loader could feed ${times(loaderRate / deviceRowsPerSecond)} as much`,
      whatIf: { change: 'a faster GPU or model', rowsPerSecond: loaderRate },
    };
  }
  const waited = `${worst.name} waited ${percent(worst.share)} of the time, ${points(worst.largest)} for ${waitWords[worst.for]}`;
  switch (worst.for) {
    case 'copies':
      return {
        bottleneck: 'copies',
        sentence: `${waited}: more device buffers or larger slots may hide them`,
        whatIf: undefined,
      };
    case 'handOver':
      return { bottleneck: 'copies', sentence: `${waited}: a larger batch size would hide it`, whatIf: undefined };
    case 'storage':
      return {
        bottleneck: 'storage',
        sentence: `storage: ${rates(storage)}; ${waited}`,
        whatIf: {
          change: `storage of ${gigabytes(storage.neededBytesPerSecond)} GB/s`,
          rowsPerSecond: deviceRowsPerSecond,
        },
      };
    default:
      return { bottleneck: worst.for, ...moreThreads(waited, worst.share, pool, room) };
  }
}

/** So many more prep threads that the GPUs need not wait, as far as there are cores for them. */
function moreThreads(
  waited: string,
  waitShare: number,
  pool: Parameters<typeof predictRate>[0],
  room: ThreadRoom,
): Pick<Verdict, 'sentence' | 'whatIf'> {
  const wanted = Math.max(1, Math.ceil(pool.deviceRowsPerSecond * pool.secondsPerRow) - pool.threads);
  const idleCores = Math.max(0, room.cores - pool.threads);
  const added = idleCores === 0 ? wanted : Math.min(wanted, idleCores);
  const rowsPerSecond = predictRate({ ...pool, threads: pool.threads + added });
  const removed = Math.max(0, waitShare - (1 - rowsPerSecond / pool.deviceRowsPerSecond));
  const change =
    idleCores === 0
      ? `${count(added, 'more core')} with a prep thread each`
      : `${count(added, 'more prep thread')}${boundOf(room)}`;
  return { sentence: `${waited}: ${change} would remove about ${points(removed)}`, whatIf: { change, rowsPerSecond } };
}

/** Where there are cores for more threads: what else has to change before there can be more; empty: they can be asked for. */
function boundOf({ threadsBound }: ThreadRoom): string {
  return threadsBound === undefined || threadsBound === '--threads' ? '' : ` (bound by ${threadsBound})`;
}

type Wait = 'storage' | 'decode' | 'featurize' | 'writer' | 'copies' | 'handOver';

interface Waits {
  readonly name: string;
  /** Of the time from the first batch to the last one. */
  readonly share: number;
  readonly for: Wait;
  readonly largest: number;
}

function waitsOf({ name, parts, steadyMs }: CrewReading['devices'][number]): Waits {
  const all: readonly (readonly [Wait, number])[] = [
    ['storage', parts.storage],
    ['decode', parts.decode],
    ['featurize', parts.featurize],
    ['writer', parts.writer],
    ['copies', parts.copyIn + parts.copyOut],
    ['handOver', parts.handOver],
  ];
  const steady = Math.max(1e-9, steadyMs);
  const [wait, milliseconds] = all.reduce((most, part) => (part[1] > most[1] ? part : most));
  return { name, share: sumOf(all, ([, each]) => each) / steady, for: wait, largest: milliseconds / steady };
}

const words = {
  model: 'the model',
  storage: 'storage',
  decode: 'decoding',
  featurize: 'featurizing',
  writer: 'writing',
} as const;

const waitWords: Readonly<Record<Wait, string>> = {
  storage: 'storage',
  decode: 'decode',
  featurize: 'featurize',
  writer: 'the writer',
  copies: 'copies',
  handOver: 'launching batches',
};

function rates({ bytesPerSecond, neededBytesPerSecond }: StorageLedger): string {
  return `${gigabytes(bytesPerSecond)} of the ${gigabytes(neededBytesPerSecond)} GB/s needed`;
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toPrecision(2);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function points(share: number): string {
  const rounded = Math.round(share * 100);
  return `${rounded} ${rounded === 1 ? 'point' : 'points'}`;
}

function times(ratio: number): string {
  return ratio < 100 ? `${ratio.toFixed(1)} times` : 'over 100 times';
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
