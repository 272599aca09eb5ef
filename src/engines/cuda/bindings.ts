/**
 * The CUDA runtime as far as we use it (libcudart.so.13): one table of signatures, one place where statuses
 * are looked at. A wrong signature would kill the process. Loads without a driver; then every call but those that ask
 * for versions and texts gives 35.
 */
import type { LibraryHandle } from 'koffi';
import { TandemError } from '../../errors.ts';
import { nameInProfiles, openLibrary, type Memory, type Pointer } from '../native.ts';
import { adviceForMissing } from './advice.ts';
import { GpuError } from './driver.ts';

type Out = [Pointer | null];
type OutNumber = [number | bigint | null];

/** Every function returns a cudaError_t; names and parameters are those of cuda_runtime_api.h. */
const signatures = {
  cudaDriverGetVersion: 'int cudaDriverGetVersion(_Out_ int *version)',
  cudaRuntimeGetVersion: 'int cudaRuntimeGetVersion(_Out_ int *version)',
  cudaGetDeviceCount: 'int cudaGetDeviceCount(_Out_ int *count)',
  cudaSetDevice: 'int cudaSetDevice(int device)',
  cudaDeviceGetPCIBusId: 'int cudaDeviceGetPCIBusId(void *text, int bytes, int device)',
  cudaGetDeviceProperties: 'int cudaGetDeviceProperties(void *properties, int device)',
  cudaMemGetInfo: 'int cudaMemGetInfo(_Out_ size_t *free, _Out_ size_t *total)',
  cudaMalloc: 'int cudaMalloc(_Out_ void **memory, size_t bytes)',
  cudaFree: 'int cudaFree(void *memory)',
  cudaHostRegister: 'int cudaHostRegister(void *host, size_t bytes, uint flags)',
  cudaHostUnregister: 'int cudaHostUnregister(void *host)',
  cudaMemcpyAsync: 'int cudaMemcpyAsync(void *target, const void *source, size_t bytes, int kind, void *stream)',
  cudaStreamCreateWithFlags: 'int cudaStreamCreateWithFlags(_Out_ void **stream, uint flags)',
  cudaStreamDestroy: 'int cudaStreamDestroy(void *stream)',
  cudaStreamSynchronize: 'int cudaStreamSynchronize(void *stream)',
  cudaStreamWaitEvent: 'int cudaStreamWaitEvent(void *stream, void *event, uint flags)',
  cudaEventCreateWithFlags: 'int cudaEventCreateWithFlags(_Out_ void **event, uint flags)',
  cudaEventDestroy: 'int cudaEventDestroy(void *event)',
  cudaEventRecord: 'int cudaEventRecord(void *event, void *stream)',
  cudaEventQuery: 'int cudaEventQuery(void *event)',
  cudaEventSynchronize: 'int cudaEventSynchronize(void *event)',
  cudaEventElapsedTime: 'int cudaEventElapsedTime(_Out_ float *ms, void *start, void *end)',
} as const;

/** Parameters as TypeScript sees them. */
export interface CudaFunctions {
  cudaDriverGetVersion(version: OutNumber): number;
  cudaRuntimeGetVersion(version: OutNumber): number;
  cudaGetDeviceCount(count: OutNumber): number;
  cudaSetDevice(device: number): number;
  cudaDeviceGetPCIBusId(text: Memory, bytes: number, device: number): number;
  cudaGetDeviceProperties(properties: Memory, device: number): number;
  cudaMemGetInfo(free: OutNumber, total: OutNumber): number;
  cudaMalloc(memory: Out, bytes: number): number;
  cudaFree(memory: Pointer): number;
  cudaHostRegister(host: Pointer, bytes: number, flags: number): number;
  cudaHostUnregister(host: Pointer): number;
  cudaMemcpyAsync(target: Pointer, source: Pointer, bytes: number, kind: number, stream: Pointer): number;
  cudaStreamCreateWithFlags(stream: Out, flags: number): number;
  cudaStreamDestroy(stream: Pointer): number;
  cudaStreamSynchronize(stream: Pointer): number;
  cudaStreamWaitEvent(stream: Pointer, event: Pointer, flags: number): number;
  cudaEventCreateWithFlags(event: Out, flags: number): number;
  cudaEventDestroy(event: Pointer): number;
  cudaEventRecord(event: Pointer, stream: Pointer): number;
  cudaEventQuery(event: Pointer): number;
  cudaEventSynchronize(event: Pointer): number;
  cudaEventElapsedTime(ms: OutNumber, start: Pointer, end: Pointer): number;
}
const everyNameIsTyped: Record<keyof typeof signatures, true> extends Record<keyof CudaFunctions, true> ? true : never =
  true;
