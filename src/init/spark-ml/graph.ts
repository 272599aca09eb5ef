/** An ONNX graph that grows node by node; all of its numbers are float64, as Spark's are. */
import {
  buildModel,
  mlDomain,
  type Attribute,
  type Initializer,
  type NodeSpec,
  type TensorSpec,
} from '../../engines/onnxruntime/write-model.ts';

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
