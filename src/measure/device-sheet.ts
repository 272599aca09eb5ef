/**
 * Where a GPU's time goes, in shared memory. The device's own events say when it ran; what it waited for in between follows
 * from what its thread was doing, and where that waited for rows, from what the prep threads were doing meanwhile.
 */
import { ledgerParts, type LedgerPartName } from '../run-record.ts';
import { activities, type Activity, type TracedActivity } from './activities.ts';
import { threadsNowMs } from './clock.ts';
import {
  addParts,
  createEvents,
  EventWriter,
  type EventMemory,
  type TimeSheetMemory,
  type TraceEvent,
} from './time-sheet.ts';

export const partNames = Object.keys(ledgerParts) as LedgerPartName[];
export type ByPart = Readonly<Record<LedgerPartName, number>>;

const at = { begunMs: 0, accountedMs: 1, rows: 2, shapes: 3, busyMs: 4, steadyMs: 5, steadyRows: 6, parts: 7 };

export interface DeviceSheetMemory {
  readonly values: Float64Array;
  readonly events: EventMemory;
}

/** @param startMs of the run, on the clock of all threads */
export function createDeviceSheet(startMs: number, keepsEvents: boolean): DeviceSheetMemory {
  const values = new Float64Array(
    new SharedArrayBuffer((at.parts + partNames.length) * Float64Array.BYTES_PER_ELEMENT),
  );
  values[at.begunMs] = startMs;
  values[at.accountedMs] = startMs;
  return { values, events: createEvents(keepsEvents) };
}

/** What the device's thread does. `awaitRows`: no rows are there. `awaitBuffer`: rows are there, and no buffer is free. */
export type HostState = 'awaitRows' | 'awaitBuffer' | 'driving' | 'newShapes' | 'outOfMemory' | 'warmUp';

/** What a trace calls it. */
const hostActivity: Readonly<Record<HostState, TracedActivity>> = {
  awaitRows: 'waitForRows',
  awaitBuffer: 'waitForScores',
  driving: 'handOver',
  newShapes: 'newShapes',
  outOfMemory: 'outOfMemory',
  warmUp: 'warmUp',
};

/** When a batch was where, on the clock of all threads. */
export interface BatchTimes {
  /** Its last rows had come, and its copies and runs were queued. */
  readonly queuedMs: number;
  readonly copyStartMs: number;
  readonly copiedMs: number;
  readonly startedMs: number;
  readonly computedMs: number;
  readonly deliveredMs: number;
}

/** What the model's run counts as. */
export type RunPart = Extract<LedgerPartName, 'computing' | 'newShapes' | 'search' | 'outOfMemory'>;

/** What prep threads did in a stretch of time, as shares that add up to 1, or to 0 where all waited for the GPUs. */
export type PrepMix = Readonly<Partial<Record<LedgerPartName, number>>>;

interface HostStretch {
  readonly state: HostState;
  readonly startMs: number;
  readonly endMs: number;
  /** Of `awaitRows`. */
  readonly mix: PrepMix;
}

/**
 * Divides the time from the end of the batch before to the start of this one. Pure.
 * @param stretches of the device's thread, ascending; what they leave out counts as driving
 */
export function divideGap(
  fromMs: number,
  batch: Pick<BatchTimes, 'queuedMs' | 'copiedMs' | 'startedMs'>,
  stretches: readonly HostStretch[],
): ByPart {
  const parts = Object.fromEntries(partNames.map((name) => [name, 0])) as Record<LedgerPartName, number>;
  const toMs = batch.startedMs;
  let rest = Math.max(0, toMs - fromMs);
  const add = (name: LedgerPartName, milliseconds: number): void => {
    parts[name] += milliseconds;
    rest -= milliseconds;
  };
  const within = (startMs: number, endMs: number, fromMs: number, toMs: number): number =>
    Math.max(0, Math.min(endMs, toMs) - Math.max(startMs, fromMs));
  for (const { state, startMs, endMs, mix } of stretches) {
    // Once the batch is queued it awaits neither rows nor a buffer, whatever its thread awaits for the next one.
    const whileFilling = within(startMs, endMs, fromMs, Math.min(toMs, batch.queuedMs));
    if (state === 'awaitBuffer') add('copyOut', whileFilling);
    else if (state === 'awaitRows') {
      for (const [name, share] of Object.entries(mix)) add(name as LedgerPartName, whileFilling * share);
    } else if (state !== 'driving') add(state, within(startMs, endMs, fromMs, toMs));
  }
  const copying = within(Math.max(fromMs, batch.queuedMs), batch.copiedMs, fromMs, toMs);
  add('copyIn', Math.max(0, Math.min(rest, copying)));
  add('handOver', Math.max(0, rest));
  return parts;
}

