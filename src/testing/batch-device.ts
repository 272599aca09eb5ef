/** A device that exists only as numbers: how fast batches run, what they take of its memory, who else is there. */
import { nextStep, observe, type ControllerState, type Sample } from '../score/device-batch-size.ts';

export interface BatchDevice {
  readonly totalBytes: number;
  /** True rows per second of a batch size. */
  readonly rate: (rows: number) => number;
  /** Device memory of the n-th run (from 1) of a batch size in a session, weights included. */
  readonly memory: (rows: number, run: number) => number;
  /** Factor on the seconds of a run. */
  readonly noise?: () => number;
  /** Memory of other processes at the n-th step of the run. */
  readonly others?: (step: number) => number;
  /** Regions of sizes that ran before stay beside the new ones until memory is given back. */
  readonly fragments?: boolean;
  /** A device that tells nothing about its memory. */
  readonly silent?: boolean;
}

export interface Trace {
  readonly state: ControllerState;
  /** Rows of each run, in order; those that ran out of memory are negative. */
  readonly runs: readonly number[];
  /** Rows of each run that was asked for as a probe. */
  readonly probes: number;
  readonly shrinks: number;
  readonly newSessions: number;
  readonly outOfMemory: number;
  /** The most that this process held, by what its runs needed. */
  readonly peakBytes: number;
}

/** Does what the controller asks for until it fails, `steps` are done or `until` holds. */
export function drive(
  start: ControllerState,
  device: BatchDevice,
  steps: number,
  until: (state: ControllerState) => boolean = () => false,
): Trace {
  const counts = { probes: 0, shrinks: 0, newSessions: 0, outOfMemory: 0, peakBytes: 0 };
  const runs: number[] = [];
  const weights = device.memory(0, 1);
  let state = start;
  let sizes = new Map<number, number>();
  let regions: readonly number[] = [];
  let sessionPeak = weights;
  const run = (rows: number, step: number): boolean => {
    const count = (sizes.get(rows) ?? 0) + 1;
    const needed = device.memory(rows, count);
    const others = device.others?.(step) ?? 0;
    const wanted = withRegion(regions, needed - weights, device);
    if (weights + sum(wanted) > device.totalBytes - others) return false;
    regions = wanted;
    sizes.set(rows, count);
    sessionPeak = Math.max(sessionPeak, needed);
    counts.peakBytes = Math.max(counts.peakBytes, needed);
    return true;
  };
  for (let step = 0; step < steps; step++) {
    const next = nextStep(state);
    if (next.kind === 'fail' || until(state)) break;
    const free = (): number => device.totalBytes - (device.others?.(step) ?? 0) - weights - sum(regions);
    let sample: Sample;
    if (next.kind === 'newSession') {
      counts.newSessions++;
      sizes = new Map();
      regions = [];
      sessionPeak = weights;
      sample = { kind: 'newSession', freeBytes: free() };
    } else {
      if (next.kind === 'shrink') counts.shrinks++;
      else if (next.probe) counts.probes++;
      // What nothing uses goes back when such a run has ended; the simplest device lets go of it before.
      if (next.kind === 'shrink') regions = [];
      if (!run(next.rows, step)) {
        counts.outOfMemory++;
        runs.push(-next.rows);
        sample = { kind: 'outOfMemory', rows: next.rows, during: next.kind, where: 'node 3', freeBytes: free() };
      } else if (next.kind === 'shrink') {
        sample = { kind: 'shrink', freeBytes: free() };
      } else {
        runs.push(next.rows);
        const seconds = (next.rows / device.rate(next.rows)) * (device.noise?.() ?? 1);
        const seen = device.silent === true ? {} : { memoryPeakBytes: sessionPeak, freeBytes: free() };
        sample = { kind: 'ran', rows: next.rows, seconds, ...seen };
      }
    }
    state = observe(state, sample);
  }
  return { state, runs, ...counts };
}

/** A region that is large enough is used again; otherwise the device has to find a new one. */
function withRegion(regions: readonly number[], bytes: number, { fragments }: BatchDevice): readonly number[] {
  if (regions.some((region) => region >= bytes)) return regions;
  return fragments === true ? [...regions, bytes] : [bytes];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
