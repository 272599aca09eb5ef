/** Entry of a GPU's thread: it makes every call of its device, feeds it from the slots, and ends when all are scored. */
import { parentPort, workerData } from 'node:worker_threads';
import { GpuError, type DriverModule, type GpuDriver } from '../engines/cuda/driver.ts';
import { useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import { createRunOptions } from '../engines/onnxruntime/run.ts';
import { closeEnvironment, closeSession, openSession } from '../engines/onnxruntime/session.ts';
import { asTandemError, TandemError } from '../errors.ts';
import { control, type DeviceStart, type WorkerMessage } from '../messages.ts';
import { explainLoadFailure } from '../score/load-failure.ts';
import { findingOf, startController } from '../score/device-batch-size.ts';
import { deviceBufferBytes, DeviceScorer } from '../score/device-scorer.ts';
import { layOutSlot, slotBytes, type Slot } from '../score/scorer.ts';
import { SlotReceiver } from '../transfer/slot-queue.ts';
import { DeviceLoop } from './device-loop.ts';

const start = workerData as DeviceStart;
const { plan } = start;
const device = plan.devices[start.deviceIndex]!;

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

function run(driver: GpuDriver): void {
  const { model } = plan;
  const { buffers, bufferRows } = device;
  const { freeBytes, totalBytes } = driver.memory();
  const runConfig = { disable_synchronize_execution_providers: '1' };
  const runOptions = createRunOptions(runConfig);
  const shrinkOptions = createRunOptions({
    ...runConfig,
    'memory.enable_memory_arena_shrinkage': driver.arenaName,
  });
  post({ kind: 'connected', connections: [], runOptions: [runOptions, shrinkOptions] });
  const pinned = pinSlots(driver);
  const computeStream = driver.createStream();
  let session = openOn(driver, computeStream);
  const parts = { driver, model, session, computeStream, runOptions, shrinkOptions, buffers, bufferRows };
  const scorer = new DeviceScorer({ ...parts, slots: layOutSlots() });
  const receiver = new SlotReceiver(start.queues, start.deviceIndex, start.control);
  const loop = new DeviceLoop({
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
        rowsMax: bufferRows,
        profile: device.profile,
      }),
    freeBytes: () => driver.memory().freeBytes,
    renewSession() {
      const old = session;
      session = openOn(driver, computeStream);
      scorer.replaceSession(session);
      closeSession(old);
    },
    onBatchSize: (rowCount) => Atomics.store(start.control, control.batchSize, rowCount),
  });
  let lost: GpuError | undefined;
  try {
    loop.run();
  } catch (error) {
    if (!(error instanceof GpuError) || error.kind !== 'lost') throw error;
    lost = error;
  } finally {
    if (loop.controller !== undefined) {
      post({ kind: 'batchSizeSearched', finding: findingOf(loop.controller, start.deviceIndex) });
    }
    // Waits for what is queued: nothing writes into a slot that another device may have.
    driver.close();
    // Of a lost device nothing can be freed, and trying may end the process.
    if (lost === undefined) {
      scorer.close();
      closeSession(session);
      closeEnvironment();
      if (pinned !== undefined) driver.unpin(pinned);
    }
  }
  if (lost !== undefined) passOn(loop, receiver, lost);
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

function openOn(driver: GpuDriver, stream: bigint): bigint {
  try {
    return openSession(plan.model.path, {
      intraOpThreads: 1,
      configure: (options) => driver.configureSession(options, stream),
    });
  } catch (error) {
    if (error instanceof TandemError) throw error;
    throw explainLoadFailure(error, plan.model.path);
  }
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
      return new TandemError('BAD_MODEL', `Expected ${device.name} to score the batch, got: ${message}`, {
        remedy: 'Check the model with --device cpu; if it works there, the device is at fault.',
        cause: error,
      });
  }
}

try {
  useOnnxRuntimeAt(plan.onnxRuntimePath);
  const { openDriver } = (await import(device.driver.module)) as DriverModule;
  run(openDriver(device.driver.options));
  post({ kind: 'finished' });
} catch (error) {
  post({ kind: 'failed', error: explain(error).toRecord() });
}
