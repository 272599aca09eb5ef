/** Which GPUs a run uses, and what lies on them. */
import { parseDevice, positionOf } from '../engines/cuda/device-names.ts';
import type { DriverModule, UsableDevice } from '../engines/cuda/driver.ts';
import { TandemError } from '../errors.ts';
import {
  deviceBatchRowsMax,
  deviceBufferShare,
  deviceBuffersDefault,
  deviceSlotBytes,
  slotsPerThreadMax,
  slotsPerThreadMin,
} from '../limits.ts';
import type { DeviceOptions, GpuMemory, Precision } from '../options.ts';
import type { DeviceProfile, MemoryLine, ModelPlan, PlannedDevice, Profile, UsedProfile } from '../plan.ts';
import { deviceBufferBytes } from '../score/device-buffer.ts';
import { kernelRows } from '../score/kernels/kernel.ts';
import { restModel } from '../score/kernels/model-rest.ts';
import { slotBytes } from '../score/scorer.ts';
import { placeOf } from '../place.ts';

/** Another module in place of CUDA's; the tests' software GPU comes this way. */
export const driverModuleVariable = 'TANDEM_GPU_DRIVER';

/** GPUs that were asked for, as their driver describes them. */
export interface ChosenDevices {
  readonly module: string;
  readonly found: readonly UsableDevice[];
  readonly onnxRuntimePath: string | undefined;
  /** Why `auto` took none, or why some were left out. */
  readonly notes: readonly string[];
  /** `auto`: rather the CPU than an error. */
  readonly mayDecline: boolean;
  /** They were counted up: a run without one of them is not what was asked for. */
  readonly areNamed: boolean;
}

/**
 * The devices that a text names: see {@link parseDevice}.
 * @throws USAGE for another text; ENVIRONMENT when `cuda` was asked for and cannot be used: it never falls back
 */
export async function chooseDevices(
  text: string,
  ortDir: string | undefined,
  environment: NodeJS.ProcessEnv,
  { precision = 'float32', gpuMemory }: Pick<DeviceOptions, 'precision' | 'gpuMemory'> = {},
): Promise<ChosenDevices> {
  const { kind, names } = parseDevice(text);
  checkGpuMemory(gpuMemory);
  const module = environment[driverModuleVariable] ?? placeOf('./engines/cuda/cuda-devices.js').href;
  const mayDecline = kind === 'auto';
  const none = { module, found: [], onnxRuntimePath: undefined, mayDecline, areNamed: false };
  if (kind === 'cpu') {
    expectFloat32(precision, 'the CPU');
    expectNoGpuMemory(gpuMemory);
    return { ...none, notes: [] };
  }
  try {
    const { devices, onnxRuntimePath } = ((await import(module)) as DriverModule).listDevices(ortDir, precision);
    if (devices.length === 0) throw new TandemError('ENVIRONMENT', 'Expected a GPU that this process sees, got none.');
    const found = names.length === 0 ? devices : pick(devices, names, environment['CUDA_VISIBLE_DEVICES']);
    // Their memory is looked at here, where `auto` can still do without them.
    for (const { freeBytes } of found) void freeBytes;
    return { module, found, onnxRuntimePath, notes: [], mayDecline, areNamed: names.length > 0 };
  } catch (error) {
    if (!(error instanceof TandemError)) throw error;
    if (!mayDecline) throw withDoctor(error);
    expectFloat32(precision, `the CPU, since no GPU can be used (${error.message})`);
    return { ...none, notes: [`Scoring on the CPU, since no GPU can be used. ${error.message}`] };
  }
}

/** One error names the first fault; doctor lists all. */
function withDoctor(error: TandemError): TandemError {
  if (error.code !== 'ENVIRONMENT') return error;
  const remedy = `${error.remedy === undefined ? '' : `${error.remedy} `}\`tandem doctor --device cuda\` lists all that is missing.`;
  return new TandemError(error.code, error.message, { place: error.place, remedy, cause: error.cause });
}

/** @throws USAGE: a CPU has no other way to multiply */
function expectFloat32(precision: Precision, where: string): void {
  if (precision === 'float32') return;
  throw new TandemError('USAGE', `Expected the precision to be float32 on ${where}, got \`${precision}\`.`, {
    remedy: 'TensorFloat-32 is a way of multiplying that GPUs have: add --device cuda, or leave --precision out.',
  });
}

/** @throws USAGE: whoever says what a run may hold of a GPU expects one */
function expectNoGpuMemory(gpuMemory: GpuMemory | undefined): void {
  if (gpuMemory === undefined) return;
  throw new TandemError('USAGE', 'Expected --gpu-memory to come with GPUs, got the CPU.', {
    remedy: 'Add --device cuda, or --device auto for GPUs where there are any; or leave --gpu-memory out.',
  });
}

