/** The hand-off from readers to models as an experiment: sizes by arithmetic, the model side's rate measured here. */
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSharedMemory } from '../../src/engines/wasm.ts';
import { createRunOptions, releaseRunOptions } from '../../src/engines/onnxruntime/run.ts';
import { closeSession, describeSession, openSession } from '../../src/engines/onnxruntime/session.ts';
import { formatCount, formatTable } from '../../src/cli/format.ts';
import { layOutSlot, SlotScorer, slotBytes } from '../../src/score/scorer.ts';
import { networkModel, randomNetwork, scoreNetwork } from '../../src/testing/networks.ts';
import { writeModel } from '../../src/testing/onnx.ts';
import { randomFloats, seededRandom } from '../../src/testing/random.ts';
import type { VegaLiteSpec } from '../chart.ts';
import { scoreTolerance } from '../expected.ts';
import { planOfModel } from '../gpu/models.ts';
import { median } from '../measure.ts';
import {
  expectSame,
  largestDifference,
  positive,
  roundsFlag,
  secondsFlag,
  whole,
  type Experiment,
} from './experiment.ts';
import { formatSize, formatSpan, judgePace, paceSentence, sizeHandoff, type Handoff } from './handoff.ts';
import { timed, timeInRounds } from './rounds.ts';

/** Rows of a batch: large enough that the call costs nothing, small enough for the cache. */
const batchRows = 1_024;

const flags = {
  rows: { type: 'number', default: 2_000_000_000, describe: 'Rows of the dataset', coerce: whole('rows') },
  columns: { type: 'number', default: 256, describe: 'Numbers of a row', coerce: whole('columns') },
  'bytes-per-value': { type: 'number', default: 4, describe: 'float32: 4', coerce: positive('bytes-per-value') },
  readers: { type: 'number', default: 16, describe: 'Readers at work at once', coerce: whole('readers') },
  'gigabytes-per-second': {
    type: 'number',
    default: 2,
    describe: 'Of each reader, in 10^9 bytes',
    coerce: positive('gigabytes-per-second'),
  },
  'model-rows-per-second': {
    type: 'number',
    describe: 'What the model side can take, beside what is measured here (all its machines together)',
    coerce: positive('model-rows-per-second'),
  },
  shards: { type: 'number', default: 4_000, describe: 'Files of the dataset', coerce: whole('shards') },
  rounds: roundsFlag,
  seconds: secondsFlag(0.5),
} as const;

interface ModelSide {
  readonly name: string;
  readonly rowsPerSecond: number;
}

export const handoff: Experiment<typeof flags> = {
  name: 'handoff',
  question: 'Readers hand rows to models: how much is it, and who waits for whom?',
  explain:
    'Sizes of the dataset and its shards, the time of one pass, what the model side can take (a network of columns-256-64-1 ' +
    'measured on one core here, times the cores; another rate by flag), and the bandwidth at which the slower side changes. ' +
    'Bytes are those of the plain numbers: a compressed file has fewer.',
  flags,
  async run(given, say) {
    const task: Handoff = {
      rows: given.rows,
      columns: given.columns,
      bytesPerValue: given['bytes-per-value'],
      readers: given.readers,
      bytesPerSecond: given['gigabytes-per-second'] * 1e9,
      shards: given.shards,
    };
    say('measuring the model');
    const perCore = await measureModel(task.columns, given.rounds, given.seconds);
    const cores = availableParallelism();
    const sides: ModelSide[] = [{ name: `measured here, ${cores} cores`, rowsPerSecond: median(perCore) * cores }];
    const rate = given['model-rows-per-second'];
    if (rate !== undefined) sides.push({ name: 'given', rowsPerSecond: rate });
    return {
      table: `${sizeTable(task)}\n\n${paceTable(task, sides)}`,
      sentences: sides.map(({ name, rowsPerSecond }) => `${name}: ${paceSentence(task, rowsPerSecond)}`),
      figures: { task, size: sizeHandoff(task), rowsPerSecondPerCore: perCore, cores, sides: judged(task, sides) },
      chart: chartOf(task, sides),
    };
  },
};

/** Rows per second of one core, one for each round. */
async function measureModel(columns: number, rounds: number, seconds: number): Promise<readonly number[]> {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-handoff-'));
  const path = join(folder, 'model.onnx');
  const network = randomNetwork([columns, 256, 64, 1], 1);
  writeModel(path, networkModel(network));
  const session = openSession(path, { intraOpThreads: 1 });
  rmSync(folder, { recursive: true });
  const model = planOfModel(path, describeSession(session));
  const slot = layOutSlot(model, batchRows, createSharedMemory(slotBytes(model, batchRows)).buffer, 0);
  const features = slot.inputs[0] as Float32Array;
  features.set(randomFloats(seededRandom(2), features.length, -1, 1));
  const runOptions = createRunOptions();
  const scorer = new SlotScorer(model, session, runOptions, slot);
  scorer.score(batchRows);
  const expected = Array.from({ length: 50 }, (_, row) =>
    scoreNetwork(network, features.subarray(row * columns, (row + 1) * columns)),
  );
  const found = (slot.outputs[0] as Float32Array).subarray(0, expected.length);
  expectSame('the network', largestDifference(found, expected.flat()), scoreTolerance);
  const rates = await timeInRounds({ model: timed(batchRows, () => scorer.score(batchRows)) }, rounds, seconds);
  scorer.close();
  releaseRunOptions(runOptions);
  closeSession(session);
  return rates['model']!;
}