void everyNameIsTyped;

/** cudaError_t that we tell apart; `driver.ts` knows what the rest means. */
export const cudaSuccess = 0;
export const cudaErrorNotReady = 600;

export interface Cuda {
  /** @throws GpuError with the function's name, the code and its text */
  call<Name extends keyof CudaFunctions>(name: Name, ...parameters: Parameters<CudaFunctions[Name]>): void;
  /** The cudaError_t, for calls whose failure is an answer. */
  ask<Name extends keyof CudaFunctions>(name: Name, ...parameters: Parameters<CudaFunctions[Name]>): number;
  errorOf(name: keyof CudaFunctions, code: number): GpuError;
  /** Forgets this thread's last error, unless it is one that sticks. */
  clearError(): void;
}

const runtimes = new Map<string, Cuda>();

/** Binds the library at an absolute path, once per thread. @throws ENVIRONMENT */
export function loadCuda(path: string): Cuda {
  let cuda = runtimes.get(path);
  if (cuda === undefined) {
    cuda = bind(path);
    runtimes.set(path, cuda);
  }
  return cuda;
}

function bind(path: string): Cuda {
  const library = openRuntime(path);
  const functionOf = (signature: string): unknown => {
    try {
      return library.func(signature);
    } catch (cause) {
      throw wrongRuntime(`Expected ${path} to be a CUDA runtime, got: ${(cause as Error).message}.`, cause);
    }
  };
  const bound = Object.entries(signatures).map(([name, signature]) => [name, functionOf(signature)] as const);
  type Functions = Record<string, (...parameters: readonly unknown[]) => number>;
  const functions = nameInProfiles('libcudart', Object.fromEntries(bound) as Functions);
  const textOf = functionOf('const char *cudaGetErrorString(int error)') as (code: number) => string;
  const lastError = functionOf('int cudaGetLastError()') as () => number;
  const clearError = (): void => void lastError();
  const errorOf: Cuda['errorOf'] = (name, code) =>
    new GpuError(code, `Expected ${name} to succeed, got ${code} (${textOf(code)}).`);
  const ask: Cuda['ask'] = (name, ...parameters) => {
    const code = functions[name]!(...parameters);
    // The runtime keeps an error until somebody asks for it, and ONNX Runtime asks after its own calls: it would take
    // ours, even "not ready", for a failed kernel.
    if (code !== cudaSuccess) clearError();
    return code;
  };
  const call: Cuda['call'] = (name, ...parameters) => {
    const code = ask(name, ...parameters);
    if (code !== cudaSuccess) throw errorOf(name, code);
  };
  return { call, ask, errorOf, clearError };
}

function openRuntime(path: string): LibraryHandle {
  try {
    return openLibrary(path, 'the CUDA runtime');
  } catch (cause) {
    throw wrongRuntime((cause as Error).message, cause);
  }
}

function wrongRuntime(message: string, cause: unknown): TandemError {
  const { remedy } = adviceForMissing('libcudart.so.13');
  return new TandemError('ENVIRONMENT', message, { remedy, cause });
}
