/** The driver over CUDA: its runtime for memory, copies and events, ONNX Runtime's CUDA provider for model runs. */
import { TandemError } from '../../errors.ts';
import { addressOf, type Pointer } from '../native.ts';
import { openHeldBytes, type HeldBytes } from '../nvml/held-bytes.ts';
import { openReportedShare, type ReportedShare } from '../nvml/reported-share.ts';
import { arenaHeldBytes } from '../onnxruntime/arena.ts';
import { nodesByProvider, recordAssignment, type AssignedNode } from '../onnxruntime/assignment.ts';
import { check, create, loadOnnxRuntime, OnnxRuntimeError } from '../onnxruntime/bindings.ts';
import { adviceFor } from './advice.ts';
import { cudaErrorNotReady, cudaSuccess, loadCuda, type Cuda } from './bindings.ts';
import { uuidText } from './device-names.ts';
import { GpuError, kindOfRunFailure, type DeviceRun, type GpuDriver } from './driver.ts';

/** Choices among the CUDA provider's options; all others are the same for every session. */
export interface CudaProviderOptions {
  /** Lets float32 products round their factors to 10 bits of mantissa (TensorFloat-32): faster, and other scores. */
  readonly tf32: boolean;
  /** Others, as ONNX Runtime names them; they win over ours. For measurements. */
  readonly others?: Readonly<Record<string, string>>;
}

export interface CudaDriverOptions {
  /** As CUDA counts, among the devices that CUDA_VISIBLE_DEVICES leaves. */
  readonly deviceIndex: number;
  /** Absolute path of libcudart. */
  readonly cudartPath: string;
  /** Path of libnvidia-ml; undefined: where the loader finds it. */
  readonly nvmlPath?: string | undefined;
  readonly providerOptions: CudaProviderOptions;
}

const blockingEvent = 1;
const nonBlockingStream = 1;
/** Page-locked for every device of the process. */
const portable = 1;
const hostToDevice = 1;
const deviceToHost = 2;
const deviceToDevice = 3;

/**
 * Takes a device for the calling thread: one driver per thread, since CUDA's current device belongs to the thread.
 * @throws ENVIRONMENT where there is no such device or no driver that fits
 */
export function openCudaDriver(options: CudaDriverOptions): GpuDriver {
  const { deviceIndex, cudartPath } = options;
  const cuda = loadCuda(cudartPath);
  try {
    cuda.call('cudaSetDevice', deviceIndex);
    return new CudaDriver(cuda, options);
  } catch (error) {
    throw error instanceof GpuError ? unusableDevice(error, deviceIndex) : error;
  }
}

class CudaDriver implements GpuDriver {
  readonly name: string;
  readonly arenaName: string;
  readonly reportedShare: ReportedShare;
  readonly #cuda: Cuda;
  readonly #deviceIndex: number;
  readonly #providerOptions: CudaProviderOptions;
  readonly #heldBytes: HeldBytes;
  readonly #streams: Pointer[] = [];
  readonly #events: Pointer[] = [];
  #memoryInfo: Pointer | undefined;

  constructor(cuda: Cuda, { deviceIndex, cudartPath, nvmlPath, providerOptions }: CudaDriverOptions) {
    this.#cuda = cuda;
    this.#deviceIndex = deviceIndex;
    this.#providerOptions = providerOptions;
    this.arenaName = `gpu:${deviceIndex}`;
    const { name, uuid } = propertiesOf(cuda, deviceIndex);
    this.name = name;
    // Of a slice NVML would show the whole GPU's processes.
    const isSlice = uuid.startsWith('MIG-');
    const pciBusId = pciBusIdOf(cudartPath, deviceIndex);
    this.#heldBytes = openHeldBytes({ nvmlPath, pciBusId, ...(isSlice ? { samePids: false } : {}) });
    this.reportedShare = openReportedShare({ nvmlPath, pciBusId, isSlice });
  }

  /** Not made before it is asked for: listing devices must not load ONNX Runtime before it is known from where. */
  get memoryInfo(): Pointer {
    const deviceAllocator = 0;
    const memoryTypeDefault = 0;
    this.#memoryInfo ??= create((out) =>
      loadOnnxRuntime().CreateMemoryInfo('Cuda', deviceAllocator, this.#deviceIndex, memoryTypeDefault, out),
    );
    return this.#memoryInfo;
  }

  memory(): { readonly freeBytes: number; readonly totalBytes: number } {
    const free: [number | null] = [null];
    const total: [number | null] = [null];
    this.#cuda.call('cudaMemGetInfo', free, total);
    return { freeBytes: Number(free[0]), totalBytes: Number(total[0]) };
  }

  heldBytes(): number | undefined {
    return this.#heldBytes.read();
  }

