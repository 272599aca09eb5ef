/** NVML, the library with which NVIDIA's driver answers what a GPU is doing: memory, load, processes. */
import { TandemError } from '../../errors.ts';
import { openLibrary, type Memory, type Pointer } from '../native.ts';

/** Found by the loader where a driver is installed. */
export const nvmlSoname = 'libnvidia-ml.so.1';

/** An nvmlReturn_t other than success. */
export class NvmlError extends Error {
  override readonly name = 'NvmlError';
  /** nvmlReturn_t: 3 not supported, 4 no permission, 6 not found, 9 driver not loaded, 15 GPU is lost. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

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

/** Every function returns an nvmlReturn_t; names and parameters are those of nvml.h. */
const signatures = {
  nvmlInit_v2: 'int nvmlInit_v2()',
  nvmlShutdown: 'int nvmlShutdown()',
  nvmlSystemGetDriverVersion: 'int nvmlSystemGetDriverVersion(void *version, uint bytes)',
  nvmlDeviceGetCount_v2: 'int nvmlDeviceGetCount_v2(_Out_ uint *count)',
  nvmlDeviceGetHandleByIndex_v2: 'int nvmlDeviceGetHandleByIndex_v2(uint index, _Out_ void **device)',
  nvmlDeviceGetHandleByUUID: 'int nvmlDeviceGetHandleByUUID(const char *uuid, _Out_ void **device)',
  nvmlDeviceGetHandleByPciBusId_v2: 'int nvmlDeviceGetHandleByPciBusId_v2(const char *pciBusId, _Out_ void **device)',
  nvmlDeviceGetName: 'int nvmlDeviceGetName(void *device, void *name, uint bytes)',
  nvmlDeviceGetUUID: 'int nvmlDeviceGetUUID(void *device, void *uuid, uint bytes)',
  nvmlDeviceGetMemoryInfo: 'int nvmlDeviceGetMemoryInfo(void *device, void *memory)',
  nvmlDeviceGetUtilizationRates: 'int nvmlDeviceGetUtilizationRates(void *device, void *utilization)',
  nvmlDeviceGetComputeRunningProcesses_v3:
    'int nvmlDeviceGetComputeRunningProcesses_v3(void *device, _Inout_ uint *count, void *processes)',
} as const;

type NvmlFunction = keyof typeof signatures;
type Out<Value> = [Value | null];
interface NvmlFunctions extends Record<NvmlFunction, unknown> {
  nvmlInit_v2: () => number;
  nvmlShutdown: () => number;
  nvmlSystemGetDriverVersion: (version: Memory, bytes: number) => number;
  nvmlDeviceGetCount_v2: (count: Out<number>) => number;
  nvmlDeviceGetHandleByIndex_v2: (index: number, device: Out<Pointer>) => number;
  nvmlDeviceGetHandleByUUID: (uuid: string, device: Out<Pointer>) => number;
  nvmlDeviceGetHandleByPciBusId_v2: (pciBusId: string, device: Out<Pointer>) => number;
  nvmlDeviceGetName: (device: Pointer, name: Memory, bytes: number) => number;
  nvmlDeviceGetUUID: (device: Pointer, uuid: Memory, bytes: number) => number;
  nvmlDeviceGetMemoryInfo: (device: Pointer, memory: BigUint64Array) => number;
  nvmlDeviceGetUtilizationRates: (device: Pointer, utilization: Uint32Array) => number;
  nvmlDeviceGetComputeRunningProcesses_v3: (device: Pointer, count: Out<number>, processes: Memory) => number;
}
type Ask<Result> = <Name extends NvmlFunction>(name: Name, ...parameters: Parameters<NvmlFunctions[Name]>) => Result;

const success = 0;
const insufficientSize = 7;
/** NVML's largest text is 96 bytes. */
const textBytes = 128;

/**
 * Starts NVML. It counts its users: close as often as you open.
 * @param path absolute, or a name that the loader finds
 * @throws ENVIRONMENT where there is no such library; NvmlError where it does not start (9: no kernel module)
 */
export function openNvml(path = nvmlSoname): Nvml {
  const calls = bind(path);
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

function describe(device: Pointer, calls: Calls): NvmlDevice {
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
  };
}

/** nvmlProcessInfo_t: pid, bytes (aligned to 8), two numbers about MIG. */
const processBytes = 24;
const processAt = { pid: 0, usedBytes: 8 } as const;
const usedNotTold = 0xffff_ffff_ffff_ffffn;

function listProcesses(device: Pointer, { ask, errorOf }: Calls): NvmlProcess[] {
  const name = 'nvmlDeviceGetComputeRunningProcesses_v3';
  let room = 32;
  for (;;) {
    const count: Out<number> = [room];
    const processes = new DataView(new ArrayBuffer(room * processBytes));
    const code = ask(name, device, count, processes);
    if (code === success) {
      return Array.from({ length: count[0]! }, (_, index) => {
        const used = processes.getBigUint64(index * processBytes + processAt.usedBytes, true);
        return {
          pid: processes.getUint32(index * processBytes + processAt.pid, true),
          usedBytes: used === usedNotTold ? undefined : Number(used),
        };
      });
    }
    if (code !== insufficientSize) throw errorOf(name, code);
    // More may have started meanwhile.
    room = 2 * Math.max(room, count[0]!);
  }
}

function textFrom(fill: (bytes: Buffer) => void): string {
  const bytes = Buffer.alloc(textBytes);
  fill(bytes);
  return bytes.toString('utf8', 0, Math.max(0, bytes.indexOf(0)));
}

interface Calls {
  readonly ask: Ask<number>;
  /** @throws NvmlError */
  readonly call: Ask<void>;
  readonly errorOf: (name: NvmlFunction, code: number) => NvmlError;
}

function bind(path: string): Calls {
  const { functions, textOf } = open(path);
  const errorOf: Calls['errorOf'] = (name, code) =>
    new NvmlError(code, `Expected ${name} to succeed, got ${code} (${textOf(code)}).`);
  const ask: Calls['ask'] = (name, ...parameters) => functions[name]!(...parameters);
  const call: Calls['call'] = (name, ...parameters) => {
    const code = ask(name, ...parameters);
    if (code !== success) throw errorOf(name, code);
  };
  return { ask, call, errorOf };
}

interface Opened {
  readonly functions: Readonly<Record<string, (...parameters: readonly unknown[]) => number>>;
  readonly textOf: (code: number) => string;
}

function open(path: string): Opened {
  try {
    const library = openLibrary(path, 'NVML');
    const functions = Object.entries(signatures).map(([name, signature]) => [name, library.func(signature)] as const);
    const textOf = library.func('const char *nvmlErrorString(int code)') as Opened['textOf'];
    return { functions: Object.fromEntries(functions) as Opened['functions'], textOf };
  } catch (cause) {
    const message = `Expected ${path} to be NVML, a part of NVIDIA's driver, got: ${(cause as Error).message}`;
    const remedy = "Install NVIDIA's driver; a container needs `utility` in NVIDIA_DRIVER_CAPABILITIES.";
    throw new TandemError('ENVIRONMENT', message, { remedy, cause });
  }
}