/** @throws USAGE, for who calls it without TypeScript */
function checkGpuMemory(gpuMemory: GpuMemory | undefined): void {
  if (gpuMemory === undefined) return;
  const { bytes, share } = gpuMemory as { readonly bytes?: number; readonly share?: number };
  if (share === undefined ? Number(bytes) >= 1 : share > 0 && share <= 1) return;
  const got = JSON.stringify(gpuMemory);
  throw new TandemError('USAGE', `Expected gpuMemory to be { bytes } or { share } from 0 to 1, got \`${got}\`.`, {
    remedy: 'For example { bytes: 40 * 2 ** 30 }, or { share: 0.6 } for 60 % of each card.',
  });
}

/** In the order in which they are named, each once. */
function pick(
  visible: readonly UsableDevice[],
  names: readonly string[],
  variable: string | undefined,
): readonly UsableDevice[] {
  const found = names.map((name) => {
    const position = positionOf(name, visible);
    if (position !== undefined) return visible[position]!;
    const shown = visible.map(({ name, label, uuid }) => [`${name} (${label}`, ...(uuid === undefined ? [] : [uuid])]);
    const hidden = variable === undefined ? '' : ` CUDA_VISIBLE_DEVICES is \`${variable}\` and hides all others.`;
    const expected = /^\d+$/.test(name)
      ? `Expected GPU ${name} to be there, got ${visible.length === 1 ? 'one GPU, number 0' : `${visible.length} GPUs, counted from 0`}.`
      : `Expected ${name} to begin the UUID of exactly one of ${visible.length} GPUs.`;
    throw new TandemError('USAGE', expected, {
      remedy: `This process sees ${shown.map((parts) => `${parts.join(', ')})`).join(', ')}.${hidden}`,
    });
  });
  return [...new Set(found)];
}

/**
 * Rows of a slot that is handed to a device: of fixed bytes, so that a copy is worth its start, but no more than a batch,
 * which would wait for the rest.
 */
export function deviceSlotRows(bytesPerRow: number, devices: readonly Pick<PlannedDevice, 'bufferRows'>[]): number {
  const batchRows = Math.max(...devices.map((device) => device.bufferRows));
  const rows = Math.max(1, Math.min(batchRows, Math.floor(deviceSlotBytes / Math.max(1, bytesPerRow))));
  // Whole groups of 64 keep every tensor of the slot aligned.
  return rows < 64 ? rows : rows - (rows % 64);
}

/**
 * Slots of each thread: enough for two batches in all, no more bytes than the most slots of narrow rows take, and never
 * so few that a thread would wait for each.
 */
export function deviceSlotsPerThread(
  devices: readonly Pick<PlannedDevice, 'bufferRows'>[],
  slotRows: number,
  bytesPerRow: number,
  threads: number,
): number {
  const rows = devices.reduce((sum, device) => sum + device.bufferRows, 0);
  const wanted = 1 + Math.ceil((2 * rows) / (slotRows * threads));
  const byBytes = Math.floor((slotsPerThreadMax * deviceSlotBytes) / Math.max(1, slotRows * bytesPerRow));
  return Math.max(slotsPerThreadMin, Math.min(slotsPerThreadMax, byBytes, wanted));
}

/** Rows of a slot, and slots of each thread. */
export function deviceSlots(
  devices: readonly Pick<PlannedDevice, 'bufferRows'>[],
  bytesPerRow: number,
  threads: number,
): { readonly slotRows: number; readonly slots: number } {
  const slotRows = deviceSlotRows(bytesPerRow, devices);
  return { slotRows, slots: deviceSlotsPerThread(devices, slotRows, bytesPerRow, threads) };
}

/**
 * Slots for a thread whose slots may take so many bytes. What does not fit gets fewer slots, then smaller ones, and at
 * last a single one, of a single row, for which the thread then waits: whether that fits is for the caller to see. Where
 * a kernel scores in the slot, it holds whole blocks of rows.
 * @param wanted as {@link deviceSlots} has them
 */
export function fitDeviceSlots(
  wanted: { readonly slotRows: number; readonly slots: number },
  model: Pick<ModelPlan, 'inputs' | 'outputs' | 'kernel'>,
  bytesMax: number,
): { readonly slotRows: number; readonly slots: number } {
  const rowsMin = model.kernel === undefined ? 1 : kernelRows;
  let slotRows = Math.ceil(wanted.slotRows / rowsMin) * rowsMin;
  let { slots } = wanted;
  const isTooMuch = (): boolean => slots * slotBytes(model, slotRows) > bytesMax;
  while (isTooMuch() && slots > slotsPerThreadMin) slots--;
  while (isTooMuch() && slotRows > rowsMin) slotRows = Math.floor(slotRows / 2 / rowsMin) * rowsMin;
  while (isTooMuch() && slots > 1) slots--;
  return { slotRows, slots };
}

/** What lies on the devices. */
export function deviceMemory(
  devices: readonly PlannedDevice[],
  model: Pick<ModelPlan, 'inputs' | 'outputs' | 'rest'>,
): MemoryLine[] {
  return devices.map(({ name, buffers, bufferRows }) => ({
    what: `${name}: buffers of input and output tensors`,
    where: 'device',
    count: buffers,
    bytesEach: deviceBufferBytes(restModel(model), bufferRows),
  }));
}

