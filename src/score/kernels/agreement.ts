/** Whether a kernel's scores are ONNX Runtime's. */
import type { TensorValues } from '../../batch.ts';
import type { OutputLayout } from '../../plan.ts';

/** How two sets of scores compare. */
export interface Agreement {
  readonly rowCount: number;
  /**
   * Largest |kernel - ONNX Runtime| as a share of the output's largest value among the rows, or of 1 where that is less: the
   * error of a float32 sum is a share of what is summed up, however little is left. Infinity where one alone is NaN, or
   * labels differ.
   */
  readonly differenceMax: number;
  /** Where that is; undefined: nothing differs. */
  readonly worst:
    | undefined
    | {
        /** Within the sample. */
        readonly row: number;
        /** `probabilities[1]` */
        readonly value: string;
        readonly kernel: string;
        readonly onnxRuntime: string;
      };
}

/** @param kernel, onnxRuntime the rows of each output, row-major, both of the same length */
export function compareScores(
  outputs: readonly Pick<OutputLayout, 'name' | 'width'>[],
  kernel: readonly TensorValues[],
  onnxRuntime: readonly TensorValues[],
  rowCount: number,
): Agreement {
  let differenceMax = 0;
  let worst: Agreement['worst'];
  outputs.forEach(({ name, width }, index) => {
    const [ours, theirs] = [kernel[index]!, onnxRuntime[index]!];
    const scale = scaleOf(theirs, rowCount * width);
    for (let at = 0; at < rowCount * width; at++) {
      const difference = differenceOf(ours[at]!, theirs[at]!) / scale;
      if (difference <= differenceMax) continue;
      differenceMax = difference;
      const value = width === 1 ? name : `${name}[${at % width}]`;
      worst = { row: Math.floor(at / width), value, kernel: `${ours[at]}`, onnxRuntime: `${theirs[at]}` };
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
