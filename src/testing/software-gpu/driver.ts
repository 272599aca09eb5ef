/**
 * A GPU made of threads, for tests: each stream is a thread of its own that copies and runs ONNX Runtime's CPU provider in
 * order, so streams really overlap and really race. Memory is limited, faults come on command, and an operation that no
 * event orders after the one it depends on is an error at once (`happens-before.ts`).
 */
import { Worker } from 'node:worker_threads';
import {
  GpuError,
  kindOfRunFailure,
  type DevicePrecision,
  type DeviceRange,
  type DeviceRun,
  type GpuDriver,
  type UsableDevices,
} from '../../engines/cuda/driver.ts';
import { addressOf, openLibrary, type Pointer } from '../../engines/native.ts';
import { nodesByProvider, recordAssignment, type AssignedNode } from '../../engines/onnxruntime/assignment.ts';
import type { ReportedShare } from '../../engines/nvml/reported-share.ts';
import { create, loadOnnxRuntime, OnnxRuntimeError } from '../../engines/onnxruntime/bindings.ts';
import {
  commandsMax,
  commandWords,
  done,
  eventsMax,
  failureBytes,
  operation,
  queued,
  type StreamMemory,
} from './commands.ts';
import { HappensBefore, type MemoryRange } from './happens-before.ts';
import type { SoftwareGpuOptions } from './options.ts';
import { reportShare } from './reported-share.ts';

export type { SoftwareGpuOptions } from './options.ts';

/** What crosses to the thread that drives it. */
interface OpenOptions extends SoftwareGpuOptions {
  readonly precision: DevicePrecision;
}

const poison = 0xa5;

interface Libc {
  malloc(bytes: number): Pointer;
  memset(memory: Pointer, value: number, bytes: number): void;
  free(memory: Pointer): void;
}
let libcFunctions: Libc | undefined;

function libc(): Libc {
  if (libcFunctions === undefined) {
    const library = openLibrary('libc.so.6', 'the C library');
    libcFunctions = {
      malloc: library.func('void *malloc(size_t bytes)'),
      memset: library.func('void *memset(void *memory, int value, size_t bytes)'),
      free: library.func('void free(void *memory)'),
    };
  }
  return libcFunctions;
}

class SoftwareStream {
  readonly index: number;
  readonly memory: StreamMemory;
  readonly #worker: Worker;

  constructor(
    index: number,
    shared: Pick<StreamMemory, 'events' | 'eventTimes' | 'failure' | 'failureText'>,
    bytesPerSecond: number,
  ) {
    this.index = index;
    this.memory = {
      ...shared,
      commands: new BigInt64Array(new SharedArrayBuffer(commandsMax * commandWords * 8)),
      counters: new Int32Array(new SharedArrayBuffer(8)),
      copyBytesPerSecond: bytesPerSecond,
    };
    this.#worker = new Worker(new URL('./stream.js', import.meta.url), { workerData: this.memory, execArgv: [] });
    this.#worker.unref();
  }

  queue(...words: readonly bigint[]): void {
    const { commands, counters } = this.memory;
    const next = Atomics.load(counters, queued);
    while (next - Atomics.load(counters, done) >= commandsMax) Atomics.wait(counters, done, next - commandsMax);
    commands.set(words, (next % commandsMax) * commandWords);
    Atomics.store(counters, queued, next + 1);
    Atomics.notify(counters, queued);
  }

  /** Waits for what is queued and for the thread, which must not be torn down while it is starting. */
  end(): void {
    this.queue(operation.end);
    this.settle();
  }

  settle(): void {
    const { counters } = this.memory;
    for (let ran = Atomics.load(counters, done); ran !== Atomics.load(counters, queued);) {
      Atomics.wait(counters, done, ran);
      ran = Atomics.load(counters, done);
    }
  }
}

