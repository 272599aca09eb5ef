/**
 * A thread's time by activity, in shared memory: the thread writes, the main thread reads at any moment. At every moment a
 * thread does one thing, so the parts add up to its whole time.
 */
import type { SpanAddress } from '../batch.ts';
import { sheetReadsMax, threadBytesIntervalMs, threadUsageIntervalMs, traceEventsPerThread } from '../limits.ts';
import {
  activities,
  activityKinds,
  byActivity,
  tracedActivities,
  type Activity,
  type ByActivity,
  type TracedActivity,
} from './activities.ts';
import { threadsNowMs } from './clock.ts';
import { ThreadUsageReader, type ThreadBytes, type ThreadUsage } from './thread-usage.ts';

/** Float64 of a sheet: where it stands, what it counted, then milliseconds by activity. */
const at = { begunMs: 0, sinceMs: 1, activity: 2, rows: 3, shapes: 4, fetched: 5, fromStorage: 6, tells: 7, parts: 8 };

const indexOf = byActivity((_, index) => index);

const tracedIndexOf = Object.fromEntries(tracedActivities.map((activity, index) => [activity, index])) as Record<
  TracedActivity,
  number
>;

/** Float64 of an event: see {@link TraceEvent}. */
const eventLength = 7;

/** Where a thread leaves events for a trace: their count so far, then the latest ones in turn; undefined: none are kept. */
export type EventMemory = Float64Array | undefined;

/** Memory of one thread's sheet; crosses to the thread. */
export interface TimeSheetMemory {
  readonly values: Float64Array;
  readonly events: EventMemory;
}

function shared(length: number): Float64Array {
  return new Float64Array(new SharedArrayBuffer(length * Float64Array.BYTES_PER_ELEMENT));
}

export function createEvents(keepsEvents: boolean): EventMemory {
  return keepsEvents ? shared(1 + traceEventsPerThread * eventLength) : undefined;
}

/** @param startMs of the run, on the clock of all threads: until the thread is there it counts as warming up */
export function createTimeSheet(startMs: number, keepsEvents: boolean): TimeSheetMemory {
  const values = shared(at.parts + activities.length);
  values[at.begunMs] = startMs;
  values[at.sinceMs] = startMs;
  values[at.activity] = indexOf.warmUp;
  return { values, events: createEvents(keepsEvents) };
}

/** A stretch of time on a thread, or on a stream of its device. */
export interface TraceEvent {
  /** 0: the thread. Of a GPU's thread also 1: copies in, 2: model runs, 3: copies out. */
  readonly track: number;
  readonly activity: TracedActivity;
  readonly startMs: number;
  readonly endMs: number;
  /** Of the rows that it was about; -1: none. */
  readonly shardIndex: number;
  readonly firstRow: number;
  readonly rowCount: number;
}

/** What a thread tells of its time. */
export type Timekeeper = Pick<TimeSheet, 'enter' | 'during' | 'about' | 'countRows' | 'countShape'>;

/** Keeps events where an {@link EventReader} takes them; for one thread only. */
export class EventWriter {
  readonly #events: EventMemory;

  constructor(events: EventMemory) {
    this.#events = events;
  }

  note(event: TraceEvent): void {
    const events = this.#events;
    if (events === undefined) return;
    const place = 1 + (events[0]! % traceEventsPerThread) * eventLength;
    const { track, activity, startMs, endMs, shardIndex, firstRow, rowCount } = event;
    // One by one: setting them from a list takes microseconds.
    events[place] = track;
    events[place + 1] = tracedIndexOf[activity];
    events[place + 2] = startMs;
    events[place + 3] = endMs;
    events[place + 4] = shardIndex;
    events[place + 5] = firstRow;
    events[place + 6] = rowCount;
    events[0]! += 1;
  }
}

/** The side of the thread that it is about. */
export class TimeSheet {
  readonly #values: Float64Array;
  readonly #events: EventWriter | undefined;
  readonly #usage: ThreadUsageReader | undefined;
  #activity = indexOf.warmUp;
  #known: ThreadUsage | undefined;
  #knownMs = 0;
  /** Of activities in which the thread may have slept, since it last looked. */
  readonly #unsettledMs = { decode: 0, write: 0 };
  readonly #bytesBefore: ThreadBytes | undefined;
  #bytesMs = 0;
  #rows: SpanAddress = noRows;
  /** Events that wait until it is known how much of them was sleep; each is written into an object of an earlier one. */
  readonly #held: { -readonly [Field in keyof TraceEvent]: TraceEvent[Field] }[] = [];
  #heldCount = 0;

