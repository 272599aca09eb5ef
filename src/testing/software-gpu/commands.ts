/** What crosses from the thread that drives a software GPU to the threads that are its streams. */

/** Words of a queued command: operation, then its arguments. */
export const commandWords = 8;
/** Commands that a stream holds; more would overwrite what has not run yet. */
export const commandsMax = 4096;

export const operation = {
  /** target, source, bytes */
  copy: 1n,
  /** session, run options, binding */
  run: 2n,
  /** event, version */
  record: 3n,
  /** event, version */
  wait: 4n,
  /** Nothing, for so many microseconds. */
  pause: 5n,
  /** memory, bytes: float32 values lose the lower 13 of their 23 bits of mantissa */
  round: 6n,
  end: 7n,
} as const;

export const eventsMax = 256;
/** Bytes of the text of the first failure. */
export const failureBytes = 4096;

export interface StreamMemory {
  readonly commands: BigInt64Array;
  /** Commands queued, commands run. */
  readonly counters: Int32Array;
  /** Version of each event that has passed, and when it did (Unix time in milliseconds). */
  readonly events: Int32Array;
  readonly eventTimes: Float64Array;
  /** Length of the text of the first failure, 0 while nothing has failed; the text. */
  readonly failure: Int32Array;
  readonly failureText: Uint8Array;
  /** Bytes a second of copies; 0: as fast as memory. */
  readonly copyBytesPerSecond: number;
}

/** Indices of the counters. */
export const queued = 0;
export const done = 1;
