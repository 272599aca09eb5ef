/** One monotonic clock for all threads: each worker's `performance.now()` begins at its own start. */

/** More than enough for one that nothing interrupts. */
const looks = 20;

/** A thread that was taken off its core between the two clocks would be wrong by that long: the closest look counts. */
function offsetOfThread(): number {
  let offset = { uncertainMs: Infinity, ms: 0 };
  for (let look = 0; look < looks; look++) {
    const before = process.hrtime.bigint();
    const ownMs = performance.now();
    const uncertainMs = Number(process.hrtime.bigint() - before) / 1e6;
    if (uncertainMs < offset.uncertainMs) offset = { uncertainMs, ms: Number(before / 1000n) / 1000 - ownMs };
  }
  return offset.ms;
}

const offsetMs = offsetOfThread();

/** Milliseconds since some moment, the same in every thread of the process. */
export function threadsNowMs(): number {
  return performance.now() + offsetMs;
}
