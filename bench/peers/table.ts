/** From runs to the table and the chart: medians over the rounds, and how often Tandem's figure each peer's is. */
import { counted, formatCount, formatTable } from '../../src/cli/format.ts';
import type { VegaLiteSpec } from '../chart.ts';
import { workloadNames, type WorkloadName } from '../data.ts';
import type { Environment } from '../environment.ts';
import { median, medianRatio } from '../measure.ts';
import type { Contestant, Failure, PeerRun } from './rounds.ts';

/** A line of the table. Ratios: above 1, Tandem is better. */
export interface Standing {
  readonly workload: WorkloadName;
  readonly peer: string;
  readonly rows: number;
  /** Rows per second from the start of the process to its end. */
  readonly wholeRate: number;
  readonly wholeRatio: number;
  /** Rows per second from the first batch at the scorer to the closed output. */
  readonly steadyRate: number;
  /** Against Tandem's with the most rows: a steady state should not depend on how long it lasts. */
  readonly steadyRatio: number;
  readonly cpuSecondsPerMillionRows: number;
  readonly cpuRatio: number;
  /** Proportional set size where the system tells it, else resident; the largest of the rounds. */
  readonly peakBytes: number;
  readonly peakRatio: number;
  readonly othersShare: number;
  readonly differenceMax: number;
}

/** @throws Error where Tandem has not run with a peer's number of rows */
export function standings(contestants: readonly Contestant[]): readonly Standing[] {
  return contestants.map((contestant) => {
    const { workload, peer, rows, runs } = contestant;
    const tandems = contestants.filter((other) => other.workload === workload && other.peer === 'tandem');
    const same = tandems.find((other) => other.rows === rows);
    const longest = tandems.reduce<Contestant | undefined>(
      (best, other) => (best === undefined || other.rows > best.rows ? other : best),
      undefined,
    );
    if (same === undefined || longest === undefined) {
      throw new Error(`Expected a run of Tandem with ${rows} rows beside ${peer}, got none. This is a bug.`);
    }
    const whole = (of: Contestant): number[] => of.runs.map(({ wallSeconds }) => of.rows / wallSeconds);
    const steady = (of: Contestant): number[] => of.runs.map(({ steadySeconds }) => of.rows / steadySeconds);
    const cpu = (of: Contestant): number[] => of.runs.map(({ cpuSeconds }) => cpuSeconds / (of.rows / 1e6));
    return {
      workload,
      peer,
      rows,
      wholeRate: median(whole(contestant)),
      wholeRatio: medianRatio(whole(same), whole(contestant)),
      steadyRate: median(steady(contestant)),
      steadyRatio: medianRatio(steady(longest), steady(contestant)),
      cpuSecondsPerMillionRows: median(cpu(contestant)),
      cpuRatio: medianRatio(cpu(contestant), cpu(same)),
      peakBytes: peakOf(runs),
      peakRatio: peakOf(runs) / peakOf(same.runs),
      othersShare: median(runs.map((run) => run.othersShare)),
      differenceMax: Math.max(...runs.map((run) => run.differenceMax)),
    };
  });
}

function peakOf(runs: readonly PeerRun[]): number {
  return Math.max(...runs.map(({ peakPssBytes, peakRssBytes }) => (peakPssBytes > 0 ? peakPssBytes : peakRssBytes)));
}

export const shortNames: Readonly<Record<WorkloadName, string>> = {
  'w1-network': 'W1 network',
  'w2-logistic': 'W2 logistic regression',
  'w3-trees': 'W3 trees',
};

