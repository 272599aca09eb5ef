/** Features as the kernels see them: which shape, which vector, which constants. */
import type { ColumnVector, TensorLayout } from '../batch.ts';
import type { Feature, Missing } from '../contract/contract.ts';
import { TandemError } from '../errors.ts';
import { featureWords } from './bad-row.ts';
import { badPosition, type KernelShape, type KernelSource, type LaneConstants, zerosPosition } from './kernels.ts';
import { hashBucket } from './murmur3.ts';
import { applyStep, storableWords, storedValue } from './reference.ts';

/** The vector that a feature is made of. Categories that are text come as codes, numbers are looked up here. */
export function vectorKindOf(feature: Feature): ColumnVector['kind'] {
  switch (feature.kind) {
    case 'number':
      return 'number';
    case 'list':
    case 'length':
      return 'list';
    case 'index':
    case 'oneHot':
      return typeof feature.categories[0] === 'number' ? 'number' : 'category';
    case 'hash':
    case 'text':
      return 'text';
  }
}

export function kernelShape(feature: Feature, { elementType, order }: TensorLayout): KernelShape {
  return {
    source: kernelSource(feature),
    oneHot: feature.kind === 'oneHot',
    steps: 'steps' in feature ? feature.steps.map((step) => step.kind) : [],
    elementType,
    hasMissing: !('categories' in feature) && feature.kind !== 'hash' && feature.missing !== undefined,
    order: order ?? 'rows',
  };
}

function kernelSource(feature: Feature): KernelSource {
  if (feature.kind !== 'index' && feature.kind !== 'oneHot') return feature.kind;
  return vectorKindOf(feature) === 'number' ? 'lookup' : 'code';
}

export function laneConstants(feature: Feature, width: number): LaneConstants {
  const steps = 'steps' in feature ? feature.steps : [];
  const numbers = steps.flatMap((step) => {
    switch (step.kind) {
      case 'log1p':
      case 'bucketize':
        return [];
      case 'standardize':
        return [step.mean, step.std];
      case 'minMax':
        return [step.min, step.max - step.min];
      case 'clip':
        return [step.low, step.high];
    }
  });
  return {
    numbers: Float64Array.of(typeof feature.missing === 'number' ? feature.missing : 0, ...numbers),
    boundaries: steps.flatMap((step) =>
      step.kind === 'bucketize'
        ? [Float64Array.from(step.boundaries.filter((boundary) => !Number.isNaN(boundary))).sort()]
        : [],
    ),
    ...positionConstants(feature),
    missingText: typeof feature.missing === 'string' ? feature.missing : '',
    buckets: feature.kind === 'hash' ? feature.buckets : 0,
    width,
  };
}

function positionConstants(feature: Feature): Pick<LaneConstants, 'positions' | 'ofNull' | 'ofUnknown'> {
  if (feature.kind === 'hash') {
    const ofNull = feature.missing === undefined ? badPosition : hashBucket(feature.missing, feature.buckets);
    return { positions: new Map(), ofNull, ofUnknown: badPosition };
  }
  if (feature.kind !== 'index' && feature.kind !== 'oneHot') {
    return { positions: new Map(), ofNull: badPosition, ofUnknown: badPosition };
  }
  // The first of equal categories counts: later entries of a Map win, so they are put in from the end.
  const all = new Map<Missing, number>();
  for (let i = feature.categories.length - 1; i >= 0; i--) all.set(feature.categories[i], i);
  const ofUnknown = {
    error: badPosition,
    zeros: zerosPosition,
    last: feature.categories.length - 1,
    own: feature.categories.length,
  }[feature.unknown];
  return {
    positions: vectorKindOf(feature) === 'number' ? (all as Map<number, number>) : new Map(),
    ofNull: feature.missing === undefined ? badPosition : (all.get(feature.missing) ?? ofUnknown),
    ofUnknown,
  };
}

/** Refuses what no row could satisfy: BAD_CONTRACT with the field. */
export function checkFeature(layout: TensorLayout, featureIndex: number): void {
  const feature = layout.features[featureIndex]!;
  const field = `inputs.${layout.name}[${featureIndex}]`;
  if ((feature.kind === 'text') !== (layout.elementType === 'string')) {
    const [is, needs] = feature.kind === 'text' ? ['text', 'numbers'] : ['numbers', 'text'];
    const input = `the ${layout.elementType} input ${layout.name}`;
    throw new TandemError('BAD_CONTRACT', `Expected ${featureWords(feature)} to be ${needs} for ${input}, got ${is}.`, {
      place: { field },
      remedy:
        feature.kind === 'text'
          ? 'turn the text into a number with "index", "oneHot" or "hash"'
          : 'leave out the steps and cast the column to text, for example "sql": "CAST(x AS VARCHAR)"',
    });
  }
  if (typeof feature.missing !== 'number' || 'categories' in feature) return;
  const steps = 'steps' in feature ? feature.steps : [];
  const value = steps.reduce((x, step) => applyStep(step, x), feature.missing);
  if (storedValue(layout.elementType, value) !== undefined) return;
  const expected = `${storableWords(layout.elementType)}${steps.length > 0 ? ' after its steps' : ''}`;
  throw new TandemError('BAD_CONTRACT', `Expected "missing" of ${featureWords(feature)} ${expected}, got ${value}.`, {
    place: { field: `${field}.missing` },
    remedy: `the input ${layout.name} is ${layout.elementType}: give "missing" a value that it can hold`,
  });
}
