/** What a software GPU is like. */
export interface SoftwareGpuOptions {
  readonly memoryBytes: number;
  /** Memory that the process holds before it allocates any, as CUDA's context is. */
  readonly contextBytes?: number;
  /** Bytes a second of each copy stream; 0: as fast as memory. */
  readonly copyBytesPerSecond?: number;
  /** Pause before each run, for a model that is slow to compute. */
  readonly runMicroseconds?: number;
  /** Memory that libraries take for themselves at the first run. */
  readonly workspaceBytes?: number;
  /** Memory that each session's arena takes for its weights. */
  readonly sessionBytes?: number;
  /** Nobody tells how much of the device's memory this process holds. */
  readonly hidesMemory?: boolean;
  /** How busy it says it was in every stretch that it was asked about, from 0 to 1; undefined: it tells nothing. */
  readonly reportedShare?: number;
  /** The same for each row of the run: larger batches gain less and less. */
  readonly rowMicroseconds?: number;
  /** Memory that a run takes for each of its rows; the arena keeps what the largest run took. */
  readonly runBytesPerRow?: number;
  /** Runs (counted from 0) that fail for want of memory, whatever is free. */
  readonly outOfMemoryRuns?: readonly number[];
  /** Whose words say so: of the arena (default), of cuDNN, or of CUDA. */
  readonly outOfMemoryAs?: 'arena' | 'cudnn' | 'cuda';
  /** Allocations (counted from 0) that fail for want of memory, whatever is free. */
  readonly failedAllocations?: readonly number[];
  /** The run (counted from 0) after which the device answers nothing any more. */
  readonly lostAtRun?: number;
  readonly pinFails?: boolean;
  /** Texts with which the first sessions do not open; `null`: one does. */
  readonly sessionErrors?: readonly (string | null)[];
  /** Operators that it counts as the CPU's; it runs all nodes alike. */
  readonly cpuOperators?: readonly string[];
  /** `GPU-...` or `MIG-...`; without it the device has none. */
  readonly uuid?: string;
  /** In place of runMicroseconds and rowMicroseconds when it runs with TensorFloat-32. */
  readonly tf32?: { readonly runMicroseconds?: number; readonly rowMicroseconds?: number };
}
