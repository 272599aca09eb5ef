/** Threads, split shards, slots and memory of a run: pure arithmetic over the footers. */
import { elementBytes } from '../batch.ts';
import { alignedBytes, pageBytes } from '../engines/wasm.ts';
import { TandemError } from '../errors.ts';
import {
  batchRowsMax,
  processBytesBase,
  rowGroupFactor,
  slotBytesMax,
  spanRowsTarget,
  threadBytesBase,
  threadsMax,
  wasmPagesMax,
} from '../limits.ts';
import type { Bound } from '../machine.ts';
import type { MemoryLine, ModelPlan, PlannedDevice } from '../plan.ts';
import { kernelRows } from '../score/kernels/kernel.ts';
import { slotBytes } from '../score/scorer.ts';
import { deviceSlots, fitDeviceSlots } from './devices.ts';
import { kernelBytes } from './kernel-bytes.ts';
import { cutSpans } from './spans.ts';

export interface ShardSize {
  readonly name: string;
  readonly path: string;
  readonly rowCount: number;
  readonly rowGroupRows: readonly number[];
  /** As in `PlannedShard`. */
  readonly takenBlocks?: readonly number[] | undefined;
  /** Compressed bytes of the used columns in the largest row group. */
  readonly rowGroupBytesMax: number;
  /** False: must be read by one thread. */
  readonly splittable: boolean;
}

/** Rows that a slot holds, which is the largest batch size that may be chosen. */
export function slotRowsFor(bytesPerRow: number, batchSize: number | undefined): number {
  if (batchSize !== undefined) return batchSize;
  return Math.max(1, Math.min(batchRowsMax, Math.floor(slotBytesMax / Math.max(1, bytesPerRow))));
}

/** The same for a thread that scores in place; a kernel's slot holds whole blocks of rows. */
export function inPlaceSlotRows(
  model: Pick<ModelPlan, 'inputs' | 'outputs' | 'kernel'>,
  batchSize: number | undefined,
): number {
  const rows = slotRowsFor(slotBytes(model, 64) / 64, batchSize);
  return model.kernel === undefined ? rows : Math.ceil(rows / kernelRows) * kernelRows;
}

/** Slots of each thread. */
export interface ThreadSlots {
  /** Of one. */
  readonly rows: number;
  readonly bytes: number;
  /** 1 where the thread scores in place. */
  readonly count: number;
  /** Pinned where a device copies from them. */
  readonly where: 'host' | 'pinned';
  /** Of the thread's kernels, in the same memory. */
  readonly kernelBytes: number;
  /** Of all threads together, there too: tables of the kernel that scores. 0: ONNX Runtime does. */
  readonly tableBytes: number;
  /** Of the row group that a thread writes, beyond what is counted for every thread. Default: 0. */
  readonly writtenBytes?: number;
}

/** Of a kernel's tables: as the planner made them, and beside the slots. */
const tableCopies = 2;

/** What the rows of a run go through. */
export interface PlannedScoring {
  readonly model: ModelPlan;
  /** Empty: every thread scores in place. */
  readonly devices: readonly PlannedDevice[];
  readonly batchSize: number | undefined;
  /** Of a device run: as a profile has them, and as the caller wants their number. Undefined: as the devices need them. */
  readonly slots?: { readonly slotRows: number; readonly slots: number } | undefined;
  readonly slotsPerThread?: number | undefined;
}

