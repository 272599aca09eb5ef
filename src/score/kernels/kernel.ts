/** Kernels that score a whole model in place of ONNX Runtime, over columns of numbers. One switch for all kinds. */
import type { ElementType } from '../../contract/contract.ts';
import type { WeightedGraph } from '../../engines/onnxruntime/model-weights.ts';
import type { KernelMemory } from '../../engines/wasm.ts';
import type { KernelOptions } from '../../options.ts';
import type { TensorLayout } from '../../batch.ts';
import type { OutputLayout } from '../../plan.ts';
import { compileLinear, LinearKernel, type CompiledLinear } from '../linear/linear-kernel.ts';
import { blockRows } from '../linear/linear-layout.ts';
import { readLinear } from '../linear/linear-model.ts';
import { ensembleOperators } from '../trees/read-ensemble.ts';
import {
  compileForest,
  describeForest,
  ForestKernel,
  kernelForms,
  readTrees,
  type CompiledForest,
} from '../trees/trees.ts';

/** A model that a kernel scores, as it crosses threads: structured-cloneable, without addresses. */
export type KernelModel =
  | { readonly kind: 'linear'; readonly compiled: CompiledLinear }
  | {
      readonly kind: 'trees';
      readonly compiled: CompiledForest;
      /** Position in the plan's inputs, and within a row, of each of the forest's columns. */
      readonly columns: readonly { readonly input: number; readonly column: number }[];
    };

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
  /** Scores rows 0 to rowCount - 1 of the columns; the outputs' rows up to the next multiple of {@link kernelRows} may change too. */
  score(rowCount: number): void;
}

/** Columns and outputs have room for a multiple of so many rows: kernels work on whole blocks. */
export const kernelRows = 32;
if (kernelRows % blockRows !== 0) throw new RangeError('Blocks of rows would be cut. This is a bug.');

/**
 * @param formsMax ways that are tried, the likeliest first: compiling one takes time
 * @returns ways to score the model, at least one, or in words why ONNX Runtime has to
 */
export function readKernelModels(
  graph: WeightedGraph,
  inputs: readonly TensorLayout[],
  outputs: readonly OutputLayout[],
  { trees = 'auto' }: KernelOptions,
  formsMax: number,
): readonly KernelModel[] | string {
  const hasTrees = graph.nodes.some(({ operator }) => ensembleOperators.some((name) => name === operator));
  if (hasTrees) return trees === 'auto' ? readForests(graph, inputs, outputs, formsMax) : 'as asked for';
  const model = readLinear(graph, inputs, outputs);
  return typeof model === 'string' ? model : [{ kind: 'linear', compiled: compileLinear(model) }];
}

function readForests(
  graph: WeightedGraph,
  inputs: readonly TensorLayout[],
  outputs: readonly OutputLayout[],
  formsMax: number,
): readonly KernelModel[] | string {
  const names = outputs.map(({ name }) => name);
  const model = readTrees(graph, inputs, names);
  if (typeof model === 'string') return model;
  const text = inputs.find(({ elementType }) => elementType === 'string');
  if (text !== undefined) return `input ${text.name} holds strings`;
  const { columnType } = model.forest;
  const other = model.columns.find(({ input }) => typeOf(inputs, input) !== columnType);
  if (other !== undefined)
    return `input ${other.input} is ${typeOf(inputs, other.input)}, and kernels read float32 and float64`;
  const unlike = outputs.find(({ elementType, width }, index) => {
    const given = model.outputs[index]!;
    return given.elementType !== elementType || product(given.rowShape) !== width || elementType === 'string';
  });
  if (unlike !== undefined) return `output ${unlike.name} is ${unlike.elementType} of ${unlike.width} values`;
  const columns = model.columns.map(({ input, element }) => ({
    input: inputs.findIndex(({ name }) => name === input),
    column: element,
  }));
  const forms = kernelForms(model).slice(0, formsMax);
  if (forms.length === 0) return 'its trees have more leaves, or columns, than kernels take';
  return forms.map((form) => ({ kind: 'trees', compiled: compileForest(model, form), columns }));
}

function typeOf(inputs: readonly TensorLayout[], name: string): ElementType | undefined {
  return inputs.find((input) => input.name === name)?.elementType;
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1);
}

export function createKernel(model: KernelModel, place: KernelPlace): ModelKernel {
  if (model.kind === 'linear') return new LinearKernel(model.compiled, place);
  const forest = new ForestKernel(model.compiled, place.memory, place.tables);
  const columns = model.columns.map(({ input, column }) => place.columns[input]![column]!);
  return { score: (rowCount) => forest.score(columns, place.outputs, rowCount) };
}

/** Bytes of the tables, and of what each thread's kernel allocates. */
export function kernelSizes({ compiled }: KernelModel): {
  readonly tableBytes: number;
  readonly scratchBytes: number;
} {
  return { tableBytes: compiled.tables.length, scratchBytes: compiled.scratchBytes };
}

/** @param start byte offset of the tables, a multiple of 64 */
export function writeKernelTables({ compiled }: KernelModel, buffer: SharedArrayBuffer, start: number): void {
  new Uint8Array(buffer, start, compiled.tables.length).set(compiled.tables);
}

/** `linear: 32 columns to 1 target, 16 rows at once` */
export function kernelWords(model: KernelModel): string {
  if (model.kind === 'trees') return `trees: ${describeForest(model.compiled)}`;
  const { columns, targetCount } = model.compiled.model;
  const targets = targetCount === 1 ? '1 target' : `${targetCount} targets`;
  return `linear: ${columns.length} columns to ${targets}, ${blockRows} rows at once`;
}
