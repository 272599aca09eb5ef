/**
 * What a model does to a forest's scores: steps on the rows of a block, one value list for each step. Everything that is
 * computed is rounded to the element type that ONNX Runtime has there.
 */
import type { ElementType } from '../../contract/contract.ts';

/** Numbers of other steps say where values come from. */
export type RowStep =
  /** The forest's scores, and the numbers that its labels are. */
  | { readonly kind: 'scores' }
  | { readonly kind: 'labels'; readonly labels: readonly number[] }
  | { readonly kind: 'function'; readonly of: number; readonly name: RowFunction }
  | { readonly kind: 'softmax'; readonly of: number }
  /** With another value of the row, or with one number for each place in a row. */
  | { readonly kind: 'combine'; readonly operator: Operator; readonly left: Operand; readonly right: Operand }
  /** Places of the largest values: of several equal ones the first. */
  | { readonly kind: 'largest'; readonly of: number }
  /** Values of another list at these places. */
  | { readonly kind: 'pick'; readonly of: number; readonly places: readonly number[] }
  /** The numbers at the places that another list names. */
  | { readonly kind: 'look up'; readonly of: number; readonly numbers: readonly number[] }
  | { readonly kind: 'join'; readonly of: readonly number[] }
  | { readonly kind: 'cast'; readonly of: number };

export type RowFunction = 'Sigmoid' | 'Exp' | 'Neg' | 'Sqrt' | 'Abs' | 'Log';
export type Operator = 'Add' | 'Sub' | 'Mul' | 'Div';
export type Operand = { readonly step: number } | { readonly numbers: readonly number[] };

export interface RowValue {
  readonly step: RowStep;
  readonly elementType: RowType;
  /** Without the rows' own axis. */
  readonly rowShape: readonly number[];
}

/** Element types of values: what kernels compute with. */
export type RowType = Extract<ElementType, 'float32' | 'float64' | 'int64' | 'int32' | 'bool'>;

export function widthOf({ rowShape }: Pick<RowValue, 'rowShape'>): number {
  return rowShape.reduce((product, size) => product * size, 1);
}

/** Values of a block: row-major, `width` a row. */
export interface RowBlock {
  readonly values: readonly Float64Array[];
  /** Computes all steps but the scores and labels, which are there. */
  run(rowCount: number): void;
}

export function createRowBlock(program: readonly RowValue[], rowCount: number): RowBlock {
  const values: Float64Array[] = [];
  const runs: ((rowCount: number) => void)[] = [];
  for (const value of program) {
    const { step } = value;
    const isCopy = step.kind === 'cast' && changesNothing(program[step.of]!.elementType, value.elementType);
    const own = isCopy ? values[step.of]! : new Float64Array(rowCount * widthOf(value));
    values.push(own);
    const run = isCopy ? undefined : stepRun(value, own, program, values);
    if (run !== undefined) runs.push(run);
  }
  return {
    values,
    run(count) {
      for (const run of runs) run(count);
    },
  };
}

function changesNothing(from: RowType, to: RowType): boolean {
  return from === to || (from === 'float32' && to === 'float64') || (from === 'int32' && to !== 'bool');
}

/** As a cast of ONNX Runtime does it; also what arithmetic in a type rounds to. */
function rounding(type: RowType): (value: number) => number {
  switch (type) {
    case 'float32':
      return Math.fround;
    case 'float64':
      return (value) => value;
    case 'bool':
      return (value) => (value === 0 ? 0 : 1);
    case 'int64':
    case 'int32':
      return Math.trunc;
  }
}

type StepRun = (rowCount: number) => void;

function stepRun(
  { step, elementType, rowShape }: RowValue,
  into: Float64Array,
  program: readonly RowValue[],
  values: readonly Float64Array[],
): StepRun | undefined {
  const width = widthOf({ rowShape });
  const round = rounding(elementType);
  const each = (of: number, change: (value: number) => number): StepRun => {
    const from = values[of]!;
    return (rowCount) => {
      for (let at = 0; at < rowCount * width; at++) into[at] = change(from[at]!);
    };
  };
  switch (step.kind) {
    case 'scores':
    case 'labels':
      return undefined;
    case 'cast':
      return each(step.of, round);
    case 'function':
      return each(step.of, rowFunction(step.name, round));
    case 'look up':
      // From the end where it is negative.
      return each(step.of, (place) => step.numbers.at(place) ?? NaN);
    case 'softmax':
      return softmaxRun(values[step.of]!, into, width, round);
    case 'combine':
      return combineRun(step.operator, operandOf(step.left, values), operandOf(step.right, values), into, width, round);
    case 'largest':
      return largestRun(values[step.of]!, into, widthOf(program[step.of]!));
    case 'pick':
      return pickRun(values[step.of]!, into, widthOf(program[step.of]!), step.places);
    case 'join':
      return joinRun(
        step.of.map((of) => ({ from: values[of]!, width: widthOf(program[of]!) })),
        into,
      );
  }
}

