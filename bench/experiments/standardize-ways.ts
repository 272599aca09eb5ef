/** Standardize, then clip one column: the ways of JavaScript. */
import type { NumericStep } from '../../src/contract/contract.ts';
import { seededRandom } from '../../src/testing/random.ts';
import { kernelColumn } from './kernel-column.ts';

/** clip((x - mean) / std, low, high) */
export interface Standardizing {
  readonly mean: number;
  readonly std: number;
  readonly low: number;
  readonly high: number;
}

export interface Way {
  once(): void;
  /** Does it once and gives the result. */
  answers(): ArrayLike<number>;
}

/** Names as the table has them. */
export const names = {
  floats: 'Python UDF for each row',
  scalars: 'the same, looping over numpy',
  numpy: 'numpy',
  objects: 'JavaScript row objects',
  spread: 'the same, made by { ...row, z }',
  arrays: 'JavaScript typed arrays',
  kernel: "Tandem's kernel",
} as const;

/** Normal values (Box and Muller). */
export function normalColumn(length: number, { mean, std }: Standardizing): Float64Array {
  const random = seededRandom(1);
  const column = new Float64Array(length);
  for (let index = 0; index < length; index++) {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    column[index] = mean + std * radius * Math.cos(2 * Math.PI * random());
  }
  return column;
}

export function scoreOf(x: number, { mean, std, low, high }: Standardizing): number {
  return Math.min(Math.max((x - mean) / std, low), high);
}

/** Row objects come and go in batches, as from a reader: kept all at once they would measure the garbage collector. */
const rowsPerBatch = 10_000;

interface Row {
  readonly id: number;
  readonly x: number;
}

export function waysOfJavaScript(column: Float64Array, task: Standardizing): Readonly<Record<string, Way>> {
  const rows: readonly Row[] = Array.from(column, (x, id) => ({ id, x }));
  const [ofRows, byHand] = [column, column].map(({ length }) => new Float64Array(length));
  const inBatches = (score: (batch: readonly Row[]) => { readonly id: number; readonly z: number }[]) => (): void => {
    for (let from = 0; from < rows.length; from += rowsPerBatch) {
      for (const { id, z } of score(rows.slice(from, from + rowsPerBatch))) ofRows![id] = z;
    }
  };
  const objects = inBatches((batch) => batch.map((row) => ({ id: row.id, x: row.x, z: scoreOf(row.x, task) })));
  const spread = inBatches((batch) => batch.map((row) => ({ ...row, z: scoreOf(row.x, task) })));
  const kernel = kernelColumn(stepsOf(task), column);
  const way = (once: () => void, target: Float64Array): Way => {
    const answers = (): Float64Array => {
      target.fill(NaN);
      once();
      return target;
    };
    return { once, answers };
  };
  return {
    [names.objects]: way(objects, ofRows!),
    [names.spread]: way(spread, ofRows!),
    [names.arrays]: way(() => standardizeColumn(column, byHand!, task), byHand!),
    [names.kernel]: way(kernel.run, kernel.target),
  };
}

function standardizeColumn(column: Float64Array, target: Float64Array, { mean, std, low, high }: Standardizing): void {
  for (let index = 0; index < column.length; index++) {
    const z = (column[index]! - mean) / std;
    target[index] = z < low ? low : z > high ? high : z;
  }
}

function stepsOf({ mean, std, low, high }: Standardizing): NumericStep[] {
  return [
    { kind: 'standardize', mean, std },
    { kind: 'clip', low, high },
  ];
}
