/** Memory of each thread for kernels, a stretch behind the slots of all threads. */
import { readTensors } from '../batch.ts';
import { alignedBytes, kernelMemory, type KernelMemory, type SharedMemory } from '../engines/wasm.ts';
import { featurizerBytes, requestsOf } from '../featurize/featurizer.ts';
import type { ModelPlan } from '../plan.ts';
import { vectorPlaceBytes } from '../read/vector-places.ts';
import { slotBytes } from '../score/scorer.ts';

/** Bytes of one thread: what it reads into them, and what its kernels keep there. */
export function kernelBytes({ inputs }: Pick<ModelPlan, 'inputs'>): number {
  const ofTensors = inputs.map(featurizerBytes);
  return ofTensors.reduce((sum, bytes) => sum + bytes, vectorPlaceBytes(readTensors(inputs).flatMap(requestsOf)));
}

/** Bytes of the memory that holds so many slots, and kernels for so many threads. */
export function sharedBytes(
  model: Pick<ModelPlan, 'inputs' | 'outputs'>,
  slotRows: number,
  slotCount: number,
  threads: number,
): number {
  return slotCount * slotBytes(model, slotRows) + threads * kernelBytes(model);
}

/** A thread's stretch of the memory that is as large as {@link sharedBytes} says. */
export function threadKernels(
  memory: SharedMemory,
  model: Pick<ModelPlan, 'inputs' | 'outputs'>,
  slotRows: number,
  slotCount: number,
  threadIndex: number,
): KernelMemory {
  return kernelMemory(memory, sharedBytes(model, slotRows, slotCount, threadIndex), kernelBytes(model));
}

/** Bytes that the model's kernel takes for so many threads, behind everything else in the slots' memory. */
export function modelKernelBytes({ kernel }: Pick<ModelPlan, 'kernel'>, threads: number): number {
  if (kernel === undefined) return 0;
  return alignedBytes(kernel.tableBytes) + threads * alignedBytes(kernel.scratchBytes);
}
