/** Slots of the threads of `scoreBatches` where devices score them. */
import { createSharedMemory, pageBytes } from '../engines/wasm.ts';
import { TandemError } from '../errors.ts';
import { memoryShare, wasmPagesMax } from '../limits.ts';
import { memoryBound } from '../machine.ts';
import type { BatchHandOver } from '../messages.ts';
import type { ModelPlan, PlannedDevice } from '../plan.ts';
import { slotBytes } from '../score/scorer.ts';
import { createSlotQueues } from '../transfer/slot-queue.ts';
import { deviceSlots, fitDeviceSlots } from './devices.ts';
import { kernelBytes, modelKernelBytes, sharedBytes } from './kernel-bytes.ts';

/**
 * Slots and queues for so many threads, and the rows of a slot.
 * @throws MEMORY when slots of a single row do not fit
 */
export function planBatchSlots(
  devices: readonly PlannedDevice[],
  model: ModelPlan,
  threads: number,
): { readonly slotRows: number; readonly handOver: BatchHandOver } {
  const ofKernels = threads * kernelBytes(model) + modelKernelBytes(model, threads);
  const bytesMax = Math.min(wasmPagesMax * pageBytes, memoryBound(memoryShare).value) - ofKernels;
  const { slotRows, slots: slotsPerThread } = fitBatchSlots(devices, model, threads, bytesMax);
  const slotCount = threads * slotsPerThread;
  const slots = createSharedMemory(sharedBytes(model, slotRows, slotCount, threads) + modelKernelBytes(model, threads));
  // Threads start with their first batch, and some never do.
  const queues = createSlotQueues(slotCount, threads, devices.length, threads);
  return { slotRows, handOver: { slots, slotsPerThread, queues } };
}

/** Within so many bytes for all threads, whose number is given. @throws MEMORY when slots of a single row do not fit */
export function fitBatchSlots(
  devices: readonly PlannedDevice[],
  model: Pick<ModelPlan, 'inputs' | 'outputs' | 'kernel'>,
  threads: number,
  bytesMax: number,
): { readonly slotRows: number; readonly slots: number } {
  const wanted = deviceSlots(devices, slotBytes(model, 64) / 64, threads);
  const fitted = fitDeviceSlots(wanted, model, bytesMax / threads);
  if (threads * fitted.slots * slotBytes(model, fitted.slotRows) <= bytesMax) return fitted;
  const [need, may] = [threads * slotBytes(model, 1), bytesMax].map((bytes) => Math.floor(bytes / 2 ** 20));
  throw new TandemError(
    'MEMORY',
    `Expected a slot of one row for each of ${threads} threads to fit into ${may} MiB, got a need of ${need} MiB.`,
    { remedy: 'Choose fewer threads, or export the model with smaller inputs and outputs.' },
  );
}
