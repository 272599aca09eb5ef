/**
 * Boosted trees and forests by kernels of our own: `readTrees` finds them in a model, `kernelForms` says in which ways
 * they can be scored, `compileForest` makes plain data of one of these ways, which crosses threads, and `ForestKernel`
 * scores rows with it.
 */
import { compileModule, instantiate, type KernelMemory, type WasmExports } from '../../engines/wasm.ts';
import { slicedColumnsMax, slicedLeavesMax, walkedLeavesLikely, walkedLeavesMin } from '../../limits.ts';
import { leavesOf, type Forest, type NumberType } from './forest.ts';
import type { TreesModel } from './read-trees.ts';
import { ScoreWriter, type SumLayout } from './score-writer.ts';
import { slicedCode } from './sliced-code.ts';
import { layOutSliced } from './sliced-layout.ts';
import { slicedTables } from './sliced-tables.ts';
import { walkCode } from './walk-code.ts';
import { layOutWalk, refusesWalk, walkTables } from './walk-layout.ts';

export { readTrees, type ModelColumn, type TreesModel, type TreesOutput } from './read-trees.ts';

/** One of the ways to score a forest. Which is the fastest depends on the forest: measure. */
export type KernelForm =
  /** Rows are bits of vectors, 128 in each; every split splits all rows of a block at once. */
  | { readonly kind: 'sliced'; readonly vectorCount: number }
  /** Rows go from node to node. */
  | { readonly kind: 'walk' };

/** A forest in one form, without addresses: all threads run the same code over the same tables. */
export interface CompiledForest extends Omit<TreesModel, 'forest'> {
  readonly form: KernelForm;
  /** Of the columns that the kernel reads. */
  readonly columnType: NumberType;
  readonly treeCount: number;
  /** Of a module. */
  readonly code: Uint8Array<ArrayBuffer>;
  /** To be copied into the memory of the slots, once; no thread gets a copy of its own with the model. */
  readonly tables: Uint8Array<SharedArrayBuffer>;
  /** What {@link ForestKernel} takes of its thread's memory. */
  readonly scratchBytes: number;
  /** Offsets in the scratch. */
  readonly columnsAt: number;
  readonly sumsAt: number;
  readonly sums: SumLayout;
}

/** The forms that can score this forest, the one that is mostly the fastest first; empty: none. */
export function kernelForms({ forest }: TreesModel): KernelForm[] {
  const leafCountMax = Math.max(...Array.from(forest.roots, (root) => leavesOf(forest, root).length));
  const sliced = [2, 1, 4].map((vectorCount) => ({ kind: 'sliced', vectorCount }) as const);
  const walks = refusesWalk(forest) === undefined && leafCountMax >= walkedLeavesMin;
  const forms = leafCountMax > slicedLeavesMax || forest.columnCount > slicedColumnsMax ? [] : sliced;
  if (!walks) return forms;
  return leafCountMax < walkedLeavesLikely ? [...forms, { kind: 'walk' }] : [{ kind: 'walk' }, ...forms];
}

/** For the log: `100 trees, 256 rows at once`, or `100 trees, walked`. */
export function describeForest({ treeCount, form, sums }: CompiledForest): string {
  const trees = treeCount === 1 ? '1 tree' : `${treeCount} trees`;
  return form.kind === 'walk' ? `${trees}, walked` : `${trees}, ${sums.blockRows} rows at once`;
}

export function compileForest({ forest, ...model }: TreesModel, form: KernelForm): CompiledForest {
  const kernel = form.kind === 'walk' ? walkKernel(forest) : slicedKernel(forest, form.vectorCount);
  const { blockRows, hasOneTarget, sumWidth, scratch } = kernel.layout;
  return {
    ...model,
    form,
    columnType: forest.columnType,
    treeCount: forest.roots.length,
    code: kernel.code,
    tables: kernel.tables,
    scratchBytes: scratch.bytes,
    columnsAt: scratch.columns,
    sumsAt: scratch.sums,
    sums: { blockRows, hasOneTarget, sumWidth },
  };
}

function slicedKernel(forest: Forest, vectorCount: number) {
  const layout = layOutSliced(forest, vectorCount);
  return { layout, code: slicedCode(forest, layout), tables: slicedTables(forest, layout) };
}

function walkKernel(forest: Forest) {
  const layout = layOutWalk(forest);
  return { layout, code: walkCode(forest, layout), tables: walkTables(forest, layout) };
}

/** Scores rows of one thread. */
export class ForestKernel {
  readonly #blockRows: number;
  readonly #columns: Int32Array;
  readonly #scratch: number;
  readonly #tables: number;
  readonly #score: WasmExports[string];
  readonly #writer: ScoreWriter;

  /**
   * @param memory where the thread's own bytes are taken, and where columns and outputs lie
   * @param tables byte offset in the same memory of a copy of the forest's tables, a multiple of 64
   */
  constructor(forest: CompiledForest, memory: KernelMemory, tables: number) {
    const { buffer } = memory.memory;
    this.#blockRows = forest.sums.blockRows;
    this.#scratch = memory.allocate(forest.scratchBytes);
    this.#tables = tables;
    this.#score = instantiate(compileModule(forest.code), memory.memory)['score']!;
    this.#columns = new Int32Array(buffer, this.#scratch + forest.columnsAt, forest.columns.length);
    this.#writer = new ScoreWriter(forest, buffer, this.#scratch + forest.sumsAt);
  }

  /**
   * @param columns byte offset of each of the forest's columns: row r at 4 * r (float32) or 8 * r (float64) from there
   * @param outputs byte offset of each output: row-major, of its element type (bool takes a byte); rows from `rowCount`
   *   on stay as they are
   */
  score(columns: readonly number[], outputs: readonly number[], rowCount: number): void {
    this.#columns.set(columns);
    for (let first = 0; first < rowCount; first += this.#blockRows) {
      const count = Math.min(this.#blockRows, rowCount - first);
      this.#score(this.#scratch, this.#tables, first, count);
      this.#writer.write(outputs, first, count);
    }
  }
}
