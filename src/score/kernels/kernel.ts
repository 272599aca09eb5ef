/** Kernels that score a whole model in place of ONNX Runtime, over columns of numbers. One switch for all kinds. */
import type { ElementType } from '../../contract/contract.ts';
import type { WeightedGraph } from '../../engines/onnxruntime/model-weights.ts';
import { alignedBytes, type KernelMemory } from '../../engines/wasm.ts';
import type { KernelOptions } from '../../options.ts';
import type { TensorLayout } from '../../batch.ts';
import type { OutputLayout } from '../../plan.ts';
import { compileLinear, LinearKernel, type CompiledLinear } from '../linear/linear-kernel.ts';
import { blockRows } from '../linear/linear-layout.ts';
import { edgeRows as linearEdgeRows } from '../linear/edge-rows.ts';
import { readLinear } from '../linear/linear-model.ts';
import { edgeRows as forestEdgeRows } from '../trees/edge-rows.ts';
import { isEnsemble } from '../trees/read-ensemble.ts';
import {
  compileForest,
  describeForest,
  ForestKernel,
  kernelForms,
  readTrees,
  type CompiledForest,
  type TreesModel,
  type TreesOutput,
} from '../trees/trees.ts';
import { changedTo, type MadeUpRows } from './made-up.ts';
import { seededRandom } from './seeded-random.ts';

/** A model that a kernel scores, as it crosses threads: structured-cloneable, without addresses. */
export type KernelModel =
  | { readonly kind: 'linear'; readonly compiled: CompiledLinear }
  | { readonly kind: 'trees'; readonly forests: readonly PlacedForest[] };

/** A forest, which gives the outputs that follow those of the forests before it. */
export interface PlacedForest {
  readonly compiled: CompiledForest;
  /** Position in the plan's inputs, and within a row, of each of the forest's columns. */
  readonly columns: readonly { readonly input: number; readonly column: number }[];
}

/** Kernels that know a model, or its trees. */
export interface FoundKernels {
  /** At least one; all give the same. */
  readonly kernels: readonly KernelModel[];
  /** Rows on which they may go wrong, at most `rowsMax` in all. */
  readonly makeUp: (rowsMax: number) => readonly MadeUpRows[];
}

/** A thread's kernels' own: byte offsets in the slots' memory. */
export interface KernelPlace {
  /** For what the kernel needs for itself; its memory is the one that all offsets are of. */
  readonly memory: KernelMemory;
  /** Of the model's tables, which all threads share. */
  readonly tables: number;
}

