/** Step 10: does the memory of the process or of the device grow while thousands of batches go through. */
import { feed } from './feed.ts';
import { findDevice, Rig } from './rig.ts';
import type { StepContext } from './step.ts';

const batches = 10_000;

export async function flatMemory(context: StepContext): Promise<void> {
  const device = await findDevice(context);
  const batchRows = context.tiny ? 64 : 4_096;
  const batchesMax = context.tiny ? 200 : batches;
  const every = Math.max(1, Math.floor(batchesMax / 40));
  // Without events around each run: the product makes none either.
  const rig = new Rig(device, context, { model: 'mlp', buffers: 3, bufferRows: batchRows, isTiming: false });
  const samples: { batches: number; rssBytes: number; deviceFreeBytes: number }[] = [];
  const fed = feed(rig, {
    batchRows,
    copies: true,
    batchesMax,
    secondsMax: context.seconds,
    onScored(_buffer, batch) {
      if ((batch + 1) % every !== 0) return;
      const rssBytes = process.memoryUsage.rss();
      samples.push({ batches: batch + 1, rssBytes, deviceFreeBytes: rig.driver.memory().freeBytes });
    },
  });
  rig.close();
  // The first half fills caches and compiles.
  const late = samples.slice(samples.length >> 1);
  context.record('batches', {
    batches: fed.batches,
    batchRows,
    seconds: fed.seconds,
    rowsPerSecond: fed.rowsPerSecond,
    hostBytesPerBatchLate: slope(late.map(({ batches: x, rssBytes: y }) => [x, y])),
    deviceBytesPerBatchLate: -slope(late.map(({ batches: x, deviceFreeBytes: y }) => [x, y])),
    samples,
  });
}

/** Least squares; 0 of fewer than two points. */
export function slope(points: readonly (readonly [number, number])[]): number {
  const mean = (index: 0 | 1): number => points.reduce((sum, point) => sum + point[index], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  const squares = points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
  if (points.length < 2 || squares === 0) return 0;
  return points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0) / squares;
}
