/** One layer of a transformer with open batch and sequence, its shape arithmetic as PyTorch's exporter writes it. */
import type { Initializer, ModelSpec, NodeSpec } from './onnx.ts';
import { randomFloats, seededRandom } from './random.ts';

const vocabulary = 20;
const positions = 64;
const heads = 2;
const width = 8;

export interface Transformer {
  readonly model: ModelSpec;
  /** Names of the nodes that see shapes and constants only. */
  readonly shapeNodes: readonly string[];
}

/** `ids` and `mask` int64 [N, S] to `y` float32 [N, 1]. */
export function transformer(seed = 1): Transformer {
  const graph = new TransformerGraph(seed);
  const hidden = graph.attention(graph.embed(), graph.mask());
  graph.data('ReduceMean', [hidden], 'pooled', { axes: { ints: [1] }, keepdims: { int: 0 } });
  graph.data('Gemm', ['pooled', graph.weights('head', [width, 1]), graph.weights('bias', [1])], 'y');
  return {
    model: {
      inputs: ['ids', 'mask'].map((name) => ({ name, elementType: 'int64', shape: ['N', 'S'] })),
      outputs: [{ name: 'y', elementType: 'float32', shape: ['N', 1] }],
      nodes: graph.nodes,
      initializers: [...graph.initializers.values()],
    },
    shapeNodes: graph.shapeNodes,
  };
}

class TransformerGraph {
  readonly nodes: NodeSpec[] = [];
  readonly initializers = new Map<string, Initializer>();
  readonly shapeNodes: string[] = [];
  readonly #random: () => number;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** Words and positions; the positions are cut from a constant by the length of the sequence. */
  embed(): string {
    const end = this.shape('Unsqueeze', [this.sizeOf('ids', 1), this.int64([0])]);
    const numbers = Array.from({ length: positions }, (_, index) => index);
    const own = this.shape('Slice', [this.int64(numbers, [1, positions]), this.int64([0]), end, this.int64([1])]);
    const words = this.data('Gather', [this.weights('words', [vocabulary, width]), 'ids']);
    const places = this.shape('Gather', [this.weights('places', [positions, width]), own]);
    const sum = this.data('Add', [words, places]);
    return this.data('LayerNormalization', [sum, this.weights('scale', [width])]);
  }

  /** 0 where there is a word, -10000 elsewhere: [N, 1, S, S], expanded as `mask.expand(...)` is. */
  mask(): string {
    const [rows, length] = [this.sizeOf('mask', 0), this.sizeOf('mask', 1)];
    const wanted = this.concat([rows, this.int64([1]), length, length]);
    const rank = this.shape('Shape', [wanted]);
    const ones = this.shape('ConstantOfShape', [rank], {
      value: { tensor: { name: 'one', elementType: 'int64', shape: [1], values: [1] } },
    });
    const minusOnes = this.shape('Mul', [ones, this.int64([-1], [])]);
    const open = this.shape('Equal', [wanted, minusOnes]);
    const sizes = this.shape('Where', [open, ones, wanted]);
    const unsqueezed = this.data('Unsqueeze', ['mask', this.int64([1, 2])]);
    const expanded = this.data('Expand', [unsqueezed, sizes]);
    const cast = this.data('Cast', [expanded], undefined, { to: { int: 1 } });
    const inverse = this.data('Sub', [this.float32(1), cast]);
    return this.data('Mul', [inverse, this.float32(-10_000)]);
  }

  attention(input: string, mask: string): string {
    const parts = ['query', 'key', 'value'].map((name) => {
      const product = this.data('MatMul', [input, this.weights(name, [width, width])]);
      const sizes = this.concat([this.sizeOf(product, 0), this.sizeOf(product, 1), this.int64([heads, width / heads])]);
      const split = this.data('Reshape', [product, sizes]);
      return this.data('Transpose', [split], undefined, {
        perm: { ints: name === 'key' ? [0, 2, 3, 1] : [0, 2, 1, 3] },
      });
    });
    const [query, key, value] = parts as [string, string, string];
    // Half of the scale for each factor, from the shape, as floats.
    const size = this.shape('Cast', [this.sizeOf(query, 3)], { to: { int: 1 } });
    const scale = this.shape('Sqrt', [this.shape('Div', [this.float32(1), this.shape('Sqrt', [size])])]);
    const raw = this.data('MatMul', [this.data('Mul', [query, scale]), this.data('Mul', [key, scale])]);
    const shares = this.data('Softmax', [this.data('Add', [raw, mask])], undefined, { axis: { int: -1 } });
    const mixed = this.data('Transpose', [this.data('MatMul', [shares, value])], undefined, {
      perm: { ints: [0, 2, 1, 3] },
    });
    const sizes = this.concat([this.sizeOf(mixed, 0), this.sizeOf(mixed, 1), this.int64([width])]);
    return this.data('Reshape', [mixed, sizes]);
  }

  /** Shape reads the batch, and gives none of it. */
  sizeOf(value: string, axis: number): string {
    return this.shape('Gather', [this.data('Shape', [value]), this.int64([axis], [])]);
  }

  concat(sizes: readonly string[]): string {
    const lists = sizes.map((size) =>
      this.initializers.has(size) ? size : this.shape('Unsqueeze', [size, this.int64([0])]),
    );
    return this.shape('Concat', lists, { axis: { int: 0 } });
  }

  shape(op: string, inputs: readonly string[], attributes: NodeSpec['attributes'] = {}): string {
    const output = this.data(op, inputs, undefined, attributes);
    this.shapeNodes.push(this.nodes.at(-1)!.name!);
    return output;
  }

  /** Names are those of PyTorch: `/Gather_2`. */
  data(op: string, inputs: readonly string[], output?: string, attributes: NodeSpec['attributes'] = {}): string {
    const before = this.nodes.filter((node) => node.op === op).length;
    const name = `/${op}${before === 0 ? '' : `_${before}`}`;
    const outputs = [output ?? `${name}_output_0`];
    this.nodes.push({ op, name, inputs, outputs, attributes });
    return outputs[0]!;
  }

  int64(values: readonly number[], shape: readonly number[] = [values.length]): string {
    const name = `int64 ${shape.join('x')}: ${values.join(',')}`;
    this.initializers.set(name, { name, elementType: 'int64', shape, values });
    return name;
  }

  float32(value: number): string {
    this.initializers.set(`${value}`, { name: `${value}`, elementType: 'float32', shape: [], values: [value] });
    return `${value}`;
  }

  weights(name: string, shape: readonly number[]): string {
    const length = shape.reduce((product, size) => product * size, 1);
    this.initializers.set(name, {
      name,
      elementType: 'float32',
      shape,
      values: randomFloats(this.#random, length, -1, 1),
    });
    return name;
  }
}