/** Where a batch begins. */
type FirstRow = Pick<TraceEvent, 'shardIndex' | 'firstRow'>;
const noRow: FirstRow = { shardIndex: -1, firstRow: 0 };

/** The side of the device's thread. */
export class DeviceSheet {
  readonly #values: Float64Array;
  readonly #prep: readonly TimeSheetMemory[];
  #state: HostState = 'warmUp';
  #stateSinceMs: number;
  #totalsBefore: Float64Array = new Float64Array(activities.length);
  #stretches: HostStretch[] = [];
  #hasRun = false;
  readonly #events: EventWriter;
  /** By track of the device's streams. */
  readonly #tracedMs = [0, 0, 0, 0];

  /** @param prep the threads whose rows it waits for; none: what they did is not known */
  constructor({ values, events }: DeviceSheetMemory, prep: readonly TimeSheetMemory[]) {
    this.#values = values;
    this.#events = new EventWriter(events);
    this.#prep = prep;
    this.#stateSinceMs = values[at.begunMs]!;
  }

  /** Ends what the thread was doing and begins this. @returns what it was doing */
  enter(state: HostState): HostState {
    const before = this.#state;
    if (state === before) return before;
    const nowMs = threadsNowMs();
    const mix = before === 'awaitRows' ? mixBetween(this.#totalsBefore, prepTotals(this.#prep, nowMs)) : {};
    if (before !== 'driving') this.#stretches.push({ state: before, startMs: this.#stateSinceMs, endMs: nowMs, mix });
    if (state === 'awaitRows') this.#totalsBefore = prepTotals(this.#prep, nowMs);
    this.#traceHost(nowMs);
    this.#state = state;
    this.#stateSinceMs = nowMs;
    return before;
  }

  countShape(): void {
    this.#values[at.shapes]! += 1;
  }

  /**
   * A batch's scores are in its slots; batches come in the order of their runs.
   * @param first of its rows, which may be of several shards
   */
  batchDone(times: BatchTimes, rowCount: number, part: RunPart, first: FirstRow = noRow): void {
    this.#trace(times, part, { ...first, rowCount });
    const values = this.#values;
    const fromMs = values[at.accountedMs]!;
    const startedMs = Math.max(fromMs, Math.min(times.startedMs, threadsNowMs()));
    // By a device's clock that is fast it may end in the future.
    const computedMs = Math.max(startedMs, Math.min(times.computedMs, threadsNowMs()));
    if (this.#hasRun) {
      const parts = divideGap(fromMs, { ...times, startedMs }, this.#stretches);
      partNames.forEach((name) => this.#add(name, parts[name]));
      values[at.steadyMs]! += computedMs - fromMs;
      values[at.busyMs]! += computedMs - startedMs;
      values[at.steadyRows]! += rowCount;
    } else this.#add('warmUp', startedMs - fromMs);
    this.#hasRun = true;
    this.#add(part, computedMs - startedMs);
    values[at.accountedMs] = computedMs;
    values[at.rows]! += rowCount;
    this.#stretches = this.#stretches.filter(({ endMs }) => endMs > computedMs);
  }

  /** No batch comes any more; `deliveredMs`: the last one's scores had arrived. */
  end(deliveredMs: number): void {
    this.#traceHost(threadsNowMs());
    if (!this.#hasRun) return;
    const fromMs = this.#values[at.accountedMs]!;
    const toMs = Math.max(fromMs, Math.min(deliveredMs, threadsNowMs()));
    this.#add('copyOut', toMs - fromMs);
    this.#values[at.accountedMs] = toMs;
  }

  #traceHost(endMs: number): void {
    this.#events.note({
      track: 0,
      activity: hostActivity[this.#state],
      startMs: this.#stateSinceMs,
      endMs,
      ...noRow,
      rowCount: 0,
    });
  }

  #trace(times: BatchTimes, part: RunPart, rows: Pick<TraceEvent, 'shardIndex' | 'firstRow' | 'rowCount'>): void {
    const { copyStartMs, copiedMs, startedMs, computedMs, deliveredMs } = times;
    const stretches = [
      ['copyIn', copyStartMs, copiedMs],
      [part === 'computing' ? 'compute' : part, startedMs, computedMs],
      ['copyOut', computedMs, deliveredMs],
    ] as const;
    stretches.forEach(([activity, fromMs, toMs], index) => {
      const track = index + 1;
      // A stream does one thing at a time; its events are told to some microseconds.
      const startMs = Math.max(fromMs, this.#tracedMs[track]!);
      const endMs = Math.max(startMs, toMs);
      this.#tracedMs[track] = endMs;
      this.#events.note({ track, activity, startMs, endMs, ...rows });
    });
  }

  #add(name: LedgerPartName, milliseconds: number): void {
    this.#values[at.parts + partNames.indexOf(name)]! += milliseconds;
  }
}

/** A device's sheet at a moment. */
export interface DeviceReading {
  /** Milliseconds from the run's start to then; they add up to it. */
  readonly parts: ByPart;
  readonly rowCount: number;
  readonly shapeCount: number;
  /** From the end of the first batch to that of the last one, and how much of it the model ran. */
  readonly steadyMs: number;
  readonly busyMs: number;
  /** Rows of that time. */
  readonly steadyRows: number;
}

/** What no batch has accounted for yet counts as the tail, or before the first batch as warming up. */
export function readDeviceSheet({ values }: DeviceSheetMemory, atMs: number): DeviceReading {
  const sheet = values.slice();
  const openMs = Math.max(0, atMs - sheet[at.accountedMs]!);
  const open: LedgerPartName = sheet[at.rows] === 0 ? 'warmUp' : 'idleTail';
  return {
    parts: Object.fromEntries(
      partNames.map((name, index) => [name, sheet[at.parts + index]! + (name === open ? openMs : 0)]),
    ) as ByPart,
    rowCount: sheet[at.rows]!,
    shapeCount: sheet[at.shapes]!,
    steadyMs: sheet[at.steadyMs]!,
    busyMs: sheet[at.busyMs]!,
    steadyRows: sheet[at.steadyRows]!,
  };
}

/** What a GPU that waits for a thread waits for while the thread does this; undefined: the thread waits itself. */
const awaited: Readonly<Record<Activity, LedgerPartName | undefined>> = {
  warmUp: 'warmUp',
  storage: 'storage',
  decode: 'decode',
  featurize: 'featurize',
  // Of a model in two parts: what the thread computes are inputs of the GPU's part.
  compute: 'featurize',
  newShapes: 'handOver',
  search: 'handOver',
  write: 'writer',
  writeStorage: 'storage',
  waitForScores: undefined,
  waitForRows: undefined,
  waitForRoom: 'writer',
  handOver: 'handOver',
  idle: undefined,
};

/** Milliseconds of all prep threads so far, by activity. */
function prepTotals(prep: readonly TimeSheetMemory[], nowMs: number): Float64Array {
  const totals = new Float64Array(activities.length);
  for (const sheet of prep) addParts(sheet, nowMs, totals);
  return totals;
}

function mixBetween(from: Float64Array, to: Float64Array): PrepMix {
  const mix: Partial<Record<LedgerPartName, number>> = {};
  let sum = 0;
  activities.forEach((activity, index) => {
    const part = awaited[activity];
    if (part === undefined) return;
    const milliseconds = Math.max(0, to[index]! - from[index]!);
    mix[part] = (mix[part] ?? 0) + milliseconds;
    sum += milliseconds;
  });
  if (sum === 0) return {};
  return Object.fromEntries(Object.entries(mix).map(([name, milliseconds]) => [name, milliseconds / sum]));
}