/** Slots that leave room for one thread at least, as far as rows allow: {@link chooseThreads} says what does not fit. */
export function planSlots(
  { model, devices, batchSize, slots: recalled, slotsPerThread }: PlannedScoring,
  threads: number,
  shards: readonly ShardSize[],
  limit: Bound,
): ThreadSlots {
  const own = {
    kernelBytes: kernelBytes(model) + alignedBytes(model.kernel?.scratchBytes ?? 0),
    tableBytes: alignedBytes(model.kernel?.tableBytes ?? 0),
  };
  if (devices.length === 0) {
    const rows = inPlaceSlotRows(model, batchSize);
    return { rows, bytes: slotBytes(model, rows), count: 1, where: 'host', ...own };
  }
  const [largest = 0] = heldRowGroups(shards, [], 1);
  const others = processBytesBase + threadBytesBase + largest + tableCopies * own.tableBytes;
  const bytesMax = Math.min(wasmPagesMax * pageBytes - own.tableBytes, limit.value - others) - own.kernelBytes;
  const wanted = recalled ?? deviceSlots(devices, slotBytes(model, 64) / 64, threads);
  // This run's device buffers may be smaller than those of the profile's run, and no slot is larger than a batch may be.
  const rowsMax = Math.max(...devices.map(({ bufferRows }) => bufferRows));
  const asked = { slotRows: Math.min(wanted.slotRows, rowsMax), slots: slotsPerThread ?? wanted.slots };
  const { slotRows, slots } = fitDeviceSlots(asked, model, bytesMax);
  return {
    rows: slotRows,
    bytes: slotBytes(model, slotRows),
    count: slots,
    where: 'pinned',
    ...own,
  };
}

/** Threads, the shards that they share, and the memory that both take. */
export interface Allocation {
  readonly threads: number;
  readonly setBy: string;
  /** For each shard, in the order given. */
  readonly splits: readonly boolean[];
  readonly memory: readonly MemoryLine[];
}

/**
 * Threads as {@link chooseThreads} says, fewer split shards and then fewer threads until the rings fit too: the sum of the
 * table stays within the limit.
 * @throws MEMORY when not even one thread fits
 */
export function allocateRun(
  wanted: Bound,
  shards: readonly ShardSize[],
  slot: ThreadSlots,
  perRow: number,
  limit: Bound,
): Allocation {
  const ofThread = slot.count * slot.bytes + slot.kernelBytes;
  const first = chooseThreads(wanted, shards, ofThread, limit, slot.tableBytes);
  for (let { threads, setBy } = first; ; threads--) {
    const splits = chooseSplits(shards, threads);
    // Largest first: those gain most from being shared.
    const split = shards
      .map((_, index) => index)
      .filter((index) => splits[index])
      .sort((a, b) => shards[b]!.rowCount - shards[a]!.rowCount);
    const rings = split.map((index) => cutSpans(shards[index]!, threads, perRow, slot.rows).capacityRows * perRow);
    for (;;) {
      const memory = memoryTable(threads, slot, heldRowGroups(shards, splits, threads), rings);
      const fits = sumOf(memory) <= limit.value;
      if (!fits && threads === 1) refuseLongRowGroups(slot.writtenBytes ?? 0, sumOf(memory), limit);
      if (fits || threads === 1) return { threads, setBy, splits, memory };
      if (split.length <= 1) break;
      splits[split.pop()!] = false;
      rings.pop();
    }
    setBy = `memory: ${threads} threads and their scores would not fit into ${mib(limit.value)} (${limit.setBy})`;
  }
}

/** @throws MEMORY where it is for the row groups of the output that one thread does not fit */
function refuseLongRowGroups(writtenBytes: number, needed: number, limit: Bound): void {
  if (writtenBytes === 0) return;
  const of = `${mib(writtenBytes)} of it for a row group being written`;
  throw new TandemError(
    'MEMORY',
    `Expected one thread to fit into ${mib(limit.value)} (${limit.setBy}), got a need of ${mib(needed)}, ${of}.`,
    { remedy: `Give at least --memory ${mib(needed)}, or fewer --row-group-rows.` },
  );
}

/** Bytes of the row groups that threads hold at once, at most: every thread may be in the same split shard. */
function heldRowGroups(shards: readonly ShardSize[], splits: readonly boolean[], threads: number): number[] {
  return shards
    .flatMap((shard, index) => new Array<number>(splits[index] ? threads : 1).fill(shard.rowGroupBytesMax))
    .sort((a, b) => b - a)
    .slice(0, threads)
    .map((bytes) => Math.ceil(bytes * rowGroupFactor));
}

