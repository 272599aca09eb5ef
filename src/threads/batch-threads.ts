/** The threads that score batches: the first one opens the engines, the others join once it has planned. */
import type { Worker } from 'node:worker_threads';
import { Table, tableToIPC, type RecordBatch } from 'apache-arrow';
import { TandemError, asTandemError, bug } from '../errors.ts';
import {
  control,
  type BatchPlan,
  type BatchReply,
  type BatchRequest,
  type BatchWorkerStart,
  type ScoredValues,
} from '../messages.ts';
import type { RunOptions } from '../options.ts';
import type { ModelPlan } from '../plan.ts';
import { startWorker } from './start-worker.ts';

export interface BatchThreadsOptions extends Pick<RunOptions, 'batchSize'> {
  readonly model: string;
  readonly threads: number;
}

/** Told once what became of a batch. */
type Done = (outcome: { readonly values: readonly ScoredValues[] } | { readonly error: unknown }) => void;

export class BatchThreads {
  readonly #options: BatchThreadsOptions;
  readonly #workers: Worker[] = [];
  readonly #pending = new Map<number, Done>();
  readonly #control = new Int32Array(new SharedArrayBuffer(control.length * Int32Array.BYTES_PER_ELEMENT));
  #plan: BatchPlan | undefined;
  #sent = 0;
  #closing = false;
  /** A thread has ended: what it is sent would never be answered. */
  #dead: TandemError | undefined;

  constructor(options: BatchThreadsOptions) {
    this.#options = options;
  }

  get planned(): boolean {
    return this.#plan !== undefined;
  }

  get model(): ModelPlan {
    if (this.#plan === undefined) throw bug('Scores came before a plan');
    return this.#plan.model;
  }

  /** Scores a batch, which errors call `batch {index}`. Until there is a plan, one batch at a time. */
  score(index: number, batch: RecordBatch, done: Done): void {
    if (this.#dead !== undefined) return done({ error: this.#dead });
    if (this.#workers.length === 0) this.#start();
    while (this.planned && this.#workers.length < this.#options.threads) this.#start();
    const ipc = tableToIPC(new Table([batch]), 'stream');
    const request: BatchRequest = { kind: 'score', index, ipc };
    this.#pending.set(index, done);
    const transfer = ipc.buffer instanceof ArrayBuffer && ipc.byteLength === ipc.buffer.byteLength ? [ipc.buffer] : [];
    this.#workers[this.#sent++ % this.#workers.length]!.postMessage(request, transfer);
  }

  /** Ends what runs, then frees the engines: the first thread, which opened them, comes last. */
  async close(): Promise<void> {
    this.#closing = true;
    Atomics.store(this.#control, control.stop, 1);
    const [first, ...others] = this.#workers;
    await Promise.all(others.map(endWorker));
    if (first !== undefined) await endWorker(first);
  }

  #start(): void {
    const workerData: BatchWorkerStart = {
      threadIndex: this.#workers.length,
      model: this.#options.model,
      batchSize: this.#options.batchSize,
      control: this.#control,
      plan: this.#plan,
    };
    const worker = startWorker('./batch-scorer.js', workerData);
    worker.on('message', (reply: BatchReply) => this.#take(reply));
    worker.on('error', (error) => this.#failAll(asTandemError(error)));
    worker.on('exit', () => {
      if (this.#closing) return;
      this.#failAll(
        new TandemError('TRANSIENT', 'Expected a scoring thread to go on, got its end.', {
          remedy: 'Run it again; if it happens again, score the batch by itself to see why.',
        }),
      );
    });
    this.#workers.push(worker);
  }

  #take(reply: BatchReply): void {
    if (reply.kind === 'planned') {
      this.#plan = reply.plan;
      return;
    }
    const done = this.#pending.get(reply.index);
    this.#pending.delete(reply.index);
    done?.(reply.kind === 'scored' ? { values: reply.values } : { error: TandemError.fromRecord(reply.error) });
  }

  #failAll(error: TandemError): void {
    this.#dead = error;
    for (const done of this.#pending.values()) done({ error });
    this.#pending.clear();
  }
}

async function endWorker(worker: Worker): Promise<void> {
  // A thread that is gone already neither answers nor ends again.
  if (worker.threadId === -1) return;
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  const request: BatchRequest = { kind: 'close' };
  worker.postMessage(request);
  await ended;
}
