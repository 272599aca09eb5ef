/** How long a model lives: loaded for each batch, for each shape, or once; and how long what is bound to it does. */
import type { Pointer } from '../../src/engines/native.ts';
import { BoundRun } from '../../src/engines/onnxruntime/run.ts';
import { closeSession, openSession } from '../../src/engines/onnxruntime/session.ts';
import { formatCount, formatDifference, formatTable } from '../../src/cli/format.ts';
import type { VegaLiteSpec } from '../chart.ts';
import { workloadNames, type WorkloadName } from '../data.ts';
import { scoreTolerance } from '../expected.ts';
import { median, medianRatio } from '../measure.ts';
import { expectSame, largestDifference, roundsFlag, whole, type Experiment } from './experiment.ts';
import { openWorkloadSlot, scoresToCompare, slotRowsMax, type WorkloadSlot } from './workload-slot.ts';

/** Where the time of a way goes. */
const phases = ['load', 'bind', 'score', 'release'] as const;
type Phase = (typeof phases)[number];
type PhaseSeconds = Record<Phase, number>;

/** What each way keeps from batch to batch. */
const ways = {
  'model loaded for each batch': { session: 'batch', binding: 'batch' },
  'model loaded for each shape': { session: 'shape', binding: 'shape' },
  'model once, tensors bound for each batch': { session: 'run', binding: 'batch' },
  'model once, tensors bound for each shape (Tandem)': { session: 'run', binding: 'shape' },
} as const;
type WayName = keyof typeof ways;
type Way = (typeof ways)[WayName];
const tandem: WayName = 'model once, tensors bound for each shape (Tandem)';

const flags = {
  'batch-rows': { type: 'number', default: 1_024, describe: 'Rows of a full batch', coerce: whole('batch-rows') },
  batches: { type: 'number', default: 96, describe: 'Batches of one way in one round', coerce: whole('batches') },
  'shard-batches': {
    type: 'number',
    default: 12,
    describe: 'Of so many batches the last is a tail with fewer rows, as at the end of a shard',
    coerce: whole('shard-batches'),
  },
  rounds: roundsFlag,
} as const;

export const modelLifetime: Experiment<typeof flags> = {
  name: 'model-lifetime',
  question: 'What does it cost to load the model for each call, or to rebuild it for each shape?',
  explain:
    'The same batches, full ones and the tails of shards, scored by a model that is loaded for each batch, for each new row count ' +
    '(and kept: what runtimes of fixed shapes do), and once; with its tensors bound anew for each batch or once for each shape. ' +
    'One core, ONNX Runtime, model files in the page cache.',
  flags,
  async run({ 'batch-rows': batchRows, batches: batchCount, 'shard-batches': shardBatches, rounds }, say) {
    if (batchRows > slotRowsMax) {
      throw new RangeError(`Expected --batch-rows to be at most ${slotRowsMax}, got \`${batchRows}\`.`);
    }
    const batches = batchesOf(batchRows, batchCount, shardBatches);
    const measured: Measured[] = [];
    for (const workload of workloadNames) {
      say(workload);
      const opened = await openWorkloadSlot(workload, batchRows);
      const differences = checkWays(workload, opened, batches);
      measured.push({ workload, differences, rounds: timeWays(opened, batches, rounds) });
      opened.close();
    }
    const shapes = new Set(batches).size;
    const rowCount = batches.reduce((sum, rows) => sum + rows, 0);
    const [rows, summary] = [measured.flatMap((each) => linesOf(each, rowCount)), sentencesOf(measured)];
    return {
      table: tableOf(rows),
      sentences: [
        `${formatCount(batchCount)} batches of up to ${formatCount(batchRows)} rows in ${formatCount(shapes)} shapes. ${summary}`,
        'Published, on a GPU: 16 new shapes cost 10,141 ms with an exhaustive search for algorithms and 31 ms with a heuristic one ' +
          '(PaddleX issue 5057). We know of no published figure for a CPU.',
      ],
      figures: { batches, measured },
      chart: chartOf(rows),
    };
  },
};

