/**
 * Finds models that are one matrix product: linear and logistic regression as scikit-learn's, PyTorch's and other
 * exporters write them, with scalers before and point-wise steps after. What comes out is plain data.
 */
import type { TensorLayout } from '../../batch.ts';
import type { WeightedGraph, WeightedNode } from '../../engines/onnxruntime/model-weights.ts';
import type { OutputLayout } from '../../plan.ts';
import {
  asAffine,
  normOf,
  readClassifier,
  readGemm,
  readMatMul,
  readRegressor,
  valueOf,
  type LinearProduct,
  type Norm,
} from './linear-nodes.ts';
import { Refusal } from './refusal.ts';

/** A column of an input tensor: position in the plan's inputs, and within a row. */
export interface ColumnSource {
  readonly input: number;
  readonly column: number;
}

/** What happens to a row's columns before they are multiplied, in order. */
export type FrontStep =
  /** (x - offset) * scale, both rounded to float32: one of each for every column. */
  | { readonly kind: 'scale'; readonly offsets: Float32Array; readonly scales: Float32Array }
  | { readonly kind: 'normalize'; readonly norm: Norm };

/** What happens to a row's targets afterwards, in order. */
export type ScoreStep =
  | { readonly kind: 'sigmoid' | 'softmax' | 'exp' }
  | { readonly kind: 'normalize'; readonly norm: Norm }
  /** x * scale + offset, one of each for every target. */
  | { readonly kind: 'affine'; readonly scales: Float32Array; readonly offsets: Float32Array }
  /** One target s becomes the two 1 - s and s. */
  | { readonly kind: 'complement' };

export type LinearOutput =
  /** float32, row-major; `width` values a row. */
  | { readonly kind: 'scores'; readonly steps: readonly ScoreStep[]; readonly width: number }
  /** int64: of the first largest target; of a single one whether it is above 0. */
  | { readonly kind: 'label'; readonly steps: readonly ScoreStep[]; readonly labels: readonly number[] };

/** A model that {@link LinearKernel} scores. Structured-cloneable. */
export interface LinearModel {
  readonly kind: 'linear';
  readonly columns: readonly ColumnSource[];
  readonly front: readonly FrontStep[];
  readonly targetCount: number;
  /** Of target k: columns.length weights from k * columns.length on. */
  readonly weights: Float32Array;
  /** One for each target. */
  readonly intercepts: Float32Array;
  /** In the order of the plan's outputs. */
  readonly outputs: readonly LinearOutput[];
}

/** What a value of the graph is, as far as it is followed. */
type Value =
  | { readonly kind: 'columns'; readonly columns: readonly ColumnSource[]; readonly front: readonly FrontStep[] }
  | {
      readonly kind: 'scores';
      readonly product: LinearProduct;
      readonly from: Extract<Value, { kind: 'columns' }>;
      readonly steps: readonly ScoreStep[];
    }
  | {
      readonly kind: 'label';
      readonly product: LinearProduct;
      readonly from: Extract<Value, { kind: 'columns' }>;
      readonly steps: readonly ScoreStep[];
      readonly labels: readonly number[];
    };
type Scores = Extract<Value, { kind: 'scores' }>;

/** @returns the model, or in words why ONNX Runtime has to score it */
export function readLinear(
  graph: WeightedGraph,
  inputs: readonly TensorLayout[],
  outputs: readonly OutputLayout[],
): LinearModel | string {
  try {
    const values = new Map<string, Value>(inputs.map((tensor, index) => [tensor.name, inputValue(tensor, index)]));
    for (const node of neededNodes(graph, outputs)) {
      const found = follow(node, values, graph);
      node.outputs.forEach((name, index) => found[index] !== undefined && values.set(name, found[index]));
    }
    return assemble(outputs, values);
  } catch (error) {
    if (error instanceof Refusal) return error.message;
    throw error;
  }
}

/** In the graph's order, which is one in which they can be computed. */
function neededNodes(graph: WeightedGraph, outputs: readonly OutputLayout[]): WeightedNode[] {
  const needed = new Set(outputs.map(({ name }) => name));
  const nodes: WeightedNode[] = [];
  for (const node of [...graph.nodes].reverse()) {
    if (!node.outputs.some((name) => needed.has(name))) continue;
    node.inputs.forEach((name) => needed.add(name));
    nodes.unshift(node);
  }
  return nodes;
}

