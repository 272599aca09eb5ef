/**
 * The driver that it is given, with an event before and after every copy and every run: when each began and ended, by the
 * device's clock. The product above it does not know. Costs two events for each, a few microseconds.
 */
import { GpuError, type DeviceRun, type GpuDriver } from '../../src/engines/cuda/driver.ts';
import type { Pointer } from '../../src/engines/native.ts';
import type { ReportedShare } from '../../src/engines/nvml/reported-share.ts';
import type { AssignedNode } from '../../src/engines/onnxruntime/assignment.ts';
import type { Interval } from './intervals.ts';

export type Work = 'copyIn' | 'run' | 'copyOut';

export interface TimedWork extends Interval {
  readonly work: Work;
  /** Bytes of a copy, rows of a run. */
  readonly amount: number;
}

interface Pending {
  readonly work: Work;
  readonly amount: number;
  readonly start: Pointer;
  readonly end: Pointer;
}

export class TimedDriver implements GpuDriver {
  readonly name: string;
  readonly arenaName: string;
  readonly memoryInfo: Pointer;
  readonly reportedShare: ReportedShare;
  readonly #inner: GpuDriver;
  /** By stream, in order: they pass in this order. */
  readonly #pending = new Map<Pointer, Pending[]>();
  readonly #spare: Pointer[] = [];
  #base: Pointer | undefined;
  #done: TimedWork[] = [];
  #freeBytesMin = Infinity;
  #outOfMemoryCount = 0;
  /** False: it passes everything on and looks at nothing. */
  isTiming = true;

  constructor(inner: GpuDriver) {
    this.#inner = inner;
    this.name = inner.name;
    this.arenaName = inner.arenaName;
    this.memoryInfo = inner.memoryInfo;
    this.reportedShare = inner.reportedShare;
  }

  /** The least that was free whenever somebody asked. */
  get freeBytesMin(): number {
    return this.#freeBytesMin;
  }

  /** Runs and allocations that did not fit. */
  get outOfMemoryCount(): number {
    return this.#outOfMemoryCount;
  }

  /** What has passed since the last call, each stream in order; zero is the first work of all. */
  takeTimes(): TimedWork[] {
    this.#harvest();
    const done = this.#done;
    this.#done = [];
    return done;
  }

  memory(): { readonly freeBytes: number; readonly totalBytes: number } {
    const memory = this.#inner.memory();
    this.#freeBytesMin = Math.min(this.#freeBytesMin, memory.freeBytes);
    return memory;
  }

  allocate(bytes: number): Pointer {
    return this.#counting(() => this.#inner.allocate(bytes));
  }

  free(memory: Pointer): void {
    this.#inner.free(memory);
  }

  pin(host: Uint8Array): boolean {
    return this.#inner.pin(host);
  }

  unpin(host: Uint8Array): void {
    this.#inner.unpin(host);
  }

  createStream(): Pointer {
    return this.#inner.createStream();
  }

  createEvent(): Pointer {
    return this.#inner.createEvent();
  }

  copyIn(target: Pointer, source: Uint8Array, stream: Pointer): void {
    this.#timed('copyIn', source.byteLength, stream, () => this.#inner.copyIn(target, source, stream));
  }

  copyOut(target: Uint8Array, source: Pointer, stream: Pointer): void {
    this.#timed('copyOut', target.byteLength, stream, () => this.#inner.copyOut(target, source, stream));
  }

  copyWithin(target: Pointer, source: Pointer, bytes: number, stream: Pointer): void {
    this.#inner.copyWithin(target, source, bytes, stream);
  }

  run(run: DeviceRun, stream: Pointer): void {
    this.#timed('run', run.rowCount, stream, () => this.#counting(() => this.#inner.run(run, stream)));
  }

  record(event: Pointer, stream: Pointer): void {
    this.#inner.record(event, stream);
  }

  waitFor(event: Pointer, stream: Pointer): void {
    this.#inner.waitFor(event, stream);
  }

  isDone(event: Pointer): boolean {
    const isDone = this.#inner.isDone(event);
    if (isDone) this.#harvest();
    return isDone;
  }

  block(event: Pointer): void {
    this.#inner.block(event);
    this.#harvest();
  }

  elapsedMs(start: Pointer, end: Pointer): number {
    return this.#inner.elapsedMs(start, end);
  }

  configureSession(sessionOptions: Pointer, stream: Pointer, arenaBytesMax?: number): void {
    this.#inner.configureSession(sessionOptions, stream, arenaBytesMax);
  }

  arenaBytes(session: Pointer): number | undefined {
    return this.#inner.arenaBytes(session);
  }

  heldBytes(): number | undefined {
    return this.#inner.heldBytes();
  }

  cpuNodes(session: Pointer): readonly AssignedNode[] {
    return this.#inner.cpuNodes(session);
  }

  settle(): void {
    this.#inner.settle();
  }

  close(): void {
    this.#inner.close();
  }

  /** Work that failed has an end too, and no time that means anything. */
  #timed(work: Work, amount: number, stream: Pointer, queue: () => void): void {
    if (!this.isTiming) return queue();
    const start = this.#mark(stream);
    this.#base ??= start;
    try {
      queue();
    } catch (error) {
      if (start !== this.#base) this.#spare.push(start);
      throw error;
    }
    const pending = this.#pending.get(stream) ?? [];
    pending.push({ work, amount, start, end: this.#mark(stream) });
    this.#pending.set(stream, pending);
  }

  #mark(stream: Pointer): Pointer {
    const event = this.#spare.pop() ?? this.#inner.createEvent();
    this.#inner.record(event, stream);
    return event;
  }

  #harvest(): void {
    const base = this.#base;
    if (base === undefined) return;
    for (const pending of this.#pending.values()) {
      while (pending.length > 0 && this.#inner.isDone(pending[0]!.end)) {
        const { work, amount, start, end } = pending.shift()!;
        const startMs = start === base ? 0 : this.#inner.elapsedMs(base, start);
        this.#done.push({ work, amount, startMs, endMs: this.#inner.elapsedMs(base, end) });
        this.#spare.push(...(start === base ? [end] : [start, end]));
      }
    }
  }

  #counting<Result>(work: () => Result): Result {
    try {
      return work();
    } catch (error) {
      if (error instanceof GpuError && error.kind === 'outOfMemory') this.#outOfMemoryCount++;
      throw error;
    }
  }
}
