/** What each step makes of one row's value, in words and numbers, beside the reference, which gives the result. */
import { codeNull, codeUnknown, isValid, type ColumnVector, type TensorLayout } from '../batch.ts';
import type { Feature, NumericStep } from '../contract/contract.ts';
import { BadRowError } from '../featurize/bad-row.ts';
import { applyStep, featurizeRow, type StoredValue } from '../featurize/reference.ts';
import { float16Value } from '../float16.ts';
import type { RowStep } from './row-report.ts';

export interface Traced {
  readonly steps: readonly RowStep[];
  /** By the reference; empty: there is a problem. */
  readonly stored: readonly StoredValue[];
  readonly problem: string | undefined;
}

/**
 * @param index of the feature in the layout
 * @param row within the vector
 * @param source the source's value in DuckDB's words
 */
export function traceFeature(
  layout: TensorLayout,
  index: number,
  vector: ColumnVector,
  row: number,
  source: string | null,
): Traced {
  const feature = layout.features[index]!;
  const width = layout.featureWidths[index]!;
  const alone = { ...layout, features: [feature], featureWidths: [width], width };
  const steps = [{ step: 'value', values: [source] }, ...stepsOf(feature, vector, row, width)];
  try {
    return { steps, stored: featurizeRow(alone, [vector], row), problem: undefined };
  } catch (error) {
    if (!(error instanceof BadRowError)) throw error;
    return { steps, stored: [], problem: `${error.message} ${error.remedy}` };
  }
}

/** A value of a tensor as a number that people know: float16 lies there as its bits. */
export function storedText({ elementType }: Pick<TensorLayout, 'elementType'>, value: StoredValue): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return numberText(elementType === 'float16' ? float16Value(Number(value)) : value);
}

export function numberText(value: number | bigint): string {
  return Object.is(value, -0) ? '-0' : String(value);
}

function stepsOf(feature: Feature, vector: ColumnVector, row: number, width: number): RowStep[] {
  switch (feature.kind) {
    case 'number':
    case 'list':
      return arithmetic(feature.missing, feature.steps, numbersAt(vector, row, width));
    case 'length':
      return arithmetic(feature.missing, [], vector.kind === 'list' ? [numberAt(vector, row)] : []);
    case 'index':
    case 'oneHot':
      return categorySteps(feature, vector, row);
    case 'hash':
    case 'text': {
      const text = vector.kind === 'text' ? vector.values[row] : undefined;
      const filled = text ?? feature.missing;
      const steps: RowStep[] = text === null && filled !== undefined ? [{ step: 'missing', values: [filled] }] : [];
      return feature.kind === 'hash' ? [...steps, { step: `hash into ${feature.buckets}`, values: [] }] : steps;
    }
  }
}

/** The length of a list; null: there is none. */
function numberAt(vector: Extract<ColumnVector, { kind: 'list' }>, row: number): number | null {
  return isValid(vector.validity, row) ? vector.lengths[row]! : null;
}

/** As the reader gives them: integers of 64 bits exact, all others as the column's own type. */
function numbersAt(vector: ColumnVector, row: number, width: number): (number | bigint | null)[] {
  if (vector.kind === 'number') return [isValid(vector.validity, row) ? vector.values[row]! : null];
  if (vector.kind !== 'list') return [];
  if (!isValid(vector.validity, row)) return new Array<null>(width).fill(null);
  const first = vector.offsets[row]!;
  return Array.from({ length: vector.lengths[row]! }, (_, j) =>
    isValid(vector.valueValidity, first + j) ? vector.values[first + j]! : null,
  );
}

function arithmetic(
  missing: number | undefined,
  steps: readonly NumericStep[],
  found: readonly (number | bigint | null)[],
): RowStep[] {
  const traced: RowStep[] = [];
  const filled = found.map((value) => value ?? missing ?? null);
  const show = (step: string, values: readonly (number | bigint | null)[]): void => {
    traced.push({ step, values: values.map((value) => (value === null ? null : numberText(value))) });
  };
  if (missing !== undefined && found.includes(null)) show('missing', filled);
  let values = filled;
  for (const step of steps) {
    values = values.map((value) => (value === null ? null : applyStep(step, Number(value))));
    show(stepWords(step), values);
  }
  return traced;
}

function stepWords(step: NumericStep): string {
  switch (step.kind) {
    case 'log1p':
      return 'log1p';
    case 'standardize':
      return `standardize (x - ${step.mean}) / ${step.std}`;
    case 'minMax':
      return `minMax ${step.min} to ${step.max}`;
    case 'clip':
      return `clip into [${step.low}, ${step.high}]`;
    case 'bucketize':
      return `bucketize by ${step.boundaries.length} boundaries`;
  }
}

function categorySteps(
  feature: Extract<Feature, { kind: 'index' | 'oneHot' }>,
  vector: ColumnVector,
  row: number,
): RowStep[] {
  const { missing, unknown } = feature;
  const categories: readonly (string | number)[] = feature.categories;
  const listed = (value: string | number): number => categories.findIndex((each) => Object.is(each, value));
  let position: number | null;
  const steps: RowStep[] = [];
  if (vector.kind === 'category') {
    const code = vector.codes[row]!;
    position = code === codeNull ? null : code === codeUnknown ? -1 : code;
  } else {
    const [value = null] = numbersAt(vector, row, 1);
    position = value === null ? null : listed(Number(value));
  }
  if (position === null && missing !== undefined) {
    steps.push({ step: 'missing', values: [String(missing)] });
    position = listed(missing);
  }
  if (position === null) return steps;
  const words = position >= 0 ? `${position}: ${JSON.stringify(categories[position])}` : `not listed: ${unknown}`;
  return [...steps, { step: `category of ${categories.length}`, values: [words] }];
}