function inputValue(tensor: TensorLayout, input: number): Value {
  const { name, elementType, rowShape, width } = tensor;
  if (elementType !== 'float32') throw new Refusal(`input ${name} is ${elementType}, and kernels read float32`);
  if (rowShape.length > 1) throw new Refusal(`input ${name} has rows of ${rowShape.length} dimensions`);
  const columns = Array.from({ length: width }, (_, column) => ({ input, column }));
  return { kind: 'columns', columns, front: [] };
}

/** The node's outputs. @throws Refusal */
function follow(
  node: WeightedNode,
  values: ReadonlyMap<string, Value>,
  graph: WeightedGraph,
): readonly (Value | undefined)[] {
  const { operator } = node;
  // What needs no row is a constant, which its reader reads.
  if (node.inputs.every((name) => !values.has(name)) && operator === 'Constant') return [];
  if (operator === 'Concat') return [concatenate(node, values)];
  const at = node.inputs.findIndex((name) => values.has(name));
  const value = values.get(node.inputs[at] ?? '');
  if (value === undefined || node.inputs.filter((name) => values.has(name)).length > 1) throw unknown(node);
  if (isPassing(node, value)) return [value];
  if (value.kind === 'label') throw unknown(node);
  return value.kind === 'columns' ? followColumns(node, value, graph) : followScores(node, at, value, graph);
}

/** @param kind what is special about the node, where others of its operator have one */
function unknown(node: WeightedNode, kind = ''): Refusal {
  const name = node.name === '' ? '' : ` (${node.name})`;
  return new Refusal(`${node.operator}${name}${kind === '' ? '' : ` ${kind}`} has no kernel`);
}

/** Nodes that change nothing, or only how a single column is declared. */
function isPassing(node: WeightedNode, value: Value): boolean {
  const isSingle = value.kind === 'label' || (value.kind === 'scores' && targetsOf(value) === 1);
  const to = node.attributes.get('to')?.ints[0];
  const [float32, int64] = [1, 7];
  switch (node.operator) {
    case 'Identity':
    case 'Dropout':
      return true;
    case 'Cast':
      return to === (value.kind === 'label' ? int64 : float32);
    case 'Flatten':
      return value.kind !== 'label' && (node.attributes.get('axis')?.ints[0] ?? 1) === 1;
    case 'Reshape':
    case 'Squeeze':
    case 'Unsqueeze':
      return isSingle;
    default:
      return false;
  }
}

function concatenate(node: WeightedNode, values: ReadonlyMap<string, Value>): Value {
  const axis = node.attributes.get('axis')?.ints[0];
  const parts = node.inputs.map((name) => values.get(name));
  const columns = parts.flatMap((part) => {
    if (part?.kind !== 'columns' || (axis !== 1 && axis !== -1)) throw unknown(node, `of something else than columns`);
    if (part.front.some((step) => step.kind === 'normalize')) throw unknown(node, 'behind a Normalizer');
    return part.columns;
  });
  return { kind: 'columns', columns, front: joinScales(parts as readonly Extract<Value, { kind: 'columns' }>[]) };
}

/** Scales of columns that were scaled apart; those that were not are as they are: (x - 0) * 1. */
function joinScales(parts: readonly Extract<Value, { kind: 'columns' }>[]): readonly FrontStep[] {
  const depth = Math.max(...parts.map((part) => part.front.length));
  return Array.from({ length: depth }, (_, at): FrontStep => {
    const of = (key: 'offsets' | 'scales', otherwise: number): Float32Array =>
      Float32Array.from(
        parts.flatMap(({ columns, front }) => {
          const step = front[at];
          return step?.kind === 'scale' ? Array.from(step[key]) : columns.map(() => otherwise);
        }),
      );
    return { kind: 'scale', offsets: of('offsets', 0), scales: of('scales', 1) };
  });
}

function followColumns(
  node: WeightedNode,
  value: Extract<Value, { kind: 'columns' }>,
  graph: WeightedGraph,
): readonly (Value | undefined)[] {
  const { columns, front } = value;
  const scores = (product: LinearProduct, steps: readonly ScoreStep[] = []): Value => ({
    kind: 'scores',
    product,
    from: value,
    steps,
  });
  switch (node.operator) {
    case 'ai.onnx.ml.Scaler':
      return [{ ...value, front: [...front, scaler(node, columns.length)] }];
    case 'ai.onnx.ml.Normalizer':
      return [{ ...value, front: [...front, { kind: 'normalize', norm: normOf(node) }] }];
    case 'Gemm':
      return [scores(readGemm(node, graph, columns.length))];
    case 'MatMul':
      return [scores(readMatMul(node, graph, columns.length))];
    case 'ai.onnx.ml.LinearRegressor': {
      const { product, steps } = readRegressor(node, columns.length);
      return [scores(product, steps)];
    }
    case 'ai.onnx.ml.LinearClassifier': {
      const { product, steps, labels } = readClassifier(node, columns.length);
      const label: Value | undefined =
        labels === undefined ? undefined : { kind: 'label', product, from: value, steps: [], labels };
      return [label, scores(product, steps)];
    }
    default:
      throw unknown(node);
  }
}

