/** Step 2: rates of copies by what kind of host memory they touch, and what page-locking costs. */
import { Worker } from 'node:worker_threads';
import { availableParallelism } from 'node:os';
import type { GpuDriver } from '../../src/engines/cuda/driver.ts';
import type { Pointer } from '../../src/engines/native.ts';
import { createSharedMemory } from '../../src/engines/wasm.ts';
import { deviceSlotBytes } from '../../src/limits.ts';
import { changedOptions } from './timed-devices.ts';
import { findDevice } from './rig.ts';
import type { StepContext } from './step.ts';

const mib = 2 ** 20;

type Way = 'in' | 'out' | 'both';

interface Bench {
  readonly driver: GpuDriver;
  readonly streams: readonly [Pointer, Pointer];
  readonly events: readonly [Pointer, Pointer];
  /** Twice the largest size: one half for each way. */
  readonly memory: Pointer;
  readonly bytesMax: number;
}

/** Gigabytes per second: the best of three, the first of which warms up. Both ways at once count both. */
function rate(bench: Bench, host: Uint8Array, way: Way, pieceBytes: number): number {
  let best = 0;
  for (let round = 0; round < 3; round++) best = Math.max(best, copyAll(bench, host, way, pieceBytes));
  return best;
}

function copyAll(
  { driver, streams, events, memory, bytesMax }: Bench,
  host: Uint8Array,
  way: Way,
  pieceBytes: number,
): number {
  const [inStream, outStream] = streams;
  const half = way === 'both' ? host.byteLength / 2 : 0;
  const length = host.byteLength - half;
  const started = performance.now();
  for (let at = 0; at < length; at += pieceBytes) {
    const bytes = Math.min(pieceBytes, length - at);
    if (way !== 'out') driver.copyIn(memory + BigInt(at), host.subarray(at, at + bytes), inStream);
    if (way !== 'in') {
      const target = host.subarray(half + at, half + at + bytes);
      driver.copyOut(target, memory + BigInt(bytesMax + at), outStream);
    }
  }
  driver.record(events[0], inStream);
  driver.record(events[1], outStream);
  events.forEach((event) => driver.block(event));
  const bytes = way === 'both' ? 2 * length : length;
  return bytes / 1e9 / ((performance.now() - started) / 1000);
}

/** Threads that write into the memory until they are stopped, as prep threads do. */
async function whileFilling<Result>(memory: SharedArrayBuffer, threads: number, work: () => Result): Promise<Result> {
  const stop = new Int32Array(new SharedArrayBuffer(8));
  const workers = Array.from({ length: threads }, (_, index) => {
    const workerData = { memory, stop, index, threads };
    return new Worker(new URL('./fill-thread.js', import.meta.url), { workerData });
  });
  const ended = workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
  await Promise.all(workers.map((worker) => new Promise((resolve) => worker.once('online', resolve))));
  while (Atomics.load(stop, 1) < threads) await new Promise((resolve) => setTimeout(resolve, 5));
  try {
    return work();
  } finally {
    Atomics.store(stop, 0, 1);
    await Promise.all(ended);
  }
}

function sharedMemory(kind: string, bytes: number): SharedArrayBuffer {
  if (kind === 'SharedArrayBuffer') return new SharedArrayBuffer(bytes);
  return createSharedMemory(bytes).buffer;
}

export async function pinned(context: StepContext): Promise<void> {
  const { module, found } = await findDevice(context);
  const driver = module.openDriver(changedOptions(found.options, {}));
  const sizes = (context.tiny ? [1, 2] : [64, 256, 1024]).map((size) => size * mib);
  const bytesMax = sizes.at(-1)!;
  const memory = driver.allocate(2 * bytesMax);
  const bench: Bench = {
    driver,
    memory,
    bytesMax,
    streams: [driver.createStream(), driver.createStream()],
    events: [driver.createEvent(), driver.createEvent()],
  };
  // What is copied out has to be there.
  prepare(bench);
  for (const kind of ['SharedArrayBuffer', 'WebAssembly.Memory']) {
    for (const bytes of sizes) {
      const host = new Uint8Array(sharedMemory(kind, bytes), 0, bytes).fill(1);
      const figures: Record<string, unknown> = { kind, mebibytes: bytes / mib };
      const whole = (way: Way): number => rate(bench, host, way, bytes);
      Object.assign(figures, { pageableInGbPerSecond: whole('in'), pageableOutGbPerSecond: whole('out') });
      const started = performance.now();
      figures['isPinned'] = driver.pin(host);
      figures['pinMs'] = performance.now() - started;
      if (figures['isPinned'] === true) {
        Object.assign(figures, {
          pinnedInGbPerSecond: whole('in'),
          pinnedOutGbPerSecond: whole('out'),
          pinnedBothGbPerSecond: whole('both'),
          ...(await slotCopies(bench, host)),
        });
        driver.unpin(host);
      }
      context.record(`${kind} ${bytes / mib} MiB`, figures);
      if (context.secondsLeft() < 0) break;
    }
  }
  driver.close();
  driver.free(memory);
}

function prepare({ driver, memory, bytesMax, streams, events: [event] }: Bench): void {
  driver.copyIn(memory + BigInt(bytesMax), new Uint8Array(bytesMax), streams[0]);
  driver.record(event, streams[0]);
  driver.block(event);
  driver.waitFor(event, streams[1]);
}

/** Copies of one slot's size, one after the other, as a run makes them; also while threads fill the slots. */
async function slotCopies(bench: Bench, host: Uint8Array): Promise<object> {
  const copy = (): number => rate(bench, host, 'in', deviceSlotBytes);
  const memory = host.buffer as SharedArrayBuffer;
  const all = Math.min(16, availableParallelism());
  return {
    slotMebibytes: deviceSlotBytes / mib,
    slotsInGbPerSecond: copy(),
    slotsInOneThreadFillingGbPerSecond: await whileFilling(memory, 1, copy),
    [`slotsIn${all}ThreadsFillingGbPerSecond`]: await whileFilling(memory, all, copy),
  };
}
