/** How long each function of a CPU profile ran itself. Pure. */
import type { Profiler } from 'node:inspector';

/** Microseconds of each node by itself: a sample stands for the time until the next one. */
export function selfMicroseconds(profile: Profiler.Profile): Map<number, number> {
  const { samples = [], timeDeltas = [], endTime, startTime } = profile;
  const found = new Map<number, number>();
  let at = startTime;
  samples.forEach((id, index) => {
    at += timeDeltas[index] ?? 0;
    const untilNext = timeDeltas[index + 1] ?? endTime - at;
    found.set(id, (found.get(id) ?? 0) + Math.max(0, untilNext));
  });
  return found;
}
