/** One monotonic clock for all threads: each worker's `performance.now()` begins at its own start. */

const offsetMs = Number(process.hrtime.bigint() / 1000n) / 1000 - performance.now();

/** Milliseconds since some moment, the same in every thread of the process. */
export function threadsNowMs(): number {
  return performance.now() + offsetMs;
}
