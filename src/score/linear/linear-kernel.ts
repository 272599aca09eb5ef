/** Scores a linear model over columns of float32. */
import { compileModule, instantiate } from '../../engines/wasm.ts';
import type { KernelPlace, ModelKernel, SlotPlaces } from '../kernels/kernel.ts';
import { linearCode } from './linear-code.ts';
import { layOutLinear, linearTables } from './linear-layout.ts';
import type { LinearModel } from './linear-model.ts';

/** A linear model without addresses: all threads run the same code over the same tables. */
export interface CompiledLinear {
  readonly model: LinearModel;
  /** Of a module: writing it takes a thread longer than compiling it. */
  readonly code: Uint8Array<ArrayBuffer>;
  /** To be copied into the memory of the slots, once; no thread gets a copy of its own with the model. */
  readonly tables: Uint8Array<SharedArrayBuffer>;
  /** What {@link LinearKernel} takes of its thread's memory. */
  readonly scratchBytes: number;
}

export function compileLinear(model: LinearModel): CompiledLinear {
  const { scratch } = layOutLinear(model);
  return { model, code: linearCode(model), tables: linearTables(model), scratchBytes: scratch.bytes };
}

export class LinearKernel implements ModelKernel {
  readonly #score: (...values: number[]) => number;
  readonly #tables: number;
  readonly #scratch: number;
  readonly #outputs: readonly number[];

  /** @param place its tables are written; columns, outputs and scratch belong to the kernel's thread */
  constructor(
    { model, code, scratchBytes }: CompiledLinear,
    { memory, tables, columns, outputs }: KernelPlace & SlotPlaces,
  ) {
    this.#tables = tables;
    this.#scratch = memory.allocate(scratchBytes);
    this.#outputs = outputs;
    const addresses = new Int32Array(memory.memory.buffer, this.#scratch, model.columns.length);
    model.columns.forEach(({ input, column }, index) => {
      addresses[index] = columns[input]![column]!;
    });
    this.#score = instantiate(compileModule(code), memory.memory)['score']!;
  }

  score(rowCount: number): void {
    this.#score(rowCount, this.#tables, this.#scratch, ...this.#outputs);
  }
}
