/**
 * The form between a contract and machine code: what a SIMD kernel reads, does and stores, and nothing else. Features of
 * one form share one compiled kernel; their constants are data.
 */
import { type ColumnVector, elementBytes, type NumberArray, type TensorLayout } from '../../batch.ts';
import type { ElementType, Feature, NumericStep } from '../../contract/contract.ts';
import { simdBoundariesMax } from '../../limits.ts';

/** What a column holds: numbers of a type, or positions of text categories. */
export type FormSource = Exclude<ElementType, 'float16' | 'bool' | 'string'> | 'code';

export type FormStep = Exclude<NumericStep['kind'], 'log1p'>;

interface Form {
  readonly source: FormSource;
  /** Nulls among the values: there are none, they become the missing value, or they refuse the rows. */
  readonly nulls: 'none' | 'filled' | 'refused';
  readonly steps: readonly FormStep[];
  readonly elementType: ElementType;
}

/** One value of each row into a column. */
export interface ColumnForm extends Form {
  readonly kind: 'column';
}

/** Four neighbouring columns at a time, straight into rows. */
export interface QuadForm extends Form {
  readonly kind: 'quad';
  readonly elementType: 'float32' | 'int32' | 'uint32';
}

/** The quad of such columns; undefined where a row's values are not of four bytes. */
export function quadOf(form: ColumnForm): QuadForm | undefined {
  const { elementType } = form;
  if (elementType !== 'float32' && elementType !== 'int32' && elementType !== 'uint32') return undefined;
  return { ...form, kind: 'quad', elementType };
}

/** The values of each row's list, side by side. */
export interface ListForm extends Form {
  readonly kind: 'list';
  /** Where `nulls` come from: lists that are null, values in lists, or both. */
  readonly hasNullRows: boolean;
  readonly hasNullValues: boolean;
}

/** A one for each row, among zeros. */
export interface OneHotForm {
  readonly kind: 'oneHot';
  readonly elementType: ElementType;
}

export type KernelForm = ColumnForm | QuadForm | ListForm | OneHotForm;
/** The forms that a single feature has. */
export type FeatureForm = Exclude<KernelForm, QuadForm>;

/** Values that a kernel takes at once. */
export const laneRows = 4;

/** Whether integers of 64 bits are passed on as they are. */
export function isExact({ source, steps, elementType }: Form): boolean {
  return isWideInteger(source) && isWideInteger(elementType) && steps.length === 0;
}

function isWideInteger(type: string): boolean {
  return type === 'int64' || type === 'uint64';
}

export function formKey(form: KernelForm): string {
  if (form.kind === 'oneHot') return `one-hot ${form.elementType}`;
  const { kind, source, nulls, steps, elementType } = form;
  const ofLists = form.kind === 'list' ? [form.hasNullRows, form.hasNullValues] : [];
  return [kind, source, nulls, steps.join('+'), elementType, ...ofLists].join(' ');
}

/** The form of a feature over this vector, or in words why there is none and its JavaScript loop is to be taken. */
export function formOf(feature: Feature, layout: TensorLayout, vector: ColumnVector): FeatureForm | string {
  const { elementType, order } = layout;
  if (elementBytes[elementType] === 0) return 'strings';
  const given = 'steps' in feature ? feature.steps : [];
  // Measured: a kernel that calls Math.log1p takes three times as long as the loop that has it built in.
  const steps = given.flatMap(({ kind }) => (kind === 'log1p' ? [] : [kind]));
  if (steps.length < given.length) return 'log1p';
  if (given.some((step) => step.kind === 'bucketize' && step.boundaries.length > simdBoundariesMax)) {
    return `more than ${simdBoundariesMax} boundaries are found faster by halving`;
  }
  const shape = { steps, elementType };
  const nullsOf = (isNullable: boolean): Form['nulls'] =>
    !isNullable ? 'none' : feature.missing === undefined ? 'refused' : 'filled';
  switch (feature.kind) {
    case 'hash':
    case 'text':
      return 'text';
    case 'index':
    case 'oneHot':
      if (vector.kind !== 'category') return 'categories that are numbers are looked up in a map';
      return feature.kind === 'oneHot'
        ? { kind: 'oneHot', elementType }
        : { kind: 'column', source: 'code', nulls: 'none', ...shape };
    case 'number':
      if (vector.kind !== 'number') break;
      return { kind: 'column', source: typeOf(vector.values), nulls: nullsOf(vector.validity !== null), ...shape };
    case 'length':
      if (vector.kind !== 'list') break;
      return { kind: 'column', source: 'int32', nulls: nullsOf(vector.validity !== null), ...shape };
    case 'list': {
      if (vector.kind !== 'list') break;
      if (order === 'columns') return 'a list in the order of columns';
      if ((feature.length ?? 0) < laneRows) return `a list of fewer than ${laneRows} values`;
      const [hasNullValues, hasNullRows] = [vector.valueValidity !== null, vector.validity !== null];
      const nulls = nullsOf(hasNullValues || hasNullRows);
      return { kind: 'list', source: typeOf(vector.values), nulls, hasNullRows, hasNullValues, ...shape };
    }
  }
  return `a ${vector.kind} vector`;
}

const sourceTypes: ReadonlyMap<unknown, FormSource> = new Map<unknown, FormSource>([
  [Float32Array, 'float32'],
  [Float64Array, 'float64'],
  [Int8Array, 'int8'],
  [Int16Array, 'int16'],
  [Int32Array, 'int32'],
  [BigInt64Array, 'int64'],
  [Uint8Array, 'uint8'],
  [Uint16Array, 'uint16'],
  [Uint32Array, 'uint32'],
  [BigUint64Array, 'uint64'],
]);

function typeOf(values: NumberArray): FormSource {
  return sourceTypes.get(values.constructor)!;
}
