/**
 * One GPU as the thread that owns it sees it. Every call comes from that thread and returns at once unless it says
 * otherwise; work queued on a stream happens in order, streams among themselves only as events say. Three things stand
 * behind it: CUDA (`cuda-driver.ts`), the software GPU of the tests, and nothing, where no GPU is asked for.
 */
import type { Pointer } from '../native.ts';
import type { ReportedShare } from '../nvml/reported-share.ts';
import type { AssignedNode } from '../onnxruntime/assignment.ts';

/** A stretch of device memory. */
export interface DeviceRange {
  readonly memory: Pointer;
  readonly bytes: number;
}

/** One model run: its addresses in ONNX Runtime, and the device memory that is bound. */
export interface DeviceRun {
  readonly session: Pointer;
  readonly runOptions: Pointer;
  readonly binding: Pointer;
  readonly rowCount: number;
  /** The run options say so: at its end the arena gives back what is not in use. */
  readonly shrinksArena: boolean;
  readonly reads: readonly DeviceRange[];
  readonly writes: readonly DeviceRange[];
  /** ONNX Runtime allocates some outputs: when the call returns, where they lie is known, though not what is in them. */
  readonly allocates: boolean;
}

export interface GpuDriver {
  /** For people: `NVIDIA H200`. */
  readonly name: string;
  /** Bytes of the device's memory, other processes' counted too. */
  memory(): { readonly freeBytes: number; readonly totalBytes: number };
  /**
   * Bytes of the device's memory that this process holds by the account of NVIDIA's driver, contexts and code included.
   * Undefined where it does not tell: on a MIG slice, without NVML, in a container that numbers processes by itself.
   */
  heldBytes(): number | undefined;
  /** How busy the device is by the account of NVIDIA's driver. Lives as long as this driver; always the same one. */
  readonly reportedShare: ReportedShare;
  /** @throws GpuError `outOfMemory` */
  allocate(bytes: number): Pointer;
  free(memory: Pointer): void;
  /**
   * Page-locks host memory, once, before it is copied from or to; it must stay where it is until {@link unpin}.
   * @returns false where the system refuses: copies then block their caller and take several times as long
   */
  pin(host: Uint8Array): boolean;
  unpin(host: Uint8Array): void;
  createStream(): Pointer;
  /** An event that counts as passed until it is recorded. */
  createEvent(): Pointer;
  /** Queues a copy of `source` to device memory; `source` must not change before the copy has passed. */
  copyIn(target: Pointer, source: Uint8Array, stream: Pointer): void;
  /** Queues a copy of device memory that fills `target`, whose bytes are undefined until it has passed. */
  copyOut(target: Uint8Array, source: Pointer, stream: Pointer): void;
  /** Queues a copy within the device's memory, of an output that ONNX Runtime allocated on the stream. */
  copyWithin(target: Pointer, source: Pointer, bytes: number, stream: Pointer): void;
  /** Queues a model run on the stream for which its session was opened; its errors come now or with the next event. */
  run(run: DeviceRun, stream: Pointer): void;
  /** Marks this point of the stream; what an event meant before is forgotten. */
  record(event: Pointer, stream: Pointer): void;
  /** What is queued on the stream from now on waits for the event as it was last recorded. */
  waitFor(event: Pointer, stream: Pointer): void;
  /** Whether the stream has passed the event. @throws GpuError of anything that failed on the device */
  isDone(event: Pointer): boolean;
  /** Sleeps until the stream has passed the event. @throws GpuError of anything that failed on the device */
  block(event: Pointer): void;
  /** Time between two events that have both passed, by the device's clock. */
  elapsedMs(start: Pointer, end: Pointer): number;
  /**
   * Adds this device to the options of a session whose runs go to `stream`.
   * @param arenaBytesMax memory that the session may take for weights and intermediate values; undefined: all there is
   */
  configureSession(sessionOptions: Pointer, stream: Pointer, arenaBytesMax?: number): void;
  /** Memory that the session has taken from the device and keeps; undefined where it does not tell. */
  arenaBytes(session: Pointer): number | undefined;
  /** Nodes of a session with these options that another than this device runs: the CPU. */
  cpuNodes(session: Pointer): readonly AssignedNode[];
  /** As ONNX Runtime's `memory.enable_memory_arena_shrinkage` names this device: `gpu:0`. */
  readonly arenaName: string;
  /** OrtMemoryInfo of tensors in this device's memory. Lives as long as the driver. */
  readonly memoryInfo: Pointer;
  /** Waits for what is queued; whoever wants to know whether it failed asks an event. */
  settle(): void;
  /**
   * Frees streams and events; device memory is freed by whoever allocated it. Waits for what is queued. Sessions end
   * before: closing one may still use its stream.
   */
  close(): void;
}

