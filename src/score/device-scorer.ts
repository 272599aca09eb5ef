/**
 * Device buffers of one GPU: slots are copied in, the model runs, scores are copied out, each on a stream of its own;
 * events keep them in order, so that a copy never waits for what it does not need. Nothing here waits for the device but
 * {@link DeviceScorer.block}.
 */
import type { NumberArray, TensorLayout } from '../batch.ts';
import { GpuError, type DeviceRange, type GpuDriver } from '../engines/cuda/driver.ts';
import type { Pointer } from '../engines/native.ts';
import { BoundRun, type DeviceTensor } from '../engines/onnxruntime/run.ts';
import { deviceSettledRuns, fedRunsMax } from '../limits.ts';
import type { ModelPlan, OutputLayout } from '../plan.ts';
import { bug } from '../errors.ts';
import { DeviceBuffer, rowBytes } from './device-buffer.ts';
import { EventOrigin } from './event-origin.ts';
import { constantTensor, otherShape, type Slot } from './scorer.ts';

/** Rows of a slot within a device buffer. */
export interface CopiedRows {
  readonly slot: number;
  readonly slotRow: number;
  readonly bufferRow: number;
  readonly rowCount: number;
}

/** Rows of a device buffer that are run at once. */
export interface RunRows {
  readonly bufferRow: number;
  readonly rowCount: number;
}

export interface DeviceScorerParts {
  readonly driver: GpuDriver;
  readonly model: ModelPlan;
  readonly computeStream: Pointer;
  readonly runOptions: Pointer;
  /** Of runs after which the arena gives back what it does not use. */
  readonly shrinkOptions: Pointer;
  /** Of runs that end when the device has computed them. */
  readonly settleOptions: Pointer;
  /** Pinned where that is possible. */
  readonly slots: readonly Slot[];
  readonly buffers: number;
  readonly bufferRows: number;
  /** Milliseconds, from a monotonic clock: that of {@link DeviceTimes}. */
  readonly nowMs: () => number;
}

/** When the device worked on a buffer that is done. */
export interface DeviceTimes {
  /** First byte and last byte of its copies in. */
  readonly copyStartMs: number;
  readonly copiedMs: number;
  /** First run's begin, last run's end. */
  readonly startedMs: number;
  readonly computedMs: number;
  /** All scores are in their slots. */
  readonly deliveredMs: number;
}

/** Bindings that a buffer keeps: one for each batch size in use. What was used longest ago makes room. */
const bindingsMax = 8;

export class DeviceScorer {
  readonly #parts: DeviceScorerParts;
  readonly #buffers: readonly DeviceBuffer[];
  readonly #copyInStream: Pointer;
  readonly #copyOutStream: Pointer;
  readonly #origin: EventOrigin;
  #session: Pointer | undefined;
  #inputsReadElsewhere: readonly string[] = [];
  #runs = 0;

  /** @throws GpuError `outOfMemory` when the device buffers do not fit */
  constructor(parts: DeviceScorerParts) {
    this.#parts = parts;
    const { driver } = parts;
    this.#copyInStream = driver.createStream();
    this.#copyOutStream = driver.createStream();
    const buffers: DeviceBuffer[] = [];
    try {
      while (buffers.length < parts.buffers) buffers.push(new DeviceBuffer(driver, parts.model, parts.bufferRows));
    } catch (error) {
      for (const buffer of buffers) driver.free(buffer.memory);
      throw error;
    }
    this.#buffers = buffers;
    this.#origin = new EventOrigin(driver, parts.computeStream, parts.nowMs);
  }

