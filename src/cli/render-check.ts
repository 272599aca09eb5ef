/** What `tandem check` shows. Pure. */
import type { CheckReport } from '../options.ts';
import { counted, formatCount, formatDifference, formatTable } from './format.ts';

export function renderCheck(report: CheckReport): string {
  const verdict = report.passed ? 'passed' : 'FAILED';
  const parts = [
    `${verdict}: ${counted(report.rowCount, 'golden row')}, tolerance ${formatDifference(report.tolerance)}${where(report)}`,
    formatTable(
      [{ title: 'column' }, right('largest difference'), right('rows beyond')],
      report.columns.map((column) => [
        column.name,
        formatDifference(column.differenceMax),
        formatCount(column.rowsBeyond),
      ]),
    ),
  ];
  const worst = report.columns.flatMap((column) =>
    column.worst.map((row) => [
      column.name,
      formatCount(row.row),
      row.golden,
      row.score,
      formatDifference(row.difference),
    ]),
  );
  if (worst.length > 0) {
    const columns = [{ title: 'column' }, right('row'), right('golden'), right('score'), right('difference')];
    parts.push(`worst rows, counted from 0\n${formatTable(columns, worst)}`);
  }
  return parts.join('\n');
}

function where({ device, precision }: CheckReport): string {
  const how = precision === 'float32' ? '' : `, ${precision}`;
  return device === 'cpu' ? '' : `, ${device}${how}`;
}

function right(title: string) {
  return { title, align: 'right' } as const;
}
