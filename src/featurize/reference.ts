/**
 * What a row becomes, one value at a time, in the plainest way. The kernels must give the same bits; they are tested
 * against this. It also explains bad rows: a kernel only says which row it is.
 */
import { type ColumnVector, codeNull, isValid, type NumberArray, type TensorLayout, type Validity } from '../batch.ts';
import type { ElementType, Feature, NumericStep } from '../contract/contract.ts';
import { bug } from '../errors.ts';
import { BadRowError } from './bad-row.ts';
import { float16Bits } from '../float16.ts';
import { hashBucket } from './murmur3.ts';

/** A value as the tensor's array holds it: bigint for 64 bit integers, bits for float16, 0 and 1 for bool. */
export type StoredValue = number | bigint | string;

type FeatureOf<Kind extends Feature['kind']> = Extract<Feature, { kind: Kind }>;
type CategoryFeature = FeatureOf<'index'> | FeatureOf<'oneHot'>;

const integerRanges: Readonly<Partial<Record<ElementType, readonly [bigint, bigint]>>> = {
  int8: [-(2n ** 7n), 2n ** 7n - 1n],
  uint8: [0n, 2n ** 8n - 1n],
  int16: [-(2n ** 15n), 2n ** 15n - 1n],
  uint16: [0n, 2n ** 16n - 1n],
  int32: [-(2n ** 31n), 2n ** 31n - 1n],
  uint32: [0n, 2n ** 32n - 1n],
  int64: [-(2n ** 63n), 2n ** 63n - 1n],
  uint64: [0n, 2n ** 64n - 1n],
  bool: [0n, 1n],
};

/** What the element type can hold, in words. */
export function storableWords(elementType: ElementType): string {
  const range = integerRanges[elementType];
  if (elementType === 'bool') return 'to be 0, 1 or a boolean';
  return range === undefined ? 'to be a number' : `to be a whole number from ${range[0]} to ${range[1]}`;
}

/** The number in the tensor's element type, or undefined where it does not fit. */
export function storedValue(elementType: ElementType, value: number | bigint): number | bigint | undefined {
  const range = integerRanges[elementType];
  if (range === undefined) {
    if (elementType === 'float32') return Math.fround(Number(value));
    return elementType === 'float16' ? float16Bits(Number(value)) : Number(value);
  }
  if (typeof value === 'number' && !Number.isInteger(value)) return undefined;
  const integer = BigInt(value);
  if (integer < range[0] || integer > range[1]) return undefined;
  return elementType === 'int64' || elementType === 'uint64' ? integer : Number(integer);
}

/** One step of arithmetic, in float64. */
export function applyStep(step: NumericStep, x: number): number {
  switch (step.kind) {
    case 'log1p':
      return Math.log1p(x);
    case 'standardize':
      return (x - step.mean) / step.std;
    case 'minMax':
      return (x - step.min) / (step.max - step.min);
    case 'clip':
      if (x < step.low) return step.low;
      return x > step.high ? step.high : x;
    case 'bucketize':
      return Number.isNaN(x) ? x : step.boundaries.filter((boundary) => boundary <= x).length;
  }
}

/**
 * One row of a tensor. `vectors[i]` belongs to feature i.
 * Throws {@link BadRowError} for the first feature that the row's value does not fit.
 */
export function featurizeRow(layout: TensorLayout, vectors: readonly ColumnVector[], row: number): StoredValue[] {
  return layout.features.flatMap((feature, i) => {
    const vector = vectors[i];
    const width = layout.featureWidths[i];
    if (vector === undefined || width === undefined) throw bug(`Feature ${i} of ${layout.name} has no vector`);
    return featureValues(feature, layout.elementType, width, vector, row);
  });
}

function featureValues(
  feature: Feature,
  elementType: ElementType,
  width: number,
  vector: ColumnVector,
  row: number,
): StoredValue[] {
  switch (feature.kind) {
    case 'number':
      if (vector.kind !== 'number') break;
      return [number(feature, elementType, valueAt(vector.values, vector.validity, row), row)];
    case 'length':
      if (vector.kind !== 'list') break;
      return [number({ ...feature, steps: [] }, elementType, valueAt(vector.lengths, vector.validity, row), row)];
    case 'list':
      if (vector.kind !== 'list') break;
      if (!isValid(vector.validity, row)) {
        return Array.from({ length: width }, () => number(feature, elementType, null, row));
      }
      if (vector.lengths[row] !== width) throw wrongLength(feature, width, vector.lengths[row]!, row);
      return Array.from({ length: width }, (_, j) =>
        number(feature, elementType, valueAt(vector.values, vector.valueValidity, vector.offsets[row]! + j), row),
      );
    case 'index':
    case 'oneHot':
      if (vector.kind !== 'category' && vector.kind !== 'number') break;
      return categoryValues(feature, elementType, width, vector, row);
    case 'hash':
    case 'text': {
      if (vector.kind !== 'text') break;
      const text = vector.values[row] ?? feature.missing;
      if (text === undefined) throw nullValue(feature, row, '""');
      if (feature.kind === 'text' && text.includes('\u0000')) throw holdsNul(feature, row, text);
      return [feature.kind === 'text' ? text : stored(feature, elementType, hashBucket(text, feature.buckets), row)];
    }
  }
  throw bug(`A ${feature.kind} feature cannot be made of a ${vector.kind} vector`);
}

