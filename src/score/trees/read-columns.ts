/** What a model does to its inputs before an ensemble of trees sees them. */
import type { ElementType } from '../../contract/contract.ts';
import { elementTypeOf } from '../../engines/onnxruntime/session.ts';
import type { WeightedGraph, WeightedNode } from '../../engines/onnxruntime/model-weights.ts';
import type { ColumnStep } from './column-steps.ts';
import type { NumberType } from './forest.ts';
import { refuse } from './refusal.ts';

/** An input of the model; a row has `width` values. */
export interface ModelInput {
  readonly name: string;
  readonly elementType: ElementType;
  readonly width: number;
}

export interface SourceColumn {
  readonly input: string;
  readonly element: number;
  readonly steps: readonly ColumnStep[];
}

/** Values of [rows, columns], or of [rows] where there is one column. */
interface Columns {
  readonly columns: readonly SourceColumn[];
  /** Of all columns. */
  readonly type: ElementType;
}

/** Columns of a value, and the type in which the model's own columns must come for the steps to be exact. */
export function readColumns(
  graph: WeightedGraph,
  inputs: readonly ModelInput[],
  name: string,
): Columns & { readonly columnType: NumberType } {
  const { columns, type } = new ColumnReader(graph, inputs).columnsOf(name);
  const types = new Map(inputs.map((input) => [input.name, input.elementType]));
  const wide = columns.map(({ input, steps }) => types.get(input) === 'float64' && !startsNarrow(steps));
  // Whole numbers are compared as float32, and come as such.
  const columnType = wide.some((isWide) => isWide) ? 'float64' : 'float32';
  const isMixed = columnType === 'float64' && columns.some(({ input }) => types.get(input) !== 'float64');
  if (isMixed) refuse('some inputs of the trees are float64 and others are not');
  return { columns, type, columnType };
}

/** What is rounded to float32 first can come in float32. */
function startsNarrow([first]: readonly ColumnStep[]): boolean {
  return first?.kind === 'cast' && first.type === 'float32';
}

class ColumnReader {
  readonly #graph: WeightedGraph;
  readonly #inputs: ReadonlyMap<string, ModelInput>;
  readonly #makers: ReadonlyMap<string, WeightedNode>;

  constructor(graph: WeightedGraph, inputs: readonly ModelInput[]) {
    this.#graph = graph;
    this.#inputs = new Map(inputs.map((input) => [input.name, input]));
    this.#makers = new Map(graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node])));
  }

  columnsOf(name: string): Columns {
    const input = this.#inputs.get(name);
    if (input !== undefined) {
      if (input.elementType === 'string' || input.elementType === 'float16') {
        refuse(`${input.elementType} values go into the trees`);
      }
      const elements = Array.from({ length: input.width }, (_, element) => element);
      return {
        columns: elements.map((element) => ({ input: name, element, steps: [] })),
        type: input.elementType,
      };
    }
    const node = this.#makers.get(name);
    if (node === undefined) refuse(`value ${name} before the trees is no input of the model`);
    return this.#columnsFrom(node);
  }

