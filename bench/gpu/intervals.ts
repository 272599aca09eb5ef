/** Stretches of time on one clock: how much of a window they fill, alone and together. */

export interface Interval {
  readonly startMs: number;
  readonly endMs: number;
}

/** Sorted, without overlaps. */
export function union(intervals: readonly Interval[]): Interval[] {
  const sorted = intervals.filter(({ startMs, endMs }) => endMs > startMs).sort((a, b) => a.startMs - b.startMs);
  const merged: Interval[] = [];
  for (const { startMs, endMs } of sorted) {
    const last = merged.at(-1);
    if (last === undefined || startMs > last.endMs) merged.push({ startMs, endMs });
    else merged[merged.length - 1] = { startMs: last.startMs, endMs: Math.max(last.endMs, endMs) };
  }
  return merged;
}

/** Milliseconds in which at least one of them runs. */
export function busyMs(intervals: readonly Interval[]): number {
  return union(intervals).reduce((sum, { startMs, endMs }) => sum + endMs - startMs, 0);
}

/** Milliseconds in which one of each runs. */
export function overlapMs(ones: readonly Interval[], others: readonly Interval[]): number {
  return busyMs(ones) + busyMs(others) - busyMs([...ones, ...others]);
}

export function within(intervals: readonly Interval[], window: Interval): Interval[] {
  return intervals.map(({ startMs, endMs }) => ({
    startMs: Math.max(startMs, window.startMs),
    endMs: Math.min(endMs, window.endMs),
  }));
}

/** Share of the window in which at least one of them runs; NaN of an empty window. */
export function busyShare(intervals: readonly Interval[], window: Interval): number {
  return busyMs(within(intervals, window)) / (window.endMs - window.startMs);
}

/** From the end of the first tenth of the intervals to the start of the last: the beginning and the end left out. */
export function steadyWindow(intervals: readonly Interval[]): Interval {
  const skipped = Math.floor(intervals.length / 10);
  const first = intervals[skipped];
  const last = intervals.at(-1 - skipped);
  return first === undefined || last === undefined
    ? { startMs: NaN, endMs: NaN }
    : { startMs: first.startMs, endMs: last.endMs };
}