function sumOf(memory: readonly MemoryLine[]): number {
  return total(memory.map((line) => line.count * line.bytesEach));
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}

/**
 * As many threads as cores, or fewer so that the largest row groups that they may hold at once fit into the memory, and
 * their slots into what one WebAssembly.Memory addresses.
 * @param tableBytes what all threads have in that memory together
 * @throws MEMORY when not even one thread fits
 */
export function chooseThreads(
  wanted: Bound,
  shards: readonly ShardSize[],
  slotBytes: number,
  limit: Bound,
  tableBytes = 0,
): { readonly threads: number; readonly setBy: string } {
  const memoryBytes = wasmPagesMax * pageBytes;
  const slotsMax = Math.floor((memoryBytes - tableBytes) / Math.max(1, slotBytes));
  if (slotsMax < 1) {
    const need = slotBytes + tableBytes;
    throw new TandemError(
      'MEMORY',
      `Expected the slots of a thread to fit into ${mib(memoryBytes)}, got a need of ${mib(need)}.`,
      {
        remedy: 'Choose a smaller --batch-size, or export the model with smaller inputs and outputs.',
      },
    );
  }
  const cap = Math.min(wanted.value, threadsMax, slotsMax);
  const useful = shards.some((shard) => shard.splittable) ? cap : Math.min(cap, Math.max(1, shards.length));
  const largestFirst = [...shards].sort((a, b) => b.rowGroupBytesMax - a.rowGroupBytesMax);
  let threads = 0;
  const tablesBytes = tableCopies * tableBytes;
  let bytes = processBytesBase + tablesBytes;
  while (threads < useful) {
    // More threads than shards read parts of the same shards: then each holds a row group of the largest.
    const shard = largestFirst[threads < largestFirst.length ? threads : 0];
    const more = threadBytesBase + slotBytes + Math.ceil((shard?.rowGroupBytesMax ?? 0) * rowGroupFactor);
    if (bytes + more > limit.value) break;
    bytes += more;
    threads++;
  }
  if (threads === 0) throw doesNotFit(largestFirst[0], slotBytes + tablesBytes, limit);
  if (threads === wanted.value) return { threads, setBy: wanted.setBy };
  if (threads === useful && useful < cap) return { threads, setBy: `${shards.length} shards that cannot be split` };
  if (threads === threadsMax) return { threads, setBy: `at most ${threadsMax} threads` };
  if (threads === slotsMax) {
    return {
      threads,
      setBy: `slots: ${threads + 1} of ${mib(slotBytes)} would not fit into ${mib(memoryBytes)} of shared memory`,
    };
  }
  return { threads, setBy: `memory: ${threads + 1} threads would not fit into ${mib(limit.value)} (${limit.setBy})` };
}

function doesNotFit(shard: ShardSize | undefined, slotBytes: number, limit: Bound): TandemError {
  const group = Math.ceil((shard?.rowGroupBytesMax ?? 0) * rowGroupFactor);
  const needed = processBytesBase + threadBytesBase + slotBytes + group;
  const path = shard?.path ?? '';
  const areSlotsWide = slotBytes > Math.max(group, processBytesBase);
  const remedy = areSlotsWide
    ? `Give at least --memory ${mib(needed)}, choose a smaller --batch-size, or export the model with smaller inputs and outputs.`
    : group > processBytesBase
      ? `Give at least --memory ${mib(needed)}, or write the file with smaller row groups: ` +
        `duckdb -c "COPY (FROM '${path}') TO '${path.replace(/\.parquet$/, '')}-small.parquet' (ROW_GROUP_SIZE 122880)"`
      : `Give at least --memory ${mib(needed)}.`;
  return new TandemError(
    'MEMORY',
    `Expected one thread to fit into ${mib(limit.value)} (${limit.setBy}), got a need of ${mib(needed)}, ` +
      `${areSlotsWide ? `${mib(slotBytes)} of it for slots, which hold input and output tensors` : `${mib(group)} of it for a row group`}.`,
    {
      ...(shard === undefined ? {} : { place: { shard: shard.name } }),
      remedy,
    },
  );
}

