/** An ONNX graph that grows node by node; all of its numbers are float64, as Spark's are. */
import {
  buildModel,
  mlDomain,
  type Attribute,
  type Initializer,
  type NodeSpec,
  type TensorSpec,
} from '../../engines/onnxruntime/write-model.ts';
import { onnxTypeOf } from '../../engines/onnxruntime/session.ts';

/** Version 5 of ai.onnx.ml has trees with float64 leaves and sets of categories. */
const opset = [
  { domain: '', version: 17 },
  { domain: mlDomain, version: 5 },
];

export class Graph {
  readonly #nodes: NodeSpec[] = [];
  readonly #initializers: Initializer[] = [];

  /** Adds a node with one output; gives its name. */
  add(
    op: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    domain = '',
  ): string {
    const output = `${op}_${this.#nodes.length}`;
    this.#nodes.push({ op, inputs, outputs: [output], attributes, domain });
    return output;
  }

  /** Gives a value the name of an output of the model. */
  name(value: string, output: string): void {
    this.#nodes.push({ op: 'Identity', inputs: [value], outputs: [output] });
  }

  constant(values: readonly number[], shape: readonly number[] = [values.length]): string {
    return this.#initialize({ elementType: 'float64', shape, values });
  }

  places(values: readonly number[]): string {
    return this.#initialize({ elementType: 'int64', shape: [values.length], values });
  }

  texts(values: readonly string[]): string {
    return this.#initialize({ elementType: 'string', shape: [values.length], values });
  }

  /** `x` times a matrix with a row for each output, plus a number for each: [N, outputs]. */
  linear(x: string, rows: readonly (readonly number[])[], intercepts: readonly number[]): string {
    const size = rows[0]!.length;
    const columns = Array.from({ length: size }, (_, at) => rows.map((row) => row[at]!)).flat();
    return this.add('Add', [
      this.add('MatMul', [x, this.constant(columns, [size, rows.length])]),
      this.constant(intercepts),
    ]);
  }

  /** 1 where a value is above the threshold, else 0, NaN too. */
  above(value: string, threshold: number): string {
    return this.asNumber(this.add('Greater', [value, this.constant([threshold])]));
  }

  /** float64. */
  asNumber(value: string): string {
    return this.add('Cast', [value], { to: { int: onnxTypeOf('float64') } });
  }

  asInt32(value: string): string {
    return this.add('Cast', [value], { to: { int: onnxTypeOf('int32') } });
  }

  /** Of [N, values] from each of the points the squares, each divided by its spread, added up: [N, points]. */
  distances(x: string, points: readonly (readonly number[])[], spreads?: readonly (readonly number[])[]): string {
    const shape = [1, points.length, points[0]!.length];
    const apart = this.add('Reshape', [x, this.places([-1, 1, shape[2]!])]);
    const way = this.add('Sub', [apart, this.constant(points.flat(), shape)]);
    const square = this.add('Mul', [way, way]);
    const weighed = spreads && this.add('Div', [square, this.constant(spreads.flat(), shape)]);
    return this.sum(weighed ?? square, 2);
  }

  /** Over one axis, which goes unless it is kept. */
  sum(value: string, axis: number, isKept = false): string {
    return this.add('ReduceSum', [value, this.places([axis])], { keepdims: { int: isKept ? 1 : 0 } });
  }

  /** Place of the first largest value in each row. */
  largest(value: string): string {
    return this.add('ArgMax', [value], { axis: { int: 1 }, keepdims: { int: 0 } });
  }

  /** [N, 1] as [N]. */
  flat(value: string): string {
    return this.add('Reshape', [value, this.places([-1])]);
  }

  /** The file, without what no output needs. */
  toBytes(inputs: readonly TensorSpec[], outputs: readonly TensorSpec[]): Uint8Array {
    const read = new Set(outputs.map(({ name }) => name));
    const nodes: NodeSpec[] = [];
    for (const node of this.#nodes.toReversed()) {
      if (!node.outputs.some((name) => read.has(name))) continue;
      nodes.unshift(node);
      for (const name of node.inputs) read.add(name);
    }
    const initializers = this.#initializers.filter(({ name }) => read.has(name));
    return buildModel({ inputs, outputs, nodes, initializers, opset });
  }

  #initialize(initializer: Omit<Initializer, 'name'>): string {
    const name = `constant_${this.#initializers.length}`;
    this.#initializers.push({ name, ...initializer });
    return name;
  }
}