/** Strings reach the model as C strings, which end at the first NUL. */
function holdsNul(feature: Feature, row: number, text: string): BadRowError {
  return new BadRowError(row, feature, {
    expected: 'to hold no NUL character',
    got: JSON.stringify(text),
    remedy: `Take it out: { "sql": "replace(..., chr(0), '')" }.`,
  });
}

function valueAt(values: NumberArray, validity: Validity, index: number): number | bigint | null {
  if (!isValid(validity, index)) return null;
  const value = values[index];
  if (value === undefined) throw bug(`Value ${index} of ${values.length} was asked for`);
  return value;
}

type Arithmetic =
  FeatureOf<'number'> | FeatureOf<'list'> | (FeatureOf<'length'> & { readonly steps: readonly NumericStep[] });

function number(
  feature: Arithmetic,
  elementType: ElementType,
  found: number | bigint | null,
  row: number,
): number | bigint {
  const value = found ?? feature.missing;
  if (value === undefined) throw nullValue(feature, row, '0');
  if (feature.steps.length === 0) return stored(feature, elementType, value, row);
  return stored(
    feature,
    elementType,
    feature.steps.reduce((x, step) => applyStep(step, x), Number(value)),
    row,
  );
}

function categoryValues(
  feature: CategoryFeature,
  elementType: ElementType,
  width: number,
  vector: Extract<ColumnVector, { kind: 'category' | 'number' }>,
  row: number,
): (number | bigint)[] {
  const position = categoryPosition(feature, vector, row);
  if (feature.kind === 'oneHot') {
    return Array.from({ length: width }, (_, j) => stored(feature, elementType, j === position ? 1 : 0, row));
  }
  if (position === 'zeros') throw bug('An index cannot be all zeros');
  return [stored(feature, elementType, position, row)];
}

function categoryPosition(
  feature: CategoryFeature,
  vector: Extract<ColumnVector, { kind: 'category' | 'number' }>,
  row: number,
): number | 'zeros' {
  const categories: readonly (string | number)[] = feature.categories;
  // `includes` and not `indexOf`: a listed NaN finds NaN.
  const positionOf = (value: string | number): number =>
    categories.includes(value) ? categories.findIndex((listed) => [listed].includes(value)) : -1;
  let position: number;
  let got: string;
  const found = vector.kind === 'category' ? vector.codes[row]! : valueAt(vector.values, vector.validity, row);
  if (found === null || (vector.kind === 'category' && found === codeNull)) {
    if (feature.missing === undefined) throw nullValue(feature, row, exampleOfMissing(feature));
    position = positionOf(feature.missing);
    got = `null, whose "missing" is not listed`;
  } else {
    position = vector.kind === 'category' ? Number(found) : positionOf(Number(found));
    got = vector.kind === 'category' ? 'a value that is not listed' : `${found}`;
  }
  if (position >= 0) return position;
  switch (feature.unknown) {
    case 'zeros':
      return 'zeros';
    case 'own':
      return categories.length;
    case 'last':
      if (categories.length > 0) return categories.length - 1;
  }
  throw new BadRowError(row, feature, {
    expected: `to be one of the ${categories.length} listed categories`,
    got,
    remedy: 'say what a value that is not listed becomes: "unknown": "own", "last" or (one-hot) "zeros"',
  });
}

function stored(feature: Feature, elementType: ElementType, value: number | bigint, row: number): number | bigint {
  const fitting = storedValue(elementType, value);
  if (fitting !== undefined) return fitting;
  const hasSteps = 'steps' in feature && feature.steps.length > 0;
  throw new BadRowError(row, feature, {
    expected: `${storableWords(elementType)}${hasSteps ? ' after its steps' : ''} (the input is ${elementType})`,
    got: `${value}`,
    remedy: 'make the value fit with "clip" or "sql", or give the model another input type',
  });
}

/** A text that is not listed follows "unknown"; where that is an error only a listed one helps. */
function exampleOfMissing({ categories, unknown }: FeatureOf<'index'> | FeatureOf<'oneHot'>): string {
  const listed = categories[0] ?? '';
  return JSON.stringify(typeof listed === 'string' && unknown !== 'error' ? '(none)' : listed);
}

function nullValue(feature: Feature, row: number, example: string): BadRowError {
  return new BadRowError(row, feature, {
    expected: 'to be not null',
    got: 'null',
    remedy: `say what a null becomes: "missing": ${example}`,
  });
}

function wrongLength(feature: Feature, width: number, length: number, row: number): BadRowError {
  return new BadRowError(row, feature, {
    expected: `to hold ${width} values`,
    got: `${length}`,
    remedy: 'all lists that feed an input have the same length; cut or fill them with "sql"',
  });
}
