/** What a model does to the scores of its trees. */
import { elementTypeOf } from '../../engines/onnxruntime/session.ts';
import type { WeightedGraph, WeightedNode } from '../../engines/onnxruntime/model-weights.ts';
import type { Ensemble } from './read-ensemble.ts';
import type { TreesOutput } from './read-trees.ts';
import { refuse } from './refusal.ts';
import { widthOf, type Operand, type RowFunction, type RowStep, type RowType, type RowValue } from './row-program.ts';

export function readOutputs(
  graph: WeightedGraph,
  trees: WeightedNode,
  ensemble: Ensemble,
  outputNames: readonly string[],
): { readonly program: readonly RowValue[]; readonly outputs: readonly TreesOutput[] } {
  const reader = new OutputReader(graph, trees, ensemble);
  const outputs = outputNames.map((name): TreesOutput => {
    const value = reader.valueOf(name);
    const { elementType, rowShape } = reader.program[value]!;
    return { name, elementType, rowShape, value, texts: reader.textsOf(name) };
  });
  return { program: reader.program, outputs };
}

const rowTypes: readonly RowType[] = ['float32', 'float64', 'int64', 'int32', 'bool'];
const functions: readonly RowFunction[] = ['Sigmoid', 'Exp', 'Neg', 'Sqrt', 'Abs', 'Log'];

class OutputReader {
  readonly program: RowValue[] = [];
  readonly #graph: WeightedGraph;
  readonly #makers: ReadonlyMap<string, WeightedNode>;
  readonly #trees: WeightedNode;
  readonly #ensemble: Ensemble;
  /** Places in the program by the names of values. */
  readonly #known = new Map<string, number>();

  constructor(graph: WeightedGraph, trees: WeightedNode, ensemble: Ensemble) {
    this.#graph = graph;
    this.#makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node])));
    this.#trees = trees;
    this.#ensemble = ensemble;
  }

  valueOf(name: string): number {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const node = this.#makers.get(name);
    if (node === undefined) refuse(`output ${name} does not come from the trees`);
    const value = node === this.#trees ? this.#fromTrees(name) : this.#from(node);
    this.#known.set(name, value);
    return value;
  }

  /** The labels of which the trees' output gives the places; undefined: it gives numbers. */
  textsOf(name: string): readonly string[] | undefined {
    const { labels } = this.#ensemble;
    const isLabel = labels !== undefined && name === this.#trees.outputs[0];
    return isLabel && typeof labels[0] === 'string' ? labels.map(String) : undefined;
  }

