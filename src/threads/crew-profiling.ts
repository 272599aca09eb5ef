/** The main thread's side of CPU profiles: asks all threads of a crew at once, collects what they tell. */
import { bug } from '../errors.ts';
import { profileAnswerMsMax } from '../limits.ts';
import { foldNativeCalls } from '../measure/flame.ts';
import type { CrewReading } from '../measure/ledger.ts';
import { CpuSampler, type ProfiledMessage } from '../measure/thread-profiler.ts';
import { control } from '../messages.ts';
import type { ThreadProfile } from '../run-record.ts';

export interface CrewProfile {
  /** In the order in which the threads were started, the main thread first. */
  readonly profiles: readonly ThreadProfile[];
  /** Threads that were at work and did not come by between two batches while the profile was taken. */
  readonly missing: readonly string[];
  /** Where the threads' time had gone when the profile began, and when it ended. */
  readonly from: CrewReading;
  readonly to: CrewReading;
  /** Of the process between the two. */
  readonly cpuSeconds: number;
  /** V8's heap of each thread when the profile ended. */
  readonly heaps: readonly { readonly thread: string; readonly bytes: number }[];
}

interface Round {
  readonly number: number;
  readonly told: Map<string, ProfiledMessage>;
  /** Threads that are at work and have not told. */
  readonly owing: Set<string>;
  settle: () => void;
}

export class CrewProfiling {
  readonly #control: Int32Array;
  readonly #read: () => CrewReading;
  readonly #threads: string[] = [];
  readonly #atWork = new Set<string>();
  #round: Round | undefined;

  constructor(flags: Int32Array, read: () => CrewReading) {
    this.#control = flags;
    this.#read = read;
  }

  get isUnderWay(): boolean {
    return this.#round !== undefined;
  }

  /** No thread is at work any more. */
  get isOver(): boolean {
    return this.#atWork.size === 0;
  }

  join(thread: string): void {
    this.#threads.push(thread);
    this.#atWork.add(thread);
  }

  /** The thread has ended; what it had to tell has been heard. */
  leave(thread: string): void {
    this.#atWork.delete(thread);
    this.#settle(thread);
  }

  hear(thread: string, message: ProfiledMessage): void {
    if (message.round !== this.#round?.number) return;
    this.#round.told.set(thread, message);
    this.#settle(thread);
  }

  /** For so long, or until all threads have ended. One at a time: see {@link isUnderWay}. */
  async take(seconds: number): Promise<CrewProfile> {
    if (this.isUnderWay) throw bug('A second profile began while the first was taken');
    const sampler = new CpuSampler();
    sampler.start();
    const from = this.#read();
    const usedBefore = process.cpuUsage();
    const round: Round = {
      number: Atomics.add(this.#control, control.profile, 1) + 1,
      told: new Map(),
      owing: new Set(this.#atWork),
      settle: () => {},
    };
    const allTold = new Promise<void>((resolve) => (round.settle = resolve));
    this.#round = round;
    if (round.owing.size === 0) round.settle();
    await settledOr(allTold, seconds * 1000);
    const to = this.#read();
    const used = process.cpuUsage(usedBefore);
    Atomics.add(this.#control, control.profile, 1);
    const main = sampler.stop();
    await settledOr(allTold, profileAnswerMsMax);
    this.#round = undefined;
    return { ...this.#collect(round, main), from, to, cpuSeconds: (used.user + used.system) / 1e6 };
  }

  #settle(thread: string): void {
    if (this.#round?.owing.delete(thread) === true && this.#round.owing.size === 0) this.#round.settle();
  }

  #collect(
    { told, owing }: Round,
    main: ThreadProfile['profile'] | undefined,
  ): Omit<CrewProfile, 'from' | 'to' | 'cpuSeconds'> {
    const of = (thread: string): ThreadProfile['profile'] | undefined => told.get(thread)?.profile;
    const all = [
      { thread: 'main', profile: main },
      ...this.#threads.map((thread) => ({ thread, profile: of(thread) })),
    ];
    return {
      profiles: all.flatMap(({ thread, profile }) =>
        profile === undefined ? [] : [{ thread, profile: foldNativeCalls(profile) }],
      ),
      missing: this.#threads.filter((thread) => owing.has(thread) || (told.has(thread) && of(thread) === undefined)),
      heaps: this.#threads.flatMap((thread) => {
        const bytes = told.get(thread)?.heapBytes;
        return bytes === undefined ? [] : [{ thread, bytes }];
      }),
    };
  }
}

/** Waits for it, or so long. */
async function settledOr(promise: Promise<void>, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([promise, new Promise((resolve) => (timer = setTimeout(resolve, milliseconds)))]);
  clearTimeout(timer);
}
