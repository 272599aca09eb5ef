/** What the system has noted about the calling thread: its seconds on a core and in line for one, the bytes that it read. */
import { closeSync, openSync, readSync } from 'node:fs';
import { threadCoreClock } from '../engines/native.ts';

/** Since the thread began. */
export interface ThreadUsage {
  /** Milliseconds on a core, and ready to run without one. What is left of its time it slept. */
  readonly onCoreMs: number;
  readonly inLineMs: number;
}

export interface ThreadBytes {
  /** Asked of files, wherever they lay. */
  readonly fetched: number;
  /** Of these, what storage gave: the rest was in the page cache. */
  readonly fromStorage: number;
}

/** Reads the calling thread's own figures; for one thread only. */
export class ThreadUsageReader {
  readonly #onCoreMs = threadCoreClock();
  readonly #schedule: number;
  readonly #bytes: number;
  readonly #buffer = Buffer.alloc(512);

  private constructor(schedule: number, bytes: number) {
    this.#schedule = schedule;
    this.#bytes = bytes;
  }

  /** Undefined where the system does not tell (not Linux, or a kernel without these files). */
  static open(): ThreadUsageReader | undefined {
    try {
      return new ThreadUsageReader(openSync('/proc/thread-self/schedstat', 'r'), openSync('/proc/thread-self/io', 'r'));
    } catch {
      return undefined;
    }
  }

  /** About 3 µs. */
  usage(): ThreadUsage {
    // "nanoseconds on a core, nanoseconds in line, times on a core": Documentation/scheduler/sched-stats.rst
    const [, inLine] = this.#text(this.#schedule).split(' ', 2);
    return { onCoreMs: this.#onCoreMs(), inLineMs: Number(inLine) / 1e6 };
  }

  /** About 10 µs. */
  bytes(): ThreadBytes {
    const text = this.#text(this.#bytes);
    const of = (name: string): number => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(text)?.[1] ?? 0);
    return { fetched: of('rchar'), fromStorage: of('read_bytes') };
  }

  close(): void {
    closeSync(this.#schedule);
    closeSync(this.#bytes);
  }

  #text(descriptor: number): string {
    return this.#buffer.toString('latin1', 0, readSync(descriptor, this.#buffer, 0, this.#buffer.length, 0));
  }
}
