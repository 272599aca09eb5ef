/**
 * One model on one device, set up as a GPU's thread does it: the product's driver, session, device buffers and slots. What
 * is measured is fed from here, without Parquet in front of it.
 */
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { NumberArray } from '../../src/batch.ts';
import type { DriverModule, UsableDevice } from '../../src/engines/cuda/driver.ts';
import type { Pointer } from '../../src/engines/native.ts';
import { useOnnxRuntimeAt } from '../../src/engines/onnxruntime/bindings.ts';
import { BoundRun, createRunOptions, releaseRunOptions, type BoundTensor } from '../../src/engines/onnxruntime/run.ts';
import { closeEnvironment, closeSession, describeSession, openSession } from '../../src/engines/onnxruntime/session.ts';
import { deviceSlotBytes } from '../../src/limits.ts';
import type { ModelPlan, OutputLayout } from '../../src/plan.ts';
import { chooseDevices, driverModuleVariable } from '../../src/planning/devices.ts';
import { DeviceScorer, type CopiedRows } from '../../src/score/device-scorer.ts';
import { layOutSlot, slotBytes, type Slot } from '../../src/score/scorer.ts';
import { planOfModel, vocabulary, type ModelName } from './models.ts';
import { TimedDriver } from './timed-driver.ts';
import { changedOptions } from './timed-devices.ts';
import type { StepContext, StepInput } from './step.ts';

/** Whether CUDA itself is behind the driver, and not a stand-in. */
export function isCuda(): boolean {
  return process.env[driverModuleVariable] === undefined;
}

export interface OpenedDevice {
  readonly module: DriverModule;
  readonly moduleUrl: string;
  readonly found: UsableDevice;
  readonly onnxRuntimePath: string | undefined;
}

/** The first of the devices that are asked for; its ONNX Runtime is the one of this process from now on. */
export async function findDevice(input: Pick<StepInput, 'device' | 'ortDir'>): Promise<OpenedDevice> {
  const { module, found, onnxRuntimePath } = await chooseDevices(input.device, input.ortDir, process.env);
  useOnnxRuntimeAt(onnxRuntimePath);
  return { module: (await import(module)) as DriverModule, moduleUrl: module, found: found[0]!, onnxRuntimePath };
}

export interface RigOptions {
  readonly model: ModelName;
  /** Default: that of the model's name in the data folder. */
  readonly path?: string;
  readonly buffers: number;
  readonly bufferRows: number;
  /** Rows of each slot; default: as the product cuts them. */
  readonly slotRows?: number;
  /** Default: one for each piece of each buffer. */
  readonly slots?: number;
  /** Changes to the CUDA provider's options; see `CudaProviderOptions`. */
  readonly providerOptions?: Readonly<Record<string, unknown>>;
  /** Changes to the session's options besides. */
  readonly configure?: (sessionOptions: Pointer) => void;
  /** Default: with an event around every copy and run. */
  readonly isTiming?: boolean;
}

const runConfig = { disable_synchronize_execution_providers: '1' };

export class Rig {
  readonly driver: TimedDriver;
  readonly model: ModelPlan;
  readonly scorer: DeviceScorer;
  readonly slots: readonly Slot[];
  readonly slotRows: number;
  readonly options: RigOptions;
  readonly pinned: boolean;
  readonly secondsToOpen: number;
  /** Free on the device before there was a session, and with it, before there were device buffers. */
  readonly freeBytes: { readonly before: number; readonly withSession: number };
  /** The model as it is, whatever variant of it the rig runs. */
  readonly referencePath: string;
  readonly #path: string;
  #session: Pointer;
  readonly #memory: Uint8Array;
  readonly #computeStream: Pointer;
  readonly #runOptions: readonly Pointer[];

