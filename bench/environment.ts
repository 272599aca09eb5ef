/** What a figure was measured on, and whether the machine was ours alone meanwhile. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem } from 'node:os';
import { duckDbVersion } from '../src/engines/duckdb/bindings.ts';
import { onnxRuntimeVersion } from '../src/engines/onnxruntime/bindings.ts';

export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  readonly duckDb: string;
  readonly onnxRuntime: string;
  /** Processes that wanted a core, over the minute before. */
  readonly loadAverage: number;
}

export function environment(): Environment {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${process.platform} ${process.arch} ${release()}`,
    node: process.version,
    duckDb: duckDbVersion,
    onnxRuntime: onnxRuntimeVersion,
    loadAverage: loadavg()[0]!,
  };
}

/** Core seconds since the machine started, in all processes; NaN where the system does not tell. */
export interface CoreSeconds {
  readonly busy: number;
  /** Taken by other guests of the same host. */
  readonly stolen: number;
  readonly atMs: number;
}

/** Unit of /proc/stat. */
const ticksPerSecond = 100;

export function coreSeconds(): CoreSeconds {
  const atMs = performance.now();
  if (process.platform !== 'linux') return { busy: NaN, stolen: NaN, atMs };
  // user, nice, system, idle, iowait, irq, softirq, steal: proc_stat(5)
  const ticks = readFileSync('/proc/stat', 'latin1').split('\n')[0]!.trim().split(/\s+/).slice(1).map(Number);
  const at = (index: number): number => (ticks[index] ?? 0) / ticksPerSecond;
  return { busy: at(0) + at(1) + at(2) + at(5) + at(6), stolen: at(7), atMs };
}

/** Share of all cores' time between two moments that went to others: processes of this machine, guests of its host. */
export function othersShare(from: CoreSeconds, to: CoreSeconds, ownSeconds: number): number {
  const available = ((to.atMs - from.atMs) / 1000) * availableParallelism();
  return Math.max(0, (to.busy - from.busy - ownSeconds + (to.stolen - from.stolen)) / available);
}
