/**
 * V8's CPU profiler on the thread that it is about. A thread in native code or asleep takes no messages, so it looks at a
 * counter in shared memory between two batches: odd, a profile is wanted; even, it is over.
 */
import type { Profiler, Session } from 'node:inspector';
import { getHeapStatistics } from 'node:v8';
import { renewNames } from '../engines/native.ts';
import { profileIntervalMicroseconds } from '../limits.ts';
import { control } from '../messages.ts';

/** What a thread tells once for each profile that was wanted. */
export interface ProfiledMessage {
  readonly kind: 'profiled';
  /** The counter's value that asked for it. */
  readonly round: number;
  /** Undefined: the thread came by too late, or this Node has no profiler. */
  readonly profile: Profiler.Profile | undefined;
  /** Of the thread's own V8 heap. */
  readonly heapBytes: number;
}

export class ThreadProfiler {
  readonly #control: Int32Array;
  readonly #post: (message: ProfiledMessage) => void;
  readonly #sampler = new CpuSampler();
  /** The counter as it was last seen. */
  #seen = 0;

  /** @param flags the run's, see `control` in messages.ts */
  constructor(flags: Int32Array, post: (message: ProfiledMessage) => void) {
    this.#control = flags;
    this.#post = post;
  }

  /** Begins or ends a profile where that is wanted; otherwise it costs one load. */
  look(): void {
    const counter = Atomics.load(this.#control, control.profile);
    if (counter === this.#seen) return;
    // What began in an earlier round, or was wanted and missed.
    if (this.#sampler.isRunning || !isWanted(counter)) this.#tell(isWanted(this.#seen) ? this.#seen : counter - 1);
    this.#seen = counter;
    if (isWanted(counter)) this.#sampler.start();
  }

  /** The thread has nothing left to do: what was sampled is told. */
  end(): void {
    this.look();
    if (this.#sampler.isRunning) this.#tell(this.#seen);
  }

  #tell(round: number): void {
    const { used_heap_size: heapBytes } = getHeapStatistics();
    this.#post({ kind: 'profiled', round, profile: this.#sampler.stop(), heapBytes });
  }
}

function isWanted(counter: number): boolean {
  return counter % 2 === 1;
}

/** The profiler of the calling thread. */
export class CpuSampler {
  #session: Session | undefined;

  get isRunning(): boolean {
    return this.#session !== undefined;
  }

  start(): void {
    // Loaded by those who are profiled only. A Node that was built without it cannot be.
    const inspector = process.getBuiltinModule('node:inspector') as typeof import('node:inspector') | undefined;
    if (inspector === undefined) return;
    const session = new inspector.Session();
    session.connect();
    session.post('Profiler.enable');
    session.post('Profiler.setSamplingInterval', { interval: profileIntervalMicroseconds });
    session.post('Profiler.start');
    renewNames();
    this.#session = session;
  }

  stop(): Profiler.Profile | undefined {
    let profile: Profiler.Profile | undefined;
    // In a session on its own thread the answer comes before `post` returns.
    this.#session?.post('Profiler.stop', (_error, answer) => (profile = answer?.profile));
    this.#session?.disconnect();
    this.#session = undefined;
    return profile;
  }
}
