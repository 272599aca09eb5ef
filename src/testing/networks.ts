/** Dense networks (a linear model is one without hidden layers): random weights, the ONNX model, a plain reference. */
import type { Initializer, ModelSpec, NodeSpec } from './onnx.ts';
import { randomFloats, seededRandom } from './random.ts';

export interface Layer {
  readonly inputWidth: number;
  readonly outputWidth: number;
  /** [inputWidth, outputWidth], row-major. */
  readonly weights: Float32Array;
  readonly bias: Float32Array;
}

/** Relu between layers, at the end sigmoid or nothing. */
export interface Network {
  readonly layers: readonly Layer[];
  readonly sigmoid: boolean;
}

/** y = x . weights + bias, one output. */
export function linearNetwork(weights: readonly number[], bias: number, sigmoid = false): Network {
  const values = { weights: Float32Array.from(weights), bias: Float32Array.of(bias) };
  return { layers: [{ inputWidth: weights.length, outputWidth: 1, ...values }], sigmoid };
}

/** Weights so scaled (He initialization) that values neither grow nor vanish from layer to layer. */
export function randomNetwork(widths: readonly number[], seed: number, sigmoid = true): Network {
  const random = seededRandom(seed);
  const layers = widths.slice(1).map((outputWidth, index): Layer => {
    const inputWidth = widths[index]!;
    const limit = Math.sqrt(6 / inputWidth);
    return {
      inputWidth,
      outputWidth,
      weights: randomFloats(random, inputWidth * outputWidth, -limit, limit),
      bias: randomFloats(random, outputWidth, -0.1, 0.1),
    };
  });
  return { layers, sigmoid };
}

/** Input `x` float32 [N, first width], output `y` float32 [N, last width]. */
export function networkModel(network: Network): ModelSpec {
  const nodes: NodeSpec[] = [];
  const initializers: Initializer[] = [];
  let current = 'x';
  network.layers.forEach((layer, index) => {
    const isLast = index === network.layers.length - 1;
    const { inputWidth, outputWidth, weights, bias } = layer;
    initializers.push(
      { name: `w${index}`, elementType: 'float32', shape: [inputWidth, outputWidth], values: weights },
      { name: `b${index}`, elementType: 'float32', shape: [outputWidth], values: bias },
    );
    const sums = isLast && !network.sigmoid ? 'y' : `sums${index}`;
    nodes.push({ op: 'Gemm', inputs: [current, `w${index}`, `b${index}`], outputs: [sums] });
    current = isLast ? 'y' : `hidden${index}`;
    if (sums !== 'y') nodes.push({ op: isLast ? 'Sigmoid' : 'Relu', inputs: [sums], outputs: [current] });
  });
  const shapeOf = (width: number) => ['N', width];
  return {
    inputs: [{ name: 'x', elementType: 'float32', shape: shapeOf(network.layers[0]!.inputWidth) }],
    outputs: [{ name: 'y', elementType: 'float32', shape: shapeOf(network.layers.at(-1)!.outputWidth) }],
    nodes,
    initializers,
  };
}

/** Outputs of one row, in float64 throughout; ONNX Runtime computes in float32. */
export function scoreNetwork(network: Network, row: ArrayLike<number>): number[] {
  let values = Array.from(row);
  network.layers.forEach((layer, index) => {
    const isLast = index === network.layers.length - 1;
    values = Array.from(layer.bias, (bias, column) => {
      let sum = bias;
      for (let k = 0; k < layer.inputWidth; k++) sum += values[k]! * layer.weights[k * layer.outputWidth + column]!;
      if (!isLast) return Math.max(0, sum);
      return network.sigmoid ? 1 / (1 + Math.exp(-sum)) : sum;
    });
  });
  return values;
}
