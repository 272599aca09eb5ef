/** What `tandem profile` shows at the end. Pure. */
import type { ProfileReport } from '../options.ts';
import type { HotFunction, Ledger } from '../run-record.ts';
import { renderLedger } from './render-ledger.ts';
import { counted, formatBytes, formatCount, formatRate, formatTable, printable } from './format.ts';

export function renderProfile(report: ProfileReport): string {
  const { seconds, rowsPerSecond, threads, batchSize, device, ledger, functions, folder, files } = report;
  const batch = batchSize === undefined ? '' : `batch size ${formatCount(batchSize)}, `;
  return [
    `profiled ${seconds.toFixed(1)} s: ${formatRate(rowsPerSecond)}, ${batch}${counted(threads, 'thread')}, ${device}`,
    ledger.verdict.sentence,
    ...whatIf(ledger),
    '',
    renderLedger(ledger),
    '',
    functionTable(functions),
    '',
    memoryLine(report),
    ...notes(report),
    `written to ${printable(folder)}: ${files.map(printable).join(', ')}`,
    'open report.html in a browser; a .cpuprofile in Chrome (DevTools, Performance, "Load profile") or on https://speedscope.app',
  ].join('\n');
}

function whatIf({ verdict: { whatIf } }: Ledger): string[] {
  return whatIf === undefined ? [] : [`with ${whatIf.change}: about ${formatRate(whatIf.rowsPerSecond)}`];
}

function functionTable(functions: readonly HotFunction[]): string {
  const rows = functions.map(({ name, file, selfSeconds, share, threads }) => [
    printable(name),
    printable(file),
    `${selfSeconds.toFixed(2)} s`,
    percent(share),
    formatCount(threads),
  ]);
  return formatTable([{ title: 'function' }, { title: 'in' }, right('itself'), right('share'), right('threads')], rows);
}

function memoryLine({ memory: { peakBytes, heaps } }: ProfileReport): string {
  const heapBytes = heaps.reduce((sum, { bytes }) => sum + bytes, 0);
  return `memory: at most ${formatBytes(peakBytes)} resident; V8's heaps of ${counted(heaps.length, 'thread')} hold ${formatBytes(heapBytes)}`;
}

function notes({ missing, wholeInput, seconds }: ProfileReport): string[] {
  return [
    ...(missing.length === 0 ? [] : [`note: without ${missing.join(', ')}: no batch ended there in that time`]),
    ...(wholeInput ? [`note: the shards were scored after ${seconds.toFixed(1)} s: their end is in the figures`] : []),
  ];
}

function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

function right(title: string) {
  return { title, align: 'right' } as const;
}
