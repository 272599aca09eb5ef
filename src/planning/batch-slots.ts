/** Slots of the threads of `scoreBatches` where devices score them. */
import { createSharedMemory, pageBytes } from '../engines/wasm.ts';
import { TandemError } from '../errors.ts';
import { memoryShare, slotsPerThreadMin, wasmPagesMax } from '../limits.ts';
import { memoryBound } from '../machine.ts';
import type { BatchHandOver } from '../messages.ts';
import type { ModelPlan, PlannedDevice } from '../plan.ts';
import { slotBytes } from '../score/scorer.ts';
import { createSlotQueues } from '../transfer/slot-queue.ts';
import { deviceSlots } from './devices.ts';

/**
 * Slots and queues for so many threads, and the rows of a slot.
 * @throws MEMORY when slots of a single row do not fit
 */
export function planBatchSlots(
  devices: readonly PlannedDevice[],
  model: ModelPlan,
  threads: number,
): { readonly slotRows: number; readonly handOver: BatchHandOver } {
  const bytesMax = Math.min(wasmPagesMax * pageBytes, memoryBound(memoryShare).value);
  const { slotRows, slots: slotsPerThread } = fitBatchSlots(devices, model, threads, bytesMax);
  const slotCount = threads * slotsPerThread;
  const slots = createSharedMemory(slotCount * slotBytes(model, slotRows));
  const queues = createSlotQueues(slotCount, threads, devices.length);
  return { slotRows, handOver: { slots, slotsPerThread, queues } };
}

/**
 * As a run over shards has them. Here the number of threads is given, so what does not fit gets fewer slots, then smaller
 * ones, and at last one for each thread, which then waits for each.
 */
export function fitBatchSlots(
  devices: readonly PlannedDevice[],
  model: Pick<ModelPlan, 'inputs' | 'outputs'>,
  threads: number,
  bytesMax: number,
): { readonly slotRows: number; readonly slots: number } {
  let { slotRows, slots } = deviceSlots(devices, slotBytes(model, 64) / 64, threads);
  const isTooMuch = (): boolean => threads * slots * slotBytes(model, slotRows) > bytesMax;
  while (isTooMuch() && slots > slotsPerThreadMin) slots--;
  while (isTooMuch() && slotRows > 1) slotRows = Math.floor(slotRows / 2);
  while (isTooMuch() && slots > 1) slots--;
  if (!isTooMuch()) return { slotRows, slots };
  const [need, may] = [threads * slotBytes(model, 1), bytesMax].map((bytes) => Math.floor(bytes / 2 ** 20));
  throw new TandemError(
    'MEMORY',
    `Expected a slot of one row for each of ${threads} threads to fit into ${may} MiB, got a need of ${need} MiB.`,
    { remedy: 'Choose fewer threads, or export the model with smaller inputs and outputs.' },
  );
}