function judged(task: Handoff, sides: readonly ModelSide[]) {
  const tenth = { ...task, bytesPerSecond: task.bytesPerSecond / 10 };
  return sides.map((side) => ({
    ...side,
    now: judgePace(task, side.rowsPerSecond),
    atATenth: judgePace(tenth, side.rowsPerSecond),
  }));
}

function sizeTable(task: Handoff): string {
  const size = sizeHandoff(task);
  const row = `${formatCount(task.columns)} x ${task.bytesPerValue} B = ${formatSize(size.rowBytes)}`;
  return formatTable(
    [{ title: 'what' }, { title: '', align: 'right' }],
    [
      ['a row', row],
      ['the dataset', formatSize(size.datasetBytes)],
      [
        `a shard, of ${formatCount(task.shards)}`,
        `${formatCount(size.shardRows)} rows, ${formatSize(size.shardBytes)}`,
      ],
      ['all readers', `${formatSize(size.readerBytesPerSecond)}/s, ${formatCount(size.readerRowsPerSecond)} rows/s`],
      ['an epoch at their rate', formatSpan(size.readSeconds)],
      ['the same in whole shards', formatSpan(size.readSecondsInShards)],
      ['a shard by one reader', formatSpan(size.shardSeconds)],
      ['in flight, a shard for each reader', formatSize(size.bytesInFlight)],
    ],
  );
}

function paceTable(task: Handoff, sides: readonly ModelSide[]): string {
  const right = 'right' as const;
  return formatTable(
    [
      { title: 'model side' },
      { title: 'rows/s', align: right },
      { title: 'bound by' },
      { title: 'epoch', align: right },
      { title: 'at a tenth of the bandwidth' },
      { title: 'epoch', align: right },
      { title: 'equal at, a reader', align: right },
    ],
    judged(task, sides).map(({ name, rowsPerSecond, now, atATenth }) => [
      name,
      formatCount(rowsPerSecond),
      now.boundBy,
      formatSpan(now.epochSeconds),
      atATenth.boundBy,
      formatSpan(atATenth.epochSeconds),
      `${formatSize(now.flipsAtShare * task.bytesPerSecond)}/s`,
    ]),
  );
}

/** Epoch by bandwidth: it falls until the model side sets the pace. */
function chartOf(task: Handoff, sides: readonly ModelSide[]): VegaLiteSpec {
  const flips = sides.map(({ rowsPerSecond }) => judgePace(task, rowsPerSecond).flipsAtShare);
  const [first, last] = [Math.min(0.05, ...flips) / 2, Math.max(1, ...flips) * 2];
  const shares = Array.from({ length: 61 }, (_, index) => first * (last / first) ** (index / 60));
  const at = (share: number, side: ModelSide) => {
    const bytesPerSecond = task.bytesPerSecond * share;
    const { epochSeconds } = judgePace({ ...task, bytesPerSecond }, side.rowsPerSecond);
    return { side: side.name, gigabytes: bytesPerSecond / 1e9, epochSeconds };
  };
  const x = {
    field: 'gigabytes',
    type: 'quantitative',
    scale: { type: 'log' },
    title: 'GB/s of each reader (log scale)',
  } as const;
  const y = {
    field: 'epochSeconds',
    type: 'quantitative',
    scale: { type: 'log' },
    title: 'seconds for all rows (log scale)',
  } as const;
  const color = { field: 'side', type: 'nominal', title: 'model side' } as const;
  const now = task.bytesPerSecond / 1e9;
  const marks = [
    { gigabytes: now, label: 'now' },
    { gigabytes: now / 10, label: 'a tenth' },
  ];
  return {
    title: `${formatCount(task.rows)} rows of ${formatCount(task.columns)} values, ${task.readers} readers: time of an epoch by bandwidth`,
    width: 480,
    height: 260,
    layer: [
      {
        data: { values: sides.flatMap((side) => shares.map((share) => at(share, side))) },
        mark: 'line',
        encoding: { x, y, color },
      },
      {
        data: { values: sides.map((side, index) => at(flips[index]!, side)) },
        mark: { type: 'point', filled: true, size: 80 },
        encoding: { x, y, color },
      },
      { data: { values: marks }, mark: { type: 'rule', strokeDash: [4, 4], color: 'gray' }, encoding: { x } },
      {
        data: { values: marks },
        mark: { type: 'text', align: 'left', dx: 4, y: 8 },
        encoding: { x, text: { field: 'label' } },
      },
    ],
  };
}
