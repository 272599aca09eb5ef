/**
 * ONNX Runtime's C API as far as we use it: one table of function pointers, `OrtApi`, whose order is in `api-table.ts`
 * (checked by `npm run engines:check`). A wrong signature would kill the process.
 */
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import { TandemError } from '../../errors.ts';
import { nameInProfiles, openLibrary, setEnvironment, type Memory, type Pointer } from '../native.ts';
import { ortApiFunctions } from './api-table.ts';

/** Version of the library that this table was written for, and of its OrtApi struct. */
export const onnxRuntimeVersion = '1.30.0';
export const ortApiVersion = 24;

type Status = Pointer | null;
type Out = [Pointer | null];
type OutSize = [number | bigint | null];
type OutText = [string | null];

/** Every function returns an OrtStatus unless it says otherwise; names and parameters are the C header's. */
const signatures = {
  GetErrorMessage: 'const char *NAME(const void *status)',
  ReleaseStatus: 'void NAME(void *status)',
  CreateEnv: 'void *NAME(int severity, const char *id, _Out_ void **env)',
  ReleaseEnv: 'void NAME(void *env)',
  CreateSessionOptions: 'void *NAME(_Out_ void **options)',
  ReleaseSessionOptions: 'void NAME(void *options)',
  SetIntraOpNumThreads: 'void *NAME(void *options, int threads)',
  SetInterOpNumThreads: 'void *NAME(void *options, int threads)',
  AddSessionConfigEntry: 'void *NAME(void *options, const char *key, const char *value)',
  CreateSession: 'void *NAME(void *env, const char *path, void *options, _Out_ void **session)',
  CreateSessionFromArray:
    'void *NAME(void *env, const void *bytes, size_t byteCount, void *options, _Out_ void **session)',
  ReleaseSession: 'void NAME(void *session)',
  SessionGetInputCount: 'void *NAME(void *session, _Out_ size_t *count)',
  SessionGetOutputCount: 'void *NAME(void *session, _Out_ size_t *count)',
  SessionGetOverridableInitializerCount: 'void *NAME(void *session, _Out_ size_t *count)',
  SessionGetInputName: 'void *NAME(void *session, size_t index, void *allocator, _Out_ void **name)',
  SessionGetOutputName: 'void *NAME(void *session, size_t index, void *allocator, _Out_ void **name)',
  SessionGetOverridableInitializerName: 'void *NAME(void *session, size_t index, void *allocator, _Out_ void **name)',
  SessionGetInputTypeInfo: 'void *NAME(void *session, size_t index, _Out_ void **info)',
  SessionGetOutputTypeInfo: 'void *NAME(void *session, size_t index, _Out_ void **info)',
  SessionGetOverridableInitializerTypeInfo: 'void *NAME(void *session, size_t index, _Out_ void **info)',
  SessionGetMemoryInfoForInputs: 'void *NAME(const void *session, _Out_ const void **infos, size_t count)',
  GetOnnxTypeFromTypeInfo: 'void *NAME(void *info, _Out_ int *type)',
  CastTypeInfoToTensorInfo: 'void *NAME(void *info, _Out_ void **tensorInfo)',
  ReleaseTypeInfo: 'void NAME(void *info)',
  GetTensorElementType: 'void *NAME(void *info, _Out_ int *type)',
  GetDimensionsCount: 'void *NAME(void *info, _Out_ size_t *count)',
  GetDimensions: 'void *NAME(void *info, int64_t *dimensions, size_t count)',
  GetSymbolicDimensions: 'void *NAME(void *info, _Out_ const char **names, size_t count)',
  GetTensorTypeAndShape: 'void *NAME(void *value, _Out_ void **info)',
  ReleaseTensorTypeAndShapeInfo: 'void NAME(void *info)',
  GetAllocatorWithDefaultOptions: 'void *NAME(_Out_ void **allocator)',
  AllocatorFree: 'void *NAME(void *allocator, void *memory)',
  CreateAllocator: 'void *NAME(void *session, void *memoryInfo, _Out_ void **allocator)',
  ReleaseAllocator: 'void NAME(void *allocator)',
  AllocatorGetStats: 'void *NAME(void *allocator, _Out_ void **pairs)',
  GetKeyValue: 'const char *NAME(void *pairs, const char *key)',
  ReleaseKeyValuePairs: 'void NAME(void *pairs)',
  CreateCpuMemoryInfo: 'void *NAME(int allocatorType, int memoryType, _Out_ void **info)',
  CreateMemoryInfo: 'void *NAME(const char *name, int allocatorType, int deviceId, int memoryType, _Out_ void **info)',
  ReleaseMemoryInfo: 'void NAME(void *info)',
  MemoryInfoGetDeviceType: 'void NAME(const void *info, _Out_ int *type)',
  CreateTensorWithDataAsOrtValue:
    'void *NAME(void *info, void *data, size_t bytes, const int64_t *shape, size_t rank, int type, _Out_ void **value)',
  CreateTensorAsOrtValue:
    'void *NAME(void *allocator, const int64_t *shape, size_t rank, int type, _Out_ void **value)',
  FillStringTensor: 'void *NAME(void *value, const char **strings, size_t count)',
  GetTensorMutableData: 'void *NAME(void *value, _Out_ void **data)',
  GetStringTensorDataLength: 'void *NAME(void *value, _Out_ size_t *bytes)',
  GetStringTensorContent: 'void *NAME(void *value, void *bytes, size_t byteCount, void *offsets, size_t count)',
  ReleaseValue: 'void NAME(void *value)',
  CreateRunOptions: 'void *NAME(_Out_ void **options)',
  ReleaseRunOptions: 'void NAME(void *options)',
  RunOptionsSetTerminate: 'void *NAME(void *options)',
  AddRunConfigEntry: 'void *NAME(void *options, const char *key, const char *value)',
  CreateIoBinding: 'void *NAME(void *session, _Out_ void **binding)',
  ReleaseIoBinding: 'void NAME(void *binding)',
  BindInput: 'void *NAME(void *binding, const char *name, void *value)',
  BindOutput: 'void *NAME(void *binding, const char *name, void *value)',
  BindOutputToDevice: 'void *NAME(void *binding, const char *name, void *memoryInfo)',
  GetBoundOutputValues: 'void *NAME(void *binding, void *allocator, _Out_ void **values, _Out_ size_t *count)',
  RunWithBinding: 'void *NAME(void *session, void *options, void *binding)',
  CreateCUDAProviderOptions: 'void *NAME(_Out_ void **options)',
  UpdateCUDAProviderOptions: 'void *NAME(void *options, const char **keys, const char **values, size_t count)',
  UpdateCUDAProviderOptionsWithValue: 'void *NAME(void *options, const char *key, void *value)',
  GetCUDAProviderOptionsAsString: 'void *NAME(void *options, void *allocator, _Out_ void **text)',
  ReleaseCUDAProviderOptions: 'void NAME(void *options)',
  SessionOptionsAppendExecutionProvider_CUDA_V2: 'void *NAME(void *sessionOptions, void *options)',
  Session_GetEpGraphAssignmentInfo: 'void *NAME(void *session, _Out_ void **subgraphs, _Out_ size_t *count)',
  EpAssignedSubgraph_GetEpName: 'void *NAME(void *subgraph, _Out_ const char **name)',
  EpAssignedSubgraph_GetNodes: 'void *NAME(void *subgraph, _Out_ void **nodes, _Out_ size_t *count)',
  EpAssignedNode_GetName: 'void *NAME(void *node, _Out_ const char **name)',
  EpAssignedNode_GetDomain: 'void *NAME(void *node, _Out_ const char **domain)',
  EpAssignedNode_GetOperatorType: 'void *NAME(void *node, _Out_ const char **operator)',
} as const;

