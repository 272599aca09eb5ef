/** The main thread's side of the threads of a fit: a pass over all units at a time. */
import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { interrupt } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { asTandemError, bug, TandemError } from '../errors.ts';
import { sourceName } from '../contract/contract.ts';
import { uncountable, type Category } from '../fit/categories.ts';
import type { FitAnswer } from '../fit/feature-fit.ts';
import { emptyTally, mergeTally } from '../fit/moments.ts';
import { fitCategoriesMax, interruptIntervalMs } from '../limits.ts';
import { fitControl, type FitReply, type FitRequest, type FitTask } from '../messages.ts';
import type { FitPlan } from '../planning/fit-plan.ts';
import { startWorker } from './start-worker.ts';

type Passed = Extract<FitReply, { kind: 'passed' }>;

interface Member {
  readonly worker: Worker;
  readonly exited: Promise<unknown>;
  connection: Pointer | undefined;
  settle: ((reply: Passed | TandemError) => void) | undefined;
  /** Why it will not answer any more. */
  ended: TandemError | undefined;
}

export class FitCrew {
  readonly #plan: FitPlan;
  readonly #control = new Int32Array(new SharedArrayBuffer(fitControl.length * Int32Array.BYTES_PER_ELEMENT));
  readonly #rowsRead = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT));
  readonly #members: readonly Member[];

  constructor(plan: FitPlan, database: Pointer, threads: number) {
    this.#plan = plan;
    this.#members = Array.from({ length: threads }, () => {
      const start = { plan, database, control: this.#control, rowsRead: this.#rowsRead };
      return join(startWorker('./fit.js', start));
    });
  }

  /** Rows that have been read in this pass. */
  get rowsRead(): number {
    return Number(Atomics.load(this.#rowsRead, 0));
  }

  /** Connections that the threads leave open. */
  get connections(): Pointer[] {
    return this.#members.flatMap(({ connection }) => (connection === undefined ? [] : [connection]));
  }

  /** One answer for each task. @throws what a thread throws; BAD_COLUMN for too many categories; STOPPED after an abort */
  async pass(tasks: readonly FitTask[], signal: AbortSignal | undefined): Promise<FitAnswer[]> {
    Atomics.store(this.#control, fitControl.nextUnit, 0);
    Atomics.store(this.#rowsRead, 0, 0n);
    let again: NodeJS.Timeout | undefined;
    // Again and again: an interrupt that falls between two queries is forgotten when the next one starts.
    const stop = (): void => {
      Atomics.store(this.#control, fitControl.stop, 1);
      this.connections.forEach(interrupt);
      clearTimeout(again);
      again = setTimeout(stop, interruptIntervalMs);
    };
    signal?.addEventListener('abort', stop);
    if (signal?.aborted === true) stop();
    let failure: TandemError | undefined;
    try {
      const replies = await Promise.all(
        this.#members.map(async (member) => {
          const reply = await ask(member, { kind: 'pass', tasks });
          if (!(reply instanceof TandemError)) return [reply];
          failure ??= reply;
          stop();
          return [];
        }),
      );
      if (failure !== undefined) throw failure;
      return tasks.map((task, index) => this.#together(replies.flat(), task, index));
    } finally {
      signal?.removeEventListener('abort', stop);
      clearTimeout(again);
    }
  }

  /** Ends the threads. */
  async close(): Promise<void> {
    for (const { worker } of this.#members) worker.postMessage({ kind: 'close' } satisfies FitRequest);
    await Promise.all(this.#members.map(({ exited }) => exited));
  }

  /** Units are added in the order of the plan, so that the sums do not depend on who made them. */
  #together(replies: readonly Passed[], { featureIndex }: FitTask, task: number): FitAnswer {
    const byUnit: Float64Array[] = [];
    const categories = new Map<Category, number>();
    for (const { units, parts } of replies) {
      const part = parts[task]!;
      units.forEach((unit, i) => (byUnit[unit] = part.tallies[i]!));
      for (const [category, rows] of part.categories ?? []) {
        categories.set(category, (categories.get(category) ?? 0) + rows);
      }
    }
    // As a thread that reads all by itself would find.
    if (categories.size > fitCategoriesMax)
      throw uncountable(sourceName(this.#plan.requests[featureIndex]!.feature.source));
    const missing = this.#plan.units.findIndex((_, unit) => byUnit[unit] === undefined);
    if (missing !== -1) throw bug(`Nobody has read unit ${missing}`);
    const tally = emptyTally();
    for (const unit of byUnit) mergeTally(tally, unit);
    const digits = replies.flatMap(({ parts }) => parts[task]!.digits ?? []);
    return { tally, digits, categories };
  }
}

function join(worker: Worker): Member {
  const member: Member = {
    worker,
    exited: once(worker, 'exit').catch(() => {}),
    connection: undefined,
    settle: undefined,
    ended: undefined,
  };
  const settle = (reply: Passed | TandemError): void => {
    const waiting = member.settle;
    member.settle = undefined;
    waiting?.(reply);
  };
  worker.on('message', (reply: FitReply) => {
    if (reply.kind === 'connected') member.connection = reply.connection;
    else settle(reply.kind === 'failed' ? TandemError.fromRecord(reply.error) : reply);
  });
  const end = (error: TandemError): void => settle((member.ended ??= error));
  worker.on('error', (error) => end(asTandemError(error)));
  worker.on('exit', () => end(bug('A thread of the fit ended without a word')));
  return member;
}

function ask(member: Member, request: FitRequest): Promise<Passed | TandemError> {
  return new Promise((resolve) => {
    if (member.ended !== undefined) return resolve(member.ended);
    member.settle = resolve;
    member.worker.postMessage(request);
  });
}
