/**
 * Models of step after step, with random weights: what they compute means nothing, how long they compute does. `tiny`
 * ones have the same operators and are small enough for a test.
 */
import type { TensorLayout } from '../../src/batch.ts';
import type { ModelDescription, ModelValue } from '../../src/engines/onnxruntime/session.ts';
import type { ModelPlan, OutputLayout } from '../../src/plan.ts';
import { networkModel, randomNetwork } from '../../src/testing/networks.ts';
import type { Attribute, Initializer, ModelSpec, NodeSpec } from '../../src/testing/onnx.ts';
import { randomFloats, seededRandom } from '../../src/testing/random.ts';
import { randomTrees, treeRegressorModel } from '../../src/testing/trees.ts';

export const modelNames = ['mlp', 'mlp2048', 'resnet50', 'trees', 'minilm'] as const;
export type ModelName = (typeof modelNames)[number];

/** Features of the tables' models. */
export const featureWidth = 32;

/** Tokens that the language model knows; its inputs are below this. */
export function vocabulary(tiny: boolean): number {
  return tiny ? 50 : 30_522;
}

/** Widths of the dense networks: `mlp2048` is the model that computes for longer than it is copied. */
export function widthsOf(name: 'mlp' | 'mlp2048', tiny: boolean): readonly number[] {
  if (name === 'mlp') return [featureWidth, 256, 64, 1];
  const width = tiny ? 64 : 2048;
  return [featureWidth, width, width, width, 1];
}

export function specOf(name: ModelName, tiny: boolean): ModelSpec {
  switch (name) {
    case 'mlp':
      return networkModel(randomNetwork(widthsOf(name, tiny), 1));
    case 'mlp2048':
      return networkModel(randomNetwork(widthsOf(name, tiny), 4));
    case 'trees': {
      const ranges = Array.from({ length: featureWidth }, () => [-1, 1] as const);
      return treeRegressorModel(randomTrees({ treeCount: 100, leafCount: 31, ranges, seed: 3 }), featureWidth);
    }
    case 'resnet50':
      return residualNetwork(tiny ? [1, 1] : [3, 4, 6, 3], tiny ? 4 : 64, tiny ? 32 : 224);
    case 'minilm':
      return encoder(tiny ? 1 : 6, tiny ? 24 : 384, tiny ? 8 : 128, vocabulary(tiny));
  }
}

/** What the scorers need of a model whose every batch axis is the first. The rest of a plan is not looked at. */
export function planOfModel(path: string, { inputs, outputs }: ModelDescription): ModelPlan {
  const layout = ({ name, elementType, shape }: ModelValue): OutputLayout => {
    const rowShape = shape!.slice(1).map(Number);
    return { name, elementType: elementType!, rowShape, width: rowShape.reduce((product, size) => product * size, 1) };
  };
  return {
    path,
    inputs: inputs.map((input): TensorLayout => ({ ...layout(input), features: [], featureWidths: [] })),
    outputs: outputs.map(layout),
    fixedBatchRows: undefined,
    ...{ bytes: 0, sha256: '', contractSha256: '', constants: [], columns: [] },
  };
}

/** Nodes and weights as they are added, with random weights of a fixed seed. */
class GraphBuilder {
  readonly nodes: NodeSpec[] = [];
  readonly initializers: Initializer[] = [];
  readonly #random = seededRandom(7);
  #names = 0;

