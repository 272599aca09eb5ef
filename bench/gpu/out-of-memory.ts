/**
 * Step 6: what is said when memory runs out, whether the session lives on, what giving memory back costs; then whole jobs
 * that run out of it on the way and must score every row once and in place all the same.
 */
import { softwareGpusVariable, type SoftwareGpuOptions } from '../../src/testing/software-gpu/driver.ts';
import { outOfMemoryOf } from './feed.ts';
import { runDeviceJob, type JobCase } from './jobs.ts';
import type { ModelName } from './models.ts';
import { findDevice, isCuda, Rig, type OpenedDevice } from './rig.ts';
import type { StepContext } from './step.ts';
import { doubling } from './sweeps.ts';
import { arenaLimit } from './timed-devices.ts';

const mib = 2 ** 20;

export async function outOfMemory(context: StepContext): Promise<void> {
  const device = await findDevice(context);
  if (isCuda()) {
    for (const model of ['mlp2048', 'resnet50'] as const) {
      context.record(`${model}, arena limit`, withLimit(device, context, model));
      context.record(`${model}, device full`, onFullDevice(device, context, model));
    }
  } else {
    context.record('texts', { skipped: "texts, arena and workspaces are CUDA's; the device is a stand-in" });
  }
  for (const [name, job] of Object.entries(jobsThatRunOut(context))) {
    context.record(`job, ${name}`, await runDeviceJob(context, job));
  }
}

/** Sizes by doubling until one does not fit; then a smaller one, a run that gives memory back, and a new session. */
function growUntilFull(rig: Rig, sizes: readonly number[]): object {
  let last = 0;
  for (const rows of sizes) {
    try {
      rig.runOnce(0, rows);
      rig.runOnce(0, rows);
      last = rows;
    } catch (error) {
      const { message, code } = outOfMemoryOf(error);
      return { rowsThatRan: last, rowsThatFailed: rows, code, text: message, ...recover(rig, sizes[0]!, last, rows) };
    }
  }
  return { rowsThatRan: last, rowsThatFailed: 'none' };
}

function recover(rig: Rig, smallest: number, last: number, failed: number): object {
  const attempt = (work: () => void): { readonly works: boolean; readonly ms: number; readonly text?: string } => {
    const started = performance.now();
    try {
      work();
      return { works: true, ms: performance.now() - started };
    } catch (error) {
      return { works: false, ms: performance.now() - started, text: outOfMemoryOf(error).message };
    }
  };
  const freeBytes: number[] = [rig.driver.memory().freeBytes];
  const look = <Value>(value: Value): Value => {
    freeBytes.push(rig.driver.memory().freeBytes);
    return value;
  };
  return {
    smallestRuns: look(attempt(() => rig.runOnce(0, smallest))),
    lastSizeRuns: look(attempt(() => rig.runOnce(0, Math.max(smallest, last)))),
    shrinkRuns: look(attempt(() => rig.runOnce(0, smallest, true))),
    failedSizeRunsAfterShrink: look(attempt(() => rig.runOnce(0, failed))),
    newSession: look(attempt(() => rig.renewSession())),
    lastSizeRunsInNewSession: look(attempt(() => rig.runOnce(0, Math.max(smallest, last)))),
    /** After the failure, then after each of these in turn. */
    freeBytes,
  };
}

function sizesFor(model: ModelName): number[] {
  return model === 'resnet50' ? doubling(1, 4096) : doubling(256, 2 ** 22);
}

function withLimit(device: OpenedDevice, context: StepContext, model: ModelName): object {
  const arenaBytesMax = 1024 * mib;
  const sizes = sizesFor(model);
  const rig = new Rig(device, context, {
    model,
    buffers: 1,
    bufferRows: Math.min(sizes.at(-1)!, 2 ** 18),
    slots: 1,
    providerOptions: { others: arenaLimit(arenaBytesMax) },
  });
  rig.fillBuffers();
  const figures = growUntilFull(
    rig,
    sizes.filter((rows) => rows <= rig.options.bufferRows),
  );
  rig.close();
  return { arenaBytesMax, ...figures };
}

/** Somebody else holds all but 3 GiB. */
function onFullDevice(device: OpenedDevice, context: StepContext, model: ModelName): object {
  const sizes = sizesFor(model);
  const rig = new Rig(device, context, { model, buffers: 1, bufferRows: Math.min(sizes.at(-1)!, 2 ** 19), slots: 1 });
  rig.fillBuffers();
  const heldBytes = rig.driver.memory().freeBytes - 3 * 1024 * mib;
  const held = rig.driver.allocate(Math.max(1, heldBytes));
  const figures = growUntilFull(
    rig,
    sizes.filter((rows) => rows <= rig.options.bufferRows),
  );
  rig.driver.free(held);
  rig.close();
  return { heldBytes, ...figures };
}

/**
 * On CUDA by an arena that is too small for the batch size asked for: hidden layers of 65,536 rows take 80 MiB. On the
 * stand-in by runs that fail on command.
 */
function jobsThatRunOut(context: StepContext): Record<string, JobCase> {
  const batchSize = context.tiny ? 1_024 : 65_536;
  const common: JobCase = { workload: 'w1-network', shards: 4, checkRows: true };
  if (isCuda()) {
    const settings = { arenaBytesMax: 48 * mib };
    return { 'fixed batch size': { ...common, batchSize, settings }, 'chosen batch size': { ...common, settings } };
  }
  const gpus = JSON.parse(process.env[softwareGpusVariable] ?? '[]') as SoftwareGpuOptions[];
  const failing = (outOfMemoryRuns: readonly number[]): NodeJS.ProcessEnv => ({
    [softwareGpusVariable]: JSON.stringify(gpus.map((gpu) => ({ ...gpu, outOfMemoryRuns }))),
  });
  return {
    'fixed batch size': { ...common, batchSize, environment: failing([0, 3, 4, 9]) },
    // Not the first ones: a single row that does not fit is the end.
    'chosen batch size': { ...common, environment: failing([12, 30, 41]) },
  };
}
