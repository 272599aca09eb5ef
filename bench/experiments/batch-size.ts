/** The rate by batch size through ONNX Runtime, as a prep thread calls it: where it rises, where it stops, where it falls. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { elementBytes, type TensorValues } from '../../src/batch.ts';
import { formatCount, formatTable } from '../../src/cli/format.ts';
import { SlotScorer } from '../../src/score/scorer.ts';
import type { VegaLiteSpec } from '../chart.ts';
import { networkWidths, workloadNames, type WorkloadName } from '../data.ts';
import { scoreTolerance } from '../expected.ts';
import { median, type Rounds } from '../measure.ts';
import { expectSame, largestDifference, roundsFlag, secondsFlag, whole, type Experiment } from './experiment.ts';
import { findKnee, kneeSentences, type Activation, type CacheLevel, type CurvePoint, type Knee } from './knee.ts';
import { timed, timeInRounds, type Contestant } from './rounds.ts';
import { openWorkloadSlot, scoresToCompare, slotRowsMax, type ShardPlace, type WorkloadSlot } from './workload-slot.ts';

const shortNames: Readonly<Record<WorkloadName, string>> = {
  'w1-network': 'W1 network',
  'w2-logistic': 'W2 logistic',
  'w3-trees': 'W3 trees',
};

/** ONNX Runtime, 100 trees of 31 leaves, 5 features, one core of an i7-4770: microseconds a call, from lleaves' README. */
const publishedMicros: Readonly<Record<number, number>> = { 1: 11.0, 10: 36.7, 100: 190.9 };

const flags = {
  rows: { type: 'number', default: 100_000, describe: `Largest batch, at most ${slotRowsMax}`, coerce: whole('rows') },
  rounds: roundsFlag,
  seconds: secondsFlag(0.1),
} as const;

export const batchSize: Experiment<typeof flags> = {
  name: 'batch-size',
  question: 'How many rows should a model score at once?',
  explain:
    'One core, one session, tensors bound once for each size, as in a run: 1, 10, 100, ... 100,000 rows a batch and the powers ' +
    'of two between, for a network of 32-256-64-1 (W1), a logistic regression (W2) and 100 trees of 31 leaves (W3). ' +
    'Small batches walk through 65,536 different rows, so that no branch of a tree is learned by heart.',
  flags,
  async run({ rows, rounds, seconds }, say) {
    if (rows > slotRowsMax) throw new RangeError(`Expected --rows to be at most ${slotRowsMax}, got \`${rows}\`.`);
    const caches = dataCaches();
    const curves: Curve[] = [];
    for (const workload of workloadNames) {
      say(shortNames[workload]);
      curves.push(await measureCurve(workload, rows, rounds, seconds));
    }
    return {
      table: tableOf(curves, rows),
      sentences: curves.map(
        ({ workload, knee }) => `${shortNames[workload]}: ${kneeSentences(knee, widestOf(workload), caches)}`,
      ),
      figures: {
        publishedMicros,
        caches,
        curves: curves.map(({ points: _points, ...curve }) => ({ ...curve, widest: widestOf(curve.workload) })),
      },
      chart: chartOf(curves),
    };
  },
};

interface Curve {
  readonly workload: WorkloadName;
  /** Against plain TypeScript, over all sizes. */
  readonly largestDifference: number;
  readonly rowsPerSecond: Rounds;
  readonly points: readonly CurvePoint[];
  readonly knee: Knee;
}

/** 1, 10, ... and the powers of two, ascending, up to `last`. */
export function sizesUpTo(last: number): number[] {
  const sizes = new Set<number>();
  for (let size = 1; size <= last; size *= 2) sizes.add(size);
  for (let size = 1; size <= last; size *= 10) sizes.add(size);
  return [...sizes].sort((one, other) => one - other);
}

/** @param place other shards than the experiments' own */
export async function measureCurve(
  workload: WorkloadName,
  rowsMax: number,
  rounds: number,
  seconds: number,
  place?: ShardPlace,
): Promise<Curve> {
  const opened = await openWorkloadSlot(workload, rowsMax, place);
  const sizes = sizesUpTo(rowsMax);
  const scorers = windows(opened);
  const checks = [
    ...sizes.map((size) => checkSize(workload, opened, scorers, size)),
    checkWindows(workload, opened, scorers),
  ];
  const contestants = Object.fromEntries(sizes.map((size) => [String(size), contestant(scorers, size)]));
  const rowsPerSecond = await timeInRounds(contestants, rounds, seconds);
  for (const scorer of scorers) scorer.close();
  opened.close();
  const points = sizes.map((rows) => ({ rows, secondsPerCall: rows / median(rowsPerSecond[rows]!) }));
  return { workload, largestDifference: Math.max(...checks), rowsPerSecond, points, knee: findKnee(points) };
}

const windowRows = 1_024;
const windowsMax = 64;

/** Scorers that begin at different rows of the slot; the first sees all of them. */
function windows({ model, session, runOptions, slot }: WorkloadSlot): SlotScorer[] {
  const count = Math.max(1, Math.min(windowsMax, Math.floor(slot.rowCount / windowRows)));
  return Array.from({ length: count }, (_, index) => {
    const from = index * windowRows;
    const view = (tensors: typeof model.inputs | typeof model.outputs, values: readonly TensorValues[]) =>
      tensors.map(({ width }, at) => (values[at] as Float32Array).subarray(from * width));
    const inputs = view(model.inputs, slot.inputs);
    const outputs = view(model.outputs, slot.outputs);
    return new SlotScorer(model, session, runOptions, { rowCount: slot.rowCount - from, inputs, outputs });
  });
}

