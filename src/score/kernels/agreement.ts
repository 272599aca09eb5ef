/** Whether a kernel's scores are ONNX Runtime's. */
import type { TensorValues } from '../../batch.ts';
import { kernelGrossDifference } from '../../limits.ts';

/** How two sets of scores compare. */
export interface Comparison {
  readonly rowCount: number;
  /**
   * Largest |kernel - ONNX Runtime| as a share of the output's largest value among the rows, or of 1 where that is less: the
   * error of a float32 sum is a share of what is summed up, however little is left. Infinity where one alone is NaN, or
   * labels differ.
   */
  readonly differenceMax: number;
  /** Where that is; undefined: nothing differs. */
  readonly worst: Difference | undefined;
}

export interface Difference {
  /** Among the rows. */
  readonly row: number;
  /** `probabilities[1]` */
  readonly value: string;
  readonly kernel: string;
  readonly onnxRuntime: string;
  /** Rounding does not explain it: one alone is NaN, numbers are far apart, or labels differ that are not about as likely. */
  readonly isGross: boolean;
}

/** How a kernel's scores compare on rows of the shards and on made-up ones. */
export interface Agreement extends Omit<Comparison, 'worst'> {
  readonly madeUpRowCount: number;
  readonly worst: (Omit<Difference, 'row'> & { /** `row 17 of part-3.parquet` */ readonly where: string }) | undefined;
}

type Outputs = readonly { readonly name: string; readonly width: number }[];

/** @param kernel, onnxRuntime the rows of each output, row-major, both of the same length */
export function compareScores(
  outputs: Outputs,
  kernel: readonly TensorValues[],
  onnxRuntime: readonly TensorValues[],
  rowCount: number,
): Comparison {
  let differenceMax = 0;
  let worst: Difference | undefined;
  outputs.forEach(({ name, width }, index) => {
    const [ours, theirs] = [kernel[index]!, onnxRuntime[index]!];
    const scale = scaleOf(theirs, rowCount * width);
    for (let at = 0; at < rowCount * width; at++) {
      const difference = differenceOf(ours[at]!, theirs[at]!) / scale;
      if (difference === 0 || difference < differenceMax || (difference === differenceMax && worst?.isGross === true))
        continue;
      const row = Math.floor(at / width);
      const isLabel = typeof theirs[at] !== 'number';
      const isGross = isLabel ? !isTie(outputs, onnxRuntime, row) : difference > kernelGrossDifference;
      if (difference === differenceMax && !isGross) continue;
      differenceMax = difference;
      const value = width === 1 ? name : `${name}[${at % width}]`;
      worst = { row, value, kernel: `${ours[at]}`, onnxRuntime: `${theirs[at]}`, isGross };
    }
  });
  return { rowCount, differenceMax, worst };
}

function scaleOf(values: TensorValues, count: number): number {
  let largest = 1;
  for (let at = 0; at < count; at++) {
    const size = Math.abs(Number(values[at]));
    if (size > largest && size < Infinity) largest = size;
  }
  return largest;
}

/** Labels are integers, and equal or not. */
function differenceOf(ours: number | bigint | string, theirs: number | bigint | string): number {
  if (Object.is(ours, theirs) || ours === theirs) return 0;
  if (typeof ours !== 'number' || typeof theirs !== 'number') return Infinity;
  const difference = Math.abs(ours - theirs);
  return Number.isNaN(difference) ? Infinity : difference;
}

/** Whether the row's two likeliest labels are about as likely, as far as an output tells. */
function isTie(outputs: Outputs, values: readonly TensorValues[], row: number): boolean {
  return outputs.some(({ width }, index) => {
    const scores = Array.from(values[index]!.slice(row * width, (row + 1) * width) as Iterable<unknown>);
    if (!scores.every((score) => typeof score === 'number')) return false;
    // A single score decides at one half, or at 0 where it is no probability.
    if (scores.length === 1) return [0, 0.5].some((limit) => Math.abs(scores[0]! - limit) <= kernelGrossDifference);
    const [second = 0, first = 0] = scores.sort((one, other) => one - other).slice(-2);
    return first - second <= kernelGrossDifference * Math.max(1, Math.abs(first));
  });
}