  #columnsFrom(node: WeightedNode): Columns {
    const attribute = (name: string): number | undefined => node.attributes.get(name)?.ints[0];
    switch (node.operator) {
      case 'Identity':
      case 'Dropout':
        return this.columnsOf(node.inputs[0]!);
      case 'Concat':
        if (attribute('axis') !== 1 && attribute('axis') !== -1) break;
        return this.#join(node);
      case 'ai.onnx.ml.FeatureVectorizer': {
        const joined = this.#join(node);
        return joined.type === 'float32' ? joined : this.#cast(joined, 'float32');
      }
      case 'Cast':
        return this.#cast(this.columnsOf(node.inputs[0]!), elementTypeOf(attribute('to') ?? 0));
      case 'ai.onnx.ml.Scaler':
        return this.#scale(node, this.columnsOf(node.inputs[0]!));
      case 'ai.onnx.ml.Imputer':
        return this.#impute(node, this.columnsOf(node.inputs[0]!));
      case 'Add':
      case 'Sub':
      case 'Mul':
      case 'Div':
        return this.#calculate(node, node.operator);
    }
    return refuse(`${node.operator} comes before the trees`);
  }

  #join(node: WeightedNode): Columns {
    const parts = node.inputs.map((input) => this.columnsOf(input));
    const type = parts[0]!.type;
    if (parts.some((part) => part.type !== type)) refuse('inputs of different types are joined before the trees');
    return { columns: parts.flatMap(({ columns }) => columns), type };
  }

  #cast({ columns, type: from }: Columns, to: ElementType | undefined): Columns {
    if (to === from) return { columns, type: to };
    if (to !== 'float32' && to !== 'float64') refuse(`values are cast to ${to ?? 'an unknown type'} before the trees`);
    // float64 of a whole number or of a float32 is exact where the column itself is.
    if (to === 'float64' && from !== 'float32') refuse(`${from} is cast to float64 before the trees`);
    return withStep(columns, to, () => [{ kind: 'cast', type: to }]);
  }

  #scale({ attributes }: WeightedNode, { columns, type }: Columns): Columns {
    const offsets = attributes.get('offset')?.floats ?? new Float32Array(0);
    const scales = attributes.get('scale')?.floats ?? new Float32Array(0);
    // Of other inputs ONNX Runtime subtracts in float64, or converts first; the result is float32 in any case.
    const between = type === 'float64' ? 'float64' : 'float32';
    return withStep(columns, 'float32', (index) => [
      { kind: 'subtract', by: finite(pick(offsets, index)), type: between },
      { kind: 'multiply', by: nonZero(pick(scales, index)), type: between },
      ...(between === 'float64' ? [{ kind: 'cast', type: 'float32' } as const] : []),
    ]);
  }

  #impute({ attributes }: WeightedNode, { columns, type }: Columns): Columns {
    const replaced = attributes.get('replaced_value_float')?.floats[0];
    const values = attributes.get('imputed_value_floats')?.floats ?? new Float32Array(0);
    if (type !== 'float32' || replaced === undefined || !Number.isNaN(replaced)) {
      refuse('values other than NaN are imputed before the trees');
    }
    return withStep(columns, type, (index) => {
      const by = pick(values, index);
      return Number.isNaN(by) ? [] : [{ kind: 'impute', by }];
    });
  }

  #calculate(node: WeightedNode, operator: 'Add' | 'Sub' | 'Mul' | 'Div'): Columns {
    const [left, right] = node.inputs.map((name) => this.#graph.weights.get(name));
    if ((left === undefined) === (right === undefined)) refuse(`${operator} of two columns comes before the trees`);
    const values = (left ?? right)!.values;
    const { columns, type } = this.columnsOf(node.inputs[left === undefined ? 0 : 1]!);
    if (type !== 'float32' && type !== 'float64') refuse(`${operator} of ${type} comes before the trees`);
    if (values.length !== 1 && values.length !== columns.length)
      refuse(`${operator} makes new columns before the trees`);
    return withStep(columns, type, (index) => {
      const value = pick(values, index);
      switch (operator) {
        case 'Add':
          return [{ kind: 'add', by: finite(value), type }];
        case 'Sub':
          return [{ kind: left === undefined ? 'subtract' : 'subtractFrom', by: finite(value), type }];
        case 'Mul':
          return [{ kind: 'multiply', by: nonZero(value), type }];
        case 'Div':
          if (left !== undefined) refuse('a number is divided by a column before the trees');
          return [{ kind: 'divide', by: nonZero(value), type }];
      }
    });
  }
}

function withStep(
  columns: readonly SourceColumn[],
  type: ElementType,
  steps: (index: number) => readonly ColumnStep[],
): Columns {
  return { columns: columns.map((column, index) => ({ ...column, steps: [...column.steps, ...steps(index)] })), type };
}

/** One for all columns, or one for each. */
function pick(values: ArrayLike<number>, index: number): number {
  return values[values.length === 1 ? 0 : index] ?? refuse('there are fewer numbers than columns before the trees');
}

function finite(value: number): number {
  return Number.isFinite(value) ? value : refuse(`${value} is added to a column before the trees`);
}

/** What is multiplied by 0 has no order left. */
function nonZero(value: number): number {
  return Number.isFinite(value) && value !== 0 ? value : refuse(`a column is multiplied by ${value} before the trees`);
}