interface Measured {
  readonly workload: WorkloadName;
  /** From the scores of Tandem's way. */
  readonly differences: Readonly<Record<WayName, number>>;
  readonly rounds: Readonly<Record<WayName, readonly PhaseSeconds[]>>;
}

/** Row counts: full batches; every `shardBatches`-th is a tail, each of another length as far as there are any. */
export function batchesOf(batchRows: number, batchCount: number, shardBatches: number): number[] {
  return Array.from({ length: batchCount }, (_, index) => {
    if ((index + 1) % shardBatches !== 0 || batchRows === 1) return batchRows;
    // Steps by about the golden section, so that the tails are spread over all lengths.
    const step = Math.max(1, Math.round(batchRows * 0.618));
    return 1 + ((Math.floor(index / shardBatches) * step + (batchRows >> 1)) % (batchRows - 1));
  });
}

/** Calls `after` behind each batch, its scores in the slot. */
function runWay(
  opened: WorkloadSlot,
  way: Way,
  batches: readonly number[],
  after?: (rows: number) => void,
): PhaseSeconds {
  const seconds: PhaseSeconds = { load: 0, bind: 0, score: 0, release: 0 };
  const during = <Result>(phase: Phase, work: () => Result): Result => {
    const startedMs = performance.now();
    const result = work();
    seconds[phase] += (performance.now() - startedMs) / 1000;
    return result;
  };
  const { model, runOptions } = opened;
  const load = (): Pointer => during('load', () => openSession(model.path, { intraOpThreads: 1 }));
  const unload = (session: Pointer): void => during('release', () => closeSession(session));
  const sessions = new Map<number, Pointer>();
  const bindings = new Map<number, BoundRun>();
  for (const rows of batches) {
    // What is kept for the whole run lies under 0.
    const key = way.session === 'run' ? 0 : rows;
    const session = sessions.get(key) ?? load();
    sessions.set(key, session);
    const binding = bindings.get(rows) ?? during('bind', () => bind(opened, session, rows));
    bindings.set(rows, binding);
    during('score', () => binding.run(runOptions));
    after?.(rows);
    if (way.binding === 'batch') {
      during('release', () => binding.close());
      bindings.delete(rows);
    }
    if (way.session === 'batch') {
      unload(session);
      sessions.delete(key);
    }
  }
  for (const binding of bindings.values()) during('release', () => binding.close());
  for (const session of sessions.values()) unload(session);
  return seconds;
}

/** As the product's scorer binds a batch. */
function bind({ model, slot }: WorkloadSlot, session: Pointer, rowCount: number): BoundRun {
  const tensors = (layouts: typeof model.inputs | typeof model.outputs, values: typeof slot.inputs) =>
    layouts.map(({ name, elementType, rowShape }, index) => ({
      name,
      elementType,
      shape: [rowCount, ...rowShape],
      values: values[index]!,
    }));
  return new BoundRun(session, tensors(model.inputs, slot.inputs), tensors(model.outputs, slot.outputs));
}

/** Every score of every batch of every way against Tandem's, and those against the reference. */
export function checkWays(
  workload: WorkloadName,
  opened: WorkloadSlot,
  batches: readonly number[],
): Record<WayName, number> {
  const output = opened.slot.outputs[0] as Float32Array;
  const scoresOf = (way: Way): Float32Array[] => {
    const scores: Float32Array[] = [];
    runWay(opened, way, batches, (rows) => {
      scores.push(output.slice(0, rows));
      output.fill(NaN);
    });
    return scores;
  };
  const expected = scoresOf(ways[tandem]);
  const full = expected.reduce((longest, scores) => (scores.length > longest.length ? scores : longest));
  output.set(full);
  const compared = scoresToCompare(workload, opened, full.length, Math.max(1, Math.floor(full.length / 200)));
  expectSame(`${workload}, ${tandem}`, largestDifference(compared.found, compared.expected), scoreTolerance);
  const differences = Object.entries(ways).map(([name, way]) => {
    const found = scoresOf(way);
    const difference = Math.max(...expected.map((scores, index) => largestDifference(found[index]!, scores)));
    return [name, expectSame(`${workload}, ${name}`, difference)];
  });
  return Object.fromEntries(differences) as Record<WayName, number>;
}