function mib(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)}MiB`;
}

/**
 * Which shards one thread takes whole and which all threads share. Largest first, each to the thread that is free first; a
 * shard that would keep its thread busy after the others have run out of work is split.
 * @returns for each shard whether it is split
 */
export function chooseSplits(shards: readonly ShardSize[], threads: number): boolean[] {
  const order = shards.map((_, index) => index).sort((a, b) => shards[b]!.rowCount - shards[a]!.rowCount);
  const freeAt = new Array<number>(threads).fill(0);
  const split = new Array<boolean>(shards.length).fill(false);
  const total = shards.reduce((sum, shard) => sum + shard.rowCount, 0);
  let given = 0;
  for (const index of order) {
    const shard = shards[index]!;
    const now = Math.min(...freeAt);
    const inWork = freeAt.reduce((sum, at) => sum + Math.max(0, at - now), 0);
    const left = total - given + inWork;
    // Splitting costs a thread that writes and a query per span; small shards are not worth it.
    const worthIt = shard.rowCount > 2 * spanRowsTarget;
    if (threads > 1 && shard.splittable && worthIt && shard.rowCount * threads > left * 1.1) {
      split[index] = true;
      spread(freeAt, shard.rowCount);
    } else {
      freeAt[freeAt.indexOf(now)] = now + shard.rowCount;
    }
    given += shard.rowCount;
  }
  return split;
}

/** Gives rows to whoever is free, in small parts. */
function spread(freeAt: number[], rowCount: number): void {
  const parts = freeAt.length * 8;
  for (let part = 0; part < parts; part++) {
    const first = freeAt.indexOf(Math.min(...freeAt));
    freeAt[first] = freeAt[first]! + rowCount / parts;
  }
}

/** Bytes of one row of all used outputs. */
export function scoreBytesPerRow(model: Pick<ModelPlan, 'outputs'>): number {
  return model.outputs.reduce((sum, output) => sum + output.width * elementBytes[output.elementType], 0);
}

/**
 * What the run will hold on the host at most.
 * @param rowGroupBytes of each thread that holds one
 */
export function memoryTable(
  threads: number,
  slot: Pick<ThreadSlots, 'count' | 'bytes' | 'where' | 'kernelBytes' | 'tableBytes' | 'writtenBytes'>,
  rowGroupBytes: readonly number[],
  ringBytes: readonly number[],
): MemoryLine[] {
  const lines: MemoryLine[] = [
    { what: 'Node, engines and the plan', where: 'host', count: 1, bytesEach: processBytesBase },
    {
      what: 'thread: heap, decoder, row group being written',
      where: 'host',
      count: threads,
      bytesEach: threadBytesBase,
    },
    {
      what: 'slots: input and output tensors',
      where: slot.where,
      count: threads * slot.count,
      bytesEach: slot.bytes,
    },
    {
      what: 'kernels: columns that were read, constants',
      where: 'host',
      count: threads,
      bytesEach: slot.kernelBytes,
    },
    {
      what: "the threads' largest row groups, compressed, of the columns read",
      where: 'host',
      count: 1,
      bytesEach: total(rowGroupBytes),
    },
  ];
  if (slot.writtenBytes !== undefined && slot.writtenBytes > 0) {
    const what = 'row groups being written, beyond 122,880 rows each';
    // The writer's thread has one too.
    const count = threads + (ringBytes.length > 0 ? 1 : 0);
    lines.push({ what, where: 'host', count, bytesEach: slot.writtenBytes });
  }
  if (slot.tableBytes > 0) {
    const what = "the model's kernel: tables";
    lines.push({ what, where: 'host', count: tableCopies, bytesEach: slot.tableBytes });
  }
  if (ringBytes.length > 0) {
    lines.push({ what: 'writer thread', where: 'host', count: 1, bytesEach: threadBytesBase });
    const what = 'scores of split shards waiting to be written';
    lines.push({ what, where: 'host', count: 1, bytesEach: total(ringBytes) });
  }
  return lines;
}