  constructor({ values, events }: TimeSheetMemory) {
    this.#values = values;
    this.#events = events === undefined ? undefined : new EventWriter(events);
    this.#usage = ThreadUsageReader.open();
    // A thread may have done something else before.
    this.#bytesBefore = this.#usage?.bytes();
    values[at.tells] = this.#usage === undefined ? 0 : 1;
    this.enter('handOver');
  }

  /** Ends what the thread was doing and begins this. @returns what it was doing */
  enter(activity: Activity): Activity {
    const before = activities[this.#activity]!;
    const nowMs = threadsNowMs();
    const values = this.#values;
    const sinceMs = values[at.sinceMs]!;
    this.#add(before, nowMs - sinceMs);
    this.#keep(before, sinceMs, nowMs);
    this.#activity = indexOf[activity];
    values[at.activity] = this.#activity;
    values[at.sinceMs] = nowMs;
    if (before === 'decode' || before === 'write') this.#unsettledMs[before] += nowMs - sinceMs;
    if (activityKinds[before].way === 'sleeps') this.#look(nowMs);
    else if (activityKinds[activity].way === 'sleeps' || nowMs - this.#knownMs >= threadUsageIntervalMs) {
      this.#settle(nowMs);
    }
    if (this.#heldCount > 0 && this.#unsettledMs.decode + this.#unsettledMs.write === 0) this.#release(0);
    return before;
  }

  /** Does this work as that activity, and what it was doing before after that. */
  during<T>(activity: Activity, work: () => T): T {
    const before = this.enter(activity);
    try {
      return work();
    } finally {
      this.enter(before);
    }
  }

  /** What the following is about. */
  about(rows: SpanAddress): void {
    this.#rows = rows;
  }

  countRows(rowCount: number): void {
    this.#values[at.rows]! += rowCount;
  }

  countShape(): void {
    this.#values[at.shapes]! += 1;
  }

  /** The thread has nothing left to do. */
  end(): void {
    this.enter('idle');
    this.#countBytes();
    this.#usage?.close();
  }

  /**
   * Finds out how long the thread has slept since it last looked: neither on a core nor in line for one. What it did
   * meanwhile was computing, or may have waited for storage: then that is where it slept.
   */
  #settle(nowMs: number): void {
    const { decode, write } = this.#unsettledMs;
    if (decode + write === 0) return;
    if (this.#usage === undefined) {
      this.#unsettledMs.decode = 0;
      this.#unsettledMs.write = 0;
      return;
    }
    const [knownMs, known] = [this.#knownMs, this.#known];
    const { onCoreMs, inLineMs } = this.#look(nowMs)!;
    const sleptMs = nowMs - knownMs - (onCoreMs - known!.onCoreMs) - (inLineMs - known!.inLineMs);
    const share = Math.max(0, Math.min(1, sleptMs / (decode + write)));
    this.#add('decode', -share * decode);
    this.#add('storage', share * decode);
    this.#add('write', -share * write);
    this.#add('writeStorage', share * write);
    this.#release(share);
  }

  /** The next sleep is measured from here on. */
  #look(nowMs: number): ThreadUsage | undefined {
    this.#known = this.#usage?.usage();
    this.#knownMs = nowMs;
    this.#unsettledMs.decode = 0;
    this.#unsettledMs.write = 0;
    if (nowMs - this.#bytesMs >= threadBytesIntervalMs) this.#countBytes();
    return this.#known;
  }

  #countBytes(): void {
    this.#bytesMs = threadsNowMs();
    const bytes = this.#usage?.bytes();
    this.#values[at.fetched] = (bytes?.fetched ?? 0) - (this.#bytesBefore?.fetched ?? 0);
    this.#values[at.fromStorage] = (bytes?.fromStorage ?? 0) - (this.#bytesBefore?.fromStorage ?? 0);
  }

  #add(activity: Activity, milliseconds: number): void {
    this.#values[at.parts + indexOf[activity]]! += milliseconds;
  }

  #keep(activity: Activity, startMs: number, endMs: number): void {
    if (this.#events === undefined) return;
    const { shardIndex, firstRow, rowCount } = this.#rows;
    const event = (this.#held[this.#heldCount++] ??= {
      track: 0,
      activity,
      startMs,
      endMs,
      shardIndex,
      firstRow,
      rowCount,
    });
    event.activity = activity;
    event.startMs = startMs;
    event.endMs = endMs;
    event.shardIndex = shardIndex;
    event.firstRow = firstRow;
    event.rowCount = rowCount;
  }

  /**
   * Gives the events away, in their order.
   * @param sleptShare of each of them that may have slept; when it slept within one is not known, and told as its start
   */
  #release(sleptShare: number): void {
    for (let index = 0; index < this.#heldCount; index++) {
      const event = this.#held[index]!;
      const { startMs, endMs, activity } = event;
      const slept = activity === 'decode' ? 'storage' : activity === 'write' ? 'writeStorage' : undefined;
      const wokeMs = slept === undefined ? startMs : startMs + sleptShare * (endMs - startMs);
      if (wokeMs > startMs) this.#events!.note({ ...event, activity: slept!, endMs: wokeMs });
      event.startMs = wokeMs;
      if (endMs > wokeMs) this.#events!.note(event);
    }
    this.#heldCount = 0;
  }
}

