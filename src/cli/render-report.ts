/** What `tandem report` prints: one run, or two side by side. Pure. */
import { peakBytes, type Comparison } from '../report/comparison.ts';
import { windowWords } from '../report/facts.ts';
import type { RunRecord, Utilization } from '../run-record.ts';
import { counted, formatBytes, formatCount, formatRate, formatSeconds, formatTable, printable } from './format.ts';
import { renderLedger } from './render-ledger.ts';

export function renderRun(record: RunRecord, name: string): string {
  const { result, startedAt } = record;
  const { ledger } = result;
  const peak = peakBytes(record);
  const batch = result.batchSize === undefined ? '' : `, batch size ${formatCount(result.batchSize)}`;
  const memory = peak === 0 ? '' : `, at most ${formatBytes(peak)} of memory`;
  const what =
    record.window === undefined
      ? `${counted(result.rowsOut, 'row')} of ${counted(result.shards, 'shard')} in ${formatSeconds(result.wallSeconds)}`
      : `${windowWords(record.window)}, ${counted(result.rowsOut, 'row')}`;
  const lines = [
    `${printable(name)}: ${what}: ${formatRate(result.rowsPerSecond)}`,
    `  ${printable(result.device)}${batch}, ${counted(result.threads, 'thread')}${memory}; ${printable(startedAt.replace('T', ' ').slice(0, 16))}`,
  ];
  if (result.shardsSkipped > 0) {
    lines.push(
      `  ${counted(result.shardsSkipped, 'more shard')} whole already: earlier runs into this folder left _report-<n>.json`,
    );
  }
  if (record.ended !== 'done') lines.push(`  ended with ${printable(record.ended)}: what was known by then`);
  if (ledger === undefined) return [...lines, '  nothing to do: no time was divided'].join('\n');
  const { sentence, whatIf } = ledger.verdict;
  lines.push(`  ${printable(sentence)}`);
  if (whatIf !== undefined) lines.push(`  with ${printable(whatIf.change)}: ${formatRate(whatIf.rowsPerSecond)}`);
  return [...lines, renderLedger(ledger), ...ledger.utilization.map(utilizationLine)].join('\n');
}

function utilizationLine({ device, computeBusy, reported, efficiency, notes }: Utilization): string {
  const ran = `${device === 'cpu' ? 'lanes ran the model' : 'the model ran'} ${percent(computeBusy)} of the time`;
  const says = reported === undefined ? 'no report' : `${printable(reported.counts)}: ${percent(reported.share)}`;
  const rate = efficiency === undefined ? '' : `, efficiency ${percent(efficiency)} of the rate from device memory`;
  return [`  ${printable(device)}: ${ran}, ${says}${rate}`, ...notes.map((note) => `    ${printable(note)}`)].join(
    '\n',
  );
}

export function renderComparison(comparison: Comparison, names: readonly [string, string]): string {
  const [before, after] = names.map((name) => ({ title: name, align: 'right' as const }));
  const effects = comparison.effects.map(({ what, before, after, difference, direction }) => [
    what,
    before,
    after,
    difference,
    direction ?? '',
  ]);
  const difference = { title: 'difference', align: 'right' as const };
  return [
    printable(comparison.sentence),
    ...comparison.notes.map((note) => `note: ${printable(note)}`),
    ...(comparison.changed.length === 0 ? [] : ['what changed', changeTable(comparison, names)]),
    'what it did',
    formatTable([{ title: '' }, before!, after!, difference, { title: '' }], effects),
  ].join('\n');
}

function changeTable({ changed }: Comparison, names: readonly [string, string]): string {
  const rows = changed.map(({ what, before, after }) => [what, before ?? '-', after ?? '-']);
  return formatTable([{ title: '' }, { title: names[0] }, { title: names[1] }], rows);
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}
