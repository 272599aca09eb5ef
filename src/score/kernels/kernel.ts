/** Kernels that score a whole model in place of ONNX Runtime, over columns of float32. One switch for all kinds. */
import type { TensorLayout } from '../../batch.ts';
import type { WeightedGraph } from '../../engines/onnxruntime/model-weights.ts';
import type { KernelMemory } from '../../engines/wasm.ts';
import type { OutputLayout } from '../../plan.ts';
import { linearCode } from '../linear/linear-code.ts';
import { LinearKernel } from '../linear/linear-kernel.ts';
import { blockRows, layOutLinear, writeLinearTables } from '../linear/linear-layout.ts';
import { readLinear, type LinearModel } from '../linear/linear-model.ts';

/**
 * A model that a kernel scores, as it crosses threads: structured-cloneable, without addresses. Code is written once:
 * that takes a thread longer than compiling it.
 */
export interface KernelModel {
  readonly kind: 'linear';
  readonly model: LinearModel;
  readonly code: Uint8Array<ArrayBuffer>;
}

/** Where a thread's kernel finds and leaves everything: byte offsets in the slots' memory. */
export interface KernelPlace {
  /** For what the kernel needs for itself; its memory is the one that all offsets are of. */
  readonly memory: KernelMemory;
  /** Of the model's tables, which all threads share. */
  readonly tables: number;
  /** Of each column of each input; the rows follow one another, and more up to a multiple of {@link kernelRows}. */
  readonly columns: readonly (readonly number[])[];
  /** Of each output, row-major, with room for as many rows. */
  readonly outputs: readonly number[];
}

/** A thread's kernel. */
export interface ModelKernel {
  /** Scores rows 0 to rowCount - 1 of the columns; the outputs' rows up to the next multiple of {@link kernelRows} are overwritten. */
  score(rowCount: number): void;
}

/** Columns and outputs have room for a multiple of so many rows: kernels work on whole blocks. */
export const kernelRows = 32;
if (kernelRows % blockRows !== 0) throw new RangeError('Blocks of rows would be cut. This is a bug.');

/** @returns the model, or in words why ONNX Runtime has to score it */
export function readKernelModel(
  graph: WeightedGraph,
  inputs: readonly TensorLayout[],
  outputs: readonly OutputLayout[],
): KernelModel | string {
  const model = readLinear(graph, inputs, outputs);
  return typeof model === 'string' ? model : { kind: 'linear', model, code: linearCode(model) };
}

export function createKernel({ model, code }: KernelModel, place: KernelPlace): ModelKernel {
  return new LinearKernel(model, code, place);
}

/** Bytes of the tables, and of what each thread's kernel allocates. */
export function kernelSizes({ model }: KernelModel): { readonly tableBytes: number; readonly scratchBytes: number } {
  const { tableBytes, scratch } = layOutLinear(model);
  return { tableBytes, scratchBytes: scratch.bytes };
}

/** @param start byte offset of the tables, a multiple of 64 */
export function writeKernelTables({ model }: KernelModel, buffer: SharedArrayBuffer, start: number): void {
  writeLinearTables(model, buffer, start);
}

/** `linear: 32 columns to 1 target, 16 rows at once` */
export function kernelWords({ model }: KernelModel): string {
  const { columns, targetCount } = model;
  const targets = targetCount === 1 ? '1 target' : `${targetCount} targets`;
  return `linear: ${columns.length} columns to ${targets}, ${blockRows} rows at once`;
}
