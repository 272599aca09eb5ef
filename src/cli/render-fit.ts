/** What `tandem fit` shows. Pure. */
import type { FitReport, FittedParameter } from '../fit/report.ts';
import { counted, formatCount, formatSeconds, formatTable, printable, shorten } from './format.ts';

const valueWidthMax = 48;
/** Fields that are named. */
const unmarkedMax = 10;

export function renderFit(report: FitReport & { readonly dryRun: boolean }): string {
  const { rowCount, shards, passes, seconds, parameters, path } = report;
  if (parameters.length === 0) {
    const nothing = `nothing to fit: every parameter in ${printable(path)} has a value; --all fits again those that a fit has found ("fit" stands beside them)`;
    return [nothing, ...unmarkedLines(report)].join('\n');
  }
  const read = `${counted(rowCount, 'row')} of ${counted(shards, 'shard')}, ${formatSeconds(seconds)}`;
  const table = formatTable(
    [{ title: 'field' }, { title: 'of' }, { title: 'by' }, { title: 'was' }, { title: 'is' }],
    parameters.map((each) => [each.field, each.source, each.rule, shown(each.before), shown(each.value)]),
  );
  const notes = parameters.flatMap((each) => notesOf(each).map((note) => `  ${printable(`${each.field}: ${note}`)}`));
  const end = report.written ? 'written to' : report.dryRun ? 'not written (--dry-run) to' : 'as before in';
  return [
    `${counted(parameters.length, 'parameter')} from ${read}, in ${passes === 1 ? 'one pass' : `${passes} passes`}`,
    table,
    ...(notes.length === 0 ? [] : [`notes\n${notes.join('\n')}`]),
    ...unmarkedLines(report),
    `${end} ${printable(path)}`,
  ].join('\n');
}

/** What --all has left alone. */
function unmarkedLines({ unmarked }: FitReport): string[] {
  if (unmarked.length === 0) return [];
  const fields = unmarked.slice(0, unmarkedMax).map(printable).join(', ');
  const more = unmarked.length > unmarkedMax ? `, and ${formatCount(unmarked.length - unmarkedMax)} more` : '';
  return [
    `left as they are, since no "fit" stands beside them (written by hand, or fitted before there were such rules): ${fields}${more}`,
    '  to have one fitted, write its word in place of its value: "standardize": "fit", "clip": { "quantiles": [0.01, 0.99] }',
  ];
}

function notesOf({ nulls, nans, infinite, notes }: FittedParameter): string[] {
  const odd = [
    [nulls, 'null'],
    [nans, 'NaN, left out'],
    [infinite, 'infinite'],
  ] as const;
  const counts = odd.filter(([count]) => count > 0).map(([count, what]) => `${formatCount(count)} ${what}`);
  return [...(counts.length === 0 ? [] : [counts.join('; ')]), ...notes];
}

function shown(value: unknown): string {
  if (value === undefined) return '';
  if (Array.isArray(value) && value.length > 3) {
    return shorten(`${formatCount(value.length)}: ${value.slice(0, 4).map(scalar).join(', ')}, ...`, valueWidthMax);
  }
  if (Array.isArray(value)) return shorten(value.map(scalar).join(', '), valueWidthMax);
  if (typeof value !== 'object' || value === null) return scalar(value);
  return Object.entries(value)
    .map(([key, member]) => `${key} ${scalar(member)}`)
    .join(', ');
}

/** Six digits tell values apart; the file has all of them. */
function scalar(value: unknown): string {
  return typeof value === 'number' ? String(Number(value.toPrecision(6))) : String(value);
}