  #add(step: RowStep, elementType: RowType, rowShape: readonly number[]): number {
    return this.program.push({ step, elementType, rowShape }) - 1;
  }

  #fromTrees(name: string): number {
    const { labels, targetCount, resultType } = this.#ensemble;
    if (labels === undefined || name === this.#trees.outputs[1]) {
      return this.#add({ kind: 'scores' }, resultType, [targetCount]);
    }
    const numbers = labels.map((label, place) => (typeof label === 'number' ? label : place));
    return this.#add({ kind: 'labels', labels: numbers }, 'int64', []);
  }

  #from(node: WeightedNode): number {
    const { operator, inputs } = node;
    const text = inputs.find((name) => this.textsOf(name) !== undefined);
    if (text !== undefined) refuse(`output ${text} is text`);
    const input = (): number => this.valueOf(inputs[0]!);
    switch (operator) {
      case 'Identity':
        return input();
      case 'Cast': {
        const of = input();
        const to = rowTypes.find((type) => type === elementTypeOf(node.attributes.get('to')?.ints[0] ?? 0));
        return this.#add({ kind: 'cast', of }, to ?? refuse('scores are cast to another type'), this.#shape(of));
      }
      case 'Add':
      case 'Sub':
      case 'Mul':
      case 'Div':
        return this.#combine(node, operator);
      case 'Softmax':
        return this.#softmax(node, input());
      case 'ArgMax':
        return this.#largest(node, input());
      case 'Reshape':
      case 'Flatten':
      case 'Squeeze':
      case 'Unsqueeze':
        return this.#reshape(node, input());
      case 'Gather':
      case 'ai.onnx.ml.ArrayFeatureExtractor':
        return this.#pick(node);
      case 'Concat':
        return this.#join(node);
      case 'ai.onnx.ml.ZipMap':
        return refuse('the output is a sequence of maps');
    }
    const name = functions.find((each) => each === operator) ?? refuse(`${operator} comes after the trees`);
    const of = input();
    const { elementType, rowShape } = this.program[of]!;
    if (elementType !== 'float32' && elementType !== 'float64') refuse(`${operator} of ${elementType}`);
    return this.#add({ kind: 'function', of, name }, elementType, rowShape);
  }

  #shape(value: number): readonly number[] {
    return this.program[value]!.rowShape;
  }

  #combine(node: WeightedNode, operator: 'Add' | 'Sub' | 'Mul' | 'Div'): number {
    const operands = node.inputs.map((name): Operand => {
      const weight = this.#graph.weights.get(name);
      return weight === undefined ? { step: this.valueOf(name) } : { numbers: Array.from(weight.values) };
    });
    const steps = operands.flatMap((operand) => ('step' in operand ? [this.program[operand.step]!] : []));
    const [first, second] = steps;
    if (first === undefined) refuse(`${operator} of numbers alone`);
    const fits = second === undefined || (second.elementType === first.elementType && sameShape(first, second));
    const numbers = operands.flatMap((operand) => ('numbers' in operand ? [operand.numbers.length] : []));
    if (!fits || numbers.some((count) => count !== 1 && count !== widthOf(first))) {
      refuse(`${operator} of different shapes comes after the trees`);
    }
    if (first.elementType !== 'float32' && first.elementType !== 'float64') refuse(`${operator} of whole numbers`);
    const [left, right] = [operands[0]!, operands[1]!];
    return this.#add({ kind: 'combine', operator, left, right }, first.elementType, first.rowShape);
  }

  #softmax(node: WeightedNode, of: number): number {
    const axis = node.attributes.get('axis')?.ints[0] ?? -1;
    const { rowShape, elementType } = this.program[of]!;
    if (rowShape.length !== 1 || (axis !== 1 && axis !== -1))
      refuse(`Softmax along axis ${axis} comes after the trees`);
    return this.#add({ kind: 'softmax', of }, elementType, rowShape);
  }

  #largest(node: WeightedNode, of: number): number {
    const axis = node.attributes.get('axis')?.ints[0] ?? 0;
    const keeps = (node.attributes.get('keepdims')?.ints[0] ?? 1) === 1;
    const takesLast = node.attributes.get('select_last_index')?.ints[0] === 1;
    if (this.#shape(of).length !== 1 || (axis !== 1 && axis !== -1) || takesLast) refuse('ArgMax of another kind');
    return this.#add({ kind: 'largest', of }, 'int64', keeps ? [1] : []);
  }

  /** The values of a row stay together: only their shape changes. */
  #reshape(node: WeightedNode, of: number): number {
    const { elementType, rowShape } = this.program[of]!;
    const width = widthOf({ rowShape });
    const listed = this.#graph.weights.get(node.inputs[1] ?? '')?.values ?? node.attributes.get('axes')?.ints;
    const shape = Array.from(listed ?? []);
    const to = ((): readonly number[] | undefined => {
      switch (node.operator) {
        case 'Reshape':
          return shape[0] === -1 && shape.slice(1).every((size) => size > 0) ? shape.slice(1) : undefined;
        case 'Flatten':
          return (node.attributes.get('axis')?.ints[0] ?? 1) === 1 ? [width] : undefined;
        case 'Squeeze':
          return rowShape.length === 1 && width === 1 && (shape[0] === 1 || shape[0] === -1) ? [] : undefined;
        default:
          return rowShape.length === 0 && (shape[0] === 1 || shape[0] === -1) ? [1] : undefined;
      }
    })();
    if (to === undefined || widthOf({ rowShape: to }) !== width)
      refuse(`${node.operator} of rows comes after the trees`);
    return this.#add({ kind: 'cast', of }, elementType, to);
  }

  /** Of the values of a row those at fixed places; or of fixed numbers those at the places that a row names. */
  #pick(node: WeightedNode): number {
    const [data, places] = node.inputs;
    const numbers = this.#graph.weights.get(data ?? '');
    const axis = node.operator === 'Gather' ? (node.attributes.get('axis')?.ints[0] ?? 0) : -1;
    if (numbers !== undefined) {
      const of = this.valueOf(places!);
      const type = rowTypes.find((each) => each === numbers.elementType) ?? refuse(`a table of ${numbers.elementType}`);
      const isFlat = numbers.values.length === numbers.shape.at(-1) && (axis === -1 || numbers.shape.length === 1);
      if (!isFlat) refuse('a table of several rows');
      // ArrayFeatureExtractor puts all rows along its last axis.
      const rowShape = node.operator === 'Gather' ? this.#shape(of) : refuse('labels are looked up along the rows');
      return this.#add({ kind: 'look up', of, numbers: Array.from(numbers.values) }, type, rowShape);
    }
    const of = this.valueOf(data!);
    const { elementType, rowShape } = this.program[of]!;
    const listed = this.#graph.weights.get(places ?? '');
    if (listed === undefined || rowShape.length !== 1 || (axis !== 1 && axis !== -1)) {
      refuse(`${node.operator} of another kind comes after the trees`);
    }
    const chosen = Array.from(listed.values, (place) => (place < 0 ? place + rowShape[0]! : place));
    if (chosen.some((place) => !(place >= 0 && place < rowShape[0]!))) refuse(`${node.operator} beyond the scores`);
    const isScalar = node.operator === 'Gather' && listed.shape.length === 0;
    return this.#add({ kind: 'pick', of, places: chosen }, elementType, isScalar ? [] : [chosen.length]);
  }

  #join(node: WeightedNode): number {
    const axis = node.attributes.get('axis')?.ints[0];
    const of = node.inputs.map((name) => this.valueOf(name));
    const parts = of.map((value) => this.program[value]!);
    const { elementType } = parts[0]!;
    const fits = parts.every((part) => part.rowShape.length === 1 && part.elementType === elementType);
    if (!fits || (axis !== 1 && axis !== -1)) refuse('Concat of another kind comes after the trees');
    return this.#add({ kind: 'join', of }, elementType, [parts.reduce((sum, part) => sum + widthOf(part), 0)]);
  }
}

function sameShape(one: RowValue, other: RowValue): boolean {
  return (
    one.rowShape.length === other.rowShape.length && one.rowShape.every((size, axis) => size === other.rowShape[axis])
  );
}
