/**
 * What the libraries of a GPU say about the machine, asked before anything is set up. Calls go through koffi by
 * themselves, not through the bindings of the scorer, which take for granted what is found out here.
 */
import koffi, { type LibraryHandle } from 'koffi';
import { ortApiFunctions } from '../onnxruntime/api-table.ts';
import { uuidText } from './device-names.ts';

export interface CudaDevice {
  /** For people: `NVIDIA H200`. */
  readonly name: string;
  /** `GPU-1f4c2a3b-...`, of a MIG slice `MIG-...`. */
  readonly uuid: string;
  readonly memoryBytes: number;
  /** Compute capability: major, minor. */
  readonly capability: readonly [number, number];
}

/** Answer of a library. */
export interface Answer {
  /** Its own words for what is wrong; undefined: nothing. */
  readonly problem?: string;
  /** What to do, where the one who found it knows better than `adviceFor`. */
  readonly remedy?: string;
  readonly version?: string;
  readonly devices?: readonly CudaDevice[];
}

type OutNumber = [number | null];

/** `13.0` of libcudart; it answers without a driver. */
export function askRuntime(cudart: LibraryHandle): Answer {
  const version = cudaNumber(cudart, 'cudaRuntimeGetVersion');
  return typeof version === 'string' ? { problem: version } : { version: cudaVersion(version) };
}

/** Devices, and the newest CUDA that the driver runs (`0` without one) even if there are none. */
export function askDevices(cudart: LibraryHandle, driver: LibraryHandle): Answer {
  const driverVersion = cudaNumber(cudart, 'cudaDriverGetVersion');
  if (typeof driverVersion === 'string') return { problem: driverVersion };
  const version = cudaVersion(driverVersion);
  const count = cudaNumber(cudart, 'cudaGetDeviceCount');
  if (typeof count === 'string') return { version, problem: count };
  // The runtime's record of a device has another layout in each release; the driver has a call for each field.
  const initialize = driver.func('int cuInit(uint flags)') as (flags: number) => number;
  const code = initialize(0);
  if (code !== 0) return { version, problem: `CUDA failure ${code} of cuInit` };
  return { version, devices: Array.from({ length: count }, (_, ordinal) => askDevice(driver, ordinal)) };
}

/** CUdevice_attribute */
const attributeMajor = 75;
const attributeMinor = 76;

function askDevice(driver: LibraryHandle, ordinal: number): CudaDevice {
  const deviceOut: OutNumber = [null];
  driver.func('int cuDeviceGet(_Out_ int *device, int ordinal)')(deviceOut, ordinal);
  const device = deviceOut[0] ?? ordinal;
  const name = Buffer.alloc(256);
  driver.func('int cuDeviceGetName(void *name, int bytes, int device)')(name, name.length, device);
  // Of a MIG slice its own, where the function without _v2 gives that of the GPU.
  const uuid = Buffer.alloc(16);
  driver.func('int cuDeviceGetUuid_v2(void *uuid, int device)')(uuid, device);
  const bytes: [number | bigint | null] = [null];
  driver.func('int cuDeviceTotalMem_v2(_Out_ size_t *bytes, int device)')(bytes, device);
  const getAttribute = driver.func('int cuDeviceGetAttribute(_Out_ int *value, int attribute, int device)');
  const attribute = (which: number): number => {
    const value: OutNumber = [null];
    getAttribute(value, which, device);
    return value[0] ?? 0;
  };
  const label = name.toString('utf8', 0, name.indexOf(0));
  return {
    name: label,
    uuid: uuidText(uuid, label),
    memoryBytes: Number(bytes[0] ?? 0),
    capability: [attribute(attributeMajor), attribute(attributeMinor)],
  };
}

/** Version of the driver as people know it: `580.65.06`. */
export function askNvml(nvml: LibraryHandle): Answer {
  const textOf = nvml.func('const char *nvmlErrorString(int code)') as (code: number) => string;
  const code = (nvml.func('int nvmlInit_v2()') as () => number)();
  if (code !== 0) return { problem: `NVML failure ${code}: ${textOf(code)}` };
  const text = Buffer.alloc(81);
  const got = (nvml.func('int nvmlSystemGetDriverVersion(void *text, uint bytes)') as (b: Buffer, n: number) => number)(
    text,
    text.length,
  );
  (nvml.func('int nvmlShutdown()') as () => number)();
  if (got !== 0) return { problem: `NVML failure ${got}: ${textOf(got)}` };
  return { version: text.toString('utf8', 0, text.indexOf(0)) };
}

/**
 * Lets ONNX Runtime load its CUDA provider and look at a device: the last thing that can fail before a model does.
 * What the provider needs must be loaded already. Setting `device_id` is what makes it ask the driver.
 */
export function askProvider(core: LibraryHandle, device: number): Answer {
  const base = (core.func('void *OrtGetApiBase()') as () => bigint)();
  const [getApi, getVersion] = koffi.decode(base, koffi.array('void *', 2)) as [bigint, bigint];
  const version = koffi.call(getVersion, koffi.proto('const char *TandemAskVersion()')) as string;
  const api = koffi.call(getApi, koffi.proto('void *TandemAskApi(uint32_t version)'), apiVersion) as bigint;
  const pointers = koffi.decode(api, koffi.array('void *', ortApiFunctions.length)) as bigint[];
  const bind = (name: (typeof ortApiFunctions)[number], signature: string) =>
    koffi.decode(pointers[ortApiFunctions.indexOf(name)]!, koffi.proto(signature)) as (...args: unknown[]) => unknown;
  const messageOf = bind('GetErrorMessage', 'const char *TandemAskMessage(const void *status)');
  const createEnv = bind('CreateEnv', 'void *TandemAskEnv(int severity, const char *id, _Out_ void **env)');
  const createOptions = bind('CreateCUDAProviderOptions', 'void *TandemAskCreate(_Out_ void **options)');
  const update = bind(
    'UpdateCUDAProviderOptions',
    'void *TandemAskUpdate(void *options, const char **keys, const char **values, size_t count)',
  );
  const env: [bigint | null] = [null];
  const options: [bigint | null] = [null];
  // Without an environment the provider has no logger and dies of that.
  for (const call of [
    () => createEnv(silent, 'tandem', env),
    () => createOptions(options),
    () => update(options[0], ['device_id'], [String(device)], 1),
  ]) {
    const status = call();
    if (status !== null) return { version, problem: messageOf(status) as string };
  }
  return { version };
}

/** ORT_LOGGING_LEVEL_FATAL: the texts come back as a status, too. */
const silent = 4;
/** The first that has all functions used here is older than any release with CUDA 13. */
const apiVersion = 24;

/** A function that fills in one number; its error as text where it fails. */
function cudaNumber(cudart: LibraryHandle, name: string): number | string {
  const value: OutNumber = [null];
  const code = (cudart.func(`int ${name}(_Out_ int *value)`) as (value: OutNumber) => number)(value);
  if (code === 0) return value[0]!;
  const textOf = cudart.func('const char *cudaGetErrorString(int code)') as (code: number) => string;
  return `CUDA failure ${code}: ${textOf(code)}`;
}

/** 13000 is 13.0. */
function cudaVersion(version: number): string {
  return version === 0 ? '0' : `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
}