function rowFunction(name: RowFunction, round: (value: number) => number): (value: number) => number {
  if (name === 'Sigmoid') return round === Math.fround ? sigmoid : (value) => 1 / (1 + Math.exp(-value));
  if (name === 'Neg') return (value) => -value;
  const exact = { Exp: Math.exp, Sqrt: Math.sqrt, Abs: Math.abs, Log: Math.log }[name];
  return (value) => round(exact(value));
}

interface OperandValues {
  readonly numbers: ArrayLike<number>;
  /** Numbers from row to row: none where all rows have the same. */
  readonly isFixed: boolean;
  readonly isSingle: boolean;
}

function operandOf(operand: Operand, values: readonly Float64Array[]): OperandValues {
  if ('step' in operand) return { numbers: values[operand.step]!, isFixed: false, isSingle: false };
  return { numbers: operand.numbers, isFixed: true, isSingle: operand.numbers.length === 1 };
}

function combineRun(
  operator: Operator,
  left: OperandValues,
  right: OperandValues,
  into: Float64Array,
  width: number,
  round: (value: number) => number,
): StepRun {
  const at = ({ numbers, isFixed, isSingle }: OperandValues, row: number, place: number): number =>
    numbers[isFixed ? (isSingle ? 0 : place) : row * width + place]!;
  return (rowCount) => {
    for (let row = 0; row < rowCount; row++) {
      for (let place = 0; place < width; place++) {
        into[row * width + place] = round(calculate(operator, at(left, row, place), at(right, row, place)));
      }
    }
  };
}

function calculate(operator: Operator, left: number, right: number): number {
  switch (operator) {
    case 'Add':
      return left + right;
    case 'Sub':
      return left - right;
    case 'Mul':
      return left * right;
    case 'Div':
      return left / right;
  }
}

function softmaxRun(from: Float64Array, into: Float64Array, width: number, round: (value: number) => number): StepRun {
  return (rowCount) => {
    for (let start = 0; start < rowCount * width; start += width) {
      let largest = -Infinity;
      for (let at = start; at < start + width; at++) largest = Math.max(largest, from[at]!);
      let sum = 0;
      for (let at = start; at < start + width; at++) sum += into[at] = round(Math.exp(round(from[at]! - largest)));
      for (let at = start; at < start + width; at++) into[at] = round(into[at]! / sum);
    }
  };
}

function largestRun(from: Float64Array, into: Float64Array, width: number): StepRun {
  return (rowCount) => {
    for (let row = 0; row < rowCount; row++) {
      let best = 0;
      for (let place = 1; place < width; place++) {
        if (from[row * width + place]! > from[row * width + best]!) best = place;
      }
      into[row] = best;
    }
  };
}

function pickRun(from: Float64Array, into: Float64Array, width: number, places: readonly number[]): StepRun {
  return (rowCount) => {
    for (let row = 0, at = 0; row < rowCount; row++) {
      for (const place of places) into[at++] = from[row * width + place]!;
    }
  };
}

function joinRun(
  parts: readonly { readonly from: Float64Array; readonly width: number }[],
  into: Float64Array,
): StepRun {
  return (rowCount) => {
    for (let row = 0, at = 0; row < rowCount; row++) {
      for (const { from, width } of parts) {
        for (let place = 0; place < width; place++) into[at++] = from[row * width + place]!;
      }
    }
  };
}

/** Coefficients of MlasComputeLogistic (onnxruntime/core/mlas/lib/logistic.cpp), highest power first. */
const above = [
  4.37031012579801e-11, 1.15627324459942e-7, 6.08574864600143e-5, 8.51377133304701e-3, 2.48287947061529e-1,
];
const below = [
  6.10247389755681e-13, 5.76102136993427e-9, 6.2910678501704e-6, 1.70198817374094e-3, 1.16817656904453e-1,
  9.9315192102318e-1,
];
const numerator = Float32Array.from(above);
const denominator = Float32Array.from(below);

/** Sigmoid as ONNX Runtime has it in float32, to the last bit where its processor multiplies and adds in one step. */
export function sigmoid(value: number): number {
  const x = Math.fround(Math.min(18, Math.max(-18, value)));
  const square = Math.fround(x * x);
  const p = Math.fround(polynomial(numerator, square) * x);
  const result = Math.fround(Math.fround(p / polynomial(denominator, square)) + 0.5);
  return Math.min(1, Math.max(0, result));
}

function polynomial(coefficients: Float32Array, x: number): number {
  let value = coefficients[0]!;
  for (let index = 1; index < coefficients.length; index++) value = Math.fround(value * x + coefficients[index]!);
  return value;
}
