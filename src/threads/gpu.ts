/** Entry of a GPU's thread: it makes every call of its device, feeds it from the slots, and ends when all are scored. */
import { parentPort, workerData } from 'node:worker_threads';
import { knownAdvice } from '../engines/cuda/advice.ts';
import { GpuError, kindOfRunFailure, type DriverModule, type GpuDriver } from '../engines/cuda/driver.ts';
import type { Pointer } from '../engines/native.ts';
import { OnnxRuntimeError, useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import { createRunOptions } from '../engines/onnxruntime/run.ts';
import { closeEnvironment, closeSession, inputsReadElsewhere, openSession } from '../engines/onnxruntime/session.ts';
import { asTandemError, TandemError } from '../errors.ts';
import { deviceEndMsMax } from '../limits.ts';
import { control, type DeviceStart, type WorkerMessage } from '../messages.ts';
import { explainLoadFailure } from '../score/load-failure.ts';
import { startController } from '../score/device-batch-size.ts';
import { deviceBufferBytes, DeviceScorer } from '../score/device-scorer.ts';
import { layOutSlot, slotBytes, type Slot } from '../score/scorer.ts';
import { endDevice, SlotReceiver, waitForOtherDevices } from '../transfer/slot-queue.ts';
import { DeviceLoop } from './device-loop.ts';

const start = workerData as DeviceStart;
const { plan } = start;
const device = plan.devices[start.deviceIndex]!;

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

/** What the thread holds on the device, as far as it has come. */
interface Held {
  pinned?: Uint8Array | undefined;
  session?: Pointer | undefined;
  scorer?: DeviceScorer;
}

function run(driver: GpuDriver): void {
  const held: Held = {};
  let isLost = false;
  try {
    const receiver = new SlotReceiver(start.queues, start.deviceIndex, start.control);
    const loop = openLoop(driver, held, receiver);
    try {
      loop.run();
    } catch (error) {
      if (!isLoss(error)) throw error;
      isLost = true;
      // First nothing must write any more into slots that another device gets.
      driver.settle();
      passOn(loop, receiver, error);
    }
  } catch (error) {
    isLost ||= isLoss(error);
    // Before anything is waited for: the others end when they hear of it.
    post({ kind: 'failed', error: explain(error).toRecord() });
  }
  release(driver, held, isLost);
}

function isLoss(error: unknown): error is GpuError {
  return error instanceof GpuError && error.kind === 'lost';
}

function openLoop(driver: GpuDriver, held: Held, receiver: SlotReceiver): DeviceLoop {
  const { model } = plan;
  const { buffers, bufferRows } = device;
  const slotRowsInAll = start.queues.slotCount * plan.slotRows;
  const { freeBytes, totalBytes } = driver.memory();
  const runOptions = createRunOptions({ disable_synchronize_execution_providers: '1' });
  const settleOptions = createRunOptions();
  // Waited for, too: memory that a run still works on must not be given back.
  const shrinkOptions = createRunOptions({ 'memory.enable_memory_arena_shrinkage': driver.arenaName });
  post({ kind: 'connected', connections: [], runOptions: [runOptions, settleOptions, shrinkOptions] });
  held.pinned = pinSlots(driver);
  const computeStream = driver.createStream();
  const session = openOn(driver, computeStream);
  held.session = session;
  const options = { runOptions, settleOptions, shrinkOptions };
  const parts = { driver, model, session, computeStream, ...options, buffers, bufferRows };
  const elsewhere = inputsReadElsewhere(session, driver.memoryInfo);
  if (elsewhere.length > 0) {
    const text = `${device.name} leaves ${elsewhere.join(', ')} to the CPU: copied back for each batch, which is slow.`;
    post({ kind: 'warning', text });
  }
  const scorer = new DeviceScorer({ ...parts, slots: layOutSlots(), inputsReadElsewhere: elsewhere });
  held.scorer = scorer;
  return new DeviceLoop({
    scorer,
    receiver,
    buffers,
    bufferRows,
    canSplit: model.fixedBatchRows === undefined,
    batchSize:
      device.fixedBatchSize ??
      startController({
        totalBytes,
        freeBytes,
        bytesPerRow: deviceBufferBytes(model, bufferRows) / bufferRows,
        deviceBuffers: buffers,
        hostBytesMax: Infinity,
        // Two batches at least of what all slots hold: a larger one would never be full, and nothing would overlap.
        rowsMax: Math.max(1, Math.min(bufferRows, Math.floor(slotRowsInAll / (2 * plan.devices.length)))),
      }),
    freeBytes: () => driver.memory().freeBytes,
    renewSession: () =>
      scorer.replaceSession(() => {
        // The old one first: what is short is memory, and its arena may hold all of it.
        closeSession(held.session!);
        held.session = undefined;
        return (held.session = openOn(driver, computeStream));
      }),
    onBatchSize: (rowCount) => Atomics.store(start.control, control.batchSize, rowCount),
  });
}

/** Gives back what is held, whatever came of it: a process that leaves ONNX Runtime open loses its exit code. */
function release(driver: GpuDriver, held: Held, isLost: boolean): void {
  try {
    driver.settle();
    // Of a lost device nothing can be freed, and trying may end the process.
    if (isLost) return;
    held.scorer?.close();
    // Before the driver ends its stream: it may still queue there that host memory is let go of.
    if (held.session !== undefined) closeSession(held.session);
    if (held.pinned !== undefined && waitForOtherDevices(start.queues, deviceEndMsMax)) driver.unpin(held.pinned);
  } finally {
    driver.close();
    closeEnvironment();
  }
}

function layOutSlots(): Slot[] {
  const bytes = slotBytes(plan.model, plan.slotRows);
  return Array.from({ length: start.queues.slotCount }, (_, slot) =>
    layOutSlot(plan.model, plan.slotRows, start.slots.buffer, slot * bytes),
  );
}

/** One device's thread pins for all: memory is pinned once. */
function pinSlots(driver: GpuDriver): Uint8Array | undefined {
  if (start.deviceIndex > 0) return undefined;
  const memory = new Uint8Array(start.slots.buffer);
  if (driver.pin(memory)) return memory;
  post({ kind: 'warning', text: `${device.name} refused to page-lock the slots: copies to it will be slow.` });
  return undefined;
}

/** Others score what a lost device cannot: first what it held, then whatever still comes to it. */
function passOn(loop: DeviceLoop, receiver: SlotReceiver, error: GpuError): void {
  receiver.markLost();
  for (const slot of loop.heldSlots) if (!receiver.passOn(slot)) throw error;
  post({
    kind: 'warning',
    text: `${device.name} answers no more (${error.message}); the other devices score its batches.`,
  });
  for (let received = receiver.receive(); received !== 'ended'; received = receiver.receive()) {
    if (received === undefined) receiver.wait(idleMs);
    else if (!receiver.passOn(received.slot)) throw error;
  }
}

/** Idle without end, but for the stop flag. */
const idleMs = 1_000;

/** @throws GpuError `outOfMemory` or `lost`; BAD_MODEL, ENVIRONMENT */
function openOn(driver: GpuDriver, stream: Pointer): Pointer {
  try {
    return openSession(plan.model.path, {
      intraOpThreads: 1,
      configure: (options) => driver.configureSession(options, stream),
    });
  } catch (error) {
    if (!(error instanceof OnnxRuntimeError)) throw error;
    const { message } = error;
    const kind = kindOfRunFailure(message);
    if (kind !== 'other') throw new GpuError(0, `Expected a session to open, got: ${message}`, kind);
    throw environmentError(message, error) ?? explainLoadFailure(error, plan.model.path);
  }
}

/** What the model's run on the CPU could not show; undefined: nothing that is known. */
function environmentError(message: string, cause: unknown): TandemError | undefined {
  const advice = knownAdvice(message);
  if (advice === undefined) return undefined;
  const text = `Expected ${device.name} to run the model, got: ${message} It says: ${advice.means}.`;
  return new TandemError('ENVIRONMENT', text, { remedy: advice.remedy, cause });
}

/** What a failure of the device means to whoever runs Tandem. */
function explain(error: unknown): TandemError {
  if (!(error instanceof GpuError)) return asTandemError(error);
  const { message, kind } = error;
  switch (kind) {
    case 'lost':
      return new TandemError('TRANSIENT', `Expected ${device.name} to answer, got: ${message}`, {
        remedy:
          'Run the same command again: what is whole stays. If it happens again, look at `nvidia-smi` and `dmesg`.',
        cause: error,
      });
    case 'outOfMemory':
      return new TandemError('MEMORY', `Expected ${device.name} to have the memory that was planned, got: ${message}`, {
        remedy: 'Another process uses it: free memory there, or choose a smaller --batch-size.',
        cause: error,
      });
    case 'other':
      return (
        environmentError(message, error) ??
        new TandemError('BAD_MODEL', `Expected ${device.name} to score the batch, got: ${message}`, {
          remedy: 'Check the model with --device cpu; if it works there, the device is at fault.',
          cause: error,
        })
      );
  }
}

try {
  useOnnxRuntimeAt(plan.onnxRuntimePath);
  const { openDriver } = (await import(device.driver.module)) as DriverModule;
  run(openDriver(device.driver.options));
  post({ kind: 'finished' });
} catch (error) {
  post({ kind: 'failed', error: explain(error).toRecord() });
} finally {
  endDevice(start.queues);
}