/** The functions as TypeScript sees them. A Status of null means success. */
export interface OnnxRuntime {
  GetErrorMessage(status: Pointer): string;
  ReleaseStatus(status: Pointer): void;
  CreateEnv(severity: number, id: string, env: Out): Status;
  ReleaseEnv(env: Pointer): void;
  CreateSessionOptions(options: Out): Status;
  ReleaseSessionOptions(options: Pointer): void;
  SetIntraOpNumThreads(options: Pointer, threads: number): Status;
  SetInterOpNumThreads(options: Pointer, threads: number): Status;
  AddSessionConfigEntry(options: Pointer, key: string, value: string): Status;
  CreateSession(env: Pointer, path: string, options: Pointer, session: Out): Status;
  CreateSessionFromArray(env: Pointer, bytes: Memory, byteCount: number, options: Pointer, session: Out): Status;
  ReleaseSession(session: Pointer): void;
  SessionGetInputCount(session: Pointer, count: OutSize): Status;
  SessionGetOutputCount(session: Pointer, count: OutSize): Status;
  SessionGetOverridableInitializerCount(session: Pointer, count: OutSize): Status;
  SessionGetInputName(session: Pointer, index: number, allocator: Pointer, name: Out): Status;
  SessionGetOutputName(session: Pointer, index: number, allocator: Pointer, name: Out): Status;
  SessionGetOverridableInitializerName(session: Pointer, index: number, allocator: Pointer, name: Out): Status;
  SessionGetInputTypeInfo(session: Pointer, index: number, info: Out): Status;
  SessionGetOutputTypeInfo(session: Pointer, index: number, info: Out): Status;
  SessionGetOverridableInitializerTypeInfo(session: Pointer, index: number, info: Out): Status;
  SessionGetMemoryInfoForInputs(session: Pointer, infos: (Pointer | null)[], count: number): Status;
  GetOnnxTypeFromTypeInfo(info: Pointer, type: OutSize): Status;
  CastTypeInfoToTensorInfo(info: Pointer, tensorInfo: Out): Status;
  ReleaseTypeInfo(info: Pointer): void;
  GetTensorElementType(info: Pointer, type: OutSize): Status;
  GetDimensionsCount(info: Pointer, count: OutSize): Status;
  GetDimensions(info: Pointer, dimensions: BigInt64Array, count: number): Status;
  GetSymbolicDimensions(info: Pointer, names: (string | null)[], count: number): Status;
  GetTensorTypeAndShape(value: Pointer, info: Out): Status;
  ReleaseTensorTypeAndShapeInfo(info: Pointer): void;
  GetAllocatorWithDefaultOptions(allocator: Out): Status;
  AllocatorFree(allocator: Pointer, memory: Pointer): Status;
  CreateAllocator(session: Pointer, memoryInfo: Pointer, allocator: Out): Status;
  ReleaseAllocator(allocator: Pointer): void;
  AllocatorGetStats(allocator: Pointer, pairs: Out): Status;
  /** The text belongs to the pairs: read it before they are released. */
  GetKeyValue(pairs: Pointer, key: string): string | null;
  ReleaseKeyValuePairs(pairs: Pointer): void;
  CreateCpuMemoryInfo(allocatorType: number, memoryType: number, info: Out): Status;
  CreateMemoryInfo(name: string, allocatorType: number, deviceId: number, memoryType: number, info: Out): Status;
  ReleaseMemoryInfo(info: Pointer): void;
  MemoryInfoGetDeviceType(info: Pointer, type: OutSize): void;
  CreateTensorWithDataAsOrtValue(
    info: Pointer,
    data: Memory | Pointer,
    bytes: number,
    shape: BigInt64Array,
    rank: number,
    type: number,
    value: Out,
  ): Status;
  CreateTensorAsOrtValue(allocator: Pointer, shape: BigInt64Array, rank: number, type: number, value: Out): Status;
  FillStringTensor(value: Pointer, strings: readonly string[], count: number): Status;
  GetTensorMutableData(value: Pointer, data: Out): Status;
  GetStringTensorDataLength(value: Pointer, bytes: OutSize): Status;
  GetStringTensorContent(value: Pointer, bytes: Memory, byteCount: number, offsets: Memory, count: number): Status;
  ReleaseValue(value: Pointer): void;
  CreateRunOptions(options: Out): Status;
  ReleaseRunOptions(options: Pointer): void;
  RunOptionsSetTerminate(options: Pointer): Status;
  AddRunConfigEntry(options: Pointer, key: string, value: string): Status;
  CreateIoBinding(session: Pointer, binding: Out): Status;
  ReleaseIoBinding(binding: Pointer): void;
  BindInput(binding: Pointer, name: string, value: Pointer): Status;
  BindOutput(binding: Pointer, name: string, value: Pointer): Status;
  BindOutputToDevice(binding: Pointer, name: string, memoryInfo: Pointer): Status;
  GetBoundOutputValues(binding: Pointer, allocator: Pointer, values: Out, count: OutSize): Status;
  RunWithBinding(session: Pointer, options: Pointer, binding: Pointer): Status;
  CreateCUDAProviderOptions(options: Out): Status;
  UpdateCUDAProviderOptions(
    options: Pointer,
    keys: readonly string[],
    values: readonly string[],
    count: number,
  ): Status;
  UpdateCUDAProviderOptionsWithValue(options: Pointer, key: string, value: Pointer): Status;
  GetCUDAProviderOptionsAsString(options: Pointer, allocator: Pointer, text: Out): Status;
  ReleaseCUDAProviderOptions(options: Pointer): void;
  SessionOptionsAppendExecutionProvider_CUDA_V2(sessionOptions: Pointer, options: Pointer): Status;
  Session_GetEpGraphAssignmentInfo(session: Pointer, subgraphs: Out, count: OutSize): Status;
  EpAssignedSubgraph_GetEpName(subgraph: Pointer, name: OutText): Status;
  EpAssignedSubgraph_GetNodes(subgraph: Pointer, nodes: Out, count: OutSize): Status;
  EpAssignedNode_GetName(node: Pointer, name: OutText): Status;
  EpAssignedNode_GetDomain(node: Pointer, domain: OutText): Status;
  EpAssignedNode_GetOperatorType(node: Pointer, operator: OutText): Status;
}
const everyNameIsTyped: Record<keyof typeof signatures, true> extends Record<keyof OnnxRuntime, true> ? true : never =
  true;