function scaler(node: WeightedNode, columnCount: number): FrontStep {
  const of = (name: string): Float32Array => {
    const given = node.attributes.get(name)?.floats ?? new Float32Array(0);
    if (given.length !== 1 && given.length !== columnCount)
      throw unknown(node, `with ${given.length} numbers as ${name}`);
    return given.length === 1 ? new Float32Array(columnCount).fill(given[0]!) : given;
  };
  return { kind: 'scale', offsets: of('offset'), scales: of('scale') };
}

function followScores(node: WeightedNode, at: number, value: Scores, graph: WeightedGraph): readonly Value[] {
  const then = (step: ScoreStep): Value => ({ ...value, steps: [...value.steps, step] });
  const width = targetsOf(value);
  const axis = node.attributes.get('axis')?.ints[0] ?? -1;
  switch (node.operator) {
    case 'Sigmoid':
      return [then({ kind: 'sigmoid' })];
    case 'Exp':
      return [then({ kind: 'exp' })];
    case 'Softmax':
      if (axis !== -1 && axis !== 1) throw unknown(node, `over axis ${axis}`);
      return [then({ kind: 'softmax' })];
    case 'ai.onnx.ml.Normalizer':
      return [then({ kind: 'normalize', norm: normOf(node) })];
    case 'Add':
    case 'Sub':
    case 'Mul':
    case 'Div': {
      const operand = valueOf(graph, node.inputs[1 - at] ?? '');
      if (operand === undefined) throw unknown(node, 'of something else than constants');
      const affine = asAffine(node.operator, at, operand, width);
      if (affine === undefined) throw unknown(node, 'of another shape');
      return [then({ kind: 'affine', ...affine })];
    }
    case 'ArgMax': {
      if (axis !== -1 && axis !== 1) throw unknown(node, `over axis ${axis}`);
      if ((node.attributes.get('select_last_index')?.ints[0] ?? 0) !== 0)
        throw unknown(node, 'that gives the last of equal values');
      const labels = Array.from({ length: width }, (_, index) => index);
      // A single target is the largest one, whatever it is.
      if (width === 1) throw unknown(node, 'of a single value');
      return [{ kind: 'label', product: value.product, from: value.from, steps: value.steps, labels }];
    }
    case 'MatMul':
    case 'Gemm':
      throw new Refusal('it has more than one matrix product, and those of ONNX Runtime are faster');
    default:
      throw unknown(node);
  }
}

function targetsOf({ product, steps }: Scores): number {
  return steps.some((step) => step.kind === 'complement') ? 2 : product.targetCount;
}

/** All outputs hang on one product of the same columns. */
function assemble(outputs: readonly OutputLayout[], values: ReadonlyMap<string, Value>): LinearModel {
  const found = outputs.map((output): Exclude<Value, { kind: 'columns' }> => {
    const value = values.get(output.name);
    if (value === undefined || value.kind === 'columns') throw new Refusal(`output ${output.name} is no linear model`);
    return value;
  });
  const [first] = found;
  if (first === undefined) throw new Refusal('it has no outputs');
  if (found.some(({ product, from }) => product !== first.product || from !== first.from))
    throw new Refusal('it has more than one matrix product, and those of ONNX Runtime are faster');
  const { product, from } = first;
  return {
    kind: 'linear',
    columns: from.columns,
    front: from.front,
    ...product,
    outputs: found.map((value, index) => describeOutput(value, outputs[index]!)),
  };
}

function describeOutput(value: Exclude<Value, { kind: 'columns' }>, layout: OutputLayout): LinearOutput {
  const { name, elementType, width } = layout;
  const [type, values] = value.kind === 'label' ? ['int64', 1] : ['float32', targetsOf(value)];
  if (elementType !== type || width !== values) {
    throw new Refusal(`output ${name} is ${elementType} of ${width} values, and its kernel gives ${type} of ${values}`);
  }
  const { steps } = value;
  return value.kind === 'label' ? { kind: 'label', steps, labels: value.labels } : { kind: 'scores', steps, width };
}
