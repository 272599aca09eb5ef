/** Entry of a thread that asks NVML ten times a second how busy a device is. */
import { parentPort, workerData } from 'node:worker_threads';
import { openNvml } from '../../src/engines/nvml/nvml.ts';

/** See `NvmlDevice.utilization`. */
export interface NvmlSample {
  readonly atMs: number;
  readonly gpuPercent: number;
  readonly memoryPercent: number;
  readonly usedBytes: number;
}

const { pciBusId } = workerData as { readonly pciBusId: string };
const device = openNvml().deviceByPciBusId(pciBusId);
setInterval(() => {
  const { usedBytes } = device.memory();
  const sample: NvmlSample = { atMs: performance.now(), ...device.utilization(), usedBytes };
  parentPort!.postMessage(sample);
}, 100);