void everyNameIsTyped;

let functions: OnnxRuntime | undefined;

let otherLibraryPath: string | undefined;

/**
 * Another copy of the library, in whose folder a provider lies, for this thread; all threads of a process must agree. No
 * effect once the library is loaded.
 */
export function useOnnxRuntimeAt(path: string | undefined): void {
  otherLibraryPath = path;
}

/** Path of the library: inside the `onnxruntime-node` package, or as {@link useOnnxRuntimeAt} says. @throws ENVIRONMENT */
export function onnxRuntimeLibraryPath(): string {
  if (otherLibraryPath !== undefined) return otherLibraryPath;
  const files: Partial<Record<NodeJS.Platform, string>> = {
    linux: 'libonnxruntime.so.1',
    darwin: 'libonnxruntime.1.dylib',
    win32: 'onnxruntime.dll',
  };
  const file = files[process.platform];
  if (file === undefined)
    throw new TandemError('ENVIRONMENT', `Expected Linux, macOS or Windows, got ${process.platform}.`);
  const root = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  return join(root, 'bin', 'napi-v6', process.platform, process.arch, file);
}

/** Binds the library once per thread and checks its version. @throws ENVIRONMENT */
export function loadOnnxRuntime(): OnnxRuntime {
  if (functions !== undefined) return functions;
  // Since 1.30 the library reports each session to its maker, by way of files in the home folder, unless told not to
  // before it is loaded.
  setEnvironment('ORT_DISABLE_TELEMETRY', '1');
  const library = openLibrary(onnxRuntimeLibraryPath(), 'ONNX Runtime');
  const base = (library.func('void *OrtGetApiBase()') as unknown as () => Pointer)();
  const [getApi, getVersion] = koffi.decode(base, koffi.array('void *', 2)) as [Pointer, Pointer];
  const version = koffi.call(getVersion, koffi.proto('const char *OrtGetVersionString()')) as string;
  if (version !== onnxRuntimeVersion) {
    throw new TandemError('ENVIRONMENT', `Expected ONNX Runtime ${onnxRuntimeVersion}, got ${version}.`, {
      remedy: 'Run `npm ci`, which installs the version that Tandem was built for.',
    });
  }
  const api = koffi.call(getApi, koffi.proto('void *OrtGetApi(uint32_t version)'), ortApiVersion) as Pointer;
  const names = ortApiFunctions;
  const pointers = koffi.decode(api, koffi.array('void *', names.length)) as Pointer[];
  const bound = Object.entries(signatures).map(([name, signature]) => {
    const prototype = koffi.proto(signature.replace('NAME', `Ort${name}`));
    return [name, koffi.decode(pointers[names.indexOf(name)]!, prototype)] as const;
  });
  functions = nameInProfiles('libonnxruntime', Object.fromEntries(bound) as unknown as OnnxRuntime, 'Ort');
  return functions;
}

