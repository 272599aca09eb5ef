/** Models that tests need, ready made. Where nothing is said the input is `x`, the output `y`, the batch axis `N`. */
import type { ElementType } from '../contract/contract.ts';
import { onnxTypeOf } from '../engines/onnxruntime/session.ts';
import { mlDomain, type Dimension, type ModelSpec, type NodeSpec, type TensorSpec } from './onnx.ts';

const batch = 'N';

function tensor(name: string, elementType: ElementType, ...shape: readonly Dimension[]): TensorSpec {
  return { name, elementType, shape };
}

/** y = x, of any type. */
export function identityModel(elementType: ElementType, shape: readonly Dimension[] = [batch, 1]): ModelSpec {
  return {
    inputs: [tensor('x', elementType, ...shape)],
    outputs: [tensor('y', elementType, ...shape)],
    nodes: [{ op: 'Identity', inputs: ['x'], outputs: ['y'] }],
  };
}

/** y = x as another type, [N, 1]. */
export function castModel(from: ElementType, to: ElementType): ModelSpec {
  return {
    inputs: [tensor('x', from, batch, 1)],
    outputs: [tensor('y', to, batch, 1)],
    nodes: [{ op: 'Cast', inputs: ['x'], outputs: ['y'], attributes: { to: { int: onnxTypeOf(to) } } }],
  };
}

/** y[n, 0] = sum of x[n, 0..width-1], float32. `rows`: a batch dimension that is fixed. */
export function rowSumModel(width: number, rows: Dimension = batch): ModelSpec {
  return {
    inputs: [tensor('x', 'float32', rows, width)],
    outputs: [tensor('y', 'float32', rows, 1)],
    nodes: [{ op: 'ReduceSum', inputs: ['x', 'axes'], outputs: ['y'], attributes: { keepdims: { int: 1 } } }],
    initializers: [{ name: 'axes', elementType: 'int64', shape: [1], values: [1] }],
  };
}

/** y[0, k] = sum over the batch: one row, however many go in. */
export function batchSumModel(width: number): ModelSpec {
  return {
    inputs: [tensor('x', 'float32', batch, width)],
    outputs: [tensor('y', 'float32', 1, width)],
    nodes: [{ op: 'ReduceSum', inputs: ['x', 'axes'], outputs: ['y'], attributes: { keepdims: { int: 1 } } }],
    initializers: [{ name: 'axes', elementType: 'int64', shape: [1], values: [0] }],
  };
}

/**
 * y = the rows where x < limit: as many rows as went in until one is not below it.
 * @param declared rows that the model file says y has
 */
export function filterModel(limit: number, declared: Dimension = 'M'): ModelSpec {
  return {
    inputs: [tensor('x', 'float32', batch, 1)],
    outputs: [tensor('y', 'float32', declared, 1)],
    nodes: [
      { op: 'Squeeze', inputs: ['x', 'axis'], outputs: ['flat'] },
      { op: 'Less', inputs: ['flat', 'limit'], outputs: ['below'] },
      { op: 'Compress', inputs: ['x', 'below'], outputs: ['y'], attributes: { axis: { int: 0 } } },
    ],
    initializers: [
      { name: 'axis', elementType: 'int64', shape: [1], values: [1] },
      { name: 'limit', elementType: 'float32', shape: [1], values: [limit] },
    ],
  };
}

/** y = x / divisor in int64, [N, 1] each. INT64_MIN / -1 and x / 0 kill the process (SIGFPE). */
export function integerDivisionModel(): ModelSpec {
  return {
    inputs: [tensor('x', 'int64', batch, 1), tensor('divisor', 'int64', batch, 1)],
    outputs: [tensor('y', 'int64', batch, 1)],
    nodes: [{ op: 'Div', inputs: ['x', 'divisor'], outputs: ['y'] }],
  };
}

