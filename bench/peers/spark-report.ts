/** The study of Spark as tables on standard output. Pure. */
import {
  formatBytes,
  formatCount,
  formatDifference,
  formatRate,
  formatTable,
  type TableColumn,
} from '../../src/cli/format.ts';
import { costTitle, type SweepPoint } from './spark-charts.ts';
import type { Dissection } from './spark-dissect.ts';
import type { Trial } from './spark-trial.ts';
import { costNames } from './stacks.ts';

const right = (title: string): TableColumn => ({ title, align: 'right' });

/** Whole process and steady state, CPU and memory of each. */
export function trialTable(dissections: readonly Dissection[]): string {
  const columns = [
    { title: 'undisturbed' },
    right('whole process'),
    right('steady'),
    right('CPU s / M rows'),
    right('of it JVM'),
    right('workers'),
    right('JVM'),
    right('heap used'),
    right('beyond heap'),
    right('Arrow'),
    right('worker'),
    right('all'),
    right('others'),
    right('from Tandem'),
  ];
  const rows = dissections.map(({ trial }) => {
    if (trial.outcome !== 'done') return [trial.contestant, `${trial.outcome}: ${trial.reason ?? ''}`];
    const perMillion = (seconds: number): string => (seconds / (trial.rows / 1e6)).toFixed(1);
    const { jvm, heapUsed, jvmBeyondHeap, arrow, largestWorker, total } = trial.peaks;
    const bytes = [jvm, heapUsed, jvmBeyondHeap, arrow, largestWorker, total];
    return [
      trial.contestant,
      formatRate(trial.rows / trial.wallSeconds),
      formatRate(trial.rows / trial.steadySeconds),
      perMillion(trial.cpuSeconds),
      perMillion(trial.cpuSecondsByKind.jvm),
      perMillion(trial.cpuSecondsByKind.worker),
      ...bytes.map((value) => (value > 0 ? formatBytes(value) : '-')),
      percent(trial.othersShare),
      trial.differenceMax === undefined ? '' : formatDifference(trial.differenceMax),
    ];
  });
  const note =
    "beyond heap: the JVM's resident memory less its committed heap; Arrow: what its allocator had given out";
  return `${formatTable(columns, rows)}\n  ${note}`;
}

/** Shares of CPU time, of all and without what is paid once. */
export function costTable(dissections: readonly Dissection[]): string {
  const cut = dissections.flatMap(({ trial, shares }) => (shares === undefined ? [] : [{ trial, shares }]));
  const columns = [
    { title: 'CPU time of JVM and workers' },
    ...cut.flatMap(({ trial }) => [right(trial.contestant), right('without start')]),
  ];
  const rows = costNames.map((name) => [
    costTitle(name),
    ...cut.flatMap(({ shares }) => {
      const once = shares.start;
      return [percent(shares[name]), name === 'start' ? '' : percent(shares[name] / (1 - once))];
    }),
  ]);
  return formatTable(columns, rows);
}

/** Innermost frames that no pattern knows, so that the table of patterns can be checked. */
export function unknownText(dissections: readonly Dissection[]): string {
  const shown = dissections.flatMap(({ trial, jvm, workers }) =>
    [
      ['JVM', jvm],
      ['workers', workers],
    ].flatMap(([where, costs]) => {
      if (typeof costs !== 'object' || costs.samples === 0) return [];
      const lines = costs.unknown.slice(0, 5).map(({ frames, samples }) => `    ${samples}  ${frames}`);
      const share = percent(costs.byCost.other / costs.samples);
      return [`  other: ${trial.contestant}, ${where as string}: ${share} of ${costs.samples} samples`, ...lines];
    }),
  );
  return shown.join('\n');
}

export function sweepTable(points: readonly SweepPoint[]): string {
  const columns = [
    { title: 'table' },
    { title: 'way' },
    right('records'),
    right('steady'),
    right('JVM'),
    right('Arrow'),
    right('worker'),
    right('all'),
    { title: 'end' },
  ];
  const rows = points.map(({ records, label, trial }) => [
    trial.table,
    label,
    records === undefined ? 'its own' : formatCount(records),
    trial.outcome === 'done' ? formatRate(trial.rows / trial.steadySeconds) : '-',
    ...sizes(trial),
    trial.outcome === 'done' ? '' : (trial.reason ?? trial.outcome),
  ]);
  return formatTable(columns, rows);
}

function sizes({ peaks }: Trial): string[] {
  const { jvm, arrow, largestWorker, total } = peaks;
  return [jvm, arrow, largestWorker, total].map((bytes) => (bytes > 0 ? formatBytes(bytes) : '-'));
}

function percent(share: number): string {
  return Number.isFinite(share) ? `${(share * 100).toFixed(0)} %` : '-';
}