/** What a failure on a device means for what comes next. */
export type GpuFailureKind =
  /** Less at once may fit: nothing is broken. */
  | 'outOfMemory'
  /** The device answers nothing any more in this process. */
  | 'lost'
  | 'other';

/** A call of the driver that failed. */
export class GpuError extends Error {
  override readonly name = 'GpuError';
  readonly kind: GpuFailureKind;
  /** cudaError_t */
  readonly code: number;

  constructor(code: number, message: string, kind = kindOfCode(code)) {
    super(message);
    this.code = code;
    this.kind = kind;
  }
}

const outOfMemoryCode = 2;
/**
 * cudaError_t that stick: every later call of the process gives them again (CUDA Runtime API, "Error handling"). 220 and
 * 226 are faults of the link between GPUs, 810 is the end of the server that shares one (MPS).
 */
const stickyCodes = new Set([214, 220, 226, 700, 702, 708, 709, 710, 714, 715, 716, 717, 718, 719, 721, 810, 999]);

function kindOfCode(code: number): GpuFailureKind {
  if (code === outOfMemoryCode) return 'outOfMemory';
  return stickyCodes.has(code) ? 'lost' : 'other';
}

/** Of ONNX Runtime's arena, of CUDA, of cuBLAS and cuDNN. */
const outOfMemoryTexts = [
  /Failed to allocate memory for requested buffer|smaller than requested bytes|free memory block despite/i,
  /CUDA(?:RT)? (?:failure|error) 2\b|out of memory|cudaErrorMemoryAllocation/i,
  /(?:CUBLAS|CUDNN)_STATUS_ALLOC_FAILED|CUDNN_STATUS_INTERNAL_ERROR_\w*ALLOC/i,
];

/** What ONNX Runtime's error about a run on a GPU means. Its codes differ between versions; its texts are the driver's. */
export function kindOfRunFailure(text: string): GpuFailureKind {
  const code = /CUDA(?:RT)? (?:failure|error) (\d+)\b/i.exec(text);
  if (code !== null && stickyCodes.has(Number(code[1]))) return 'lost';
  return outOfMemoryTexts.some((pattern) => pattern.test(text)) ? 'outOfMemory' : 'other';
}

/** A GPU that can be used. */
export interface UsableDevice {
  /** What `--device` calls it: `cuda:0`. */
  readonly name: string;
  /** For people: `NVIDIA H200`. */
  readonly label: string;
  /** `580.65.06`; undefined where nobody can tell. */
  readonly driverVersion?: string | undefined;
  /** `GPU-1f4c2a3b-...`, of a MIG slice its own: `MIG-...`. Undefined where the driver has none. */
  readonly uuid: string | undefined;
  readonly freeBytes: number;
  readonly totalBytes: number;
  /** For {@link DriverModule.openDriver}; plain data, since it crosses a thread. */
  readonly options: unknown;
}

/**
 * How float32 products are computed: in full, or with factors rounded to 10 bits of mantissa (TensorFloat-32): faster,
 * and other scores.
 */
export type DevicePrecision = 'float32' | 'tf32';

/** The GPUs of this machine, in the order of their numbers. */
export interface UsableDevices {
  readonly devices: readonly UsableDevice[];
  /** The ONNX Runtime that has a provider for them; undefined: the one that Tandem brings. */
  readonly onnxRuntimePath: string | undefined;
}

/** What a module that drives GPUs offers. */
export interface DriverModule {
  /**
   * @param ortDir a folder with ONNX Runtime's CUDA provider, to be looked at first
   * @param precision of the sessions that their drivers open
   * @throws ENVIRONMENT where none can be used, with the reason
   */
  listDevices(ortDir: string | undefined, precision: DevicePrecision): UsableDevices;
  /** Opens a device in the thread that will make all its calls. */
  openDriver(options: unknown): GpuDriver;
}