  allocate(bytes: number): Pointer {
    // CUDA gives no address for 0 bytes.
    return pointerFrom((out) => this.#cuda.call('cudaMalloc', out, Math.max(1, bytes)));
  }

  free(memory: Pointer): void {
    this.#cuda.call('cudaFree', memory);
  }

  pin(host: Uint8Array): boolean {
    const code = this.#cuda.ask('cudaHostRegister', addressOf(host), host.byteLength, portable);
    const error = code === cudaSuccess ? undefined : this.#cuda.errorOf('cudaHostRegister', code);
    if (error?.kind === 'lost') throw error;
    return error === undefined;
  }

  unpin(host: Uint8Array): void {
    this.#cuda.call('cudaHostUnregister', addressOf(host));
  }

  createStream(): Pointer {
    const stream = pointerFrom((out) => this.#cuda.call('cudaStreamCreateWithFlags', out, nonBlockingStream));
    this.#streams.push(stream);
    return stream;
  }

  createEvent(): Pointer {
    const event = pointerFrom((out) => this.#cuda.call('cudaEventCreateWithFlags', out, blockingEvent));
    this.#events.push(event);
    return event;
  }

  copyIn(target: Pointer, source: Uint8Array, stream: Pointer): void {
    this.#cuda.call('cudaMemcpyAsync', target, addressOf(source), source.byteLength, hostToDevice, stream);
  }

  copyOut(target: Uint8Array, source: Pointer, stream: Pointer): void {
    this.#cuda.call('cudaMemcpyAsync', addressOf(target), source, target.byteLength, deviceToHost, stream);
  }

  copyWithin(target: Pointer, source: Pointer, bytes: number, stream: Pointer): void {
    this.#cuda.call('cudaMemcpyAsync', target, source, bytes, deviceToDevice, stream);
  }

  run({ session, runOptions, binding }: DeviceRun): void {
    try {
      check(loadOnnxRuntime().RunWithBinding(session, runOptions, binding));
    } catch (error) {
      this.#cuda.clearError();
      if (!(error instanceof OnnxRuntimeError)) throw error;
      const failure = failedRun(error);
      throw failure.kind === 'other' ? (this.#stuckError(failure) ?? failure) : failure;
    }
  }

  /** cuBLAS and cuDNN give numbers of their own for whatever CUDA told them; an error that sticks shows again. */
  #stuckError(cause: GpuError): GpuError | undefined {
    const code = this.#cuda.ask('cudaMemGetInfo', [null], [null]);
    if (code === cudaSuccess) return undefined;
    const error = this.#cuda.errorOf('cudaMemGetInfo', code);
    error.cause = cause;
    return error.kind === 'lost' ? error : undefined;
  }

  record(event: Pointer, stream: Pointer): void {
    this.#cuda.call('cudaEventRecord', event, stream);
  }

  waitFor(event: Pointer, stream: Pointer): void {
    const flags = 0;
    this.#cuda.call('cudaStreamWaitEvent', stream, event, flags);
  }

  isDone(event: Pointer): boolean {
    const code = this.#cuda.ask('cudaEventQuery', event);
    if (code !== cudaSuccess && code !== cudaErrorNotReady) throw this.#cuda.errorOf('cudaEventQuery', code);
    return code === cudaSuccess;
  }

  block(event: Pointer): void {
    this.#cuda.call('cudaEventSynchronize', event);
  }

  elapsedMs(start: Pointer, end: Pointer): number {
    return numberFrom((out) => this.#cuda.call('cudaEventElapsedTime', out, start, end));
  }

  configureSession(sessionOptions: Pointer, stream: Pointer, arenaBytesMax?: number): void {
    try {
      const entries = providerEntries(this.#deviceIndex, this.#providerOptions, arenaBytesMax);
      appendProvider(sessionOptions, stream, entries);
      recordAssignment(sessionOptions);
    } catch (error) {
      throw error instanceof OnnxRuntimeError ? unusableProvider(error) : error;
    }
  }

  settle(): void {
    for (const stream of this.#streams) this.#cuda.ask('cudaStreamSynchronize', stream);
  }

  arenaBytes(session: Pointer): number | undefined {
    return arenaHeldBytes(session, this.memoryInfo);
  }

  cpuNodes(session: Pointer): readonly AssignedNode[] {
    return [...nodesByProvider(session)].flatMap(([provider, nodes]) => (provider === cudaProvider ? [] : nodes));
  }

  close(): void {
    // What fails here has failed before: whoever wants to know blocks on an event, and a lost device must not hide the
    // error that ended the work.
    this.settle();
    for (const stream of this.#streams) this.#cuda.ask('cudaStreamDestroy', stream);
    for (const event of this.#events) this.#cuda.ask('cudaEventDestroy', event);
    this.#streams.length = 0;
    this.#events.length = 0;
    this.#heldBytes.close();
    this.reportedShare.close();
    if (this.#memoryInfo !== undefined) loadOnnxRuntime().ReleaseMemoryInfo(this.#memoryInfo);
    this.#memoryInfo = undefined;
  }
}

/** As ONNX Runtime calls it in an assignment. */
const cudaProvider = 'CUDAExecutionProvider';

/** Options of the provider as ONNX Runtime names them. */
function providerEntries(
  deviceIndex: number,
  { tf32, others }: CudaProviderOptions,
  arenaBytesMax: number | undefined,
): Record<string, string> {
  return {
    device_id: String(deviceIndex),
    // Powers of two would take up to twice what is needed.
    arena_extend_strategy: 'kSameAsRequested',
    // The exhaustive search times every algorithm for each new batch size, and takes memory for it.
    cudnn_conv_algo_search: 'HEURISTIC',
    do_copy_in_default_stream: '1',
    use_tf32: tf32 ? '1' : '0',
    ...(arenaBytesMax === undefined ? {} : { gpu_mem_limit: String(Math.floor(arenaBytesMax)) }),
    ...others,
  };
}

/** @throws OnnxRuntimeError */
function appendProvider(sessionOptions: Pointer, stream: Pointer, entries: Record<string, string>): void {
  const ort = loadOnnxRuntime();
  const keys = Object.keys(entries);
  const options = create((out) => ort.CreateCUDAProviderOptions(out));
  try {
    // Texts first: they set all options anew, the stream too. It is also this call that says why a provider does not
    // load; the one that appends it only says that it did not.
    check(ort.UpdateCUDAProviderOptions(options, keys, Object.values(entries), keys.length));
    check(ort.UpdateCUDAProviderOptionsWithValue(options, 'user_compute_stream', stream));
    check(ort.SessionOptionsAppendExecutionProvider_CUDA_V2(sessionOptions, options));
  } finally {
    ort.ReleaseCUDAProviderOptions(options);
  }
}

function failedRun(error: OnnxRuntimeError): GpuError {
  const kind = kindOfRunFailure(error.message);
  const code = Number(/CUDA(?:RT)? (?:failure|error) (\d+)\b/i.exec(error.message)?.[1] ?? cudaErrorUnknown);
  const failure = new GpuError(code, `Expected the model to run, got: ${error.message}.`, kind);
  failure.cause = error;
  return failure;
}
const cudaErrorUnknown = 999;

function unusableProvider(cause: OnnxRuntimeError): TandemError {
  const { means, remedy } = adviceFor(cause.message);
  const message = `Expected ONNX Runtime's CUDA provider to take the device, got: ${cause.message} (${means}).`;
  return new TandemError('ENVIRONMENT', message, { remedy, cause });
}

function unusableDevice(cause: GpuError, deviceIndex: number): TandemError {
  const { means, remedy } = adviceFor(`CUDA failure ${cause.code}`);
  const message = `Expected GPU ${deviceIndex} to open. ${cause.message} It says: ${means}.`;
  return new TandemError('ENVIRONMENT', message, { remedy, cause });
}

/**
 * cudaDeviceProp grows with each version of CUDA (1.1 kB in 13), but has started with `char name[256]` and the UUID's 16
 * bytes since CUDA 10 (driver_types.h).
 */
const propertiesBytesMax = 16_384;
const nameBytesMax = 256;
const uuidBytes = 16;

/** Name, for people, and UUID of a device, which is not opened. @throws GpuError */
export function propertiesOf(cuda: Cuda, deviceIndex: number): { readonly name: string; readonly uuid: string } {
  const properties = Buffer.alloc(propertiesBytesMax);
  cuda.call('cudaGetDeviceProperties', properties, deviceIndex);
  const name = textIn(properties.subarray(0, nameBytesMax));
  return { name, uuid: uuidText(properties.subarray(nameBytesMax, nameBytesMax + uuidBytes), name) };
}

/** `GPU-1f4c2a3b-...`, of a MIG slice `MIG-...`: what CUDA_VISIBLE_DEVICES calls the same device. @throws GpuError */
export function uuidOf(cudartPath: string, deviceIndex: number): string {
  return propertiesOf(loadCuda(cudartPath), deviceIndex).uuid;
}

/**
 * `0000:1A:00.0`: the name by which NVML finds the same device, whatever CUDA_VISIBLE_DEVICES hides.
 * @throws GpuError
 */
export function pciBusIdOf(cudartPath: string, deviceIndex: number): string {
  const text = Buffer.alloc(32);
  loadCuda(cudartPath).call('cudaDeviceGetPCIBusId', text, text.length, deviceIndex);
  return textIn(text);
}

function textIn(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString('utf8', 0, end < 0 ? bytes.length : end);
}

function pointerFrom(call: (out: [Pointer | null]) => void): Pointer {
  const out: [Pointer | null] = [null];
  call(out);
  return out[0]!;
}

function numberFrom(call: (out: [number | bigint | null]) => void): number {
  const out: [number | bigint | null] = [null];
  call(out);
  return Number(out[0]);
}
