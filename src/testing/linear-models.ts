/** Linear models as exporters write them, with random weights. The input is `x` [N, width]. */
import type { ModelSpec, NodeSpec, TensorSpec } from './onnx.ts';
import { mlDomain } from './onnx.ts';
import { randomFloats, seededRandom } from './random.ts';

/** A model of these nodes from `x`; initializers and outputs as the nodes need them. */
export function modelOf(
  width: number,
  nodes: readonly NodeSpec[],
  outputs: readonly TensorSpec[],
  initializers: NonNullable<ModelSpec['initializers']> = [],
): ModelSpec {
  return { inputs: [{ name: 'x', elementType: 'float32', shape: ['N', width] }], outputs, nodes, initializers };
}

export function scores(name: string, width: number): TensorSpec {
  return { name, elementType: 'float32', shape: ['N', width] };
}

export interface ClassifierOptions {
  readonly width: number;
  readonly classes: number;
  readonly transform: 'NONE' | 'LOGISTIC' | 'SOFTMAX';
  /** Of the columns, as a Scaler in front. */
  readonly isScaled?: boolean;
  /** A row of probabilities is divided by its sum, as scikit-learn's exporter does. */
  readonly isNormalized?: boolean;
  readonly seed?: number;
  readonly labels?: readonly number[] | readonly string[];
}

/** `label` [N] and `probabilities` [N, classes], as skl2onnx writes a logistic regression. */
export function classifierModel(options: ClassifierOptions): ModelSpec {
  const { width, classes, transform, isScaled = false, isNormalized = false, seed = 1 } = options;
  const random = seededRandom(seed);
  const labels = options.labels ?? Array.from({ length: classes }, (_, index) => index * 10 - 10);
  const areTexts = typeof labels[0] === 'string';
  const raw = isNormalized ? 'raw' : 'probabilities';
  const classifier: NodeSpec = {
    op: 'LinearClassifier',
    domain: mlDomain,
    inputs: [isScaled ? 'scaled' : 'x'],
    outputs: ['label', raw],
    attributes: {
      coefficients: { floats: [...randomFloats(random, width * classes, -1, 1)] },
      intercepts: { floats: [...randomFloats(random, classes, -1, 1)] },
      [areTexts ? 'classlabels_strings' : 'classlabels_ints']: areTexts
        ? { texts: labels as readonly string[] }
        : { ints: labels as readonly number[] },
      multi_class: { int: 1 },
      post_transform: { text: transform },
    },
  };
  const scaler: NodeSpec = {
    op: 'Scaler',
    domain: mlDomain,
    inputs: ['x'],
    outputs: ['scaled'],
    attributes: {
      offset: { floats: [...randomFloats(random, width, -2, 2)] },
      scale: { floats: [...randomFloats(random, width, 0.5, 2)] },
    },
  };
  const normalizer: NodeSpec = {
    op: 'Normalizer',
    domain: mlDomain,
    inputs: ['raw'],
    outputs: ['probabilities'],
    attributes: { norm: { text: 'L1' } },
  };
  return modelOf(
    width,
    [...(isScaled ? [scaler] : []), classifier, ...(isNormalized ? [normalizer] : [])],
    [{ name: 'label', elementType: areTexts ? 'string' : 'int64', shape: ['N'] }, scores('probabilities', classes)],
  );
}
