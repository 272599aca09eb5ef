/** What ONNX Runtime runs of a planned model: all of it, or what is left of one in two parts. */
import { dirname } from 'node:path';
import { cutGraph, cutModel, type Cut } from '../../engines/onnxruntime/cut-model.ts';
import { readModelGraph, type Graph, type ModelGraph } from '../../engines/onnxruntime/model-graph.ts';
import type { ModelBytes } from '../../engines/onnxruntime/session.ts';
import type { ModelPlan } from '../../plan.ts';
import type { Slot } from '../scorer.ts';

/** With the inputs that it reads only: those of the kernel alone lie in columns. */
export function restModel<Model extends Pick<ModelPlan, 'inputs' | 'rest'>>(model: Model): Model {
  return model.rest === undefined ? model : { ...model, inputs: readInputs(model, model.inputs) };
}

/** The slot as {@link restModel} describes it, in the same memory. */
export function restSlot(model: Pick<ModelPlan, 'inputs' | 'rest'>, slot: Slot): Slot {
  // The outputs' own array: strings are put into it.
  return { rowCount: slot.rowCount, inputs: readInputs(model, slot.inputs), outputs: slot.outputs };
}

/** Of what there is for each input. */
function readInputs<T>({ inputs, rest }: Pick<ModelPlan, 'inputs' | 'rest'>, each: readonly T[]): T[] {
  return each.filter((_, index) => {
    const { name, order } = inputs[index]!;
    return rest === undefined || (order !== 'columns' && rest.inputs.includes(name));
  });
}

/** For a session of it. */
export function restSource({ path, rest }: Pick<ModelPlan, 'path' | 'rest'>): string | ModelBytes {
  return rest === undefined ? path : cutSource(path, readModelGraph(path), rest.cut);
}

/** @param graph of the file at `path` */
export function cutSource(path: string, graph: Graph, cut: Cut): ModelBytes {
  return { bytes: cutModel(path, graph, cut), folder: dirname(path) };
}

export function restGraph({ path, rest }: Pick<ModelPlan, 'path' | 'rest'>): ModelGraph {
  const graph = readModelGraph(path);
  return rest === undefined ? graph : cutGraph(graph, rest.cut);
}
