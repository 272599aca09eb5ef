/** Entry of a GPU's thread: it makes every call of its device, feeds it from the slots, and ends when all are scored. */
import { parentPort, workerData } from 'node:worker_threads';
import { knownAdvice } from '../engines/cuda/advice.ts';
import { GpuError, kindOfRunFailure, type DriverModule, type GpuDriver } from '../engines/cuda/driver.ts';
import type { Pointer } from '../engines/native.ts';
import { OnnxRuntimeError, useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import type { AssignedNode } from '../engines/onnxruntime/assignment.ts';
import { createRunOptions } from '../engines/onnxruntime/run.ts';
import { closeEnvironment, closeSession, inputsReadElsewhere, openSession } from '../engines/onnxruntime/session.ts';
import { asTandemError, TandemError } from '../errors.ts';
import { deviceEndMsMax, fedSecondsMax, fedShare, fedSteadyMsMin } from '../limits.ts';
import { threadsNowMs } from '../measure/clock.ts';
import { DeviceSheet, readDeviceSheet } from '../measure/device-sheet.ts';
import { ThreadProfiler } from '../measure/thread-profiler.ts';
import { control, deviceFigures, type DeviceStart, type WorkerMessage } from '../messages.ts';
import type { DeviceReport } from '../options.ts';
import { batchInputs, refuseCpuNodes, sortCpuNodes, warnOfCpuNodes } from '../score/cpu-nodes.ts';
import { explainLoadFailure } from '../score/load-failure.ts';
import { findingOf, startController } from '../score/device-batch-size.ts';
import { DeviceMemory, type MemoryLook } from '../score/device-memory.ts';
import { deviceBufferBytes } from '../score/device-buffer.ts';
import { DeviceScorer } from '../score/device-scorer.ts';
import { restGraph, restModel, restSlot, restSource } from '../score/kernels/model-rest.ts';
import { bytesText } from '../score/memory-model.ts';
import { layOutSlot, slotBytes, type Slot } from '../score/scorer.ts';
import { endDevice, SlotReceiver, waitForOtherDevices } from '../transfer/slot-queue.ts';
import { DeviceLoop } from './device-loop.ts';

const start = workerData as DeviceStart;
const { plan } = start;
const device = plan.devices[start.deviceIndex]!;
/** What the device runs: all of the planned model, or what its threads leave. */
const model = restModel(plan.model);

const profiler = new ThreadProfiler(start.control, post);

function post(message: WorkerMessage): void {
  parentPort!.postMessage(message);
}

/** What the thread holds on the device, as far as it has come. */
interface Held {
  pinned?: Uint8Array | undefined;
  scorer?: DeviceScorer;
  sessions?: DeviceSessions;
}

function run(driver: GpuDriver): void {
  const held: Held = {};
  let isLost = false;
  const receiver = new SlotReceiver(start.queues, start.deviceIndex, start.control);
  let opened: ReturnType<typeof openLoop> | undefined;
  try {
    try {
      opened = openLoop(driver, held, receiver);
      opened.loop.run();
      opened.measureFed();
    } catch (error) {
      isLost = isLoss(error);
      // Once every row is scored, a figure beside them is not worth an error.
      if (opened?.loop.isFinished !== true) {
        if (!isLost && !isShortOfMemory(error)) throw error;
        // First nothing must write any more into slots that another device gets.
        driver.settle();
        passOn(opened?.loop.heldSlots ?? [], receiver, error);
      }
    } finally {
      opened?.report();
    }
  } catch (error) {
    // Before anything is waited for: the others end when they hear of it.
    post({ kind: 'failed', error: explain(error).toRecord() });
  }
  profiler.end();
  release(driver, held, isLost);
}

function isLoss(error: unknown): boolean {
  return error instanceof GpuError && error.kind === 'lost';
}

function isShortOfMemory(error: unknown): boolean {
  if (error instanceof TandemError) return error.code === 'MEMORY';
  return error instanceof GpuError && error.kind === 'outOfMemory';
}

/** Everything up to the first row, and what tells of it at the end. */
function openLoop(
  driver: GpuDriver,
  held: Held,
  receiver: SlotReceiver,
): { readonly loop: DeviceLoop; readonly measureFed: () => void; readonly report: () => void } {
  const { buffers, bufferRows } = device;
  const runOptions = createRunOptions({ disable_synchronize_execution_providers: '1' });
  const settleOptions = createRunOptions();
  // Waited for, too: memory that a run still works on must not be given back.
  const shrinkOptions = createRunOptions({ 'memory.enable_memory_arena_shrinkage': driver.arenaName });
  const options = { runOptions, settleOptions, shrinkOptions };
  post({ kind: 'connected', connections: [], runOptions: Object.values(options) });
  held.pinned = pinSlots(driver);
  const limits = driver.memory();
  const computeStream = driver.createStream();
  const parts = { driver, model, computeStream, ...options, buffers, bufferRows, nowMs: threadsNowMs };
  const scorer = new DeviceScorer({ ...parts, slots: layOutSlots() });
  held.scorer = scorer;
  const memory = new DeviceMemory(driver, buffers * deviceBufferBytes(model, bufferRows), device.memoryBudgetBytes);
  const sessions = new DeviceSessions(driver, computeStream, scorer, memory);
  held.sessions = sessions;
  sessions.open();
  const cpuNodes = checkNodes(sessions.cpuNodes());
  const loop: DeviceLoop = createLoop(driver, scorer, receiver, sessions, limits, () => loop.scored.splitCount);
  let fed: number | undefined;
  return {
    loop,
    measureFed: () => (fed = fedRate(scorer, loop)),
    report: () => report(loop, memory, cpuNodes, { fedRowsPerSecond: fed, reported: loop.reported }),
  };
}

/** Gives back what is held, whatever came of it: a process that leaves ONNX Runtime open loses its exit code. */
function release(driver: GpuDriver, held: Held, isLost: boolean): void {
  try {
    driver.settle();
    // Of a lost device nothing can be freed, and trying may end the process.
    if (isLost) return;
    // Before the driver ends its stream: a session may still queue there that host memory is let go of.
    held.sessions?.close();
    held.scorer?.close();
    if (held.pinned !== undefined && waitForOtherDevices(start.queues, deviceEndMsMax)) driver.unpin(held.pinned);
  } finally {
    driver.close();
    closeEnvironment();
  }
}

function createLoop(
  driver: GpuDriver,
  scorer: DeviceScorer,
  receiver: SlotReceiver,
  sessions: DeviceSessions,
  { freeBytes, totalBytes }: { readonly freeBytes: number; readonly totalBytes: number },
  splitCount: () => number,
): DeviceLoop {
  const { buffers, bufferRows, fixedBatchSize, memoryBudgetBytes } = device;
  const slotRowsInAll = start.queues.slotCount * plan.slotRows;
  const limits = {
    totalBytes,
    freeBytes,
    memoryBudgetBytes,
    bytesPerRow: deviceBufferBytes(model, bufferRows) / bufferRows,
    deviceBuffers: buffers,
    hostBytesMax: Infinity,
    // Two batches at least of what all slots hold: a larger one would never be full, and nothing would overlap.
    rowsMax: Math.max(1, Math.min(bufferRows, Math.floor(slotRowsInAll / (2 * plan.devices.length)))),
    profile: device.profile,
  };
  return new DeviceLoop({
    scorer,
    receiver,
    buffers,
    bufferRows,
    canSplit: model.fixedBatchRows === undefined,
    batchSize: fixedBatchSize ?? startController(limits),
    look: () => tell(sessions.look(), splitCount()),
    warmedUp: () => sessions.warmedUp(),
    renewSession: () => sessions.renew(),
    onBatchSize: (rowCount) => Atomics.store(start.control, control.batchSize, rowCount),
    onDecision: (decision) => post({ kind: 'decided', decision: { device: device.name, ...decision } }),
    between: () => profiler.look(),
    sheet: new DeviceSheet(start.sheets.devices[start.deviceIndex]!, start.sheets.prep),
    reportedShare: driver.reportedShare,
    nowMs: threadsNowMs,
  });
}

/** Whoever looks at the run meanwhile sees this. */
function tell(look: MemoryLook, splitCount: number): MemoryLook {
  start.figures[deviceFigures.heldBytes] = look.heldBytes;
  start.figures[deviceFigures.splits] = splitCount;
  return look;
}

/** The session in use, one at a time: two would not fit where one fills the memory that it may have. */
class DeviceSessions {
  readonly #driver: GpuDriver;
  readonly #stream: Pointer;
  readonly #scorer: DeviceScorer;
  readonly #memory: DeviceMemory;
  #session: Pointer | undefined;

  constructor(driver: GpuDriver, stream: Pointer, scorer: DeviceScorer, memory: DeviceMemory) {
    this.#driver = driver;
    this.#stream = stream;
    this.#scorer = scorer;
    this.#memory = memory;
  }

  open(): void {
    const arenaBytesMax = this.#memory.arenaBytesMax;
    if (arenaBytesMax !== undefined && arenaBytesMax <= 0) throw promiseTooSmall(this.#memory);
    this.#session = openOn(this.#driver, this.#stream, arenaBytesMax);
    this.#scorer.useSession(this.#session, inputsReadElsewhere(this.#session, this.#driver.memoryInfo));
  }

  renew(): void {
    this.close();
    this.open();
  }

  /** Nothing may be in flight. */
  close(): void {
    this.#scorer.leaveSession();
    if (this.#session !== undefined) closeSession(this.#session);
    this.#session = undefined;
  }

  look(): MemoryLook {
    return this.#memory.look(this.#session!);
  }

  cpuNodes(): readonly AssignedNode[] {
    return this.#driver.cpuNodes(this.#session!);
  }

  warmedUp(): boolean {
    return this.#memory.measureLibraries(this.#session!);
  }
}

/** Of the model alone; undefined where the run was too short to spend time on it. @throws GpuError */
function fedRate(scorer: DeviceScorer, loop: DeviceLoop): number | undefined {
  const { steadyMs, busyMs } = readDeviceSheet(start.sheets.devices[start.deviceIndex]!, threadsNowMs());
  const seconds = Math.min(fedSecondsMax, (fedShare * steadyMs) / 1000);
  // Each buffer runs three times at least.
  const secondsMin = (3 * device.buffers * busyMs) / 1000 / Math.max(1, loop.scored.batchCount - 1);
  if (steadyMs < fedSteadyMsMin || secondsMin > seconds) return undefined;
  return scorer.fedRowsPerSecond(loop.batchSize, seconds);
}

function report(
  loop: DeviceLoop,
  { peakBytes, budgetBytes }: DeviceMemory,
  cpuNodes: DeviceReport['cpuNodes'],
  utilization: Pick<DeviceReport, 'fedRowsPerSecond' | 'reported'>,
): void {
  const { batchCount, splitCount, rowCount } = loop.scored;
  const { name, label } = device;
  const finding = loop.controller === undefined ? undefined : findingOf(loop.controller, start.deviceIndex);
  if (finding !== undefined) post({ kind: 'batchSizeSearched', finding });
  const search = finding === undefined ? undefined : { found: finding.chosen?.rows, runs: finding.searchRuns };
  const scored = { name, label, rowCount, batchCount, splitCount, batchSize: loop.batchSize, search };
  const memory = { memoryPeakBytes: peakBytes, memoryBudgetBytes: budgetBytes };
  post({ kind: 'deviceDone', report: { ...scored, ...memory, cpuNodes, ...utilization } });
  if (splitCount > 0 && device.fixedBatchSize !== undefined) {
    const parts = `${splitCount} of ${batchCount} batches of ${device.fixedBatchSize} rows did not fit into ${name}'s memory`;
    post({ kind: 'warning', text: `${parts} and were scored in parts: a smaller --batch-size, or none, spares that.` });
  }
  if (budgetBytes === undefined || peakBytes <= budgetBytes) return;
  const held = `${bytesText(peakBytes)} of ${name} were held for a moment, more than the promised ${bytesText(budgetBytes)}`;
  post({ kind: 'warning', text: `${held}.` });
}

function promiseTooSmall(memory: DeviceMemory): TandemError {
  const taken = (memory.budgetBytes ?? 0) - (memory.arenaBytesMax ?? 0);
  return new TandemError(
    'MEMORY',
    `Expected the promised memory of ${device.name} to hold a model beside context, libraries and buffers, got: ${memory.describe()}.`,
    { remedy: `Promise more than ${bytesText(taken)} (--gpu-memory), with what the model needs on top.` },
  );
}

function layOutSlots(): Slot[] {
  const bytes = slotBytes(plan.model, plan.slotRows);
  return Array.from({ length: start.queues.slotCount }, (_, slot) =>
    restSlot(plan.model, layOutSlot(plan.model, plan.slotRows, start.slots.buffer, slot * bytes)),
  );
}

/** One device's thread pins for all: memory is pinned once. */
function pinSlots(driver: GpuDriver): Uint8Array | undefined {
  if (start.deviceIndex > 0) return undefined;
  const memory = new Uint8Array(start.slots.buffer, 0, start.queues.slotCount * slotBytes(plan.model, plan.slotRows));
  if (driver.pin(memory)) return memory;
  post({ kind: 'warning', text: `${device.name} refused to page-lock the slots: copies to it will be slow.` });
  return undefined;
}

/**
 * Others score what this device cannot, since it is lost or has no memory: first what it held, then whatever still comes.
 * @throws the error where no other device answers
 */
function passOn(heldSlots: readonly number[], receiver: SlotReceiver, error: unknown): void {
  receiver.markLost();
  if (!receiver.othersAnswer) throw error;
  for (const slot of heldSlots) if (!receiver.passOn(slot)) throw error;
  const { message } = error as Error;
  post({ kind: 'warning', text: `${device.name} scores no more (${message}); the other devices score its batches.` });
  for (let received = receiver.receive(); received !== 'ended'; received = receiver.receive()) {
    if (received === undefined) receiver.wait(idleMs);
    else if (!receiver.passOn(received.slot)) throw error;
  }
}

/** Idle without end, but for the stop flag. */
const idleMs = 1_000;

/** @throws GpuError `outOfMemory` or `lost`; BAD_MODEL, ENVIRONMENT */
function openOn(driver: GpuDriver, stream: Pointer, arenaBytesMax: number | undefined): Pointer {
  try {
    return openSession(restSource(plan.model), {
      intraOpThreads: 1,
      configure: (options) => driver.configureSession(options, stream, arenaBytesMax),
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

/** Tells which nodes the CPU runs. @throws BAD_MODEL where the batch passes one of them and nobody allowed it */
function checkNodes(nodes: readonly AssignedNode[]): DeviceReport['cpuNodes'] {
  const cpuNodes = sortCpuNodes(restGraph(plan.model), batchInputs(model), nodes);
  const counts = { shape: cpuNodes.shapeCount, data: cpuNodes.data.length };
  if (counts.data === 0) return counts;
  if (!plan.allowCpuNodes) throw refuseCpuNodes(device.name, cpuNodes);
  post({ kind: 'warning', text: warnOfCpuNodes(device.name, cpuNodes) });
  return counts;
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
        remedy:
          device.memoryBudgetBytes === undefined
            ? 'Another process uses it: free memory there, or choose a smaller --batch-size.'
            : 'Promise more (--gpu-memory), or choose a smaller --batch-size.',
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