const noRows: SpanAddress = { shardIndex: -1, firstRow: 0, rowCount: 0 };

/** A sheet at a moment. */
export interface SheetReading {
  readonly atMs: number;
  /** Milliseconds from the run's start to then; they add up to it. */
  readonly parts: ByActivity;
  readonly activity: Activity;
  readonly rowCount: number;
  /** Different numbers of rows that the model was run at. */
  readonly shapes: number;
  /** Bytes asked of files, and those of them that storage gave; a thread notes them a few times a second. */
  readonly fetchedBytes: number;
  readonly storageBytes: number;
  /** False: the system does not tell sleeping from computing, and waiting for storage counts as what it was for. */
  readonly tellsStorage: boolean;
}

/**
 * A thread that writes meanwhile may be between two of its numbers, and then its time does not add up to what has passed:
 * the next look finds it done. A thread that was taken off its core just there leaves it so for a while: off by one activity.
 */
function wholeSheet(values: Float64Array): Float64Array {
  let sheet = values.slice();
  for (let read = 1; read < sheetReadsMax && !addsUp(sheet); read++) sheet = values.slice();
  return sheet;
}

function addsUp(sheet: Float64Array): boolean {
  const passedMs = sheet[at.sinceMs]! - sheet[at.begunMs]!;
  let sum = 0;
  for (let index = at.parts; index < sheet.length; index++) sum += sheet[index]!;
  return Math.abs(sum - passedMs) <= 1e-7 * passedMs + 1e-3;
}

/** Reads a sheet, at any moment, on any thread. */
export function readTimeSheet({ values }: TimeSheetMemory, atMs: number): SheetReading {
  const sheet = wholeSheet(values);
  const current = sheet[at.activity]!;
  const openMs = Math.max(0, atMs - sheet[at.sinceMs]!);
  return {
    atMs,
    parts: byActivity((_, index) => sheet[at.parts + index]! + (index === current ? openMs : 0)),
    activity: activities[current]!,
    rowCount: sheet[at.rows]!,
    shapes: sheet[at.shapes]!,
    fetchedBytes: sheet[at.fetched]!,
    storageBytes: sheet[at.fromStorage]!,
    tellsStorage: sheet[at.tells] === 1,
  };
}

/** What the thread has been doing since its last event. */
export function openStretch({ values }: TimeSheetMemory, atMs: number): TraceEvent {
  const activity = activities[values[at.activity]!]!;
  return { track: 0, activity, startMs: values[at.sinceMs]!, endMs: atMs, ...noRows };
}

/** Adds a sheet's milliseconds so far, by the position of the activity; for who looks often. */
export function addParts({ values }: TimeSheetMemory, atMs: number, totals: Float64Array): void {
  for (let index = 0; index < activities.length; index++) totals[index]! += values[at.parts + index]!;
  totals[values[at.activity]!]! += Math.max(0, atMs - values[at.sinceMs]!);
}

/** Takes the events that a thread has kept since the last call, oldest first; what was overwritten meanwhile is left out. */
export class EventReader {
  readonly #events: EventMemory;
  #taken = 0;
  /** Events that came faster than they were taken. */
  lost = 0;

  constructor(events: EventMemory) {
    this.#events = events;
  }

  take(): TraceEvent[] {
    const events = this.#events;
    if (events === undefined) return [];
    const count = events[0]!;
    const first = Math.max(this.#taken, count - traceEventsPerThread);
    this.lost += first - this.#taken;
    this.#taken = count;
    const taken: TraceEvent[] = [];
    for (let number = first; number < count; number++) {
      const place = 1 + (number % traceEventsPerThread) * eventLength;
      taken.push({
        track: events[place]!,
        activity: tracedActivities[events[place + 1]!]!,
        startMs: events[place + 2]!,
        endMs: events[place + 3]!,
        shardIndex: events[place + 4]!,
        firstRow: events[place + 5]!,
        rowCount: events[place + 6]!,
      });
    }
    // Places that the thread has written again meanwhile, or is writing now.
    const overwritten = Math.min(taken.length, Math.max(0, events[0]! + 1 - traceEventsPerThread - first));
    this.lost += overwritten;
    return taken.slice(overwritten);
  }
}
