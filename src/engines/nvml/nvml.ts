/** NVML, the library with which NVIDIA's driver answers what a GPU is doing: memory, load, processes. */
import type { Pointer } from '../native.ts';
import { bindNvml, nvmlReturns, nvmlSoname, type NvmlCalls, type Out } from './bindings.ts';
import { gpmOf, type Gpm } from './gpm.ts';

export interface NvmlProcess {
  readonly pid: number;
  /** Undefined: not told (in a container, for other users' processes, on MIG). */
  readonly usedBytes: number | undefined;
}

/** One GPU. Every call may throw NvmlError. */
export interface NvmlDevice {
  /** `NVIDIA H200` */
  readonly name: string;
  /** `GPU-1f4c...` */
  readonly uuid: string;
  memory(): { readonly totalBytes: number; readonly freeBytes: number; readonly usedBytes: number };
  /**
   * Percent of the driver's last sample period (1/6 to 1 s) in which a kernel ran, and in which memory was read or
   * written; says nothing about how full the GPU was. Not supported on MIG.
   */
  utilization(): { readonly gpuPercent: number; readonly memoryPercent: number };
  /** Processes that compute on it. */
  processes(): NvmlProcess[];
  /**
   * What the driver has gathered by itself since then, ascending: so whoever looks once a second misses nothing. Empty
   * while the GPU idles. Not supported on MIG.
   * @param afterUs time of the newest sample that is known already; 0: all that the ring buffer still holds
   */
  busySamples(afterUs: number): BusySample[];
  /** Generation and lanes of the link to the host, now and at most. */
  link(): {
    readonly generation: number;
    readonly lanes: number;
    readonly generationMax: number;
    readonly lanesMax: number;
  };
  /** @throws NvmlError 3 where the GPU has none (before Hopper), 13 where the driver is too old to know */
  gpm(): Gpm;
}

/** An entry of the driver's ring buffer. */
export interface BusySample {
  /** End of the sample's period, by a clock that differs between drivers: since 1970, or since the machine started. */
  readonly atUs: number;
  /** Of the time since the sample before, in which a kernel ran. */
  readonly percent: number;
}

export interface Nvml {
  /** `580.65.06` */
  driverVersion(): string;
  deviceCount(): number;
  /** NVML counts all devices, CUDA those that CUDA_VISIBLE_DEVICES leaves, in its own order. @throws NvmlError */
  deviceByIndex(index: number): NvmlDevice;
  /** @throws NvmlError 6 where there is none */
  deviceByUuid(uuid: string): NvmlDevice;
  /** The name that CUDA gives a device, too: `0000:1A:00.0`. @throws NvmlError 6 where there is none */
  deviceByPciBusId(pciBusId: string): NvmlDevice;
  close(): void;
}

/** NVML's largest text is 96 bytes. */
const textBytes = 128;

/**
 * Starts NVML. It counts its users: close as often as you open.
 * @param path absolute, or a name that the loader finds
 * @throws ENVIRONMENT where there is no such library; NvmlError where it does not start (9: no kernel module)
 */
export function openNvml(path = nvmlSoname): Nvml {
  const calls = bindNvml(path);
  const { call } = calls;
  const find = (fill: (out: Out<Pointer>) => void): NvmlDevice => {
    const out: Out<Pointer> = [null];
    fill(out);
    return describe(out[0]!, calls);
  };
  call('nvmlInit_v2');
  return {
    driverVersion: () => textFrom((bytes) => call('nvmlSystemGetDriverVersion', bytes, bytes.length)),
    deviceCount: () => {
      const count: Out<number> = [null];
      call('nvmlDeviceGetCount_v2', count);
      return count[0]!;
    },
    deviceByIndex: (index) => find((out) => call('nvmlDeviceGetHandleByIndex_v2', index, out)),
    deviceByUuid: (uuid) => find((out) => call('nvmlDeviceGetHandleByUUID', uuid, out)),
    deviceByPciBusId: (id) => find((out) => call('nvmlDeviceGetHandleByPciBusId_v2', id, out)),
    close: () => call('nvmlShutdown'),
  };
}

