/**
 * What the nodes of a linear model mean, as ONNX Runtime carries them out: its `linearclassifier.cc`,
 * `linearregressor.cc`, `ml_common.h` and the operators' definitions.
 */
import type { Weight, WeightedGraph, WeightedNode } from '../../engines/onnxruntime/model-weights.ts';
import type { ScoreStep } from './linear-model.ts';
import { Refusal } from './refusal.ts';

/** A row's columns times weights. */
export interface LinearProduct {
  readonly targetCount: number;
  /** Of target k: one for each column from k * columns on. */
  readonly weights: Float32Array;
  readonly intercepts: Float32Array;
}

/** What a row is divided by: the sum of its values' sizes, the length, the largest value; not at all where that is 0. */
export type Norm = 'L1' | 'L2' | 'MAX';

export function normOf(node: WeightedNode): Norm {
  const norm = node.attributes.get('norm')?.texts[0] ?? 'MAX';
  if (norm === 'L1' || norm === 'L2' || norm === 'MAX') return norm;
  throw new Refusal(`${node.operator} has the norm ${norm}`);
}

/** A value that no row changes; undefined: it is none, or not float32 or int64. */
export function valueOf(graph: WeightedGraph, name: string): Weight | undefined {
  const weight = graph.weights.get(name);
  if (weight !== undefined) return weight;
  const constant = graph.nodes.find((node) => node.operator === 'Constant' && node.outputs[0] === name);
  const attributes = constant?.attributes;
  const tensor = attributes?.get('value')?.tensor;
  if (tensor !== undefined) return tensor;
  const floats = attributes?.get('value_float')?.floats ?? attributes?.get('value_floats')?.floats;
  if (floats === undefined) return undefined;
  const shape = attributes!.has('value_float') ? [] : [floats.length];
  return { elementType: 'float32', shape, values: Float64Array.from(floats) };
}

function floatsOf(graph: WeightedGraph, node: WeightedNode, index: number): Weight {
  const weight = valueOf(graph, node.inputs[index] ?? '');
  if (weight?.elementType === 'float32') return weight;
  throw new Refusal(`${node.operator} has no float32 weights in the model file`);
}

/** alpha * A * B + beta * C, B transposed where it says so. */
export function readGemm(node: WeightedNode, graph: WeightedGraph, columnCount: number): LinearProduct {
  const { attributes, inputs } = node;
  const { shape, values } = floatsOf(graph, node, 1);
  const transposed = (attributes.get('transB')?.ints[0] ?? 0) !== 0;
  const alpha = attributes.get('alpha')?.floats[0] ?? 1;
  const beta = attributes.get('beta')?.floats[0] ?? 1;
  const [rows = 0, columns = 0] = transposed ? [...shape].reverse() : shape;
  if (shape.length !== 2 || rows !== columnCount || (attributes.get('transA')?.ints[0] ?? 0) !== 0)
    throw new Refusal('Gemm multiplies something else than rows');
  const weights = transposed ? Float32Array.from(values) : transpose(values, rows, columns);
  const added = (inputs[2] ?? '') === '' ? undefined : floatsOf(graph, node, 2);
  const intercepts = added === undefined ? new Float32Array(columns) : spread(added, columns);
  if (intercepts === undefined) throw new Refusal('Gemm adds something else than one number to each target');
  return {
    targetCount: columns,
    weights: weights.map((weight) => alpha * weight),
    intercepts: intercepts.map((intercept) => beta * intercept),
  };
}

/** Rows times weights [columns, targets], or [columns] for one target. */
export function readMatMul(node: WeightedNode, graph: WeightedGraph, columnCount: number): LinearProduct {
  const { shape, values } = floatsOf(graph, node, 1);
  const [rows = 0, targetCount = 1] = shape;
  if (shape.length > 2 || rows !== columnCount) throw new Refusal('MatMul multiplies something else than rows');
  const weights = transpose(values, rows, targetCount);
  return { targetCount, weights, intercepts: new Float32Array(targetCount) };
}

function transpose(values: Float64Array, rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: rows * columns }, (_, index) => {
    const [column, row] = [Math.floor(index / rows), index % rows];
    return values[row * columns + column]!;
  });
}

