/** What `tandem tune` shows at the end. Pure. */
import type { TuneReport } from '../options.ts';
import { counted, formatCount, formatDifference, formatRate, formatTable, printable } from './format.ts';

export function renderTune(report: TuneReport): string {
  const { chosen, device, label, sample, notes } = report;
  const slots = device === 'cpu' ? '' : `, ${counted(chosen.slotsPerThread, 'slot')} a thread, ${chosen.precision}`;
  const settings = `batch size ${formatCount(chosen.batchSize)}, ${counted(chosen.threads, 'thread')}${slots}`;
  const ratio = chosen.rowsPerSecond / report.defaultRowsPerSecond;
  const noise =
    report.noise === 0 ? 'nothing was tried twice' : `trials differ by ${(report.noise * 100).toFixed(1)} %`;
  return [
    `tuned on ${device} (${printable(label)}) with ${counted(sample.shards, 'shard')} of ${counted(sample.rows, 'row')}`,
    settingTable(report),
    ...goldenLines(report),
    `chosen: ${settings}: ${formatRate(chosen.rowsPerSecond)}, ${ratio.toFixed(2)} times the default's ` +
      `${formatRate(report.defaultRowsPerSecond)} (${noise})`,
    report.explanation,
    ...notes.map((note) => `note: ${printable(note)}`),
    ...report.profiles.map(profileLine),
  ]
    .filter((part) => part !== '')
    .join('\n');
}

function settingTable({ settings }: TuneReport): string {
  if (settings.length === 0) return '';
  const rows = settings.map(({ setting, value, rowsPerSecond, shareOfBest, trials, chosen }) => [
    setting,
    typeof value === 'number' ? formatCount(value) : value,
    formatRate(rowsPerSecond),
    `${(shareOfBest * 100).toFixed(0)} %`,
    formatCount(trials),
    chosen ? 'chosen' : '',
  ]);
  const columns = [
    { title: 'setting' },
    right('value'),
    right('rate'),
    right('of best'),
    right('trials'),
    { title: '' },
  ];
  return formatTable(columns, rows);
}

function goldenLines({ golden }: TuneReport): string[] {
  return golden.map(({ precision, passed, differenceMax, tolerance, rowsBeyond }) => {
    const off = `largest difference ${formatDifference(differenceMax)}, tolerance ${formatDifference(tolerance)}`;
    return `golden rows in ${precision}: ${passed ? 'passed' : `${counted(rowsBeyond, 'row')} beyond, never chosen`} (${off})`;
  });
}

function profileLine({ precision, path }: TuneReport['profiles'][number]): string {
  const how = precision === 'float32' ? '' : ` with --precision ${precision}`;
  return `profile written to ${printable(path)}; \`tandem score\`${how} picks it up`;
}

function right(title: string) {
  return { title, align: 'right' } as const;
}