/** An error that ONNX Runtime reports, in its words. */
export class OnnxRuntimeError extends Error {
  override readonly name = 'OnnxRuntimeError';
}

/** @throws OnnxRuntimeError */
export function check(status: Status): void {
  if (status === null) return;
  const onnxruntime = loadOnnxRuntime();
  const message = onnxruntime.GetErrorMessage(status);
  onnxruntime.ReleaseStatus(status);
  throw new OnnxRuntimeError(message);
}

/** Calls a function whose last argument is an out pointer. @throws OnnxRuntimeError */
export function create(call: (out: Out) => Status): Pointer {
  const out: Out = [null];
  check(call(out));
  return out[0]!;
}

/** Calls a function whose last argument is a number to fill in. @throws OnnxRuntimeError */
export function count(call: (out: OutSize) => Status): number {
  const out: OutSize = [null];
  check(call(out));
  return Number(out[0]);
}

/** A C string that belongs to the object it was asked of. */
export function readString(call: (out: OutText) => Status): string {
  const out: OutText = [null];
  check(call(out));
  return out[0] ?? '';
}

/** A C string that ONNX Runtime allocated, freed after reading. */
export function takeString(call: (out: Out) => Status, allocator: Pointer): string {
  const pointer = create(call);
  const text = koffi.decode(pointer, 'char', -1) as string;
  check(loadOnnxRuntime().AllocatorFree(allocator, pointer));
  return text;
}

/** An array of pointers that belongs to the object it was asked of. */
export function readPointers(call: (out: Out, size: OutSize) => Status): Pointer[] {
  const out: Out = [null];
  const size: OutSize = [null];
  check(call(out, size));
  const [pointer] = out;
  if (pointer === null || Number(size[0]) === 0) return [];
  return koffi.decode(pointer, koffi.array('void *', Number(size[0]))) as Pointer[];
}

/** An array of pointers that ONNX Runtime allocated, freed after reading. */
export function takePointers(call: (out: Out, size: OutSize) => Status, allocator: Pointer): Pointer[] {
  const size: OutSize = [null];
  const pointer = create((out) => call(out, size));
  const pointers = koffi.decode(pointer, koffi.array('void *', Number(size[0]))) as Pointer[];
  check(loadOnnxRuntime().AllocatorFree(allocator, pointer));
  return pointers;
}