  constructor(device: OpenedDevice, context: StepContext, options: RigOptions) {
    const { model: name, buffers, bufferRows } = options;
    this.options = options;
    this.referencePath = modelPath(context, name);
    this.#path = options.path ?? this.referencePath;
    const { found, module } = device;
    this.driver = new TimedDriver(module.openDriver(changedOptions(found.options, options.providerOptions ?? {})));
    this.driver.isTiming = options.isTiming ?? true;
    this.#computeStream = this.driver.createStream();
    const before = this.driver.memory().freeBytes;
    const started = performance.now();
    this.#session = this.#open();
    this.secondsToOpen = (performance.now() - started) / 1000;
    this.freeBytes = { before, withSession: this.driver.memory().freeBytes };
    this.model = planOfModel(this.#path, describeSession(this.#session));
    this.slotRows = options.slotRows ?? rowsOfSlot(this.model, bufferRows);
    const slots = options.slots ?? buffers * Math.ceil(bufferRows / this.slotRows);
    const bytes = slotBytes(this.model, this.slotRows);
    const shared = new SharedArrayBuffer(bytes * slots);
    this.#memory = new Uint8Array(shared);
    this.slots = Array.from({ length: slots }, (_, slot) =>
      layOutSlot(this.model, this.slotRows, shared, slot * bytes),
    );
    fillSlots(this.slots, context.tiny);
    this.pinned = this.driver.pin(this.#memory);
    const runOptions = createRunOptions(runConfig);
    const settleOptions = createRunOptions();
    const shrinkOptions = createRunOptions({ 'memory.enable_memory_arena_shrinkage': this.driver.arenaName });
    this.#runOptions = [runOptions, settleOptions, shrinkOptions];
    this.scorer = new DeviceScorer({
      driver: this.driver,
      model: this.model,
      computeStream: this.#computeStream,
      runOptions,
      settleOptions,
      shrinkOptions,
      slots: this.slots,
      buffers,
      bufferRows,
      nowMs: () => performance.now(),
    });
    this.scorer.useSession(this.#session);
  }

  get session(): Pointer {
    return this.#session;
  }

  /** Rows of a buffer by the slots that they come from; each buffer has slots of its own where there are enough. */
  pieces(buffer: number, rowCount: number): CopiedRows[] {
    const perBuffer = Math.ceil(this.options.bufferRows / this.slotRows);
    const pieces: CopiedRows[] = [];
    for (let bufferRow = 0; bufferRow < rowCount; bufferRow += this.slotRows) {
      const slot = (buffer * perBuffer + pieces.length) % this.slots.length;
      pieces.push({ slot, slotRow: 0, bufferRow, rowCount: Math.min(this.slotRows, rowCount - bufferRow) });
    }
    return pieces;
  }

  /** Fills device buffers once, for runs on data that is there already. */
  fillBuffers(rowCount = this.options.bufferRows): void {
    for (let buffer = 0; buffer < this.options.buffers; buffer++) {
      for (const piece of this.pieces(buffer, rowCount)) this.scorer.copyIn(buffer, piece);
      this.scorer.score(buffer, [{ bufferRow: 0, rowCount: 1 }], []);
      this.scorer.block(buffer);
    }
  }

  /** Runs on what lies in a buffer, and waits. @throws GpuError */
  runOnce(buffer: number, rowCount: number, shrinksArena = false): void {
    this.scorer.score(buffer, [{ bufferRow: 0, rowCount }], [], shrinksArena);
    this.scorer.block(buffer);
  }

  renewSession(): void {
    this.scorer.leaveSession();
    closeSession(this.#session);
    this.#session = this.#open();
    this.scorer.useSession(this.#session);
  }

  close(): void {
    this.driver.settle();
    this.scorer.leaveSession();
    closeSession(this.#session);
    this.scorer.close();
    if (this.pinned) this.driver.unpin(this.#memory);
    this.driver.close();
    this.#runOptions.forEach(releaseRunOptions);
    closeEnvironment();
  }

  #open(): Pointer {
    return openSession(this.#path, {
      intraOpThreads: 1,
      configure: (sessionOptions) => {
        this.options.configure?.(sessionOptions);
        this.driver.configureSession(sessionOptions, this.#computeStream);
      },
    });
  }
}

export function modelPath({ data }: Pick<StepInput, 'data'>, name: ModelName): string {
  return join(data, 'models', name, 'model.onnx');
}

/** As the product cuts slots for a device. */
function rowsOfSlot(model: ModelPlan, bufferRows: number): number {
  const bytesPerRow = slotBytes(model, 64) / 64;
  const rows = Math.max(1, Math.min(bufferRows, Math.floor(deviceSlotBytes / bytesPerRow)));
  return rows < 64 ? rows : rows - (rows % 64);
}

/** Numbers in [-1, 1), tokens within the vocabulary; the same pattern everywhere, no two neighbouring rows alike. */
function fillSlots(slots: readonly Slot[], tiny: boolean): void {
  slots.forEach(({ inputs }, slot) => {
    for (const values of inputs as readonly NumberArray[]) {
      if (values instanceof BigInt64Array || values instanceof BigUint64Array) {
        const words = vocabulary(tiny);
        for (let index = 0; index < values.length; index++) values[index] = BigInt((index * 31 + slot) % words);
      } else {
        for (let index = 0; index < values.length; index++) {
          values[index] = (((index + slot) * 48_271) % 65_537) / 32_768.5 - 1;
        }
      }
    }
  });
}

/**
 * Scores of the first rows by the device and by ONNX Runtime's CPU provider.
 * @returns the largest difference, relative where scores are above 1
 * @throws Error when it is above `tolerance`
 */
export function checkAnswers(rig: Rig, rowCount: number, tolerance: number): number {
  const rows = Math.min(rowCount, rig.slotRows);
  const piece: CopiedRows = { slot: 0, slotRow: 0, bufferRow: 0, rowCount: rows };
  (rig.slots[0]!.outputs as NumberArray[]).forEach((values) => values.fill(NaN as never));
  rig.scorer.copyIn(0, piece);
  rig.scorer.score(0, [{ bufferRow: 0, rowCount: rows }], [piece]);
  rig.scorer.block(0);
  const expected = scoreOnCpu(rig, rows);
  let largest = 0;
  expected.forEach((values, output) => {
    const found = rig.slots[0]!.outputs[output] as NumberArray;
    for (let index = 0; index < values.length; index++) {
      const wanted = Number(values[index]);
      const difference = Math.abs(Number(found[index]) - wanted) / Math.max(1, Math.abs(wanted));
      // Also for NaN.
      if (!(difference <= largest)) largest = difference;
    }
  });
  if (!(largest <= tolerance)) {
    throw new Error(`Expected ${rig.options.model}'s scores to be the CPU's within ${tolerance}, got ${largest}.`);
  }
  return largest;
}

function scoreOnCpu({ model, slots, referencePath }: Rig, rows: number): readonly NumberArray[] {
  const session = openSession(referencePath, { intraOpThreads: availableParallelism() });
  const options = createRunOptions();
  const tensors = (layouts: readonly OutputLayout[], values: readonly NumberArray[]): BoundTensor[] =>
    layouts.map(({ name, elementType, width, rowShape }, index) => ({
      name,
      elementType,
      shape: [rows, ...rowShape],
      values: values[index]!.subarray(0, rows * width) as NumberArray,
    }));
  const found = model.outputs.map(({ width }) => new Float32Array(rows * width));
  const bound = new BoundRun(
    session,
    tensors(model.inputs, slots[0]!.inputs as NumberArray[]),
    tensors(model.outputs, found),
  );
  try {
    bound.run(options);
  } finally {
    bound.close();
    releaseRunOptions(options);
    closeSession(session);
  }
  return found;
}