/** One number for each target, of one number or as many; undefined: it has others. */
function spread({ shape, values }: Weight, targetCount: number): Float32Array | undefined {
  if (values.length === 1) return new Float32Array(targetCount).fill(values[0]!);
  return values.length === targetCount && shape.at(-1) === targetCount ? Float32Array.from(values) : undefined;
}

/** Arithmetic with constants as x * scale + offset. @param at which operand the scores are */
export function asAffine(
  operator: string,
  at: number,
  operand: Weight,
  targetCount: number,
): { readonly scales: Float32Array; readonly offsets: Float32Array } | undefined {
  const values = operand.shape.length > 2 ? undefined : spread(operand, targetCount);
  if (values === undefined || operand.elementType !== 'float32') return undefined;
  const same = (value: number): Float32Array => new Float32Array(targetCount).fill(value);
  switch (operator) {
    case 'Add':
      return { scales: same(1), offsets: values };
    case 'Sub':
      return at === 0
        ? { scales: same(1), offsets: values.map((value) => -value) }
        : { scales: same(-1), offsets: values };
    case 'Mul':
      return { scales: values, offsets: same(0) };
    case 'Div':
      return at === 0 ? { scales: values.map((value) => 1 / value), offsets: same(0) } : undefined;
    default:
      return undefined;
  }
}

/** Targets of a node of ai.onnx.ml: a row of coefficients for each. */
function readCoefficients(node: WeightedNode, targetCount: number, columnCount: number): Float32Array {
  const weights = node.attributes.get('coefficients')?.floats ?? new Float32Array(0);
  if (targetCount > 0 && weights.length === targetCount * columnCount) return weights;
  throw new Refusal(`${node.operator} has ${weights.length} coefficients for ${columnCount} columns`);
}

export function readRegressor(
  node: WeightedNode,
  columnCount: number,
): { readonly product: LinearProduct; readonly steps: readonly ScoreStep[] } {
  const targetCount = node.attributes.get('targets')?.ints[0] ?? 1;
  const weights = readCoefficients(node, targetCount, columnCount);
  const given = node.attributes.get('intercepts')?.floats;
  const intercepts = given?.length === targetCount ? given : new Float32Array(targetCount);
  return { product: { targetCount, weights, intercepts }, steps: transformSteps(node, targetCount) };
}

/** `labels`: undefined where they are texts, which no kernel writes. */
export function readClassifier(
  node: WeightedNode,
  columnCount: number,
): {
  readonly product: LinearProduct;
  readonly steps: readonly ScoreStep[];
  readonly labels: readonly number[] | undefined;
} {
  const { attributes } = node;
  // ONNX Runtime counts the classes by them.
  const intercepts = attributes.get('intercepts')?.floats ?? new Float32Array(0);
  const targetCount = intercepts.length;
  const product = { targetCount, weights: readCoefficients(node, targetCount, columnCount), intercepts };
  const texts = attributes.get('classlabels_strings')?.texts ?? [];
  const labels = Array.from(attributes.get('classlabels_ints')?.ints ?? []);
  const classCount = Math.max(texts.length, labels.length);
  if (targetCount === 1) {
    const transform = transformOf(node);
    if (transform === 'PROBIT') throw new Refusal(`${node.operator} ends in PROBIT`);
    // Found by trying: a logistic is carried out only where the second class is made of the first.
    const steps: ScoreStep[] =
      transform === 'LOGISTIC' ? [{ kind: 'sigmoid' }, { kind: 'complement' }] : [{ kind: 'complement' }];
    return {
      product,
      steps: classCount === 2 ? steps : [],
      labels: texts.length > 0 ? undefined : classCount === 2 ? labels : [0, 1],
    };
  }
  const steps = transformSteps(node, targetCount);
  return { product, steps, labels: labels.length === targetCount ? labels : undefined };
}

function transformOf(node: WeightedNode): string {
  return node.attributes.get('post_transform')?.texts[0] ?? 'NONE';
}

/** ONNX Runtime leaves a single target as it is, whatever is asked for but PROBIT. */
function transformSteps(node: WeightedNode, targetCount: number): readonly ScoreStep[] {
  const transform = transformOf(node);
  if (transform === 'PROBIT' || transform === 'SOFTMAX_ZERO')
    throw new Refusal(`${node.operator} ends in ${transform}`);
  if (targetCount === 1 || transform === 'NONE') return [];
  return [{ kind: transform === 'SOFTMAX' ? 'softmax' : 'sigmoid' }];
}
