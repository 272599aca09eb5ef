/** Steps 4 and 5: how fast each model is at each batch size when its data lies on the device, and what each size takes. */
import { bytesAt, fitMemory } from '../../src/score/memory-model.ts';
import { outOfMemoryOf, timeSize, type SizeFigures } from './feed.ts';
import type { ModelName } from './models.ts';
import { checkedRows, scoreTolerance } from './provider.ts';
import { checkAnswers, findDevice, Rig, type OpenedDevice, type RigOptions } from './rig.ts';
import type { StepContext } from './step.ts';

interface SweepRange {
  readonly model: ModelName;
  readonly rowsMin: number;
  readonly rowsMax: number;
}

/** Trees last: without kernels for the GPU they are slow, and may be stopped. */
const ranges: readonly SweepRange[] = [
  { model: 'mlp', rowsMin: 256, rowsMax: 2 ** 22 },
  { model: 'mlp2048', rowsMin: 256, rowsMax: 2 ** 20 },
  { model: 'resnet50', rowsMin: 1, rowsMax: 1024 },
  { model: 'minilm', rowsMin: 1, rowsMax: 4096 },
  { model: 'trees', rowsMin: 256, rowsMax: 2 ** 18 },
];

/** Doubling from the smallest to the largest. */
export function doubling(rowsMin: number, rowsMax: number): number[] {
  const sizes: number[] = [];
  for (let rows = rowsMin; rows <= rowsMax; rows *= 2) sizes.push(rows);
  return sizes;
}

export interface Sweep {
  readonly sizes: readonly SizeFigures[];
  /** The engine's text where a size did not fit. */
  readonly outOfMemory?: { readonly rows: number; readonly text: string };
  /** True: not all sizes were tried for want of time. */
  readonly cutShort: boolean;
}

/** Times each size in turn, as long as `seconds` allow. */
export function sweep(rig: Rig, sizes: readonly number[], seconds: number): Sweep {
  const started = performance.now();
  const left = (): number => seconds - (performance.now() - started) / 1000;
  const done: SizeFigures[] = [];
  for (const rows of sizes) {
    const expected = (done.at(-1)?.computeMs ?? 0) / 250;
    if (done.length > 0 && left() < expected) return { sizes: done, cutShort: true };
    try {
      done.push(timeSize(rig, rows, Math.max(0.03, (1.5 * seconds) / sizes.length / 2)));
    } catch (error) {
      return { sizes: done, outOfMemory: { rows, text: outOfMemoryOf(error).message }, cutShort: false };
    }
  }
  return { sizes: done, cutShort: false };
}

/** With device buffers as large as fit, from half of what is free down. */
export function openLargest(device: OpenedDevice, context: StepContext, options: RigOptions): Rig {
  for (let bufferRows = options.bufferRows; ; bufferRows = Math.ceil(bufferRows / 2)) {
    try {
      return new Rig(device, context, { ...options, bufferRows });
    } catch (error) {
      if (bufferRows === 1) throw error;
      outOfMemoryOf(error);
    }
  }
}

export async function ceiling(context: StepContext): Promise<void> {
  const device = await findDevice(context);
  for (const { model, rowsMin, rowsMax } of ranges) {
    const most = context.tiny ? rowsMin * 4 : rowsMax;
    const rig = openLargest(device, context, { model, buffers: 2, bufferRows: most, slots: 1 });
    const scoreDifferenceMax = checkAnswers(rig, checkedRows(model, context.tiny), scoreTolerance);
    rig.fillBuffers();
    const seconds = Math.min(context.secondsLeft(), context.seconds / ranges.length);
    const figures = sweep(rig, doubling(rowsMin, rig.options.bufferRows), seconds);
    const best = figures.sizes.reduce((one, other) => (other.rowsPerSecond > one.rowsPerSecond ? other : one));
    context.record(model, {
      scoreDifferenceMax,
      rowsPerSecondBest: best.rowsPerSecond,
      rowsOfBest: best.rows,
      ...figures,
    });
    rig.close();
    if (!context.tiny && context.secondsLeft() < 0) return;
  }
}

export async function memory(context: StepContext): Promise<void> {
  const device = await findDevice(context);
  for (const { model, rowsMin, rowsMax } of ranges.filter(({ model: name }) => name !== 'trees')) {
    const sizes = context.tiny ? [rowsMin, 2 * rowsMin, 4 * rowsMin] : memorySizes(rowsMin, rowsMax);
    const rig = openLargest(device, context, { model, buffers: 1, bufferRows: sizes.at(-1)!, slots: 1 });
    const base = rig.freeBytes.before;
    const withBuffers = rig.driver.memory().freeBytes;
    rig.fillBuffers();
    const readings: { rows: number; firstRunBytes: number; secondRunBytes: number; afterShrinkBytes: number }[] = [];
    let failure: string | undefined;
    for (const rows of sizes.filter((size) => size <= rig.options.bufferRows)) {
      try {
        const used = (): number => withBuffers - rig.driver.memory().freeBytes;
        rig.runOnce(0, rows);
        const firstRunBytes = used();
        rig.runOnce(0, rows);
        const secondRunBytes = used();
        rig.runOnce(0, rowsMin, true);
        readings.push({ rows, firstRunBytes, secondRunBytes, afterShrinkBytes: used() });
      } catch (error) {
        failure = outOfMemoryOf(error).message;
        break;
      }
    }
    const points = readings.map(({ rows, secondRunBytes }) => ({ rows, peakBytes: secondRunBytes }));
    const fit = fitMemory(points);
    context.record(model, {
      sessionBytes: base - rig.freeBytes.withSession,
      deviceBufferBytes: rig.freeBytes.withSession - withBuffers,
      readings,
      ...(fit === undefined ? {} : { ...fit, residualBytesMax: residual(points, (rows) => bytesAt(fit, rows)) }),
      ...(failure === undefined ? {} : { outOfMemory: failure }),
    });
    rig.close();
    if (!context.tiny && context.secondsLeft() < 0) return;
  }
}

/** Four sizes, a factor of four between them, none of which lasts long. */
function memorySizes(rowsMin: number, rowsMax: number): number[] {
  return [64, 16, 4, 1].map((divisor) => Math.max(rowsMin, rowsMax / 4 / divisor));
}

function residual(points: readonly { rows: number; peakBytes: number }[], predict: (rows: number) => number): number {
  return Math.max(...points.map(({ rows, peakBytes }) => Math.abs(peakBytes - predict(rows))));
}
