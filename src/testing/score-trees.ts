/** A model's trees by a kernel, and the same rows by ONNX Runtime. */
import { viewOf, type NumberArray } from '../batch.ts';
import { readWeightedGraph } from '../engines/onnxruntime/model-weights.ts';
import { createKernelMemory } from '../engines/wasm.ts';
import type { ModelInput } from '../score/trees/read-columns.ts';
import { compileForest, ForestKernel, readTrees, type KernelForm, type TreesModel } from '../score/trees/trees.ts';
import { writeModel, type ModelSpec } from './onnx.ts';

/** Reads a model's trees, with all its outputs that are numbers; fails where there are none. */
export function treesOf(path: string, spec: ModelSpec): TreesModel {
  writeModel(path, spec);
  const inputs = spec.inputs.map(({ name, elementType, shape }): ModelInput => ({
    name,
    elementType,
    width: shape.slice(1).reduce<number>((product, size) => product * Number(size), 1),
  }));
  const model = readTrees(
    readWeightedGraph(path),
    inputs,
    spec.outputs.map(({ name }) => name),
  );
  if (typeof model === 'string') throw new Error(`ONNX Runtime scores: ${model}`);
  return model;
}

/** Outputs in order; `valueAt` gives a value of an input's row. */
export function scoreByKernel(
  model: TreesModel,
  form: KernelForm,
  rowCount: number,
  valueAt: (input: string, element: number, row: number) => number,
): NumberArray[] {
  const forest = compileForest(model, form);
  const { columnType, scratchBytes, tables } = forest;
  const bytesOf = 8 * rowCount;
  const widths = model.outputs.map(({ rowShape }) => rowShape.reduce((product, size) => product * size, 1));
  const outputBytes = widths.map((width) => bytesOf * Math.max(1, width));
  const all = [tables.length, scratchBytes, ...model.columns.map(() => bytesOf), ...outputBytes];
  const memory = createKernelMemory(all.reduce((sum, bytes) => sum + bytes + 64, 0));
  const { buffer } = memory.memory;
  const tablesAt = memory.allocate(tables.length);
  new Uint8Array(buffer).set(tables, tablesAt);
  const columns = model.columns.map(({ input, element }) => {
    const at = memory.allocate(bytesOf);
    const values =
      columnType === 'float32' ? new Float32Array(buffer, at, rowCount) : new Float64Array(buffer, at, rowCount);
    for (let row = 0; row < rowCount; row++) values[row] = valueAt(input, element, row);
    return at;
  });
  const outputs = outputBytes.map((bytes) => memory.allocate(bytes));
  new ForestKernel(forest, memory, tablesAt).score(columns, outputs, rowCount);
  return model.outputs.map(
    ({ elementType }, index) => viewOf(elementType, buffer, outputs[index]!, rowCount * widths[index]!) as NumberArray,
  );
}
