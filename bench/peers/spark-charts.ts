/** Figures of the study of Spark as charts. */
import type { VegaLiteSpec } from '../chart.ts';
import { costNames, type CostName } from './stacks.ts';
import type { Trial } from './spark-trial.ts';

export interface CostShares {
  readonly contestant: string;
  /** Of the CPU time of all its processes. */
  readonly shares: Readonly<Record<CostName, number>>;
}

const costTitles: Readonly<Record<CostName, string>> = {
  decode: 'decode Parquet',
  rows: 'columns, rows, Arrow, pandas',
  pickle: 'pickle',
  ipc: 'sockets and Arrow streams',
  jni: 'JNI',
  featurize: 'featurize',
  predict: 'predict',
  write: 'write Parquet',
  collect: 'garbage collection',
  start: 'start, imports, compilers',
  other: 'other',
};

export function costTitle(name: CostName): string {
  return costTitles[name];
}

/** The same of what is left when start is left out: on many rows that is all there is. */
function withoutStart({ contestant, shares }: CostShares): CostShares {
  const rest = Object.entries(shares).map(([name, share]) => [name, name === 'start' ? 0 : share / (1 - shares.start)]);
  return { contestant: `${contestant}, without start`, shares: Object.fromEntries(rest) as CostShares['shares'] };
}

export function costChart(all: readonly CostShares[], subtitle: string): VegaLiteSpec {
  const bars = all.flatMap((each) => [each, withoutStart(each)]);
  const values = bars.flatMap(({ contestant, shares }) =>
    costNames.map((name, order) => ({ contestant, cost: costTitles[name], share: shares[name], order })),
  );
  return {
    title: { text: 'Where CPU time goes', subtitle },
    data: { values },
    width: 640,
    height: { step: 34 },
    mark: 'bar',
    encoding: {
      y: { field: 'contestant', type: 'nominal', title: null, sort: null },
      x: {
        field: 'share',
        type: 'quantitative',
        title: 'share of CPU time',
        axis: { format: '%' },
        scale: { domain: [0, 1] },
      },
      color: {
        field: 'cost',
        type: 'nominal',
        title: null,
        legend: { labelLimit: 240 },
        sort: costNames.map((name) => costTitles[name]),
        scale: { scheme: 'tableau20' },
      },
      order: { field: 'order' },
    },
  };
}

const mebi = 2 ** 20;

/** What a run's processes hold, over the run. */
export function memoryChart(trials: readonly Trial[], subtitle: string): VegaLiteSpec {
  const values = trials.flatMap((trial) => {
    const started = trial.memory[0]?.at ?? 0;
    const lines: { contestant: string; what: string; seconds: number; mebibytes: number }[] = [];
    const add = (what: string, at: number, bytes: number): void =>
      void lines.push({ contestant: trial.contestant, what, seconds: at - started, mebibytes: bytes / mebi });
    for (const { at, bytes, largestWorker } of trial.memory) {
      if (trial.contestant === 'tandem') add('Tandem', at, bytes.tandem);
      else add('JVM, resident', at, bytes.jvm);
      if (bytes.worker > 0) add('largest Python worker', at, largestWorker);
      if (bytes.worker > 0) add('all Python workers', at, bytes.worker);
    }
    for (const { at, heapUsed, arrow } of trial.jvmMemory) {
      add('heap in use', at, heapUsed);
      add('Arrow, off the heap', at, arrow);
    }
    return lines;
  });
  return {
    title: { text: 'Memory over time', subtitle },
    data: { values },
    facet: { field: 'contestant', type: 'nominal', title: null, sort: null },
    columns: 2,
    spec: {
      width: 320,
      height: 180,
      mark: { type: 'line', interpolate: 'step-after' },
      encoding: {
        x: { field: 'seconds', type: 'quantitative', title: 'seconds' },
        y: { field: 'mebibytes', type: 'quantitative', title: 'MiB' },
        color: { field: 'what', type: 'nominal', title: null, legend: { labelLimit: 240 } },
      },
    },
    resolve: { scale: { x: 'independent' } },
  };
}

/** A run of the sweep. */
export interface SweepPoint {
  /** In a batch, at most; undefined: Tandem, which chooses by itself. */
  readonly records: number | undefined;
  readonly label: string;
  readonly trial: Trial;
}

/** Rate and memory over the number of records in a batch; where a run failed, a cross at the memory it had by then. */
export function zoneChart(points: readonly SweepPoint[], subtitle: string): VegaLiteSpec {
  const all = points.flatMap(({ records }) => records ?? []);
  // Tandem's batch size is not set from outside: a line from one end to the other.
  const drawn = points.flatMap(({ records, ...rest }) =>
    (records === undefined ? [Math.min(...all), Math.max(...all)] : [records]).map((at) => ({ records: at, ...rest })),
  );
  const values = drawn.map(({ records, label, trial }) => ({
    table: trial.table,
    contestant: label,
    records,
    outcome: trial.outcome === 'done' ? 'done' : 'failed',
    // A run that failed has scored nothing that anybody can use.
    rate: trial.outcome === 'done' ? trial.rows / trial.steadySeconds : 0,
    mebibytes: trial.peaks.total / mebi,
  }));
  const panel = (field: 'rate' | 'mebibytes', title: string) => ({
    facet: { field: 'table', type: 'nominal' as const, title: null },
    columns: 2,
    spec: {
      width: 320,
      height: 200,
      encoding: {
        x: {
          field: 'records',
          type: 'quantitative' as const,
          scale: { type: 'log' as const },
          title: 'records in a batch, at most',
        },
        y: { field, type: 'quantitative' as const, title },
        color: { field: 'contestant', type: 'nominal' as const, title: null, legend: { labelLimit: 240 } },
      },
      layer: [
        { mark: { type: 'line' as const } },
        {
          mark: { type: 'point' as const, filled: true, size: 90 },
          encoding: {
            shape: {
              field: 'outcome',
              type: 'nominal' as const,
              title: null,
              scale: { domain: ['done', 'failed'], range: ['circle', 'cross'] },
            },
          },
        },
      ],
    },
    resolve: { scale: { y: 'independent' as const } },
  });
  return {
    title: { text: 'Between starving and failing', subtitle },
    data: { values },
    vconcat: [panel('rate', 'rows a second, steady (0: it failed)'), panel('mebibytes', 'peak of all processes, MiB')],
  };
}