export class SoftwareGpu implements GpuDriver {
  readonly name = 'software GPU';
  readonly memoryInfo: Pointer;
  readonly arenaName = 'cpu:0';
  readonly reportedShare: ReportedShare;
  readonly #options: SoftwareGpuOptions & { readonly precision?: DevicePrecision };
  readonly #order = new HappensBefore();
  readonly #streams: SoftwareStream[] = [];
  readonly #shared = {
    events: new Int32Array(new SharedArrayBuffer(eventsMax * 4)),
    eventTimes: new Float64Array(new SharedArrayBuffer(eventsMax * 8)),
    failure: new Int32Array(new SharedArrayBuffer(4)),
    failureText: new Uint8Array(new SharedArrayBuffer(failureBytes)),
  };
  /** Versions recorded so far, by event. */
  readonly #recorded: number[] = [];
  readonly #allocated = new Map<Pointer, number>();
  #arenaBytes = 0;
  #arenaBytesMax = Infinity;
  #runs = 0;
  #allocations = 0;
  #sessions = 0;
  #lost = false;

  constructor(options: SoftwareGpuOptions & { readonly precision?: DevicePrecision }) {
    this.#options = options;
    this.reportedShare = reportShare(options.reportedShare);
    this.memoryInfo = create((out) => loadOnnxRuntime().CreateCpuMemoryInfo(0, 0, out));
  }

  memory(): { freeBytes: number; totalBytes: number } {
    return { freeBytes: this.#options.memoryBytes - this.#usedBytes(), totalBytes: this.#options.memoryBytes };
  }

  arenaBytes(): number {
    return this.#arenaBytes;
  }

  heldBytes(): number | undefined {
    return this.#options.hidesMemory === true ? undefined : this.#usedBytes();
  }

  #usedBytes(): number {
    const { contextBytes = 0, workspaceBytes = 0 } = this.#options;
    const libraries = contextBytes + (this.#runs > 0 ? workspaceBytes : 0);
    return [...this.#allocated.values()].reduce((sum, bytes) => sum + bytes, this.#arenaBytes + libraries);
  }

  allocate(bytes: number): Pointer {
    this.#expectAlive();
    const fails = this.#options.failedAllocations?.includes(this.#allocations++) === true;
    if (fails || bytes > this.memory().freeBytes) throw new GpuError(2, `cudaMalloc of ${bytes} bytes: out of memory`);
    const memory = libc().malloc(bytes);
    libc().memset(memory, poison, bytes);
    this.#allocated.set(memory, bytes);
    return memory;
  }

  free(memory: Pointer): void {
    const bytes = this.#allocated.get(memory);
    if (bytes === undefined) throw new Error('Expected memory that was allocated and not freed yet.');
    this.#allocated.delete(memory);
    this.#order.forget({ start: memory, end: memory + BigInt(bytes) });
    libc().free(memory);
  }

  pin(): boolean {
    return this.#options.pinFails !== true;
  }

  unpin(): void {}

  createStream(): Pointer {
    const index = this.#order.addStream();
    this.#streams[index] = new SoftwareStream(index, this.#shared, this.#options.copyBytesPerSecond ?? 0);
    return BigInt(index);
  }

  createEvent(): Pointer {
    this.#recorded.push(0);
    return BigInt(this.#recorded.length - 1);
  }

  copyIn(target: Pointer, source: Uint8Array, stream: Pointer): void {
    this.#expectAlive();
    const range = this.#deviceRange(target, source.byteLength);
    this.#order.operation(Number(stream), [], [range]);
    this.#stream(stream).queue(operation.copy, target, addressOf(source), BigInt(source.byteLength));
  }

  copyOut(target: Uint8Array, source: Pointer, stream: Pointer): void {
    this.#expectAlive();
    const range = this.#deviceRange(source, target.byteLength);
    const address = addressOf(target);
    this.#order.operation(Number(stream), [range], [{ start: address, end: address + BigInt(target.byteLength) }]);
    // Whoever reads it too early reads this.
    target.fill(poison);
    this.#stream(stream).queue(operation.copy, address, source, BigInt(target.byteLength));
  }

  copyWithin(target: Pointer, source: Pointer, bytes: number, stream: Pointer): void {
    this.#expectAlive();
    this.#order.operation(Number(stream), [], [this.#deviceRange(target, bytes)]);
    this.#stream(stream).queue(operation.copy, target, source, BigInt(bytes));
  }

  run(run: DeviceRun, stream: Pointer): void {
    this.#expectAlive();
    const runIndex = this.#runs++;
    if (runIndex === this.#options.lostAtRun) {
      this.#lost = true;
      this.#expectAlive();
    }
    this.#takeArena(run, runIndex);
    const ranges = (list: readonly DeviceRange[]): MemoryRange[] =>
      list.map(({ memory, bytes }) => this.#deviceRange(memory, bytes));
    this.#order.operation(Number(stream), ranges(run.reads), ranges(run.writes));
    const rounds = this.#options.precision === 'tf32';
    const { runMicroseconds = 0, rowMicroseconds = 0 } = (rounds ? this.#options.tf32 : undefined) ?? this.#options;
    const pause = Math.round(runMicroseconds + rowMicroseconds * run.rowCount);
    if (pause > 0) this.#stream(stream).queue(operation.pause, BigInt(pause));
    this.#stream(stream).queue(operation.run, run.session, run.runOptions, run.binding);
    // Only then does the CPU's provider have them.
    if (run.allocates) this.#stream(stream).settle();
    // Outputs, where a GPU rounds factors: as much of a score is lost.
    const outputs = rounds ? run.writes : [];
    for (const { memory, bytes } of outputs) this.#stream(stream).queue(operation.round, memory, BigInt(bytes));
  }

  record(event: Pointer, stream: Pointer): void {
    const version = ++this.#recorded[Number(event)]!;
    this.#order.record(Number(event), Number(stream));
    this.#stream(stream).queue(operation.record, event, BigInt(version));
  }

  waitFor(event: Pointer, stream: Pointer): void {
    this.#order.waitFor(Number(event), Number(stream));
    this.#stream(stream).queue(operation.wait, event, BigInt(this.#recorded[Number(event)]!));
  }

  isDone(event: Pointer): boolean {
    this.#expectAlive();
    const index = Number(event);
    if (Atomics.load(this.#shared.events, index) < this.#recorded[index]!) return false;
    this.#passed(index);
    return true;
  }

  block(event: Pointer): void {
    const index = Number(event);
    const { events } = this.#shared;
    for (let passed = Atomics.load(events, index); passed < this.#recorded[index]!;) {
      Atomics.wait(events, index, passed);
      passed = Atomics.load(events, index);
    }
    this.#passed(index);
  }

  elapsedMs(start: Pointer, end: Pointer): number {
    const { eventTimes } = this.#shared;
    return eventTimes[Number(end)]! - eventTimes[Number(start)]!;
  }

  /** A new session begins with an arena that holds its weights. */
  configureSession(sessionOptions: Pointer, _stream: Pointer, arenaBytesMax = Infinity): void {
    recordAssignment(sessionOptions);
    const text = this.#options.sessionErrors?.[this.#sessions++] ?? null;
    if (text !== null) throw new OnnxRuntimeError(text);
    this.#arenaBytes = 0;
    this.#arenaBytesMax = arenaBytesMax;
    this.#extendArena(this.#options.sessionBytes ?? 0);
  }

  cpuNodes(session: Pointer): readonly AssignedNode[] {
    const { cpuOperators = [] } = this.#options;
    return [...nodesByProvider(session).values()].flat().filter(({ operator }) => cpuOperators.includes(operator));
  }

  settle(): void {
    for (const stream of this.#streams.filter((each) => each !== undefined)) stream.settle();
  }

  close(): void {
    for (const stream of this.#streams.filter((each) => each !== undefined)) stream.end();
  }

  #passed(event: number): void {
    this.#order.passed(event);
    this.#expectAlive();
  }

  /** Throws what failed on a stream, once and for ever. */
  #expectAlive(): void {
    if (this.#lost) throw new GpuError(700, 'cudaEventQuery: an illegal memory access was encountered');
    const length = Atomics.load(this.#shared.failure, 0);
    if (length === 0) return;
    throw new GpuError(0, Buffer.from(this.#shared.failureText.slice(0, length)).toString(), 'other');
  }

  #takeArena({ rowCount, shrinksArena }: DeviceRun, runIndex: number): void {
    const { runBytesPerRow = 0, sessionBytes = 0, outOfMemoryRuns } = this.#options;
    const own = sessionBytes + rowCount * runBytesPerRow;
    if (outOfMemoryRuns?.includes(runIndex) === true) throw this.#outOfMemory(own);
    this.#extendArena(own);
    if (shrinksArena) this.#arenaBytes = own;
  }

  /** As the CUDA driver tells it apart: by the text. */
  #outOfMemory(bytes: number): GpuError {
    const { outOfMemoryAs = 'arena' } = this.#options;
    if (outOfMemoryAs === 'arena') return arenaError(`for requested buffer of size ${bytes}`);
    const texts = {
      cudnn: 'CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED ; GPU=0 ; expr=cudnnCreate(&handle);',
      cuda: 'CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc((void**)&p, size);',
    };
    return new GpuError(0, texts[outOfMemoryAs], kindOfRunFailure(texts[outOfMemoryAs]));
  }

  #extendArena(bytes: number): void {
    const more = bytes - this.#arenaBytes;
    if (more <= 0) return;
    const left = this.#arenaBytesMax - this.#arenaBytes;
    if (more > left) throw arenaError(`Available memory of ${left} is smaller than requested bytes of ${more}`);
    if (more > this.memory().freeBytes) throw arenaError(`for requested buffer of size ${more}`);
    this.#arenaBytes = bytes;
  }

  #deviceRange(memory: Pointer, bytes: number): MemoryRange {
    const range = { start: memory, end: memory + BigInt(bytes) };
    for (const [start, size] of this.#allocated) {
      if (range.start >= start && range.end <= start + BigInt(size)) return range;
    }
    throw new Error(`Expected ${bytes} bytes at ${memory} to be the device's memory.`);
  }

  #stream(stream: Pointer): SoftwareStream {
    return this.#streams[Number(stream)]!;
  }
}

/** In ONNX Runtime's words. */
function arenaError(what: string): GpuError {
  return new GpuError(1, `BFCArena::AllocateRawInternal Failed to allocate memory ${what}`, 'outOfMemory');
}

/** The devices of this module, as JSON in the environment: an array of {@link SoftwareGpuOptions}. */
export const softwareGpusVariable = 'TANDEM_SOFTWARE_GPUS';

export function listDevices(_ortDir: string | undefined, precision: DevicePrecision): UsableDevices {
  const gpus = JSON.parse(process.env[softwareGpusVariable] ?? '[]') as SoftwareGpuOptions[];
  const devices = gpus.map((options, index) => ({
    name: `software:${index}`,
    label: 'software GPU',
    uuid: options.uuid,
    freeBytes: options.memoryBytes,
    totalBytes: options.memoryBytes,
    options: { ...options, precision } satisfies OpenOptions,
  }));
  return { devices, onnxRuntimePath: undefined };
}

export function openDriver(options: unknown): GpuDriver {
  return new SoftwareGpu(options as SoftwareGpuOptions);
}
