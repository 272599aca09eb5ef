/** What runs the model where a thread scores its own slot: ONNX Runtime, or the kernel that the plan has chosen. */
import type { Pointer } from '../engines/native.ts';
import { alignedBytes, kernelMemory, type SharedMemory } from '../engines/wasm.ts';
import type { Engines } from '../messages.ts';
import type { ModelPlan } from '../plan.ts';
import { KernelScorer } from '../score/kernels/kernel-scorer.ts';
import { writeKernelTables } from '../score/kernels/kernel.ts';
import { SplitScorer } from '../score/kernels/split-scorer.ts';
import { SlotScorer, type Slot } from '../score/scorer.ts';

/** Scores a slot in place: its inputs' first rows give its outputs' first rows. */
export interface InPlaceScorer {
  /** @throws BAD_MODEL when the model fails, STOPPED after a termination */
  score(rowCount: number): void;
  close(): void;
}

/** Bytes that the model's kernel takes for so many threads, behind everything else in the slots' memory. */
export function modelKernelBytes({ kernel }: Pick<ModelPlan, 'kernel'>, threads: number): number {
  if (kernel === undefined) return 0;
  return alignedBytes(kernel.tableBytes) + threads * alignedBytes(kernel.scratchBytes);
}

/** Once for all threads, before the first one scores. @param start where the kernel's bytes begin */
export function writeModelTables({ kernel }: Pick<Engines, 'kernel'>, { buffer }: SharedMemory, start: number): void {
  if (kernel !== undefined) writeKernelTables(kernel, buffer, start);
}

/** @param start as for {@link writeModelTables} */
export function openInPlaceScorer(
  model: ModelPlan,
  { session, kernel }: Engines,
  runOptions: Pointer,
  slot: Slot,
  place: { readonly memory: SharedMemory; readonly start: number; readonly threadIndex: number },
): InPlaceScorer {
  if (kernel === undefined) return new SlotScorer(model, session, runOptions, slot);
  const { memory, start, threadIndex } = place;
  const bytes = alignedBytes(model.kernel!.scratchBytes);
  const scratch = kernelMemory(memory, start + modelKernelBytes(model, threadIndex), bytes);
  if (model.rest === undefined) return new KernelScorer(kernel, scratch, start, slot);
  return new SplitScorer(model, kernel, scratch, start, session, runOptions, slot);
}
