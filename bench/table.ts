/** From rounds to the lines of the benchmark's table. */
import { availableParallelism } from 'node:os';
import { formatBytes, formatCount, formatTable } from '../src/cli/format.ts';
import type { WorkloadName } from './data.ts';
import type { Environment } from './environment.ts';
import { median, medianRatio, type Rounds, type JobStage, type StageName } from './measure.ts';
import type { JobRounds } from './run.ts';

export interface Line {
  readonly what: string;
  readonly measured: number;
  readonly limit: number;
  readonly unit: 'M rows/s' | 'MB' | 'ms';
  /** measured / limit; of rates within a round, then the median. */
  readonly ratio: number;
  /** The ratio that is wanted: at least for rates, at most for memory and times. */
  readonly target: number;
  readonly note: string;
}

const targets: Readonly<Record<StageName, number>> = {
  decode: 0.9,
  featurize: 0.95,
  score: 0.95,
  write: 0.9,
  ledger: 0.99,
};
const targetJob = 0.9;
const targetBatchSize = 0.95;
const peakRssBytesMax = 400e6;
const eventLoopGapMsMax = 50;

const shortNames: Readonly<Record<WorkloadName, string>> = {
  'w1-network': 'W1',
  'w2-logistic': 'W2',
  'w3-trees': 'W3',
};
const limitNotes: Readonly<Record<JobStage, string>> = {
  decode: "limit: DuckDB's own sum of the same 32 columns",
  featurize: 'limit: a loop written by hand for this work alone',
  score: 'limit: ONNX Runtime in a bare loop',
  write: 'limit: a bare COPY of the same, synced',
};

/** A stage alone on one core, against its limit; of several limits the fastest. */
export function stageLine(stage: JobStage, workload: WorkloadName, rates: Rounds, batchSize: number | undefined): Line {
  const limits = Object.keys(rates).filter((name) => name !== 'ours' && name !== 'fromMemory');
  const fastest = limits.reduce((best, name) => (median(rates[name]!) > median(rates[best]!) ? name : best));
  const sizes = batchSize === undefined ? '' : `, ${fastest.replace('bare ', '')} rows a batch; ours: ${batchSize}`;
  const { fromMemory } = rates;
  const beside =
    fromMemory === undefined
      ? ''
      : `; ${medianRatio(rates['ours']!, fromMemory).toFixed(2)} of one that has both columns in memory and does not sync`;
  return {
    what: `${stage}${stage === 'score' ? ` ${shortNames[workload]}` : ''}, one core`,
    measured: median(rates['ours']!) / 1e6,
    limit: median(rates[fastest]!) / 1e6,
    unit: 'M rows/s',
    ratio: medianRatio(rates['ours']!, rates[fastest]!),
    target: targets[stage],
    note: limitNotes[stage] + sizes + beside,
  };
}

/** A lane that notes its time, from the notes alone and the lane without them. */
export function ledgerLine({ ours, limit }: Rounds): Line {
  const noted = limit!.map((rate, round) => 1 / (1 / rate + 1 / ours![round]!));
  return {
    what: 'ledger, one core',
    measured: median(noted) / 1e6,
    limit: median(limit!) / 1e6,
    unit: 'M rows/s',
    ratio: medianRatio(noted, limit!),
    target: targets.ledger,
    note: `limit: the same lane without; the notes take ${(1e9 / median(ours!)).toFixed(2)} ns a row`,
  };
}

/** Rows per second that the stages' rates allow all cores together, in a round. */
function allowedRate(job: JobRounds, round: number): number {
  const perRow = Object.values(job.stages).reduce((sum, rates) => sum + 1 / rates[round]!, 0);
  return availableParallelism() / perRow;
}

