/** What a virtual run did when, and the shares of time that follow from it. */

export interface Activity {
  readonly unit: 'thread' | 'gpu';
  readonly index: number;
  /**
   * `waitForScores`: a thread has no free slot. `noBuffer`: every device buffer is in flight. `lastCopy`: all rows of a
   * batch are there but for their copies.
   */
  readonly what: 'fill' | 'write' | 'waitForScores' | 'copyIn' | 'lastCopy' | 'compute' | 'copyOut' | 'noBuffer';
  readonly startSeconds: number;
  readonly endSeconds: number;
  /** 0 where no rows are worked on. */
  readonly rowCount: number;
}

export type Timeline = Activity[];

export interface Window {
  readonly fromSeconds: number;
  readonly toSeconds: number;
}

/** Share of the window's time in which one thread or one engine of a GPU is at it. */
export function shareOf(
  timeline: readonly Activity[],
  of: Pick<Activity, 'unit' | 'index' | 'what'>,
  { fromSeconds, toSeconds }: Window,
): number {
  const own = timeline.filter(({ unit, index, what }) => unit === of.unit && index === of.index && what === of.what);
  const seconds = own.reduce((sum, { startSeconds, endSeconds }) => {
    const within = Math.min(endSeconds, toSeconds) - Math.max(startSeconds, fromSeconds);
    return sum + Math.max(0, within);
  }, 0);
  return seconds / (toSeconds - fromSeconds);
}

/** Share of the time in which a GPU computes, and for what it waits when it does not. Together 1. */
export interface ComputeShares {
  readonly busy: number;
  /** A whole batch is on its way to the device. */
  readonly forCopyIn: number;
  /** Every device buffer is in flight, and none of them on its way in. */
  readonly forBuffer: number;
  /** The threads have handed over nothing more; and the last scores on their way out. */
  readonly forRows: number;
}

export function computeShares(timeline: readonly Activity[], gpu: number, window: Window): ComputeShares {
  const { fromSeconds, toSeconds } = window;
  const clip = (seconds: number): number => Math.min(toSeconds, Math.max(fromSeconds, seconds));
  const changes = timeline
    .filter(({ unit, index }) => unit === 'gpu' && index === gpu)
    .flatMap(({ what, startSeconds, endSeconds }) =>
      what === 'compute' || what === 'lastCopy' || what === 'noBuffer'
        ? [
            { seconds: clip(startSeconds), what, by: 1 },
            { seconds: clip(endSeconds), what, by: -1 },
          ]
        : [],
    )
    .sort((a, b) => a.seconds - b.seconds);
  const active = { compute: 0, lastCopy: 0, noBuffer: 0 };
  const seconds = { busy: 0, forCopyIn: 0, forBuffer: 0, forRows: 0 };
  let last = fromSeconds;
  const passTo = (next: number): void => {
    const state =
      active.compute > 0 ? 'busy' : active.lastCopy > 0 ? 'forCopyIn' : active.noBuffer > 0 ? 'forBuffer' : 'forRows';
    seconds[state] += next - last;
    last = next;
  };
  for (const change of changes) {
    passTo(change.seconds);
    active[change.what] += change.by;
  }
  passTo(toSeconds);
  const length = toSeconds - fromSeconds;
  return {
    busy: seconds.busy / length,
    forCopyIn: seconds.forCopyIn / length,
    forBuffer: seconds.forBuffer / length,
    forRows: seconds.forRows / length,
  };
}
