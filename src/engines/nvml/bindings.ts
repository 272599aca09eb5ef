/**
 * NVML as far as we use it (libnvidia-ml.so.1): one table of signatures, one place where statuses are looked at. A wrong
 * signature would kill the process. Names, parameters and structs are those of nvml.h.
 */
import { TandemError } from '../../errors.ts';
import { openLibrary, type Memory, type Pointer } from '../native.ts';

/** Found by the loader where a driver is installed. */
export const nvmlSoname = 'libnvidia-ml.so.1';

/** An nvmlReturn_t other than success. */
export class NvmlError extends Error {
  override readonly name = 'NvmlError';
  /** See {@link nvmlReturns}; 9 driver not loaded. */
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** nvmlReturn_t that we tell apart. */
export const nvmlReturns = {
  success: 0,
  notSupported: 3,
  noPermission: 4,
  notFound: 6,
  insufficientSize: 7,
  functionNotFound: 13,
  gpuIsLost: 15,
} as const;

/** Every function returns an nvmlReturn_t. */
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
  nvmlDeviceGetSamples:
    'int nvmlDeviceGetSamples(void *device, int type, uint64_t lastSeenTimeStamp, _Out_ int *valueType, ' +
    '_Inout_ uint *count, void *samples)',
  nvmlDeviceGetCurrPcieLinkGeneration: 'int nvmlDeviceGetCurrPcieLinkGeneration(void *device, _Out_ uint *generation)',
  nvmlDeviceGetCurrPcieLinkWidth: 'int nvmlDeviceGetCurrPcieLinkWidth(void *device, _Out_ uint *lanes)',
  nvmlDeviceGetMaxPcieLinkGeneration: 'int nvmlDeviceGetMaxPcieLinkGeneration(void *device, _Out_ uint *generation)',
  nvmlDeviceGetMaxPcieLinkWidth: 'int nvmlDeviceGetMaxPcieLinkWidth(void *device, _Out_ uint *lanes)',
} as const;

/** Not in every driver that the rest works with (older than 520): looked for when they are called. */
const laterSignatures = {
  nvmlGpmQueryDeviceSupport: 'int nvmlGpmQueryDeviceSupport(void *device, void *support)',
  nvmlGpmSampleAlloc: 'int nvmlGpmSampleAlloc(_Out_ void **sample)',
  nvmlGpmSampleFree: 'int nvmlGpmSampleFree(void *sample)',
  nvmlGpmSampleGet: 'int nvmlGpmSampleGet(void *device, void *sample)',
  nvmlGpmMetricsGet: 'int nvmlGpmMetricsGet(void *metrics)',
} as const;

export type Out<Value> = [Value | null];
type NumberOfDevice = (device: Pointer, value: Out<number>) => number;

/** Parameters as TypeScript sees them. */
export interface NvmlFunctions {
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
  nvmlDeviceGetSamples: (
    device: Pointer,
    type: number,
    lastSeenTimeStamp: number,
    valueType: Out<number>,
    count: Out<number>,
    samples: Memory | null,
  ) => number;
  nvmlDeviceGetCurrPcieLinkGeneration: NumberOfDevice;
  nvmlDeviceGetCurrPcieLinkWidth: NumberOfDevice;
  nvmlDeviceGetMaxPcieLinkGeneration: NumberOfDevice;
  nvmlDeviceGetMaxPcieLinkWidth: NumberOfDevice;
  nvmlGpmQueryDeviceSupport: (device: Pointer, support: Uint32Array) => number;
  nvmlGpmSampleAlloc: (sample: Out<Pointer>) => number;
  nvmlGpmSampleFree: (sample: Pointer) => number;
  nvmlGpmSampleGet: (device: Pointer, sample: Pointer) => number;
  nvmlGpmMetricsGet: (metrics: Memory) => number;
}
type NvmlFunction = keyof NvmlFunctions;
const everyNameIsTyped: Record<keyof typeof signatures | keyof typeof laterSignatures, true> extends Record<
  NvmlFunction,
  true
>
  ? true
  : never = true;
void everyNameIsTyped;

type Ask<Result> = <Name extends NvmlFunction>(name: Name, ...parameters: Parameters<NvmlFunctions[Name]>) => Result;

export interface NvmlCalls {
  /** The nvmlReturn_t, for calls whose failure is an answer. @throws NvmlError 13 where the driver is too old for it */
  readonly ask: Ask<number>;
  /** @throws NvmlError */
  readonly call: Ask<void>;
  readonly errorOf: (name: NvmlFunction, code: number) => NvmlError;
}

/** @throws ENVIRONMENT where there is no such library */
export function bindNvml(path: string): NvmlCalls {
  const { functionFor, textOf } = open(path);
  const errorOf: NvmlCalls['errorOf'] = (name, code) =>
    new NvmlError(code, `Expected ${name} to succeed, got ${code} (${textOf(code)}).`);
  const ask: NvmlCalls['ask'] = (name, ...parameters) => {
    const bound = functionFor(name);
    if (bound === undefined) throw errorOf(name, nvmlReturns.functionNotFound);
    return bound(...parameters);
  };
  const call: NvmlCalls['call'] = (name, ...parameters) => {
    const code = ask(name, ...parameters);
    if (code !== nvmlReturns.success) throw errorOf(name, code);
  };
  return { ask, call, errorOf };
}

type Bound = (...parameters: readonly unknown[]) => number;

interface Opened {
  /** Undefined: the library has no function of this name. */
  readonly functionFor: (name: NvmlFunction) => Bound | undefined;
  readonly textOf: (code: number) => string;
}

function open(path: string): Opened {
  try {
    const library = openLibrary(path, 'NVML');
    const bound = new Map<string, Bound | undefined>();
    for (const [name, signature] of Object.entries(signatures)) bound.set(name, library.func(signature));
    const textOf = library.func('const char *nvmlErrorString(int code)') as Opened['textOf'];
    const later: Readonly<Record<string, string | undefined>> = laterSignatures;
    const functionFor: Opened['functionFor'] = (name) => {
      const signature = later[name];
      if (signature !== undefined && !bound.has(name)) bound.set(name, functionIn(library, signature));
      return bound.get(name);
    };
    return { functionFor, textOf };
  } catch (cause) {
    const message = `Expected ${path} to be NVML, a part of NVIDIA's driver, got: ${(cause as Error).message}`;
    const remedy = "Install NVIDIA's driver; a container needs `utility` in NVIDIA_DRIVER_CAPABILITIES.";
    throw new TandemError('ENVIRONMENT', message, { remedy, cause });
  }
}

function functionIn(library: ReturnType<typeof openLibrary>, signature: string): Bound | undefined {
  try {
    return library.func(signature);
  } catch {
    return undefined;
  }
}