/** In turn; the first round warms up and is dropped. */
export function timeWays(
  opened: WorkloadSlot,
  batches: readonly number[],
  rounds: number,
): Record<WayName, PhaseSeconds[]> {
  const names = Object.keys(ways) as WayName[];
  const seconds = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<WayName, PhaseSeconds[]>;
  for (let round = 0; round <= rounds; round++) {
    for (const name of names) {
      const took = runWay(opened, ways[name], batches);
      if (round > 0) seconds[name].push(took);
    }
  }
  return seconds;
}

interface Line {
  readonly workload: WorkloadName;
  readonly way: WayName;
  /** Median over the rounds. */
  readonly rowsPerSecond: number;
  /** Rate by that of Tandem's way in the same round, median. */
  readonly ofTandem: number;
  readonly difference: number;
  /** Medians. */
  readonly seconds: PhaseSeconds;
}

function totalOf(seconds: PhaseSeconds): number {
  return phases.reduce((sum, phase) => sum + seconds[phase], 0);
}

function linesOf({ workload, differences, rounds }: Measured, rowCount: number): Line[] {
  const rates = (way: WayName): number[] => rounds[way].map((seconds) => rowCount / totalOf(seconds));
  return (Object.keys(ways) as WayName[]).map((way) => ({
    workload,
    way,
    rowsPerSecond: median(rates(way)),
    ofTandem: medianRatio(rates(way), rates(tandem)),
    difference: differences[way],
    seconds: Object.fromEntries(
      phases.map((phase) => [phase, median(rounds[way].map((seconds) => seconds[phase]))]),
    ) as PhaseSeconds,
  }));
}

function shareOf(phase: Phase, seconds: PhaseSeconds): string {
  return `${((seconds[phase] / totalOf(seconds)) * 100).toFixed(0)} %`;
}

function tableOf(lines: readonly Line[]): string {
  const right = 'right' as const;
  return formatTable(
    [
      { title: '' },
      { title: 'way' },
      { title: 'M rows/s', align: right },
      { title: "of Tandem's", align: right },
      ...phases.map((phase) => ({ title: phase, align: right })),
      { title: 'largest difference', align: right },
    ],
    lines.map(({ workload, way, rowsPerSecond, ofTandem, difference, seconds }) => [
      workload.slice(0, 2).toUpperCase(),
      way,
      (rowsPerSecond / 1e6).toFixed(3),
      ofTandem.toFixed(3),
      ...phases.map((phase) => shareOf(phase, seconds)),
      formatDifference(difference),
    ]),
  );
}

/** The worst way of each model, and what its time went into. */
function sentencesOf(measured: readonly Measured[]): string {
  return measured
    .map((each) => {
      const rounds = each.rounds['model loaded for each batch'];
      const ratios = rounds.map((seconds, round) => totalOf(seconds) / totalOf(each.rounds[tandem][round]!));
      const loads = median(rounds.map((seconds) => seconds.load / totalOf(seconds)));
      return (
        `${each.workload.slice(0, 2).toUpperCase()}: loaded for each batch takes ${median(ratios).toFixed(1)} times as long as once, ` +
        `${(loads * 100).toFixed(0)} % of it for loading.`
      );
    })
    .join(' ');
}

function chartOf(lines: readonly Line[]): VegaLiteSpec {
  return {
    title: 'Where the time of the same batches goes, by how long the model lives',
    hconcat: workloadNames.map((workload) => ({
      title: workload,
      width: 260,
      height: { step: 30 },
      data: {
        values: lines
          .filter((line) => line.workload === workload)
          .flatMap(({ way, seconds }) =>
            phases.map((phase, order) => ({ way, phase, order, milliseconds: seconds[phase] * 1000 })),
          ),
      },
      mark: 'bar',
      encoding: {
        x: { field: 'milliseconds', type: 'quantitative', title: 'milliseconds for all batches' },
        y: {
          field: 'way',
          type: 'nominal',
          sort: Object.keys(ways),
          title: null,
          ...(workload === workloadNames[0] ? {} : { axis: null }),
        },
        color: { field: 'phase', type: 'nominal', sort: [...phases], title: null },
        order: { field: 'order' },
      },
    })),
  };
}
