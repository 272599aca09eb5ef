/** A process that scores once, as the command does (which loads no Arrow), and prints what it cost. Argument and print are JSON. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Progress, ScoreOptions, ScoreResult } from '../src/options.ts';
import { score } from '../src/pipeline.ts';

/** What one run cost. */
export interface JobFigures {
  readonly result: ScoreResult;
  /** Between the first tenth of the rows and the last: start, end and the writing of footers left out. */
  readonly steadyRowsPerSecond: number;
  readonly peakRssBytes: number;
  /** Longest time in which the main thread's event loop did not turn. */
  readonly eventLoopGapMsMax: number;
  /** Of all threads. */
  readonly cpuSeconds: number;
}

/** Of monitorEventLoopDelay, which counts the pause between two of its own ticks as delay. */
const tickMs = 1;

interface Moment {
  readonly atMs: number;
  readonly rowsDone: number;
}

function steadyRate(moments: readonly Moment[], rowsTotal: number): number {
  const steady = moments.filter(({ rowsDone }) => rowsDone >= rowsTotal * 0.1 && rowsDone <= rowsTotal * 0.9);
  const first = steady[0];
  const last = steady.at(-1);
  if (first === undefined || last === undefined || first === last) return NaN;
  return (last.rowsDone - first.rowsDone) / ((last.atMs - first.atMs) / 1000);
}

async function main(options: ScoreOptions): Promise<void> {
  const moments: Moment[] = [];
  const delays = monitorEventLoopDelay({ resolution: tickMs });
  delays.enable();
  let rowsTotal = 0;
  const onProgress = (progress: Progress): void => {
    rowsTotal = progress.rowsTotal;
    moments.push({ atMs: performance.now(), rowsDone: progress.rowsDone });
  };
  const result = await score({ ...options, onProgress });
  delays.disable();
  const usage = process.resourceUsage();
  const figures: JobFigures = {
    result,
    steadyRowsPerSecond: steadyRate(moments, rowsTotal),
    peakRssBytes: usage.maxRSS * 1024,
    eventLoopGapMsMax: Math.max(0, delays.max / 1e6 - tickMs),
    cpuSeconds: (usage.userCPUTime + usage.systemCPUTime) / 1e6,
  };
  console.log(JSON.stringify(figures));
}

await main(JSON.parse(process.argv[2]!) as ScoreOptions);
