/** What a thread runs on its own slots: ONNX Runtime, the kernel that the plan has chosen, or that before a GPU's part. */
import type { Pointer } from '../engines/native.ts';
import { alignedBytes, kernelMemory, type KernelMemory, type SharedMemory } from '../engines/wasm.ts';
import type { Engines } from '../messages.ts';
import type { ModelPlan } from '../plan.ts';
import { modelKernelBytes } from '../planning/kernel-bytes.ts';
import { KernelScorer } from '../score/kernels/kernel-scorer.ts';
import { writeKernelTables, type ModelKernel } from '../score/kernels/kernel.ts';
import { openPartScorers, SplitScorer } from '../score/kernels/split-scorer.ts';
import { SlotScorer, type Slot } from '../score/scorer.ts';

/** Scores a slot in place: its inputs' first rows give its outputs' first rows. */
export interface InPlaceScorer {
  /** @throws BAD_MODEL when the model fails, STOPPED after a termination */
  score(rowCount: number): void;
  close(): void;
}

/** Once for all threads, before the first one scores. @param start where the kernel's bytes begin */
export function writeModelTables({ kernel }: Pick<Engines, 'kernel'>, { buffer }: SharedMemory, start: number): void {
  if (kernel !== undefined) writeKernelTables(kernel, buffer, start);
}

/** Where a thread finds what its kernels need. */
export interface ScorerPlace {
  readonly memory: SharedMemory;
  /** As for {@link writeModelTables}. */
  readonly start: number;
  readonly threadIndex: number;
}

/** The inputs are the outputs. */
const nothingToRun: InPlaceScorer = { score: () => {}, close: () => {} };

export function openInPlaceScorer(
  model: ModelPlan,
  { session, kernel }: Engines,
  runOptions: Pointer,
  slot: Slot,
  place: ScorerPlace,
): InPlaceScorer {
  if (model.outputs.every(({ input }) => input !== undefined)) return nothingToRun;
  if (kernel === undefined) return new SlotScorer(model, session, runOptions, slot);
  const scratch = scratchOf(model, place);
  if (model.rest === undefined) return new KernelScorer(kernel, scratch, place.start, slot);
  return new SplitScorer(model, kernel, scratch, place.start, session, runOptions, slot);
}

/** What scores a part of the model on this thread before a GPU scores the rest, for each of its slots; empty: nothing. */
export function openThreadParts(
  model: ModelPlan,
  { kernel }: Pick<Engines, 'kernel'>,
  slots: readonly Slot[],
  place: ScorerPlace,
): readonly ModelKernel[] {
  return kernel === undefined ? [] : openPartScorers(model, kernel, scratchOf(model, place), place.start, slots);
}

function scratchOf(model: ModelPlan, { memory, start, threadIndex }: ScorerPlace): KernelMemory {
  const bytes = alignedBytes(model.kernel!.scratchBytes);
  return kernelMemory(memory, start + modelKernelBytes(model, threadIndex), bytes);
}
