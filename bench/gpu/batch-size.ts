/** Step 7: the product's controller on data that lies on the device, then every allowed size, then both winners in turn. */
import {
  nextStep,
  observe,
  startController,
  type ControllerState,
  type DeviceLimits,
} from '../../src/score/device-batch-size.ts';
import { deviceBatchRowsMax } from '../../src/limits.ts';
import { deviceBufferBytes } from '../../src/score/device-buffer.ts';
import { median } from '../measure.ts';
import { outOfMemoryOf, timeSize } from './feed.ts';
import type { ModelName } from './models.ts';
import { findDevice, type Rig } from './rig.ts';
import type { StepContext } from './step.ts';
import { openLargest, sweep } from './sweeps.ts';

const cases: readonly (readonly [ModelName, number])[] = [
  ['mlp', deviceBatchRowsMax],
  ['mlp2048', deviceBatchRowsMax / 4],
  ['resnet50', 512],
];

export async function batchSize(context: StepContext): Promise<void> {
  const device = await findDevice(context);
  for (const [model, fullRows] of cases) {
    const bufferRows = context.tiny ? Math.min(256, fullRows) : fullRows;
    const rig = openLargest(device, context, { model, buffers: 2, bufferRows, slots: 1 });
    rig.fillBuffers();
    const limits = limitsOf(rig);
    const share = context.seconds / cases.length;
    const found = search(rig, limits, share / 2);
    const { sizes, ...rest } = sweep(rig, found.state.sizes, share / 3);
    const best = sizes.reduce((one, other) => (other.rowsPerSecond > one.rowsPerSecond ? other : one));
    const chosen = found.state.chosenRows;
    context.record(model, {
      chosenRows: chosen ?? 'none: the search did not end in its time',
      bestRows: best.rows,
      ...(chosen === undefined ? {} : compare(rig, chosen, best.rows, context.tiny ? 0.05 : share / 40)),
      searchRuns: found.runs,
      searchRows: found.rows,
      searchSeconds: found.seconds,
      outOfMemoryCount: rig.driver.outOfMemoryCount,
      decisions: found.state.decisions,
      sweep: sizes,
      ...rest,
    });
    rig.close();
  }
}

function limitsOf(rig: Rig): DeviceLimits {
  const { freeBytes, totalBytes } = rig.driver.memory();
  const { buffers, bufferRows } = rig.options;
  return {
    totalBytes,
    freeBytes,
    bytesPerRow: deviceBufferBytes(rig.model, bufferRows) / bufferRows,
    deviceBuffers: buffers,
    hostBytesMax: Infinity,
    rowsMax: bufferRows,
  };
}

interface Search {
  readonly state: ControllerState;
  readonly runs: number;
  readonly rows: number;
  readonly seconds: number;
}

/** Does what the controller asks for until it has chosen; the rows of its runs would be scored in a job. */
function search(rig: Rig, limits: DeviceLimits, secondsMax: number): Search {
  let state = startController(limits);
  let [runs, rows] = [0, 0];
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  while (state.chosenRows === undefined && seconds() < secondsMax) {
    const next = nextStep(state);
    if (next.kind === 'fail') break;
    if (next.kind === 'newSession') {
      rig.renewSession();
      state = observe(state, { kind: 'newSession', freeBytes: rig.driver.memory().freeBytes });
      continue;
    }
    try {
      rig.runOnce(runs % rig.options.buffers, next.rows, next.kind === 'shrink');
      const { freeBytes } = rig.driver.memory();
      const ran = {
        kind: 'ran',
        rows: next.rows,
        seconds: rig.scorer.computeSeconds(runs % rig.options.buffers),
        memoryPeakBytes: Math.max(0, limits.freeBytes - freeBytes),
        freeBytes,
      } as const;
      state = observe(state, next.kind === 'shrink' ? { kind: 'shrink', freeBytes } : ran);
    } catch (error) {
      const where = outOfMemoryOf(error).message;
      const { freeBytes } = rig.driver.memory();
      state = observe(state, { kind: 'outOfMemory', rows: next.rows, during: next.kind, where, freeBytes });
    }
    runs++;
    rows += next.rows;
  }
  return { state, runs, rows, seconds: seconds() };
}

/** In turn, so that what slows the device slows both. */
function compare(rig: Rig, chosenRows: number, bestRows: number, seconds: number) {
  const [chosen, best]: [number[], number[]] = [[], []];
  for (let round = 0; round < 3; round++) {
    chosen.push(timeSize(rig, chosenRows, seconds).rowsPerSecond);
    best.push(timeSize(rig, bestRows, seconds).rowsPerSecond);
  }
  const rates = { chosenRowsPerSecond: median(chosen), bestRowsPerSecond: median(best) };
  return { ...rates, rateShareOfBest: Math.min(1, rates.chosenRowsPerSecond / rates.bestRowsPerSecond) };
}