/**
 * The chosen GPUs that can take the model: without those that cannot, unless they were asked for by name, and none where
 * `auto` chose and none can.
 * @throws what {@link planDevices} throws of the first one where none can, or one that was asked for cannot
 */
export function fitDevices(
  chosen: ChosenDevices,
  model: ModelPlan,
  batchSize: number | undefined,
  gpuMemory: GpuMemory | undefined,
): ChosenDevices {
  const refusals = chosen.found.flatMap((device): readonly { device: UsableDevice; error: TandemError }[] => {
    try {
      planDevices({ ...chosen, found: [device] }, model, batchSize, gpuMemory);
      return [];
    } catch (error) {
      if (!(error instanceof TandemError)) throw error;
      return [{ device, error }];
    }
  });
  const [first] = refusals;
  if (first === undefined) return chosen;
  if (refusals.length === chosen.found.length) {
    if (!chosen.mayDecline) throw first.error;
    return { ...chosen, found: [], notes: [...chosen.notes, `Scoring on the CPU. ${first.error.message}`] };
  }
  if (chosen.areNamed) throw first.error;
  const found = chosen.found.filter((device) => !refusals.some((refusal) => refusal.device === device));
  const notes = refusals.map(({ device, error }) => `Scoring without ${device.name}. ${error.message}`);
  return { ...chosen, found, notes: [...chosen.notes, ...notes] };
}

/**
 * Device buffers for each GPU.
 * @throws BAD_MODEL for tensors that cannot lie on a GPU; MEMORY when the asked batch size does not fit
 */
export function planDevices(
  chosen: ChosenDevices,
  model: ModelPlan,
  batchSize: number | undefined,
  gpuMemory: GpuMemory | undefined,
  profiles: readonly (UsedProfile | undefined)[] = [],
): PlannedDevice[] {
  if (chosen.found.length === 0) return [];
  const onDevice = restModel(model);
  expectDeviceTensors(onDevice);
  return chosen.found.map((device, index) => {
    const memoryBudgetBytes = gpuMemory === undefined ? undefined : budgetOf(device, gpuMemory);
    const bytesMax = Math.min(device.freeBytes, memoryBudgetBytes ?? Infinity) * deviceBufferShare;
    const bytesOf = (rows: number): number => deviceBuffersDefault * deviceBufferBytes(onDevice, rows);
    let rows = batchSize ?? deviceBatchRowsMax;
    while (batchSize === undefined && rows > 1 && bytesOf(rows) > bytesMax) rows = Math.floor(rows / 2);
    if (bytesOf(rows) > bytesMax) {
      throw new TandemError(
        'MEMORY',
        `Expected ${deviceBuffersDefault} buffers of ${rows === 1 ? 'one row' : `${rows} rows`} to fit into a quarter of what may be used of ${device.name}, ` +
          `got a need of ${Math.ceil(bytesOf(rows) / 2 ** 20)} MiB of ${Math.floor(bytesMax / 2 ** 20)} MiB.`,
        { remedy: rows > 1 && model.fixedBatchRows === undefined ? smallerBatch : smallerModel },
      );
    }
    const { name, label, options } = device;
    const driver = { module: chosen.module, options };
    return {
      name,
      label,
      driver,
      buffers: deviceBuffersDefault,
      bufferRows: rows,
      fixedBatchSize: batchSize,
      memoryBudgetBytes,
      profile: startOf(profiles[index]?.profile),
    };
  });
}

function budgetOf({ name, totalBytes, freeBytes }: UsableDevice, gpuMemory: GpuMemory): number {
  const bytes = 'bytes' in gpuMemory ? gpuMemory.bytes : Math.floor(gpuMemory.share * totalBytes);
  if (bytes <= freeBytes) return bytes;
  const [asked, free, total] = [bytes, freeBytes, totalBytes].map((each) => `${Math.floor(each / 2 ** 20)} MiB`);
  const less = `Promise ${free} at most (--gpu-memory)`;
  throw new TandemError('MEMORY', `Expected ${asked} of ${name} to be free, got ${free} of ${total}.`, {
    remedy: bytes > totalBytes ? `${less}.` : `${less}, or free memory there: other processes hold it.`,
  });
}

const smallerBatch = 'Choose a smaller --batch-size, or leave it out.';
const smallerModel =
  'Free memory on the device (other processes use it too), score with --device cpu, or export the model with smaller inputs and outputs.';

function startOf(profile: Profile | undefined): DeviceProfile | undefined {
  if (profile?.memory === undefined) return undefined;
  return { rows: profile.batchSize, rowsPerSecond: profile.rowsPerSecond, ...profile.memory };
}

function expectDeviceTensors(model: ModelPlan): void {
  const text = [...model.inputs, ...model.outputs].find((tensor) => tensor.elementType === 'string');
  if (text === undefined) return;
  throw new TandemError(
    'BAD_MODEL',
    `Expected every tensor to have a fixed width for the GPU, got ${text.name}, which holds strings.`,
    {
      remedy:
        'Score it with --device cpu, or export the model without it ("outputs" in tandem.json leaves outputs out).',
    },
  );
}