/** y = sqrt(x), [N, 1]: NaN below 0. */
export function squareRootModel(): ModelSpec {
  return {
    inputs: [tensor('x', 'float32', batch, 1)],
    outputs: [tensor('y', 'float32', batch, 1)],
    nodes: [{ op: 'Sqrt', inputs: ['x'], outputs: ['y'] }],
  };
}

/** Does not load: no library knows its operator. */
export function unknownOperatorModel(): ModelSpec {
  return { ...identityModel('float32'), nodes: [{ op: 'NoSuchOperator', inputs: ['x'], outputs: ['y'] }] };
}

/** y = x * factor; `factor` (float32 [1]) is an input with a default. */
export function defaultInputModel(factor: number): ModelSpec {
  return {
    inputs: [tensor('x', 'float32', batch, 1), tensor('factor', 'float32', 1)],
    outputs: [tensor('y', 'float32', batch, 1)],
    nodes: [{ op: 'Mul', inputs: ['x', 'factor'], outputs: ['y'] }],
    initializers: [{ name: 'factor', elementType: 'float32', shape: [1], values: [factor] }],
  };
}

/** y = x + offsets; the offsets lie in a file of this name beside the model, as float32 (see `rawBytes`). */
export function externalDataModel(offsets: readonly number[], location: string): ModelSpec {
  const width = offsets.length;
  return {
    inputs: [tensor('x', 'float32', batch, width)],
    outputs: [tensor('y', 'float32', batch, width)],
    nodes: [{ op: 'Add', inputs: ['x', 'offsets'], outputs: ['y'] }],
    initializers: [
      { name: 'offsets', elementType: 'float32', shape: [width], values: offsets, external: { location, offset: 0 } },
    ],
  };
}

/**
 * A voice detector's shape: `state` is [2, N, 4] (the batch on axis 1), `rate` an int64 without dimensions.
 * y[n, 0] = (sum of x[n] + sum of state[:, n]) / rate; `next` = state + 1.
 */
export function stateModel(width: number): ModelSpec {
  return {
    inputs: [tensor('x', 'float32', batch, width), tensor('state', 'float32', 2, batch, 4), tensor('rate', 'int64')],
    outputs: [tensor('y', 'float32', batch, 1), tensor('next', 'float32', 2, batch, 4)],
    nodes: [
      { op: 'ReduceSum', inputs: ['x', 'rowAxis'], outputs: ['rowSums'], attributes: { keepdims: { int: 0 } } },
      { op: 'ReduceSum', inputs: ['state', 'stateAxes'], outputs: ['stateSums'], attributes: { keepdims: { int: 0 } } },
      { op: 'Add', inputs: ['rowSums', 'stateSums'], outputs: ['sums'] },
      { op: 'Cast', inputs: ['rate'], outputs: ['divisor'], attributes: { to: { int: onnxTypeOf('float32') } } },
      { op: 'Div', inputs: ['sums', 'divisor'], outputs: ['flat'] },
      { op: 'Unsqueeze', inputs: ['flat', 'rowAxis'], outputs: ['y'] },
      { op: 'Add', inputs: ['state', 'one'], outputs: ['next'] },
    ],
    initializers: [
      { name: 'rowAxis', elementType: 'int64', shape: [1], values: [1] },
      { name: 'stateAxes', elementType: 'int64', shape: [2], values: [0, 2] },
      { name: 'one', elementType: 'float32', shape: [1], values: [1] },
    ],
  };
}

/** What the model of {@link mixedInputsModel} knows. */
export interface MixedClassifier {
  /** Categories of the string input, for a one-hot. */
  readonly countries: readonly string[];
  /** Integers or strings, one per class. */
  readonly labels: readonly number[] | readonly string[];
  /** Per class: age, visits, member, then one per country. */
  readonly coefficients: readonly (readonly number[])[];
  readonly intercepts: readonly number[];
}

