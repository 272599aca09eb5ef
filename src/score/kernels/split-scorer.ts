/** Scores a slot in two steps: a kernel its part of the model, then ONNX Runtime the rest, in place or on a GPU. */
import type { Pointer } from '../../engines/native.ts';
import type { KernelMemory } from '../../engines/wasm.ts';
import type { ModelPlan } from '../../plan.ts';
import { SlotScorer, type Slot } from '../scorer.ts';
import { placesOf } from './kernel-scorer.ts';
import { createKernels, type KernelModel, type ModelKernel } from './kernel.ts';
import { restModel, restSlot } from './model-rest.ts';

/**
 * The first step, for each of these slots: it puts into them what the rest reads. They share one kernel's memory.
 * @param model as `splitModel` gives it
 * @param tables byte offset of the kernel's tables
 * @param slots in the memory of `memory`, of whole blocks of `kernelRows`
 */
export function openPartScorers(
  model: ModelPlan,
  kernel: KernelModel,
  memory: KernelMemory,
  tables: number,
  slots: readonly Slot[],
): readonly ModelKernel[] {
  const places = slots.map((slot) => {
    const given = slot.inputs.filter((_, index) => model.inputs[index]!.features.length === 0);
    return placesOf({ ...slot, outputs: given });
  });
  return createKernels(kernel, { memory, tables }, places);
}

/** Both steps in place. */
export class SplitScorer {
  readonly #part: ModelKernel;
  readonly #rest: SlotScorer;

  /**
   * @param model, tables as for {@link openPartScorers}, and the slot lies where it is to lie for that
   * @param session of the model that is left
   */
  constructor(
    model: ModelPlan,
    kernel: KernelModel,
    memory: KernelMemory,
    tables: number,
    session: Pointer,
    runOptions: Pointer,
    slot: Slot,
  ) {
    this.#part = openPartScorers(model, kernel, memory, tables, [slot])[0]!;
    this.#rest = new SlotScorer(restModel(model), session, runOptions, restSlot(model, slot));
  }

  /** Scores the slot's first rows; its outputs then lie in the slot. @throws as {@link SlotScorer.score} */
  score(rowCount: number): void {
    this.#part.score(rowCount);
    this.#rest.score(rowCount);
  }

  close(): void {
    this.#rest.close();
  }
}
