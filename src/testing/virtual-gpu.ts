/** A GPU on a virtual clock: three engines that work side by side, and the thread that feeds them like DeviceLoop. */
import { devicePollMs, deviceStarvedMs } from '../limits.ts';
import {
  isFinished,
  isPartlyFilled,
  startFlow,
  step,
  type FlowAction,
  type FlowEvent,
  type FlowState,
  type Part,
  type Piece,
} from '../transfer/device-flow.ts';
import { Signal, type Program, type VirtualClock } from './virtual-clock.ts';
import type { RowCarrier } from './virtual-rows.ts';
import type { Activity, Timeline } from './virtual-times.ts';

export interface CopyEngine {
  readonly bytesPerSecond: number;
  readonly bytesPerRow: number;
  /** Seconds of each copy before its first byte. */
  readonly latencySeconds: number;
}

export interface VirtualGpuOptions {
  readonly buffers: number;
  /** Rows that a device buffer holds. */
  readonly bufferRows: number;
  readonly batchSize: number;
  readonly copyIn: CopyEngine;
  readonly copyOut: CopyEngine;
  /** Seconds of one run of the model, its launch included. */
  readonly computeSeconds: (rows: number) => number;
  /** Whether a run fits into the device's memory; asked for each part of each attempt. All fit where it is left out. */
  readonly fits?: (rows: number) => boolean;
  /** The batch size from now on, asked when so many batches have been scored; undefined: as before. */
  readonly nextBatchSize?: (batchesScored: number) => number | undefined;
}

/** One batch as it ran. */
export interface VirtualBatch {
  readonly startSeconds: number;
  readonly endSeconds: number;
  readonly rowCount: number;
  /** More than one where memory did not suffice. */
  readonly partRows: readonly number[];
}

export interface VirtualGpuParts {
  readonly options: VirtualGpuOptions;
  readonly index: number;
  readonly clock: VirtualClock;
  readonly timeline: Timeline;
  readonly rows: RowCarrier | undefined;
  /** Threads that hand over slots. */
  readonly producers: number;
  readonly giveBack: (slot: number) => void;
  /** Nothing more comes before a slot goes back. */
  readonly producersAreIdle: () => boolean;
  /** Factor on a piece of work's seconds. */
  readonly jitter: () => number;
}

type Entry = { readonly slot: number; readonly rowCount: number } | 'ended';

export class VirtualGpu {
  readonly batches: VirtualBatch[] = [];
  starvedCount = 0;
  outOfMemoryCount = 0;
  /** Rows that were handed over and have no scores yet. */
  rowsOwed = 0;
  readonly #parts: VirtualGpuParts;
  #state: FlowState;
  readonly #queue: Entry[] = [];
  readonly #handedOver = new Signal();
  #producersLeft: number;
  /** Oldest first, and when all scores of each are in their slots. */
  readonly #inFlight: { readonly buffer: number; readonly rowCount: number; readonly doneSeconds: number }[] = [];
  /** When each engine has done all that it was given. */
  readonly #freeSeconds = { copyIn: 0, compute: 0, copyOut: 0 };
  #noBufferSince: number | undefined;
  #batchesScored = 0;

  constructor(parts: VirtualGpuParts) {
    const { buffers, bufferRows, batchSize } = parts.options;
    this.#parts = parts;
    this.#producersLeft = parts.producers;
    this.#state = startFlow(buffers, bufferRows, batchSize);
  }

  handOver(entry: Entry): void {
    this.#queue.push(entry);
    if (entry !== 'ended') this.rowsOwed += entry.rowCount;
    this.#handedOver.fire();
  }

  /** Wakes the thread: something has changed. */
  look(): void {
    this.#handedOver.fire();
  }