/** The scorers that take turns in batches of this size. */
function inTurn(scorers: readonly SlotScorer[], size: number): readonly SlotScorer[] {
  return size <= windowRows ? scorers : scorers.slice(0, 1);
}

/** Calls between two looks at the clock: each window once, and about as many rows for small batches as for large. */
const rowsPerLook = 4_096;

function contestant(scorers: readonly SlotScorer[], size: number): Contestant {
  const turns = inTurn(scorers, size);
  const calls = Math.max(turns.length, Math.round(rowsPerLook / size));
  return timed(calls * size, () => {
    for (let call = 0; call < calls; call++) turns[call % turns.length]!.score(size);
  });
}

/** The first window's scores at this size against the reference: the largest difference. */
function checkSize(workload: WorkloadName, opened: WorkloadSlot, scorers: readonly SlotScorer[], size: number): number {
  return checkScores(workload, opened, size, () => scorers[0]!.score(size));
}

/** Every window's own rows. */
function checkWindows(workload: WorkloadName, opened: WorkloadSlot, scorers: readonly SlotScorer[]): number {
  const rows = Math.min(windowRows, opened.slot.rowCount);
  return checkScores(workload, opened, scorers.length * rows, () => scorers.forEach((scorer) => scorer.score(rows)));
}

function checkScores(workload: WorkloadName, opened: WorkloadSlot, rows: number, score: () => void): number {
  (opened.slot.outputs[0] as Float32Array).fill(NaN);
  score();
  const { found, expected } = scoresToCompare(workload, opened, rows, Math.max(1, Math.floor(rows / 100)));
  return expectSame(`${workload}, ${rows} rows`, largestDifference(found, expected), scoreTolerance);
}

/** Values of a row where the model is widest. */
function widestOf(workload: WorkloadName): Activation {
  const widths: readonly number[] =
    workload === 'w3-trees' ? [networkWidths['w2-logistic'][0]] : networkWidths[workload];
  const widest = Math.max(...widths);
  const name = widths.indexOf(widest) === 0 ? `its ${widest} features` : `the layer of ${widest} values`;
  return { name, bytesPerRow: widest * elementBytes.float32 };
}

/** Of the first core, from the smallest on; none where the system does not tell. */
function dataCaches(folder = '/sys/devices/system/cpu/cpu0/cache'): CacheLevel[] {
  try {
    return readdirSync(folder)
      .filter((name) => name.startsWith('index'))
      .map((name) => {
        const read = (file: string): string => readFileSync(join(folder, name, file), 'utf8').trim();
        const [, digits, unit] = /^(\d+)([KM])$/.exec(read('size')) ?? [];
        const bytes = Number(digits) * (unit === 'M' ? 2 ** 20 : 2 ** 10);
        return { name: `L${read('level')}`, bytes, type: read('type') };
      })
      .filter(({ type, bytes }) => type !== 'Instruction' && bytes > 0)
      .map(({ name, bytes }) => ({ name, bytes }))
      .sort((one, other) => one.bytes - other.bytes);
  } catch {
    return [];
  }
}

/** Rates at the powers of ten, and the published calls of trees beside ours. */
function tableOf(curves: readonly Curve[], rowsMax: number): string {
  const right = 'right' as const;
  const sizes = sizesUpTo(rowsMax).filter((size) => Number.isInteger(Math.log10(size)));
  const callMicros = (curve: Curve, size: number): string =>
    (curve.points.find(({ rows }) => rows === size)!.secondsPerCall * 1e6).toFixed(1);
  const trees = curves.find(({ workload }) => workload === 'w3-trees')!;
  const rows = sizes.map((size) => [
    formatCount(size),
    ...curves.map(({ rowsPerSecond }) => (median(rowsPerSecond[size]!) / 1e6).toFixed(3)),
    callMicros(trees, size),
    publishedMicros[size]?.toFixed(1) ?? '',
  ]);
  return formatTable(
    [
      { title: 'rows a batch', align: right },
      ...curves.map(({ workload }) => ({ title: `${shortNames[workload]}, M rows/s`, align: right })),
      { title: 'W3, µs a call', align: right },
      { title: 'published (i7-4770, 5 features)', align: right },
    ],
    rows,
  );
}

function chartOf(curves: readonly Curve[]): VegaLiteSpec {
  const x = { field: 'rows', type: 'quantitative', scale: { type: 'log' }, title: 'rows a batch (log scale)' } as const;
  const y = (field: string) => ({ field, type: 'quantitative', title: 'million rows per second, one core' }) as const;
  return {
    title:
      'Rate by batch size: measured (dots), cost of a call + cost of a row (dashed), smallest within 3 % of the best (red)',
    hconcat: curves.map(({ workload, points, knee: { cost, kneeRows } }) => ({
      title: shortNames[workload],
      width: 300,
      height: 220,
      data: {
        values: points.map(({ rows, secondsPerCall }) => ({
          rows,
          rate: rows / secondsPerCall / 1e6,
          line: rows / (cost.perCallSeconds + cost.perRowSeconds * rows) / 1e6,
        })),
      },
      layer: [
        { mark: { type: 'line', strokeDash: [4, 4], color: 'gray' }, encoding: { x, y: y('line') } },
        { mark: { type: 'line', point: true }, encoding: { x, y: y('rate') } },
        { data: { values: [{ rows: kneeRows }] }, mark: { type: 'rule', color: 'firebrick' }, encoding: { x } },
      ],
    })),
  };
}