export function jobLines(job: JobRounds): Line[] {
  const { plan, runs } = job;
  const name = shortNames[job.workload];
  const allowed = runs.map((_, round) => allowedRate(job, round));
  const whole = runs.map((run) => run.result.rowsOut / run.processSeconds);
  const steady = runs.map((run) => run.steadyRowsPerSecond);
  const bytesPerRow = (plan.featureBytes + plan.keepBytes) / plan.rowsTotal;
  const storage = `needs ${((median(whole) * bytesPerRow) / 1e9).toFixed(2)} GB/s of storage`;
  const others = `others took ${percent(median(job.othersShares))} of the cores`;
  const perCore = Object.entries(job.stages).map(([stage, rates]) => `${stage} ${(median(rates) / 1e6).toFixed(2)}`);
  const rate = (what: string, rates: readonly number[], note: string): Line => ({
    what,
    measured: median(rates) / 1e6,
    limit: median(allowed) / 1e6,
    unit: 'M rows/s',
    ratio: medianRatio(rates, allowed),
    target: targetJob,
    note,
  });
  const rss = Math.max(...runs.map((run) => run.peakRssBytes));
  const gap = Math.max(...runs.map((run) => run.eventLoopGapMsMax));
  return [
    rate(`${name} job, process start to end`, whole, `${formatCount(plan.rowsTotal)} rows; ${storage}`),
    rate(`${name} job, steady`, steady, perCore.join(', ')),
    {
      what: `${name} peak memory`,
      measured: rss / 1e6,
      limit: peakRssBytesMax / 1e6,
      unit: 'MB',
      ratio: rss / peakRssBytesMax,
      target: 1,
      note: 'resident, whole process',
    },
    {
      what: `${name} longest event loop gap`,
      measured: gap,
      limit: eventLoopGapMsMax,
      unit: 'ms',
      ratio: gap / eventLoopGapMsMax,
      target: 1,
      note: `main thread; ${others}`,
    },
  ];
}

/** The batch size that the jobs chose, against the best fixed one, all cores busy. */
export function batchSizeLine({ workload, sizes, runs }: JobRounds): Line {
  const names = Object.keys(sizes);
  const best = names.reduce((fastest, name) => (median(sizes[name]!) > median(sizes[fastest]!) ? name : fastest));
  const chosen = runs.map((run) => String(run.result.batchSize));
  const rates = chosen.map((size, round) => sizes[size]?.[round] ?? NaN);
  const all = names.map((name) => `${name}: ${(median(sizes[name]!) / 1e6).toFixed(2)}`);
  return {
    what: `${shortNames[workload]} batch size ${[...new Set(chosen)].join(', ')}, per core`,
    measured: median(rates) / 1e6,
    limit: median(sizes[best]!) / 1e6,
    unit: 'M rows/s',
    ratio: median(chosen.map((size) => median(sizes[size] ?? [NaN]) / median(sizes[best]!))),
    target: targetBatchSize,
    note: all.join(', '),
  };
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

export function isMet(line: Line): boolean {
  return line.unit === 'M rows/s' ? line.ratio >= line.target : line.ratio <= line.target;
}

export function renderLines(lines: readonly Line[], conditions: Environment, others: number, seconds: number): string {
  const number = (value: number): string => (value >= 100 ? formatCount(value) : value.toFixed(2));
  const rows = lines.map((line) => [
    line.what,
    number(line.measured),
    number(line.limit),
    line.unit,
    line.ratio.toFixed(2),
    `${line.unit === 'M rows/s' ? '≥' : '≤'} ${line.target.toFixed(2)}`,
    isMet(line) ? 'yes' : 'NO',
    line.note,
  ]);
  const right = 'right' as const;
  const table = formatTable(
    [
      { title: 'what' },
      { title: 'measured', align: right },
      { title: 'limit', align: right },
      { title: '' },
      { title: 'ratio', align: right },
      { title: 'target', align: right },
      { title: 'met' },
      { title: '' },
    ],
    rows,
  );
  const { cpu, cores, memoryBytes, system, node, duckDb, onnxRuntime, loadAverage } = conditions;
  return [
    `${cores} cores, ${cpu}, ${formatBytes(memoryBytes)}, ${system}`,
    `Node ${node}, DuckDB ${duckDb}, ONNX Runtime ${onnxRuntime}; files in the page cache; medians of the rounds`,
    `load average before: ${loadAverage.toFixed(2)}; ` +
      `others took ${percent(others)} of the cores in these ${seconds.toFixed(0)} s`,
    "a job's limit: cores / sum of the times that its stages take for a row while all cores are busy",
    '',
    table,
  ].join('\n');
}