  *run(): Program {
    while (!isFinished(this.#state)) {
      const progress = [this.#receive(), this.#collect()];
      if (!progress.includes(true)) yield* this.#rest();
    }
  }

  #receive(): boolean {
    const some = this.#queue.length > 0;
    for (const entry of this.#queue.splice(0)) {
      if (entry !== 'ended') this.#dispatch({ kind: 'slotFilled', ...entry });
      else if (--this.#producersLeft === 0) this.#dispatch({ kind: 'slotsEnded' });
    }
    return some;
  }

  #collect(): boolean {
    let some = false;
    for (; this.#inFlight.length > 0 && this.#inFlight[0]!.doneSeconds <= this.#now; some = true) {
      const { buffer, rowCount: rowsScored } = this.#inFlight.shift()!;
      this.rowsOwed -= rowsScored;
      if (this.#noBufferSince !== undefined) this.#record('noBuffer', this.#noBufferSince, this.#now, 0);
      this.#noBufferSince = undefined;
      this.#dispatch({ kind: 'scored', buffer });
      const rowCount = this.#parts.options.nextBatchSize?.(++this.#batchesScored);
      if (rowCount !== undefined) this.#dispatch({ kind: 'batchSize', rowCount });
    }
    return some;
  }

  *#rest(): Program {
    const oldest = this.#inFlight[0];
    const signal = this.#handedOver;
    if (oldest !== undefined) {
      const seconds = Math.max(0, oldest.doneSeconds - this.#now);
      const pollSeconds = devicePollMs / 1000;
      if (this.#inFlight.length === this.#parts.options.buffers) yield { seconds };
      // Polls that find nothing done change nothing: only the one that finds it is made.
      else yield { signal, seconds: Math.max(1, Math.ceil(seconds / pollSeconds)) * pollSeconds };
    } else if (!isPartlyFilled(this.#state)) yield { signal };
    else if (this.#parts.producersAreIdle() || !(yield { signal, seconds: deviceStarvedMs / 1000 })) {
      this.starvedCount++;
      this.#dispatch({ kind: 'starved' });
    }
  }

  #dispatch(event: FlowEvent): void {
    const { state, actions } = step(this.#state, event);
    this.#state = state;
    for (const action of actions) this.#carryOut(action);
  }

  #carryOut(action: FlowAction): void {
    switch (action.kind) {
      case 'copyIn': {
        const { buffer, piece } = action;
        const end = this.#copy('copyIn', piece, this.#now);
        this.#tell(end, (rows) => rows.copiedIn(this.#parts.index, buffer, piece));
        return;
      }
      case 'release':
        return this.#parts.giveBack(action.slot);
      case 'score':
        return this.#score(action);
    }
  }

  #score({ buffer, parts, pieces }: Extract<FlowAction, { kind: 'score' }>): void {
    const { fits = () => true } = this.#parts.options;
    if (!parts.every((part) => fits(part.rowCount))) {
      const rows = Math.max(...parts.map((part) => part.rowCount));
      if (rows === 1) throw new Error('Expected a batch of one row to fit into the virtual memory.');
      this.outOfMemoryCount++;
      return this.#dispatch({ kind: 'outOfMemory', buffer, partRowsMax: Math.ceil(rows / 2) });
    }
    if (this.#freeSeconds.copyIn > this.#now) this.#record('lastCopy', this.#now, this.#freeSeconds.copyIn, 0);
    const computed = this.#compute(buffer, parts);
    let doneSeconds = computed;
    for (const piece of pieces) {
      doneSeconds = this.#copy('copyOut', piece, computed);
      this.#tell(doneSeconds, (rows) => rows.copiedOut(this.#parts.index, buffer, piece));
    }
    const rowCount = pieces.reduce((sum, piece) => sum + piece.rowCount, 0);
    this.#inFlight.push({ buffer, rowCount, doneSeconds });
    if (this.#inFlight.length === this.#parts.options.buffers) this.#noBufferSince = this.#now;
  }

  /** @returns when all parts have run */
  #compute(buffer: number, parts: readonly Part[]): number {
    const free = this.#freeSeconds;
    const startSeconds = Math.max(this.#now, free.compute, free.copyIn);
    free.compute = startSeconds;
    for (const part of parts) {
      const start = free.compute;
      free.compute += this.#parts.options.computeSeconds(part.rowCount) * this.#parts.jitter();
      this.#record('compute', start, free.compute, part.rowCount);
      this.#tell(free.compute, (rows) => rows.ran(this.#parts.index, buffer, part));
    }
    const partRows = parts.map((part) => part.rowCount);
    const rowCount = partRows.reduce((sum, rows) => sum + rows, 0);
    this.batches.push({ startSeconds, endSeconds: free.compute, rowCount, partRows });
    return free.compute;
  }

  /** @returns when the rows are there; copies of one direction follow each other */
  #copy(direction: 'copyIn' | 'copyOut', { rowCount }: Piece, earliest: number): number {
    const { bytesPerSecond, bytesPerRow, latencySeconds } = this.#parts.options[direction];
    const start = Math.max(earliest, this.#freeSeconds[direction]);
    const seconds = latencySeconds + (rowCount * bytesPerRow) / bytesPerSecond;
    const end = start + seconds * this.#parts.jitter();
    this.#freeSeconds[direction] = end;
    this.#record(direction, start, end, rowCount);
    return end;
  }

  get #now(): number {
    return this.#parts.clock.nowSeconds;
  }

  #record(what: Activity['what'], startSeconds: number, endSeconds: number, rowCount: number): void {
    this.#parts.timeline.push({ unit: 'gpu', index: this.#parts.index, what, startSeconds, endSeconds, rowCount });
  }

  #tell(seconds: number, news: (rows: RowCarrier) => void): void {
    const { rows, clock } = this.#parts;
    if (rows !== undefined) clock.at(seconds, () => news(rows));
  }
}
