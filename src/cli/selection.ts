/** Flags that say which rows of the shards are taken, and how a selection reads. */
import { TandemError } from '../errors.ts';
import type { PlannedSelection, SelectionOptions } from '../relation.ts';
import type { Arguments, Flag } from './flags.ts';
import { counted, printable } from './format.ts';

export const selectionFlags: readonly Flag[] = [
  {
    name: 'where',
    value: 'condition',
    describe: "Take the rows for which a SQL condition is true, on top of the contract's: \"country = 'DE'\"",
    otherwise: "the contract's, or every row",
  },
  {
    name: 'limit',
    value: 'rows',
    describe: 'Take the first rows only, in the order of the shards',
    otherwise: 'every row',
  },
  {
    name: 'sample',
    value: 'share',
    describe:
      'Take a share of the rows, 1% or 0.01, chosen by a hash of shard and row number: the same ones in every run',
    otherwise: 'every row',
  },
];

/** @throws USAGE */
export function selectionOptions(given: Arguments): SelectionOptions {
  const where = given.text('where');
  const limit = given.count('limit', Number.MAX_SAFE_INTEGER);
  const sample = given.text('sample');
  return {
    ...(where === undefined ? {} : { where }),
    ...(limit === undefined ? {} : { limit }),
    ...(sample === undefined ? {} : { sample: parseShare(sample) }),
  };
}

/** `1%` and `0.01`; a bare 1 may be either, and is refused. */
function parseShare(text: string): number {
  const [, digits, percent] = /^(\d*\.?\d+)(%?)$/.exec(text.trim()) ?? [];
  const share = Number(digits) / (percent === '%' ? 100 : 1);
  if (share > 0 && (share < 1 || (share === 1 && percent === '%'))) return share;
  const remedy =
    percent === '' && share >= 1 && share <= 100 ? `Write ${share}% or ${share / 100}.` : 'Write 5% or 0.05.';
  throw new TandemError('USAGE', `Expected --sample to be a share such as 1% or 0.01, got \`${text}\`.`, { remedy });
}

/** Of a condition, which may list thousands of values. */
const conditionShownMax = 160;

/** `1,000 rows of 5,000 in 3 shards (counted in 0.2 s)`, and what chose them, each in a line. */
export function selectionLines(selection: PlannedSelection, rowsTaken: number): string[] {
  const { where, sample, given, rowsFound, shardsFound, countSeconds } = selection;
  const counting = countSeconds === undefined ? '' : ` (counted in ${countSeconds.toFixed(1)} s)`;
  const all = `${counted(rowsFound, 'row')} in ${counted(shardsFound, 'shard')}`;
  return [
    `taken: ${counted(rowsTaken, 'row')} of ${all}${counting}`,
    ...where.map((sql) => `where ${shortened(printable(sql))}`),
    ...(sample === undefined ? [] : [`sample ${Number((sample * 100).toPrecision(6))}%`]),
    ...(given.limit === undefined ? [] : [`limit ${counted(given.limit, 'row')}`]),
  ];
}

function shortened(text: string): string {
  return text.length <= conditionShownMax ? text : `${text.slice(0, conditionShownMax)}...`;
}
