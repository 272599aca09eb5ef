/** Scores a slot in place by a kernel: what {@link SlotScorer} does by ONNX Runtime. */
import type { NumberArray } from '../../batch.ts';
import type { KernelMemory } from '../../engines/wasm.ts';
import { bug } from '../../errors.ts';
import type { Slot } from '../scorer.ts';
import { createKernels, kernelRows, type KernelModel, type ModelKernel, type SlotPlaces } from './kernel.ts';

export class KernelScorer {
  readonly #kernel: ModelKernel;

  /**
   * @param slot its inputs in the order of columns, in the memory of `memory`
   * @param tables byte offset of the model's tables
   */
  constructor(model: KernelModel, memory: KernelMemory, tables: number, slot: Slot) {
    this.#kernel = createKernels(model, { memory, tables }, [placesOf(slot)])[0]!;
  }

  /** Scores the slot's first rows; its outputs then lie in the slot. */
  score(rowCount: number): void {
    this.#kernel.score(rowCount);
  }

  /** Nothing is held that the memory does not hold. */
  close(): void {}
}

/** @param slot of numbers, its inputs in the order of columns as far as a kernel reads them */
export function placesOf(slot: Slot): SlotPlaces {
  if (slot.rowCount % kernelRows !== 0) throw bug(`A kernel was given a slot of ${slot.rowCount} rows`);
  const columns = slot.inputs.map((values) => {
    const { byteOffset, length, BYTES_PER_ELEMENT } = values as NumberArray;
    const columnBytes = slot.rowCount * BYTES_PER_ELEMENT;
    return Array.from({ length: length / slot.rowCount }, (_, column) => byteOffset + column * columnBytes);
  });
  return { columns, outputs: slot.outputs.map((values) => (values as NumberArray).byteOffset) };
}