  /** Queues the copy of a slot's rows; the slot must not change until the buffer's scores are there. */
  copyIn(buffer: number, rows: CopiedRows): void {
    const { driver, model, slots } = this.#parts;
    const filled = this.#buffers[buffer]!;
    const { addresses, copying } = filled;
    if (rows.bufferRow === 0) driver.record(copying, this.#copyInStream);
    filled.rowsHeld = Math.max(filled.rowsHeld, rows.bufferRow + rows.rowCount);
    model.inputs.forEach((tensor, index) => {
      const target = addresses[index]! + BigInt(rows.bufferRow * rowBytes(tensor));
      driver.copyIn(target, bytesOf(slots[rows.slot]!.inputs[index] as NumberArray, tensor, rows), this.#copyInStream);
    });
  }

  /**
   * Queues runs and the copies of their scores into the slots.
   * @throws GpuError; after `outOfMemory` nothing is queued on the compute stream any more, so that bindings and session
   * may be closed, and it may be called again with smaller runs, which do the same rows over
   */
  score(buffer: number, runs: readonly RunRows[], pieces: readonly CopiedRows[], shrinksArena = false): void {
    const { driver, model, slots, computeStream } = this.#parts;
    const { copied, started, computed, delivered, addresses } = this.#buffers[buffer]!;
    const last = pieces.at(-1);
    if (last !== undefined) this.#pad(buffer, last);
    driver.record(copied, this.#copyInStream);
    driver.waitFor(copied, computeStream);
    driver.record(started, computeStream);
    try {
      runs.forEach((rows, index) => this.#run(buffer, rows, shrinksArena && index === runs.length - 1));
    } catch (error) {
      if (!(error instanceof GpuError) || error.kind !== 'outOfMemory') throw error;
      // The runs before the one that failed go on.
      driver.record(computed, computeStream);
      driver.block(computed);
      throw error;
    }
    driver.record(computed, computeStream);
    driver.waitFor(computed, this.#copyOutStream);
    for (const rows of pieces) {
      model.outputs.forEach((tensor, index) => {
        const source = addresses[model.inputs.length + index]! + BigInt(rows.bufferRow * rowBytes(tensor));
        const target = bytesOf(slots[rows.slot]!.outputs[index] as NumberArray, tensor, rows);
        driver.copyOut(target, source, this.#copyOutStream);
      });
    }
    driver.record(delivered, this.#copyOutStream);
  }

  /** Whether all scores of the buffer are in their slots. @throws GpuError of what failed on the device */
  isDone(buffer: number): boolean {
    const isDone = this.#parts.driver.isDone(this.#buffers[buffer]!.delivered);
    if (isDone) this.#trim(buffer);
    return isDone;
  }

  /** Sleeps until they are. @throws GpuError of what failed on the device */
  block(buffer: number): void {
    this.#parts.driver.block(this.#buffers[buffer]!.delivered);
    this.#trim(buffer);
  }

  /** Seconds that the device computed for a buffer that is done: the model's runs and the gaps between them. */
  computeSeconds(buffer: number): number {
    const { started, computed } = this.#buffers[buffer]!;
    return this.#parts.driver.elapsedMs(started, computed) / 1000;
  }

  /** When the device worked on a buffer that is done. */
  times(buffer: number): DeviceTimes {
    const { copying, copied, started, computed, delivered } = this.#buffers[buffer]!;
    const times = {
      copyStartMs: this.#origin.timeOf(copying),
      copiedMs: this.#origin.timeOf(copied),
      startedMs: this.#origin.timeOf(started),
      computedMs: this.#origin.timeOf(computed),
      deliveredMs: this.#origin.timeOf(delivered),
    };
    this.#origin.renew(times.deliveredMs);
    return times;
  }

  /**
   * Rows a second of the model alone: it runs again and again on rows that lie on the device already, and nothing is
   * copied. Nothing may be in flight; the scores stay on the device.
   * @param seconds about what it takes
   * @returns undefined where no buffer has held so many rows
   * @throws GpuError
   */
  fedRowsPerSecond(rowCount: number, seconds: number): number | undefined {
    const { driver, computeStream } = this.#parts;
    const buffers = this.#buffers.flatMap(({ rowsHeld }, buffer) => (rowsHeld >= rowCount ? [buffer] : []));
    const [first] = buffers;
    if (first === undefined) return undefined;
    const { started, computed } = this.#buffers[first]!;
    const time = (runs: number): number => {
      driver.record(started, computeStream);
      for (let run = 0; run < runs; run++) {
        this.#run(buffers[run % buffers.length]!, { bufferRow: 0, rowCount }, false);
      }
      driver.record(computed, computeStream);
      driver.block(computed);
      return driver.elapsedMs(started, computed) / 1000;
    };
    // Each buffer's binding is made, and how long a run takes.
    const probeSeconds = time(2 * buffers.length) / (2 * buffers.length);
    const runs = Math.max(buffers.length, Math.min(fedRunsMax, Math.ceil(seconds / Math.max(1e-6, probeSeconds))));
    return (runs * rowCount) / time(runs);
  }

  /** Lets go of the session, so that its owner may close it. Nothing may be in flight. */
  leaveSession(): void {
    this.#closeBindings();
    this.#session = undefined;
  }

  /**
   * A session of the device, whose runs go to `computeStream`: that of all runs from now on.
   * @param inputsReadElsewhere inputs that it does not read in the device's memory, by name
   */
  useSession(session: Pointer, inputsReadElsewhere: readonly string[] = []): void {
    this.#session = session;
    this.#inputsReadElsewhere = inputsReadElsewhere;
  }

  /** Closes bindings and frees the device buffers. Nothing may be in flight. */
  close(): void {
    this.#closeBindings();
    for (const buffer of this.#buffers) this.#parts.driver.free(buffer.memory);
  }

  #closeBindings(): void {
    for (const { bindings } of this.#buffers) {
      for (const bound of bindings.values()) bound.close();
      bindings.clear();
    }
  }

  /**
   * A model of fixed batch size reads the rows behind the last one, too. They repeat it, as on the CPU: what lay there may
   * be no index, and some models look at all rows of a batch.
   */
  #pad(buffer: number, last: CopiedRows): void {
    const { driver, model, slots } = this.#parts;
    const padded = this.#buffers[buffer]!;
    const firstRow = last.bufferRow + last.rowCount;
    const rowCount = (model.fixedBatchRows ?? 0) - firstRow;
    if (rowCount <= 0) return;
    const lastRow = { ...last, slotRow: last.slotRow + last.rowCount - 1, rowCount: 1 };
    padded.padding = model.inputs.map((tensor, index) => {
      const row = bytesOf(slots[last.slot]!.inputs[index] as NumberArray, tensor, lastRow);
      const rows = new Uint8Array(rowCount * row.length);
      for (let at = 0; at < rows.length; at += row.length) rows.set(row, at);
      driver.copyIn(padded.addresses[index]! + BigInt(firstRow * row.length), rows, this.#copyInStream);
      return rows;
    });
  }

  /**
   * Of the latest runs only one in many is waited for: ONNX Runtime keeps the host memory from which kernels got their
   * parameters (CudaStream::EnqueDeferredCPUBuffer) until a run ends with synchronization, and would keep it for ever.
   */
  #runOptions(shrinksArena: boolean): Pointer {
    if (shrinksArena) return this.#parts.shrinkOptions;
    return ++this.#runs % deviceSettledRuns === 0 ? this.#parts.settleOptions : this.#parts.runOptions;
  }

  #expectSession(): Pointer {
    if (this.#session === undefined) throw bug('Rows came before a session');
    return this.#session;
  }

  #run(buffer: number, rows: RunRows, shrinksArena: boolean): void {
    const { driver, model, computeStream } = this.#parts;
    const runOptions = this.#runOptions(shrinksArena);
    const runRows = model.fixedBatchRows ?? rows.rowCount;
    const ranges = (tensors: readonly (TensorLayout | OutputLayout)[], first: number): DeviceRange[] =>
      tensors.map((tensor, index) => ({
        memory: this.#buffers[buffer]!.addresses[first + index]! + BigInt(rows.bufferRow * rowBytes(tensor)),
        bytes: runRows * rowBytes(tensor),
      }));
    const reads = ranges(model.inputs, 0);
    const writes = ranges(model.outputs, model.inputs.length);
    const bound = this.#bindingFor(buffer, { ...rows, rowCount: runRows }, reads, writes);
    // The copy goes to the session's own stream, behind `copied` and the runs before.
    for (const name of this.#inputsReadElsewhere) bound.rebind(name);
    const session = this.#expectSession();
    const { binding } = bound;
    const allocates = model.outputs.some(isOpen);
    if (allocates) bound.rebindOpen();
    driver.run(
      { session, runOptions, binding, rowCount: runRows, shrinksArena, reads, writes, allocates },
      computeStream,
    );
    if (allocates) this.#takeOpen(bound, runRows, writes);
  }

  /** Outputs that ONNX Runtime allocated go where the others lie, behind the run that fills them. */
  #takeOpen(bound: BoundRun, runRows: number, writes: readonly DeviceRange[]): void {
    const { driver, model, computeStream } = this.#parts;
    for (const { name, shape, memory } of bound.allocated()) {
      const index = model.outputs.findIndex((output) => output.name === name);
      const expected = runRows * model.outputs[index]!.width;
      if (shape[0] !== runRows || product(shape) !== expected) throw otherShape(name, shape, runRows);
      const { memory: target, bytes } = writes[index]!;
      driver.copyWithin(target, memory, bytes, computeStream);
    }
  }

  #bindingFor(buffer: number, rows: RunRows, reads: readonly DeviceRange[], writes: readonly DeviceRange[]): BoundRun {
    const { bindings } = this.#buffers[buffer]!;
    const key = `${rows.bufferRow} ${rows.rowCount}`;
    const known = bindings.get(key);
    if (known !== undefined) {
      // To the young end.
      bindings.delete(key);
      bindings.set(key, known);
      return known;
    }
    const bound = this.#bind(rows.rowCount, reads, writes);
    bindings.set(key, bound);
    return bound;
  }

  /** Nothing of the buffer is in flight: a binding that is closed while the device runs it loses its tensors. */
  #trim(buffer: number): void {
    const { bindings } = this.#buffers[buffer]!;
    for (const [key, bound] of bindings) {
      if (bindings.size <= bindingsMax) return;
      bindings.delete(key);
      bound.close();
    }
  }

  #bind(rowCount: number, reads: readonly DeviceRange[], writes: readonly DeviceRange[]): BoundRun {
    const { model, driver } = this.#parts;
    const onDevice = (tensor: TensorLayout | OutputLayout, { memory }: DeviceRange): DeviceTensor => ({
      name: tensor.name,
      elementType: tensor.elementType,
      shape: [rowCount, ...tensor.rowShape],
      memory,
      memoryInfo: driver.memoryInfo,
    });
    return new BoundRun(
      this.#expectSession(),
      [
        ...model.inputs.map((tensor, index) => onDevice(tensor, reads[index]!)),
        ...model.constants.map((constant) => constantTensor(constant, rowCount)),
      ],
      model.outputs.map((tensor, index) => {
        if (isOpen(tensor)) return { name: tensor.name, memoryInfo: driver.memoryInfo };
        return onDevice(tensor, writes[index]!);
      }),
    );
  }
}

/** The model declares another shape than it gives: ONNX Runtime refuses memory for it, and allocates some itself. */
function isOpen(output: OutputLayout): boolean {
  return output.copied === true;
}

function product(shape: readonly number[]): number {
  return shape.reduce((all, size) => all * size, 1);
}

/** The bytes of some rows of a slot's tensor. */
function bytesOf(values: NumberArray, tensor: TensorLayout | OutputLayout, rows: CopiedRows): Uint8Array {
  const bytes = rowBytes(tensor);
  return new Uint8Array(values.buffer, values.byteOffset + rows.slotRow * bytes, rows.rowCount * bytes);
}