function describe(device: Pointer, calls: NvmlCalls): NvmlDevice {
  const { call } = calls;
  return {
    name: textFrom((bytes) => call('nvmlDeviceGetName', device, bytes, bytes.length)),
    uuid: textFrom((bytes) => call('nvmlDeviceGetUUID', device, bytes, bytes.length)),
    memory: () => {
      const memory = new BigUint64Array(3);
      call('nvmlDeviceGetMemoryInfo', device, memory);
      const [totalBytes, freeBytes, usedBytes] = Array.from(memory, Number) as [number, number, number];
      return { totalBytes, freeBytes, usedBytes };
    },
    utilization: () => {
      const rates = new Uint32Array(2);
      call('nvmlDeviceGetUtilizationRates', device, rates);
      return { gpuPercent: rates[0]!, memoryPercent: rates[1]! };
    },
    processes: () => listProcesses(device, calls),
    busySamples: (afterUs) => listBusySamples(device, calls, afterUs),
    link: () => {
      const number = (name: LinkFunction): number => {
        const value: Out<number> = [null];
        call(name, device, value);
        return value[0]!;
      };
      return {
        generation: number('nvmlDeviceGetCurrPcieLinkGeneration'),
        lanes: number('nvmlDeviceGetCurrPcieLinkWidth'),
        generationMax: number('nvmlDeviceGetMaxPcieLinkGeneration'),
        lanesMax: number('nvmlDeviceGetMaxPcieLinkWidth'),
      };
    },
    gpm: () => gpmOf(device, calls),
  };
}

type LinkFunction = `nvmlDeviceGet${'Curr' | 'Max'}PcieLink${'Generation' | 'Width'}`;

/** nvmlProcessInfo_t: pid, bytes (aligned to 8), two numbers about MIG. */
const processBytes = 24;
const processAt = { pid: 0, usedBytes: 8 } as const;
const usedNotTold = 0xffff_ffff_ffff_ffffn;

function listProcesses(device: Pointer, { ask, errorOf }: NvmlCalls): NvmlProcess[] {
  const name = 'nvmlDeviceGetComputeRunningProcesses_v3';
  let room = 32;
  for (;;) {
    const count: Out<number> = [room];
    const processes = new DataView(new ArrayBuffer(room * processBytes));
    const code = ask(name, device, count, processes);
    if (code === nvmlReturns.success) {
      return Array.from({ length: count[0]! }, (_, index) => {
        const used = processes.getBigUint64(index * processBytes + processAt.usedBytes, true);
        return {
          pid: processes.getUint32(index * processBytes + processAt.pid, true),
          usedBytes: used === usedNotTold ? undefined : Number(used),
        };
      });
    }
    if (code !== nvmlReturns.insufficientSize) throw errorOf(name, code);
    // More may have started meanwhile.
    room = 2 * Math.max(room, count[0]!);
  }
}

function textFrom(fill: (bytes: Buffer) => void): string {
  const bytes = Buffer.alloc(textBytes);
  fill(bytes);
  return bytes.toString('utf8', 0, Math.max(0, bytes.indexOf(0)));
}

/** nvmlSamplingType_t NVML_GPU_UTILIZATION_SAMPLES. */
const gpuUtilizationSamples = 1;
/** nvmlSample_t: time stamp, nvmlValue_t (a union of 8 bytes). */
const sampleBytes = 16;
const sampleAt = { timeStamp: 0, value: 8 } as const;
/** By nvmlValueType_t; nvml.h promises unsigned int for utilization. A C long has 8 bytes but on Windows. */
const valueReaders: readonly ((view: DataView, at: number) => number)[] = [
  (view, at) => view.getFloat64(at, true),
  (view, at) => view.getUint32(at, true),
  (view, at) => (process.platform === 'win32' ? view.getUint32(at, true) : Number(view.getBigUint64(at, true))),
  (view, at) => Number(view.getBigUint64(at, true)),
  (view, at) => Number(view.getBigInt64(at, true)),
  (view, at) => view.getInt32(at, true),
  (view, at) => view.getUint16(at, true),
];

/** Asked without room, NVML says for how many samples to make some; asked again, how many it wrote. */
function listBusySamples(device: Pointer, { ask, errorOf }: NvmlCalls, afterUs: number): BusySample[] {
  const name = 'nvmlDeviceGetSamples';
  const valueType: Out<number> = [null];
  const count: Out<number> = [0];
  const take = (samples: DataView | null): boolean => {
    const code = ask(name, device, gpuUtilizationSamples, afterUs, valueType, count, samples);
    if (code === nvmlReturns.notFound) return false;
    if (code !== nvmlReturns.success) throw errorOf(name, code);
    return count[0]! > 0;
  };
  if (!take(null)) return [];
  const samples = new DataView(new ArrayBuffer(count[0]! * sampleBytes));
  if (!take(samples)) return [];
  const read = valueReaders[valueType[0]!];
  if (read === undefined) throw errorOf(name, nvmlReturns.notSupported);
  const found = Array.from({ length: count[0]! }, (_, index) => ({
    atUs: Number(samples.getBigUint64(index * sampleBytes + sampleAt.timeStamp, true)),
    percent: read(samples, index * sampleBytes + sampleAt.value),
  }));
  // nvml.h promises no order.
  return found.sort((first, second) => first.atUs - second.atUs);
}
