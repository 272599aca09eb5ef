/** Rows that show a linear model from all sides: every score at its largest and its least, NaN, infinities, large values. */
import { changedTo, multipliedBy, oddValues, pickSome, type MadeUpRows, type RowChange } from '../kernels/made-up.ts';
import type { LinearModel, LinearOutput } from './linear-model.ts';

/** How many times as large as the rows of the shards: far from where float32 ends, also squared. */
const large = 1_000;
/** The same of rows whose scores must stay away from where a logistic is 0 or 1. */
const small = 1 / 16;

/**
 * Rows of usual size, and large ones.
 * @param random in [0, 1)
 */
export function edgeRows(model: LinearModel, rowsMax: number, random: () => number): readonly MadeUpRows[] {
  const { columns, targetCount } = model;
  const share = Math.ceil(rowsMax / 8);
  const times = (by: number): RowChange => columns.map((place) => multipliedBy(place, by));
  const whole = oddValues.map((value): RowChange => columns.map((place) => changedTo(place, value)));
  const targets = pickSome([...Array(targetCount).keys()], share / 2, random);
  const steep = targets.flatMap((target) => [steepRow(model, target, 1), steepRow(model, target, -1)]);
  const single = pickSome(columns, share / oddValues.length, random).flatMap((place) =>
    oddValues.map((value): RowChange => [changedTo(place, value)]),
  );
  const isFragile = model.outputs.some(isFragileOutput);
  const turned = new Array<RowChange>(share).fill(times(isFragile ? -small : -1));
  const usual = [...whole, ...steep, ...single, ...turned].slice(0, rowsMax);
  if (isFragile) return [usual];
  return [usual, [large, -large].flatMap((by) => new Array<RowChange>(Math.ceil(share / 2)).fill(times(by)))];
}

/**
 * Whether the last bits of an exponential function may decide: which of several saturated values is the largest, or what
 * share of next to nothing a value has, which is 0 where ONNX Runtime rounds a logistic to 0.
 */
function isFragileOutput({ kind, steps }: LinearOutput): boolean {
  return kind === 'label' ? steps.length > 0 : steps.some((step) => step.kind === 'normalize') && steps.length > 1;
}

/** Every column as far above or below its offset as its scale is wide, whichever makes the target's score larger or less. */
function steepRow({ columns, front, weights }: LinearModel, target: number, sign: 1 | -1): RowChange {
  const [scaler] = front;
  return columns.map((place, column) => {
    const [offset, scale] = scaler?.kind === 'scale' ? [scaler.offsets[column]!, scaler.scales[column]! || 1] : [0, 1];
    const direction = sign * Math.sign(weights[target * columns.length + column]!);
    return changedTo(place, offset + direction / scale);
  });
}