/** Where it finds and leaves the rows of a slot: byte offsets in the same memory. */
export interface SlotPlaces {
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
 * @returns ways to score the model, or in words why ONNX Runtime has to
 */
export function readKernelModels(
  graph: WeightedGraph,
  inputs: readonly TensorLayout[],
  outputs: readonly OutputLayout[],
  { trees = 'auto' }: KernelOptions,
  formsMax: number,
): FoundKernels | string {
  const hasTrees = graph.nodes.some(isEnsemble);
  if (hasTrees) return trees === 'auto' ? readForests(graph, inputs, outputs, formsMax) : 'as asked for';
  const model = readLinear(graph, inputs, outputs);
  if (typeof model === 'string') return model;
  const makeUp = (rowsMax: number): readonly MadeUpRows[] => linearEdgeRows(model, rowsMax, seededRandom(1));
  return { kernels: [{ kind: 'linear', compiled: compileLinear(model) }], makeUp };
}

function readForests(
  graph: WeightedGraph,
  inputs: readonly TensorLayout[],
  outputs: readonly OutputLayout[],
  formsMax: number,
): FoundKernels | string {
  const text = inputs.find(({ elementType }) => elementType === 'string');
  const names = outputs.map(({ name }) => name);
  const found = readForest(graph, inputs, names, formsMax);
  if (typeof found === 'string') return found;
  if (text !== undefined) return `input ${text.name} holds strings`;
  const unlike = outputs.find(({ elementType, width }, index) => {
    const given = found.outputs[index]!;
    return given.elementType !== elementType || product(given.rowShape) !== width || elementType === 'string';
  });
  if (unlike !== undefined) return `output ${unlike.name} is ${unlike.elementType} of ${unlike.width} values`;
  return { kernels: found.forms.map((forest) => ({ kind: 'trees', forests: [forest] })), makeUp: found.makeUp };
}

export interface FoundForest extends Pick<FoundKernels, 'makeUp'> {
  readonly forms: readonly PlacedForest[];
  readonly outputs: readonly TreesOutput[];
}

/**
 * The forest of a graph with one ensemble, in at most `formsMax` forms, the likeliest first.
 * @returns at least one form, what the forest gives, and its edges, or in words why there is none
 */
export function readForest(
  graph: WeightedGraph,
  inputs: readonly TensorLayout[],
  outputNames: readonly string[],
  formsMax: number,
): FoundForest | string {
  const model = readTrees(graph, inputs, outputNames);
  if (typeof model === 'string') return model;
  const other = model.columns.find(({ input }) => typeOf(inputs, input) !== model.forest.columnType);
  if (other !== undefined)
    return `input ${other.input} is ${typeOf(inputs, other.input)}, and kernels read float32 and float64`;
  const forms = kernelForms(model).slice(0, formsMax);
  if (forms.length === 0) return 'its trees have more leaves, or columns, than kernels take';
  const columns = placeColumns(model, inputs);
  const makeUp = (rowsMax: number): readonly MadeUpRows[] => {
    const rows = forestEdgeRows(model.forest, rowsMax, seededRandom(1));
    return [rows.map((row) => Array.from(row, ([column, value]) => changedTo(columns[column]!, value)))];
  };
  const compiled = forms.map((form) => ({ compiled: compileForest(model, form), columns }));
  return { forms: compiled, outputs: model.outputs, makeUp };
}

function placeColumns({ columns }: TreesModel, inputs: readonly TensorLayout[]): PlacedForest['columns'] {
  return columns.map(({ input, element }) => ({
    input: inputs.findIndex(({ name }) => name === input),
    column: element,
  }));
}

function typeOf(inputs: readonly TensorLayout[], name: string): ElementType | undefined {
  return inputs.find((input) => input.name === name)?.elementType;
}

function product(sizes: readonly number[]): number {
  return sizes.reduce((total, size) => total * size, 1);
}

/** A thread's kernel for each of these slots; forests and what they need for themselves are shared. */
export function createKernels(
  model: KernelModel,
  place: KernelPlace,
  slots: readonly SlotPlaces[],
): readonly ModelKernel[] {
  if (model.kind === 'linear') return slots.map((slot) => new LinearKernel(model.compiled, { ...place, ...slot }));
  let [tables, firstOutput] = [place.tables, 0];
  const parts = model.forests.map(({ compiled, columns }) => {
    const [first, end] = [firstOutput, firstOutput + compiled.outputs.length];
    const part = { kernel: new ForestKernel(compiled, place.memory, tables), columns, first, end };
    tables += alignedBytes(compiled.tables.length);
    firstOutput = end;
    return part;
  });
  return slots.map((slot) => {
    const placed = parts.map(({ kernel, columns, first, end }) => ({
      kernel,
      columns: columns.map(({ input, column }) => slot.columns[input]![column]!),
      outputs: slot.outputs.slice(first, end),
    }));
    return {
      score: (rowCount) => placed.forEach(({ kernel, columns, outputs }) => kernel.score(columns, outputs, rowCount)),
    };
  });
}

/** Bytes of the tables, and of what each thread's kernel allocates. */
export function kernelSizes(model: KernelModel): {
  readonly tableBytes: number;
  readonly scratchBytes: number;
} {
  const parts = compiledParts(model);
  return {
    tableBytes: parts.reduce((sum, { tables }) => sum + alignedBytes(tables.length), 0),
    scratchBytes: parts.reduce((sum, { scratchBytes }) => sum + alignedBytes(scratchBytes), 0),
  };
}

/** @param start byte offset of the tables, a multiple of 64 */
export function writeKernelTables(model: KernelModel, buffer: SharedArrayBuffer, start: number): void {
  let at = start;
  for (const { tables } of compiledParts(model)) {
    new Uint8Array(buffer, at, tables.length).set(tables);
    at += alignedBytes(tables.length);
  }
}

function compiledParts(model: KernelModel): readonly (CompiledForest | CompiledLinear)[] {
  return model.kind === 'linear' ? [model.compiled] : model.forests.map(({ compiled }) => compiled);
}

/** `linear: 32 columns to 1 target, 16 rows at once`, `trees: 100 trees, 512 rows at once, and 20 trees, walked` */
export function kernelWords(model: KernelModel): string {
  if (model.kind === 'trees') {
    return `trees: ${model.forests.map(({ compiled }) => describeForest(compiled)).join(', and ')}`;
  }
  const { columns, targetCount } = model.compiled.model;
  const targets = targetCount === 1 ? '1 target' : `${targetCount} targets`;
  return `linear: ${columns.length} columns to ${targets}, ${blockRows} rows at once`;
}
