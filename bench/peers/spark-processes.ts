/** Who is who among Spark's processes, and what each kind of them takes: memory over time, and CPU. */
import type { ProcessSample } from './cpu-ledger.ts';

/** `worker`: Spark's Python workers and the daemon that forks them. `driver`: the program. `tools`: profilers, shells. */
export const processKinds = ['jvm', 'worker', 'driver', 'tandem', 'tools'] as const;
export type ProcessKind = (typeof processKinds)[number];

/** From a process's arguments; undefined: it is between fork and exec, or has ended. */
export function kindOf(args: readonly string[]): ProcessKind | undefined {
  const program = args[0]?.split('/').at(-1);
  if (program === undefined || program === '') return undefined;
  if (args.includes('pyspark.daemon') || args.includes('pyspark.worker')) return 'worker';
  if (program.startsWith('java')) return args.includes('org.apache.spark.deploy.SparkSubmit') ? 'jvm' : 'tools';
  if (program.startsWith('node')) return 'tandem';
  return program.startsWith('python') && args.some((arg) => arg.endsWith('/spark.py')) ? 'driver' : 'tools';
}

/** One moment. Bytes that are resident. */
export interface MemoryPoint {
  /** Unix seconds. */
  readonly at: number;
  readonly bytes: Readonly<Record<ProcessKind, number>>;
  readonly largestWorker: number;
}

/** Unit of /proc/<pid>/stat. */
const ticksPerSecond = 100;

/** Fed with the processes of a tree, moment by moment. */
export class ProcessWatch {
  readonly #pageBytes: number;
  readonly #argsOf: (pid: number) => readonly string[];
  readonly #ticks = new Map<string, { kind: ProcessKind; ticks: number }>();
  readonly points: MemoryPoint[] = [];

  /** @param argsOf arguments of a living process, empty when it has ended */
  constructor(pageBytes: number, argsOf: (pid: number) => readonly string[]) {
    this.#pageBytes = pageBytes;
    this.#argsOf = argsOf;
  }

  take(members: readonly ProcessSample[], at: number): void {
    const bytes = { jvm: 0, worker: 0, driver: 0, tandem: 0, tools: 0 };
    let largestWorker = 0;
    for (const { pid, startedAtTicks, ownTicks, residentPages } of members) {
      const key = `${pid}:${startedAtTicks}`;
      // A shell becomes the JVM in the same process, so the arguments are read each time.
      const kind = kindOf(this.#argsOf(pid)) ?? this.#ticks.get(key)?.kind ?? 'tools';
      this.#ticks.set(key, { kind, ticks: ownTicks });
      bytes[kind] += residentPages * this.#pageBytes;
      if (kind === 'worker') largestWorker = Math.max(largestWorker, residentPages * this.#pageBytes);
    }
    this.points.push({ at, bytes, largestWorker });
  }

  /** User and system; what a process did after its last sample is not in it. */
  cpuSeconds(): Record<ProcessKind, number> {
    const seconds = { jvm: 0, worker: 0, driver: 0, tandem: 0, tools: 0 };
    for (const { kind, ticks } of this.#ticks.values()) seconds[kind] += ticks / ticksPerSecond;
    return seconds;
  }
}

/** What only the JVM knows, as spark.py writes it: a line of JSON each. */
export interface JvmPoint {
  /** Unix seconds. */
  readonly at: number;
  readonly heapUsed: number;
  readonly heapCommitted: number;
  /** Direct byte buffers. */
  readonly direct: number;
  /** What Arrow's allocator has given out, all of it outside of the heap. */
  readonly arrow: number;
}

/** The last line may be half of one: its writer was killed. */
export function parseJvmPoints(text: string): JvmPoint[] {
  return text.split('\n').flatMap((line) => {
    try {
      return [JSON.parse(line) as JvmPoint];
    } catch {
      return [];
    }
  });
}

/** At most so many, evenly spread, of each stretch the one with the largest value. */
export function thin<Point>(points: readonly Point[], countMax: number, valueOf: (point: Point) => number): Point[] {
  const stretch = Math.ceil(points.length / countMax);
  const kept: Point[] = [];
  for (let start = 0; start < points.length; start += stretch) {
    const group = points.slice(start, start + stretch);
    kept.push(group.reduce((largest, point) => (valueOf(point) > valueOf(largest) ? point : largest)));
  }
  return kept;
}
