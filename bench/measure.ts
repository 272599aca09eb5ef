/**
 * How the benchmark measures. A stage is opened in a worker thread, as in a real run; its contestants take turns in
 * rounds, so that what slows the machine down for a while slows all of them. The median of the rounds counts.
 */
import { Worker } from 'node:worker_threads';
import type { RunPlan } from '../src/plan.ts';
import type { WorkloadName } from './data.ts';

/** Stages of a job: their times add up to it. */
export type JobStage = 'decode' | 'featurize' | 'score' | 'write';
/** What is timed by itself. */
export type StageName = JobStage | 'ledger';

/** What a thread opens. Plain data: it crosses to the thread. */
export interface StageTask {
  readonly stage: StageName;
  readonly workload: WorkloadName;
  readonly plan: RunPlan;
  /** Each thread has its own: it chooses the shard, and the name of what is written. */
  readonly threadIndex: number;
}

/** One stage, ready to run in its thread. */
export interface Stage {
  /** @throws Error when an answer is not the one that another way of computing it gives */
  check(): void;
  /** Each does its work once and gives the number of rows. `ours` is the product's own way. */
  readonly contestants: Readonly<Record<string, () => number>>;
  /** Of the score stage: the batch size that `ours` chose. */
  readonly batchSize?: number;
  close(): void;
}

export type ThreadRequest =
  { readonly kind: 'time'; readonly contestant: string; readonly secondsMin: number } | { readonly kind: 'close' };
export type ThreadReply =
  | { readonly kind: 'opened'; readonly contestants: readonly string[]; readonly batchSize: number | undefined }
  | { readonly kind: 'timed'; readonly rowsPerSecond: number };

/** Repeats the work for at least so long. `nowMs`: a monotonic clock. */
export function timeRate(work: () => number, secondsMin: number, nowMs = (): number => performance.now()): number {
  const started = nowMs();
  let rows = 0;
  let seconds = 0;
  while (seconds < secondsMin) {
    rows += work();
    seconds = (nowMs() - started) / 1000;
  }
  return rows / seconds;
}

/** A thread with an opened and checked stage. */
export class StageThread {
  readonly #worker: Worker;
  #contestants: readonly string[] = [];
  #batchSize: number | undefined;

  private constructor(task: StageTask) {
    this.#worker = new Worker(new URL('./stage-thread.js', import.meta.url), { workerData: task });
  }

  static async open(task: StageTask): Promise<StageThread> {
    const thread = new StageThread(task);
    const reply = await thread.#reply();
    if (reply.kind === 'opened') {
      thread.#contestants = reply.contestants;
      thread.#batchSize = reply.batchSize;
    }
    return thread;
  }

  get batchSize(): number | undefined {
    return this.#batchSize;
  }

  get contestants(): readonly string[] {
    return this.#contestants;
  }

  /** Rows per second of one contestant. */
  async time(contestant: string, secondsMin: number): Promise<number> {
    const request: ThreadRequest = { kind: 'time', contestant, secondsMin };
    this.#worker.postMessage(request);
    const reply = await this.#reply();
    return reply.kind === 'timed' ? reply.rowsPerSecond : NaN;
  }

  async close(): Promise<void> {
    const ended = new Promise((resolve) => this.#worker.once('exit', resolve));
    const request: ThreadRequest = { kind: 'close' };
    this.#worker.postMessage(request);
    await ended;
  }

  #reply(): Promise<ThreadReply> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#worker.off('message', onMessage);
        this.#worker.off('error', onError);
      };
      const onMessage = (reply: ThreadReply): void => {
        settle();
        resolve(reply);
      };
      const onError = (error: unknown): void => {
        settle();
        reject(error);
      };
      this.#worker.on('message', onMessage);
      this.#worker.on('error', onError);
    });
  }
}

/** Rates of each contestant, one for each round. */
export type Rounds = Readonly<Record<string, readonly number[]>>;

/** Contestants in turn, one after the other, on one core. The first round warms up and is dropped. */
export async function timeInTurn(
  thread: StageThread,
  contestants: readonly string[],
  rounds: number,
  secondsMin: number,
): Promise<Rounds> {
  const rates: Record<string, number[]> = Object.fromEntries(contestants.map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const contestant of contestants) {
      const rate = await thread.time(contestant, secondsMin);
      if (round > 0) rates[contestant]!.push(rate);
    }
  }
  return rates;
}

/** One contestant in all threads at once: the mean rate of a thread, which is that of a core while all are busy. */
export async function timeTogether(
  threads: readonly StageThread[],
  contestant: string,
  secondsMin: number,
): Promise<number> {
  const rates = await Promise.all(threads.map((thread) => thread.time(contestant, secondsMin)));
  return rates.reduce((sum, rate) => sum + rate, 0) / rates.length;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** Median over the rounds of ours / limit within a round: what drifts between rounds cancels out. */
export function medianRatio(ours: readonly number[], limit: readonly number[]): number {
  return median(ours.map((rate, round) => rate / limit[round]!));
}

/** @throws Error naming what differs by more than `tolerance`, relative to the larger of 1 and the expected value */
export function expectClose(what: string, found: number, expected: number, tolerance: number): void {
  const difference = Math.abs(found - expected) / Math.max(1, Math.abs(expected));
  if (!(difference <= tolerance)) throw new Error(`Expected ${what} to be ${expected}, got ${found}.`);
}
