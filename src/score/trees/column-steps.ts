/**
 * What a model does to a column before its trees see it, taken into the trees' own tests: steps that keep the order of
 * values turn a threshold into another threshold, found by bisection over the column's numbers, so that nothing of them
 * is left to compute and every row goes where it went.
 */
import { nextUp, type NumberType } from './forest.ts';

/** One step on a value, rounded to the type. NaN stays NaN, but for `impute`. */
export type ColumnStep =
  | { readonly kind: 'add' | 'subtract' | 'multiply' | 'divide'; readonly by: number; readonly type: NumberType }
  /** `by` - value, and `by` / value. */
  | { readonly kind: 'subtractFrom'; readonly by: number; readonly type: NumberType }
  | { readonly kind: 'cast'; readonly type: NumberType }
  | { readonly kind: 'impute'; readonly by: number };

/** A test as `Forest` has it. */
export type Test =
  | { readonly kind: 'threshold'; readonly threshold: number; readonly nanRight: boolean }
  | { readonly kind: 'set'; readonly intervals: readonly Interval[]; readonly nanRight: boolean };

/** With both its bounds. */
export type Interval = readonly [low: number, high: number];

/** A test of the column; `swaps` says that left and right change places. */
export interface FoldedTest {
  readonly test: Test;
  readonly swaps: boolean;
}

/** The test of a column's own value that is true where `test` is true of what the steps make of it. */
export function foldSteps(type: NumberType, steps: readonly ColumnStep[], test: Test): FoldedTest {
  const change = (value: number): number => steps.reduce((before, step) => applyStep(step, before), value);
  const nan = change(NaN);
  const nanRight = Number.isNaN(nan) ? test.nanRight : passes(test, nan);
  if (steps.every(({ kind }) => kind === 'impute')) return { test: { ...test, nanRight }, swaps: false };
  const falls = steps.filter((step) => fallsWith(step)).length % 2 === 1;
  if (test.kind === 'set') {
    const intervals = test.intervals.flatMap(([low, high]) => {
      const end = lastWhere(type, (value) => (falls ? change(value) >= low : change(value) <= high));
      const before = lastWhere(type, (value) => (falls ? change(value) > high : change(value) < low));
      if (end === undefined || end === before) return [];
      return [[before === undefined ? -Infinity : nextUp(type, before), end] as const];
    });
    return { test: { kind: 'set', intervals, nanRight }, swaps: false };
  }
  // Where the steps turn the order around, what was above the threshold lies below another one.
  const isLow = (value: number): boolean => change(value) > test.threshold === falls;
  const last = lastWhere(type, isLow);
  if (last === undefined) return { test: { kind: 'set', intervals: [], nanRight: falls === nanRight }, swaps: !falls };
  return { test: { kind: 'threshold', threshold: last, nanRight: falls !== nanRight }, swaps: falls };
}

function passes(test: Test, value: number): boolean {
  return test.kind === 'threshold'
    ? value > test.threshold
    : test.intervals.some(([low, high]) => value >= low && value <= high);
}

function applyStep(step: ColumnStep, value: number): number {
  if (step.kind === 'impute') return Number.isNaN(value) ? step.by : value;
  const round = (exact: number): number => (step.type === 'float32' ? Math.fround(exact) : exact);
  switch (step.kind) {
    case 'cast':
      return round(value);
    case 'add':
      return round(value + step.by);
    case 'subtract':
      return round(value - step.by);
    case 'subtractFrom':
      return round(step.by - value);
    case 'multiply':
      return round(value * step.by);
    case 'divide':
      return round(value / step.by);
  }
}

function fallsWith(step: ColumnStep): boolean {
  if (step.kind === 'subtractFrom') return true;
  return (step.kind === 'multiply' || step.kind === 'divide') && step.by < 0;
}

/**
 * The largest number of the type for which `holds`, which is true up to some number and false from there on. Undefined:
 * it holds for none, not even -Infinity.
 */
function lastWhere(type: NumberType, holds: (value: number) => boolean): number | undefined {
  if (!holds(-Infinity)) return undefined;
  if (holds(Infinity)) return Infinity;
  let low = orderOf(type, -Infinity);
  let high = orderOf(type, Infinity);
  while (high - low > 1n) {
    const middle = (low + high) / 2n;
    if (holds(numberAt(type, middle))) low = middle;
    else high = middle;
  }
  const last = numberAt(type, low);
  return last === 0 ? 0 : last;
}

/** Place of a number among those of the type; from bits, which count up with the size and have the sign on top. */
function orderOf(type: NumberType, value: number): bigint {
  const view = new DataView(new ArrayBuffer(8));
  if (type === 'float32') view.setFloat32(0, value);
  else view.setFloat64(0, value);
  const bits = type === 'float32' ? BigInt(view.getInt32(0)) : view.getBigInt64(0);
  const size = bits & (type === 'float32' ? 0x7fffffffn : 0x7fffffffffffffffn);
  return bits < 0n ? -size : size;
}

function numberAt(type: NumberType, order: bigint): number {
  const view = new DataView(new ArrayBuffer(8));
  const size = order < 0n ? -order : order;
  if (type === 'float32') view.setInt32(0, Number(size));
  else view.setBigInt64(0, size);
  const value = type === 'float32' ? view.getFloat32(0) : view.getFloat64(0);
  return order < 0n ? -value : value;
}
