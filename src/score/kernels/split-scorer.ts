/** Scores a slot in place in two steps: a kernel its part of the model, then ONNX Runtime the rest. */
import type { Pointer } from '../../engines/native.ts';
import type { KernelMemory } from '../../engines/wasm.ts';
import type { ModelPlan } from '../../plan.ts';
import { SlotScorer, type Slot } from '../scorer.ts';
import { KernelScorer } from './kernel-scorer.ts';
import type { KernelModel } from './kernel.ts';

export class SplitScorer {
  readonly #kernel: KernelScorer;
  readonly #rest: SlotScorer;

  /**
   * @param model as `splitModel` gives it
   * @param tables as for {@link KernelScorer}, and the slot lies where it is to lie for one
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
    const { rest = [] } = model;
    const given = slot.inputs.filter((_, index) => model.inputs[index]!.features.length === 0);
    this.#kernel = new KernelScorer(kernel, memory, tables, { ...slot, outputs: given });
    const isRead = ({ name, order }: ModelPlan['inputs'][number]): boolean =>
      order !== 'columns' && rest.includes(name);
    const read = { ...model, inputs: model.inputs.filter(isRead) };
    const inputs = slot.inputs.filter((_, index) => isRead(model.inputs[index]!));
    // The outputs' own array: strings are put into it.
    this.#rest = new SlotScorer(read, session, runOptions, { rowCount: slot.rowCount, inputs, outputs: slot.outputs });
  }

  /** Scores the slot's first rows; its outputs then lie in the slot. @throws as {@link SlotScorer.score} */
  score(rowCount: number): void {
    this.#kernel.score(rowCount);
    this.#rest.score(rowCount);
  }

  close(): void {
    this.#rest.close();
  }
}
