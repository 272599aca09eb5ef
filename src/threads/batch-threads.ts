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
import type { DeviceOptions, KernelOptions, RunOptions } from '../options.ts';
import type { ModelPlan } from '../plan.ts';
import { BatchDevices, threadEnded } from './batch-devices.ts';
import { startWorker } from './start-worker.ts';

export interface BatchThreadsOptions extends DeviceOptions, KernelOptions, Pick<RunOptions, 'batchSize' | 'onWarning'> {
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
  /** Undefined where the threads score in place. */
  #devices: BatchDevices | undefined;
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
    if (this.#pending.size > 0) this.#stop();
    const [first, ...others] = this.#workers;
    await Promise.all([...others.map((worker) => endWorker(worker)), this.#devices?.close()]);
    if (first !== undefined) await endWorker(first, this.#devices?.runOptions);
  }

  #start(): void {
    const { model, threads, batchSize, device, precision, ortDir, gpuMemory, allowCpuNodes, kernels, trees } =
      this.#options;
    const workerData: BatchWorkerStart = {
      threadIndex: this.#workers.length,
      threads,
      model,
      batchSize,
      deviceOptions: {
        ...(device && { device }),
        ...(precision && { precision }),
        ...(ortDir && { ortDir }),
        ...(gpuMemory && { gpuMemory }),
        ...(allowCpuNodes && { allowCpuNodes }),
      },
      kernelOptions: { ...(kernels && { kernels }), ...(trees && { trees }) },
      control: this.#control,
      plan: this.#plan,
    };
    const worker = startWorker('./batch-scorer.js', workerData);
    worker.on('message', (reply: BatchReply) => this.#take(reply));
    worker.on('error', (error) => this.#failAll(asTandemError(error)));
    worker.on('exit', () => {
      if (!this.#closing) this.#failAll(threadEnded('a scoring thread'));
    });
    this.#workers.push(worker);
  }

  #take(reply: BatchReply): void {
    if (reply.kind === 'planned') return this.#follow(reply.plan);
    const done = this.#pending.get(reply.index);
    this.#pending.delete(reply.index);
    done?.(reply.kind === 'scored' ? { values: reply.values } : { error: TandemError.fromRecord(reply.error) });
  }

  /** The first thread fills slots already, and sleeps until devices score them. */
  #follow(plan: BatchPlan): void {
    this.#plan = plan;
    if (this.#closing) return;
    plan.warnings.forEach((text) => this.#warn(text));
    if (plan.handOver === undefined) return;
    this.#devices = new BatchDevices(plan, plan.handOver, this.#control, {
      warn: (text) => this.#warn(text),
      fail: (error) => this.#failAll(error),
    });
  }

  #warn(text: string): void {
    if (!this.#closing) this.#options.onWarning?.(text);
  }

  #failAll(error: TandemError): void {
    this.#dead ??= error;
    this.#stop();
    for (const done of this.#pending.values()) done({ error });
    this.#pending.clear();
  }

  /** Threads that wait for slots or for rows of theirs wake up and end what they do. */
  #stop(): void {
    Atomics.store(this.#control, control.stop, 1);
  }
}

async function endWorker(worker: Worker, runOptions: Extract<BatchRequest, { kind: 'close' }>['runOptions'] = []) {
  // A thread that is gone already neither answers nor ends again.
  if (worker.threadId === -1) return;
  const ended = new Promise((resolve) => worker.once('exit', resolve));
  const request: BatchRequest = { kind: 'close', runOptions };
  worker.postMessage(request);
  await ended;
}