/**
 * A pipeline as scikit-learn's exporter writes it: inputs `age` float32, `visits` int64, `member` bool and `country`
 * string, [N, 1] each; outputs `label` [N] (int64 or string) and `probabilities` [N, K] (softmax), or with `zipMap`
 * a sequence of maps from label to float.
 */
export function mixedInputsModel(classifier: MixedClassifier, zipMap = false): ModelSpec {
  const { countries, labels, coefficients, intercepts } = classifier;
  const areTexts = typeof labels[0] === 'string';
  const labelType = areTexts ? 'string' : 'int64';
  const labelAttribute = areTexts ? { texts: labels as string[] } : { ints: labels as number[] };
  const toFloat = { to: { int: onnxTypeOf('float32') } };
  const scores = zipMap ? 'table' : 'probabilities';
  const nodes: NodeSpec[] = [
    { op: 'Cast', inputs: ['visits'], outputs: ['visitsFloat'], attributes: toFloat },
    { op: 'Cast', inputs: ['member'], outputs: ['memberFloat'], attributes: toFloat },
    {
      op: 'OneHotEncoder',
      domain: mlDomain,
      inputs: ['country'],
      outputs: ['countryCube'],
      attributes: { cats_strings: { texts: countries }, zeros: { int: 1 } },
    },
    { op: 'Reshape', inputs: ['countryCube', 'countryShape'], outputs: ['countryFloat'] },
    {
      op: 'Concat',
      inputs: ['age', 'visitsFloat', 'memberFloat', 'countryFloat'],
      outputs: ['features'],
      attributes: { axis: { int: 1 } },
    },
    {
      op: 'LinearClassifier',
      domain: mlDomain,
      inputs: ['features'],
      outputs: ['label', scores],
      attributes: {
        coefficients: { floats: coefficients.flat() },
        intercepts: { floats: intercepts },
        post_transform: { text: 'SOFTMAX' },
        multi_class: { int: 0 },
        [areTexts ? 'classlabels_strings' : 'classlabels_ints']: labelAttribute,
      },
    },
  ];
  if (zipMap) {
    nodes.push({
      op: 'ZipMap',
      domain: mlDomain,
      inputs: ['table'],
      outputs: ['probabilities'],
      attributes: { [areTexts ? 'classlabels_strings' : 'classlabels_int64s']: labelAttribute },
    });
  }
  return {
    inputs: [
      tensor('age', 'float32', batch, 1),
      tensor('visits', 'int64', batch, 1),
      tensor('member', 'bool', batch, 1),
      tensor('country', 'string', batch, 1),
    ],
    outputs: [
      tensor('label', labelType, batch),
      zipMap
        ? { name: 'probabilities', mapsFrom: labelType }
        : tensor('probabilities', 'float32', batch, labels.length),
    ],
    nodes,
    initializers: [{ name: 'countryShape', elementType: 'int64', shape: [2], values: [-1, countries.length] }],
  };
}

/** One row of the inputs of {@link mixedInputsModel}. */
export interface MixedRow {
  readonly age: number;
  readonly visits: number;
  readonly member: boolean;
  readonly country: string;
}

/** Label and probabilities of one row of {@link mixedInputsModel}, in float64. */
export function scoreMixed(
  classifier: MixedClassifier,
  row: MixedRow,
): { readonly label: number | string; readonly probabilities: readonly number[] } {
  const oneHot = classifier.countries.map((name) => (name === row.country ? 1 : 0));
  const features = [row.age, row.visits, row.member ? 1 : 0, ...oneHot];
  const logits = classifier.coefficients.map((weights, k) =>
    weights.reduce((sum, weight, index) => sum + weight * features[index]!, classifier.intercepts[k]!),
  );
  const largest = Math.max(...logits);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  const total = exponentials.reduce((sum, value) => sum + value, 0);
  return {
    label: classifier.labels[logits.indexOf(largest)]!,
    probabilities: exponentials.map((value) => value / total),
  };
}
