/** Step 9: what the driver's own counters say while a model runs without a pause, against the events of its stream. */
import { Worker } from 'node:worker_threads';
import { pciBusIdOf } from '../../src/engines/cuda/cuda-driver.ts';
import { gpmMetrics, type GpmMetric } from '../../src/engines/nvml/gpm.ts';
import { openNvml } from '../../src/engines/nvml/nvml.ts';
import { feed } from './feed.ts';
import { busyShare, steadyWindow } from './intervals.ts';
import type { NvmlSample } from './nvml-thread.ts';
import { findDevice, isCuda, Rig } from './rig.ts';
import { SkippedStep, type StepContext } from './step.ts';

export async function counters(context: StepContext): Promise<void> {
  if (!isCuda()) throw new SkippedStep("NVML and GPM belong to NVIDIA's driver; the device is a stand-in");
  const device = await findDevice(context);
  const { cudartPath, deviceIndex } = device.found.options as { cudartPath: string; deviceIndex: number };
  const pciBusId = pciBusIdOf(cudartPath, deviceIndex);
  const nvml = attempt(() => openNvml().deviceByPciBusId(pciBusId));
  const gpm = 'value' in nvml ? attempt(() => nvml.value.gpm()) : nvml;
  const link = 'value' in nvml ? attempt(() => nvml.value.link()) : nvml;
  context.record('link', 'value' in link ? link.value : link);
  const metrics = Object.keys(gpmMetrics) as GpmMetric[];
  for (const model of ['mlp2048', 'mlp'] as const) {
    const batchRows = 65_536;
    const rig = new Rig(device, context, { model, buffers: 3, bufferRows: batchRows });
    rig.fillBuffers();
    const sampler = new Worker(new URL('./nvml-thread.js', import.meta.url), { workerData: { pciBusId } });
    const samples: NvmlSample[] = [];
    let problem: string | undefined;
    sampler.on('message', (sample: NvmlSample) => samples.push(sample));
    sampler.on('error', (error: Error) => (problem = error.message));
    await new Promise((resolve) => setTimeout(resolve, 300));
    const before = 'value' in gpm ? attempt(() => gpm.value.sample()) : gpm;
    rig.driver.reportedShare.begin();
    const fed = feed(rig, { batchRows, copies: true, batchesMax: 100_000, secondsMax: context.seconds / 4 });
    const reported = rig.driver.reportedShare.end();
    const after = 'value' in gpm ? attempt(() => gpm.value.sample()) : gpm;
    // Messages of the sampler wait until this thread has time.
    await new Promise((resolve) => setTimeout(resolve, 50));
    await sampler.terminate();
    const runs = fed.times.filter(({ work }) => work === 'run');
    context.record(model, {
      seconds: fed.seconds,
      computeBusyShare: busyShare(runs, steadyWindow(runs)),
      reported,
      nvml: problem ?? samples,
      // Which clock stamps them, and how often they come, differs between drivers.
      ringBuffer: 'value' in nvml ? attempt(() => nvml.value.busySamples(0)) : nvml,
      clocksUs: { sinceStart: Number(process.hrtime.bigint() / 1000n), since1970: Date.now() * 1000 },
      gpm:
        'value' in gpm && 'value' in before && 'value' in after
          ? attempt(() => gpm.value.between(before.value, after.value, metrics))
          : { before, after },
    });
    if ('value' in gpm && 'value' in before) gpm.value.free(before.value);
    if ('value' in gpm && 'value' in after) gpm.value.free(after.value);
    rig.close();
  }
}

type Attempt<Value> = { readonly value: Value } | { readonly problem: string };

function attempt<Value>(work: () => Value): Attempt<Value> {
  try {
    return { value: work() };
  } catch (error) {
    return { problem: (error as Error).message };
  }
}