export function renderStandings(lines: readonly Standing[], failures: readonly Failure[]): string {
  const right = 'right' as const;
  const titles = ['M rows/s', '×', 'steady', '×', 'CPU s/M rows', '×', 'peak MB', '×', 'others', 'differs'];
  const columns = [
    { title: 'work' },
    { title: 'peer' },
    { title: 'rows', align: right },
    ...titles.map((title) => ({ title, align: right })),
  ];
  const times = (ratio: number): string => (ratio >= 99.5 ? formatCount(ratio) : ratio.toPrecision(2));
  const rate = (perSecond: number): string => (perSecond / 1e6).toPrecision(3);
  const rows = lines.map((line) => [
    line.workload.slice(0, 2).toUpperCase(),
    line.peer,
    formatCount(line.rows),
    rate(line.wholeRate),
    times(line.wholeRatio),
    rate(line.steadyRate),
    times(line.steadyRatio),
    line.cpuSecondsPerMillionRows.toFixed(2),
    times(line.cpuRatio),
    formatCount(line.peakBytes / 1e6),
    times(line.peakRatio),
    `${(line.othersShare * 100).toFixed(0)} %`,
    line.differenceMax === 0 ? '0' : line.differenceMax.toExponential(0),
  ]);
  const missing = failures.map(({ peer, workload, reason }) => {
    return `not measured: ${peer}${workload === undefined ? '' : `, ${workload}`}: ${reason}`;
  });
  return [formatTable(columns, rows), ...missing].join('\n');
}

export function renderConditions(conditions: Environment, rounds: number, others: number, seconds: number): string {
  const { cpu, cores, system, node, duckDb, onnxRuntime, loadAverage } = conditions;
  return [
    `${cores} cores, ${cpu}, ${system}, Node ${node}, DuckDB ${duckDb}, ONNX Runtime ${onnxRuntime}; files in the page cache`,
    `medians of ${counted(rounds, 'round')}, peers in turn; others took ${(others * 100).toFixed(0)} % of the cores in these ` +
      `${seconds.toFixed(0)} s, load average before: ${loadAverage.toFixed(2)}`,
    'M rows/s: process start to end; steady: first batch at the scorer to closed output (who reads ahead looks better);',
    'CPU and peak memory (shared pages divided) of the whole tree of processes; ×: above 1, Tandem is so many times better,',
    'with the same rows (steady: its own largest run); differs: largest distance from its scores. Only Tandem syncs its output.',
  ].join('\n');
}

/** Rates, CPU and memory of each workload; logarithmic, since the first and the last are hundreds apart. */
export function chartOf(lines: readonly Standing[], subtitle: string): VegaLiteSpec {
  const rowsMax = Math.max(...lines.map(({ rows }) => rows));
  const shown = lines.filter(({ peer, rows }) => peer !== 'tandem' || rows === rowsMax);
  const names = [...new Set(['tandem', ...shown.map(nameOf)])];
  const point = (title: string, values: readonly object[]) => ({
    data: { values: [...values] },
    facet: { column: { field: 'workload', type: 'nominal' as const, title: null, sort: Object.values(shortNames) } },
    spec: {
      width: 260,
      height: { step: 18 },
      mark: { type: 'point' as const, filled: true, size: 70, opacity: 1 },
      encoding: {
        x: { field: 'value', type: 'quantitative' as const, title, scale: { type: 'log' as const } },
        y: { field: 'peer', type: 'nominal' as const, title: null, sort: names, axis: { grid: true } },
        color: { field: 'what', type: 'nominal' as const, title: null, sort: null },
      },
    },
  });
  const of = (what: string, value: (line: Standing) => number): object[] =>
    shown.map((line) => ({ workload: shortNames[line.workload], peer: nameOf(line), what, value: value(line) }));
  return {
    title: { text: 'Scoring Parquet shards with an ONNX model, output written', subtitle },
    vconcat: [
      point('million rows per second', [
        ...of('whole process', ({ wholeRate }) => wholeRate / 1e6),
        ...of('steady state', ({ steadyRate }) => steadyRate / 1e6),
      ]),
      point(
        'CPU seconds per million rows',
        of('whole process', ({ cpuSecondsPerMillionRows }) => cpuSecondsPerMillionRows),
      ),
      point(
        'peak memory, MB',
        of('whole process', ({ peakBytes }) => peakBytes / 1e6),
      ),
    ],
  };

  function nameOf({ peer, rows }: Standing): string {
    return rows === rowsMax ? peer : `${peer} (${formatCount(rows)} rows)`;
  }
}

/** In the order of the workloads, fastest whole process first, those on fewer rows last. */
export function inOrder(lines: readonly Standing[]): readonly Standing[] {
  return [...lines].sort(
    (a, b) =>
      workloadNames.indexOf(a.workload) - workloadNames.indexOf(b.workload) ||
      b.rows - a.rows ||
      b.wholeRate - a.wholeRate,
  );
}
