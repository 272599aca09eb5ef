/** Scores a linear model over columns of float32. */
import { compileModule, instantiate } from '../../engines/wasm.ts';
import type { KernelPlace, ModelKernel } from '../kernels/kernel.ts';
import { layOutLinear } from './linear-layout.ts';
import type { LinearModel } from './linear-model.ts';

export class LinearKernel implements ModelKernel {
  readonly #score: (...values: number[]) => number;
  readonly #tables: number;
  readonly #scratch: number;
  readonly #outputs: readonly number[];

  /**
   * @param code what `linearCode` gives
   * @param place its tables are written; columns, outputs and scratch belong to the kernel's thread
   */
  constructor(model: LinearModel, code: Uint8Array<ArrayBuffer>, { memory, tables, columns, outputs }: KernelPlace) {
    this.#tables = tables;
    this.#scratch = memory.allocate(layOutLinear(model).scratch.bytes);
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
