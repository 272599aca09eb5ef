/** What `tandem check --against` shows. Pure. */
import type { KnownColumn, KnownReport } from '../check/against-report.ts';
import { counted, formatCount, formatDifference, formatTable } from './format.ts';

export function renderKnown(report: KnownReport): string {
  const { rows, key, notCompared, columns, device, precision, tolerance } = report;
  const verdict = report.passed ? 'passed' : 'FAILED';
  const how = key.length === 0 ? 'by position' : `by ${key.join(', ')}`;
  const where = device === 'cpu' ? '' : `, ${device}${precision === 'float32' ? '' : `, ${precision}`}`;
  const parts = [`${verdict}: ${counted(rows.both, 'row')} ${how}, tolerance ${formatDifference(tolerance)}${where}`];
  if (rows.onlyShards + rows.onlyKnown > 0) {
    const only = [
      `${formatCount(rows.onlyShards)} of the shards`,
      `${formatCount(rows.onlyKnown)} of the known scores`,
    ];
    parts.push(`rows without a partner: ${only.join(', ')}`);
  }
  if (notCompared.length > 0) parts.push(`not compared, as nothing is known of them: ${notCompared.join(', ')}`);
  if (rows.both === 0) return parts.join('\n');
  parts.push(
    formatTable(
      [
        { title: 'column' },
        { title: 'known' },
        right('largest difference'),
        right('median'),
        right('99 %'),
        right('rows beyond'),
      ],
      columns.map((column) => [
        column.name,
        column.known,
        ...(column.kind === 'label'
          ? ['', '', '']
          : [column.differenceMax, column.differenceMedian, column.differenceP99].map((value) =>
              value === undefined ? '' : formatDifference(value),
            )),
        formatCount(column.rowsBeyond),
      ]),
    ),
    ...columns.flatMap(oneSidedLines),
    ...columns.flatMap(({ name, hints }) => hints.map((hint) => `${name}: ${hint}`)),
  );
  const pairs = columns.flatMap(({ name, confusion }) =>
    confusion.map(({ known, score, rows }) => [name, known, score, formatCount(rows)]),
  );
  if (pairs.length > 0) {
    const titles = [{ title: 'column' }, { title: 'known' }, { title: 'score' }, right('rows')];
    parts.push(`labels that differ\n${formatTable(titles, pairs)}`);
  }
  const worst = worstRows(report);
  return [...parts, ...(worst === undefined ? [] : [worst])].join('\n');
}

function oneSidedLines({ name, nulls, nans }: KnownColumn): string[] {
  return (
    [
      ['null', nulls],
      ['NaN', nans],
    ] as const
  )
    .filter(([, { known, score }]) => known + score > 0)
    .map(
      ([what, { known, score }]) =>
        `${name}: ${what} where the other side is not: known in ${counted(known, 'row')}, score in ${counted(score, 'row')}`,
    );
}

function worstRows({ columns, key }: KnownReport): string | undefined {
  const rows = columns.flatMap((column) =>
    column.worst.map((row) => [
      column.name,
      `${row.shard}:${row.row}`,
      ...(key.length === 0 ? [] : [row.key]),
      row.known,
      row.score,
      column.kind === 'label' ? '' : formatDifference(row.difference),
    ]),
  );
  if (rows.length === 0) return undefined;
  const titles = [
    { title: 'column' },
    { title: 'shard:row' },
    ...(key.length === 0 ? [] : [{ title: key.join(', ') }]),
    right('known'),
    right('score'),
    right('difference'),
  ];
  return `worst rows, counted from 0\n${formatTable(titles, rows)}`;
}

function right(title: string) {
  return { title, align: 'right' } as const;
}
