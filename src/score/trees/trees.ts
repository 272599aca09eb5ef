/**
 * Boosted trees and forests by kernels of our own: `readTrees` finds them in a model, `kernelForms` says in which ways
 * they can be scored, `ForestKernel` scores rows in one of them. Tables are written once and read by all threads.
 */
import { compileModule, instantiate, type KernelMemory, type WasmExports } from '../../engines/wasm.ts';
import type { TreesModel } from './read-trees.ts';
import { ScoreWriter } from './score-writer.ts';
import { slicedCode } from './sliced-code.ts';
import { layOutSliced, slicedLeavesMax, type SlicedLayout } from './sliced-layout.ts';
import { writeSlicedTables } from './sliced-tables.ts';
import { leavesOf, type Forest } from './forest.ts';

export { readTrees, type ModelColumn, type TreesModel, type TreesOutput } from './read-trees.ts';

/** One of the ways to score a forest. Which is the fastest depends on the forest: measure. */
export interface KernelForm {
  /** Rows are bits of vectors, every split splits all rows of a block at once. */
  readonly kind: 'sliced';
  /** Vectors of 128 rows in a block. */
  readonly vectorCount: number;
}

/** The forms that can score this forest; empty: none. */
export function kernelForms({ forest }: TreesModel): KernelForm[] {
  const leafCountMax = Math.max(...Array.from(forest.roots, (root) => leavesOf(forest, root).length));
  if (leafCountMax > slicedLeavesMax) return [];
  return [1, 2, 4].map((vectorCount) => ({ kind: 'sliced', vectorCount }));
}

/** For the log: `128 rows at a time, one bit each`. */
export function describeForm({ vectorCount }: KernelForm): string {
  return `${128 * vectorCount} rows at a time, one bit each`;
}

/** Bytes that all threads share. */
export function tableBytes({ forest }: TreesModel, form: KernelForm): number {
  return layOut(forest, form).tables.bytes;
}

/** Bytes that each thread has for itself: what {@link ForestKernel} takes of its memory. */
export function scratchBytes({ forest }: TreesModel, form: KernelForm): number {
  return layOut(forest, form).scratch.bytes;
}

/** @param at byte offset, a multiple of 64, of {@link tableBytes} bytes, which are zero */
export function writeTables({ forest }: TreesModel, form: KernelForm, buffer: SharedArrayBuffer, at: number): void {
  writeSlicedTables(forest, layOut(forest, form), buffer, at);
}

function layOut(forest: Forest, { vectorCount }: KernelForm): SlicedLayout {
  return layOutSliced(forest, vectorCount);
}

/** Scores rows of one thread. */
export class ForestKernel {
  readonly #layout: SlicedLayout;
  readonly #columns: Int32Array;
  readonly #exports: WasmExports;
  readonly #writer: ScoreWriter;

  /**
   * @param memory where the thread's own bytes are taken, and where columns and outputs lie
   * @param tables byte offset in the same memory of what {@link writeTables} wrote for this form
   */
  constructor(model: TreesModel, form: KernelForm, memory: KernelMemory, tables: number) {
    const { forest } = model;
    this.#layout = layOut(forest, form);
    const { buffer } = memory.memory;
    const scratch = memory.allocate(this.#layout.scratch.bytes);
    const code = slicedCode(forest, this.#layout, { scratch, tables });
    this.#exports = instantiate(compileModule(code), memory.memory);
    this.#columns = new Int32Array(buffer, scratch + this.#layout.scratch.columns, forest.columnCount);
    this.#writer = new ScoreWriter(model, this.#layout, buffer, scratch + this.#layout.scratch.sums);
  }

  /**
   * @param columns byte offset of each column of `TreesModel.columns`: row r at 4 * r (float32) or 8 * r (float64) from
   *   there
   * @param outputs byte offset of each of `TreesModel.outputs`: row-major, of its element type (bool takes a byte)
   */
  score(columns: readonly number[], outputs: readonly number[], rowCount: number): void {
    const { blockRows } = this.#layout;
    const scoreBlock = this.#exports['score']!;
    this.#columns.set(columns);
    for (let first = 0; first < rowCount; first += blockRows) {
      const count = Math.min(blockRows, rowCount - first);
      scoreBlock(first, count);
      this.#writer.write(outputs, first, count);
    }
  }
}

/**
 * Rows per second of a kernel on sample columns: the best of the runs that fit into `seconds`, at least two, since other
 * work on the machine only ever makes a run slower.
 */
export function measureKernel(
  kernel: ForestKernel,
  columns: readonly number[],
  outputs: readonly number[],
  rowCount: number,
  seconds: number,
  now: () => number = () => performance.now() / 1000,
): number {
  const start = now();
  let best = Infinity;
  for (let run = 0; run < 2 || now() - start < seconds; run++) {
    const before = now();
    kernel.score(columns, outputs, rowCount);
    best = Math.min(best, now() - before);
  }
  return rowCount / best;
}