  /** Uniform, of the standard deviation that keeps `fanIn` added products at the size of one. */
  weights(shape: readonly number[], fanIn: number, gain = 1): string {
    const limit = gain * Math.sqrt(6 / fanIn);
    const length = shape.reduce((product, size) => product * size, 1);
    return this.values(shape, randomFloats(this.#random, length, -limit, limit));
  }

  values(shape: readonly number[], values: ArrayLike<number>, elementType: 'float32' | 'int64' = 'float32'): string {
    const name = this.#name();
    this.initializers.push({ name, elementType, shape, values });
    return name;
  }

  add(
    op: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
    output = this.#name(),
  ): string {
    this.nodes.push({ op, inputs, outputs: [output], attributes });
    return output;
  }

  #name(): string {
    return `v${this.#names++}`;
  }
}

/** Bottleneck blocks as in ResNet-50, its normalizations folded into weights and biases as exporters do. */
function residualNetwork(blocks: readonly number[], width: number, pixels: number): ModelSpec {
  const graph = new GraphBuilder();
  const convolve = (x: string, from: number, to: number, kernel: number, stride: number, gain = 1): string => {
    const pad = kernel >> 1;
    const weights = graph.weights([to, from, kernel, kernel], from * kernel * kernel, gain);
    const bias = graph.values([to], new Float32Array(to).fill(0.01));
    const attributes = { strides: { ints: [stride, stride] }, pads: { ints: [pad, pad, pad, pad] } };
    return graph.add('Conv', [x, weights, bias], attributes);
  };
  const relu = (x: string): string => graph.add('Relu', [x]);
  let x = relu(convolve('x', 3, width, 7, 2));
  x = graph.add('MaxPool', [x], {
    kernel_shape: { ints: [3, 3] },
    strides: { ints: [2, 2] },
    pads: { ints: [1, 1, 1, 1] },
  });
  let channels = width;
  blocks.forEach((count, stage) => {
    const inner = width << stage;
    for (let block = 0; block < count; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1;
      const first = relu(convolve(x, channels, inner, 1, 1));
      const second = relu(convolve(first, inner, inner, 3, stride));
      // A small last factor: values of so many added branches stay of the size of one.
      const third = convolve(second, inner, 4 * inner, 1, 1, 0.2);
      const shortcut = block === 0 ? convolve(x, channels, 4 * inner, 1, stride, 0.7) : x;
      x = relu(graph.add('Add', [third, shortcut]));
      channels = 4 * inner;
    }
  });
  const pooled = graph.add('Flatten', [graph.add('GlobalAveragePool', [x])]);
  const classes = 1000;
  const head = [graph.weights([channels, classes], channels), graph.values([classes], new Float32Array(classes))];
  graph.add('Gemm', [pooled, ...head], {}, 'y');
  return {
    inputs: [{ name: 'x', elementType: 'float32', shape: ['N', 3, pixels, pixels] }],
    outputs: [{ name: 'y', elementType: 'float32', shape: ['N', classes] }],
    nodes: graph.nodes,
    initializers: graph.initializers,
  };
}

/** A sentence encoder of MiniLM's sizes, 12 heads, the mean of the tokens at its end. */
function encoder(layers: number, width: number, tokens: number, words: number): ModelSpec {
  const heads = 12;
  const graph = new GraphBuilder();
  const shape = (...sizes: number[]): string => graph.values([sizes.length], sizes, 'int64');
  const dense = (x: string, from: number, to: number): string => {
    const product = graph.add('MatMul', [x, graph.weights([from, to], 2 * from)]);
    return graph.add('Add', [product, graph.values([to], new Float32Array(to))]);
  };
  const normalize = (x: string): string => {
    const scale = [
      graph.values([width], new Float32Array(width).fill(1)),
      graph.values([width], new Float32Array(width)),
    ];
    return graph.add('LayerNormalization', [x, ...scale], { axis: { int: -1 } });
  };
  const split = (x: string, order: readonly number[]): string => {
    const apart = graph.add('Reshape', [x, shape(0, tokens, heads, width / heads)]);
    return graph.add('Transpose', [apart], { perm: { ints: order } });
  };
  const scale = graph.values([], [1 / Math.sqrt(width / heads)]);
  const attend = (x: string): string => {
    const query = split(dense(x, width, width), [0, 2, 1, 3]);
    const key = split(dense(x, width, width), [0, 2, 3, 1]);
    const value = split(dense(x, width, width), [0, 2, 1, 3]);
    const weights = graph.add('Softmax', [graph.add('Mul', [graph.add('MatMul', [query, key]), scale])]);
    const mixed = graph.add('Transpose', [graph.add('MatMul', [weights, value])], { perm: { ints: [0, 2, 1, 3] } });
    return dense(graph.add('Reshape', [mixed, shape(0, tokens, width)]), width, width);
  };
  const gelu = (x: string): string => {
    const erf = graph.add('Erf', [graph.add('Mul', [x, graph.values([], [Math.SQRT1_2])])]);
    const half = graph.add('Mul', [x, graph.values([], [0.5])]);
    return graph.add('Mul', [half, graph.add('Add', [erf, graph.values([], [1])])]);
  };
  const embedded = graph.add('Gather', [graph.weights([words, width], 6), 'tokens']);
  let x = normalize(graph.add('Add', [embedded, graph.weights([tokens, width], 6)]));
  for (let layer = 0; layer < layers; layer++) {
    x = normalize(graph.add('Add', [attend(x), x]));
    x = normalize(graph.add('Add', [dense(gelu(dense(x, width, 4 * width)), 4 * width, width), x]));
  }
  graph.add('ReduceMean', [x], { axes: { ints: [1] }, keepdims: { int: 0 } }, 'y');
  return {
    inputs: [{ name: 'tokens', elementType: 'int64', shape: ['N', tokens] }],
    outputs: [{ name: 'y', elementType: 'float32', shape: ['N', width] }],
    nodes: graph.nodes,
    initializers: graph.initializers,
  };
}
