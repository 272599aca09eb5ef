/**
 * Step 3: batches from pinned slots to the device and back with one, two and three device buffers. With one, nothing
 * overlaps; how much does with more is shown by the events of the three streams.
 */
import type { NumberArray } from '../../src/batch.ts';
import { feed, clearScores, timeSize, type Fed } from './feed.ts';
import { busyMs, busyShare, overlapMs, steadyWindow } from './intervals.ts';
import type { ModelName } from './models.ts';
import { checkedRows, scoreTolerance } from './provider.ts';
import { checkAnswers, findDevice, Rig, type OpenedDevice } from './rig.ts';
import type { StepContext } from './step.ts';
import type { Work } from './timed-driver.ts';

const batches = 50;

/** Rows of a batch: what fills a large GPU, not what is best. */
const cases: readonly (readonly [ModelName, number])[] = [
  ['mlp', 65_536],
  ['mlp2048', 65_536],
  ['resnet50', 64],
];

export async function streams(context: StepContext): Promise<void> {
  const device = await findDevice(context);
  for (const [model, fullRows] of cases) {
    const batchRows = context.tiny ? Math.min(64, fullRows) : fullRows;
    // Before and after: what slows the device for a while must not pass for overlap.
    const before = deviceFed(device, context, model, batchRows);
    const figures = [1, 2, 3].map((buffers) => fedFromSlots(device, context, { model, batchRows, buffers }));
    const deviceFedRowsPerSecond = Math.max(before, deviceFed(device, context, model, batchRows));
    figures.forEach((each, index) => {
      const rateShareOfDeviceFed = each.rowsPerSecond / deviceFedRowsPerSecond;
      context.record(`${model}, ${index + 1} buffers`, { ...each, deviceFedRowsPerSecond, rateShareOfDeviceFed });
    });
  }
}

/** Rows per second of the same model at the same size on data that is on the device. */
function deviceFed(device: OpenedDevice, context: StepContext, model: ModelName, batchRows: number): number {
  const rig = new Rig(device, context, { model, buffers: 2, bufferRows: batchRows, slots: 1 });
  rig.fillBuffers();
  const { rowsPerSecond } = timeSize(rig, batchRows, context.tiny ? 0.05 : 1);
  rig.close();
  return rowsPerSecond;
}

interface Case {
  readonly model: ModelName;
  readonly batchRows: number;
  readonly buffers: number;
}

function fedFromSlots(device: OpenedDevice, context: StepContext, { model, batchRows, buffers }: Case) {
  const rig = new Rig(device, context, { model, buffers, bufferRows: batchRows });
  const differenceMax = checkAnswers(rig, checkedRows(model, context.tiny), scoreTolerance);
  const wrong = countWrongBatches(rig, batchRows, context.tiny ? 6 : batches);
  const fed = feed(rig, {
    batchRows,
    copies: true,
    batchesMax: context.tiny ? 10 : batches,
    secondsMax: context.seconds / 12,
  });
  rig.close();
  return { scoreDifferenceMax: differenceMax, batchesWithOtherScores: wrong, ...summarize(fed) };
}

/** Batches whose scores are not those of the first time that the same slots were scored. */
function countWrongBatches(rig: Rig, batchRows: number, batchesMax: number): number {
  const first = new Map<number, readonly Buffer[]>();
  let wrong = 0;
  feed(rig, {
    batchRows,
    copies: true,
    batchesMax,
    secondsMax: Infinity,
    onScored(buffer) {
      const scores = scoresOf(rig, buffer, batchRows);
      const expected = first.get(buffer);
      if (expected === undefined)
        first.set(
          buffer,
          scores.map((values) => Buffer.from(values)),
        );
      else if (!scores.every((values, index) => values.equals(expected[index]!))) wrong++;
      clearScores(rig, buffer, batchRows);
    },
  });
  return wrong;
}

function scoresOf(rig: Rig, buffer: number, batchRows: number): Buffer[] {
  return rig.pieces(buffer, batchRows).flatMap(({ slot, rowCount }) =>
    rig.model.outputs.map(({ width }, output) => {
      const values = (rig.slots[slot]!.outputs[output] as NumberArray).subarray(0, rowCount * width);
      return Buffer.from(values.buffer as ArrayBuffer, values.byteOffset, values.byteLength);
    }),
  );
}

export function summarize({ batches: count, rowsPerSecond, seconds, times }: Fed) {
  const of = (work: Work) => times.filter((each) => each.work === work);
  const runs = of('run');
  const copies = [...of('copyIn'), ...of('copyOut')];
  const steady = steadyWindow(runs);
  const bytesIn = of('copyIn').reduce((sum, { amount }) => sum + amount, 0);
  return {
    batches: count,
    seconds,
    rowsPerSecond,
    computeBusyShareSteady: busyShare(runs, steady),
    computeSeconds: busyMs(runs) / 1000,
    copyInSeconds: busyMs(of('copyIn')) / 1000,
    copyOutSeconds: busyMs(of('copyOut')) / 1000,
    copyInGbPerSecond: bytesIn / 1e6 / busyMs(of('copyIn')),
    /** Of the copies' time, the share in which the device computed as well. */
    copiesHiddenShare: overlapMs(copies, runs) / busyMs(copies),
    firstBatchesMs: times
      .slice(0, 24)
      .map(({ work, startMs, endMs }) => [work, Number(startMs.toFixed(3)), Number(endMs.toFixed(3))]),
  };
}
