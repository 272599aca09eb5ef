/** The main thread's side of the planner's thread. */
import { EventEmitter } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import { interrupt } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { asTandemError, TandemError } from '../errors.ts';
import { interruptIntervalMs } from '../limits.ts';
import type { PlannerReply, PlannerRequest, WorkerMessage, WorkerStart } from '../messages.ts';
import type { Progress } from '../options.ts';
import { startWorker } from './start-worker.ts';

type Reply<Kind extends PlannerReply['kind']> = Extract<PlannerReply, { kind: Kind }>;

const runAgain = 'Run the same command again.';

function ended(): TandemError {
  return new TandemError('TRANSIENT', 'Expected the planner to answer, got its end.', { remedy: runAgain });
}

export class PlannerClient {
  readonly #worker = startWorker('./planner.js');
  readonly #signal: AbortSignal | undefined;
  /** Of its databases, where a stop interrupts what runs. */
  readonly #connections: Pointer[] = [];
  /** Nobody would ever answer. */
  #ended = false;
  #pending: { resolve(reply: PlannerReply): void; reject(error: unknown): void } | undefined;

  constructor(
    signal: AbortSignal | undefined,
    onWarning: (text: string) => void,
    onProgress: (progress: Progress) => void = () => {},
  ) {
    this.#signal = signal;
    this.#worker.on('message', (reply: PlannerReply) => {
      if (reply.kind === 'connected') this.#connections.push(reply.connection);
      else if (reply.kind === 'warning') onWarning(reply.text);
      else if (reply.kind === 'progress') onProgress(reply.progress);
      else if (reply.kind === 'failed')
        this.#settle((pending) => pending.reject(this.#explain(TandemError.fromRecord(reply.error))));
      else this.#settle((pending) => pending.resolve(reply));
    });
    this.#worker.on('error', (error) => this.#settle((pending) => pending.reject(asTandemError(error))));
    this.#worker.on('exit', () => {
      this.#ended = true;
      this.#settle((pending) => pending.reject(ended()));
    });
  }

  /** @throws what the planner throws; STOPPED after an abort */
  async ask<Kind extends PlannerReply['kind']>(request: PlannerRequest, kind: Kind): Promise<Reply<Kind>> {
    let again: NodeJS.Timeout | undefined;
    // Again and again: an interrupt that falls between two queries is forgotten when the next one starts.
    const stop = (): void => {
      this.#connections.forEach(interrupt);
      if (again === undefined) this.#worker.postMessage({ kind: 'stop' } satisfies PlannerRequest);
      again = setTimeout(stop, interruptIntervalMs);
    };
    if (request.kind !== 'close') {
      this.#signal?.addEventListener('abort', stop);
      if (this.#signal?.aborted === true)
        throw new TandemError('STOPPED', 'The run was stopped before it began.', { remedy: runAgain });
    }
    try {
      const reply = await new Promise<PlannerReply>((resolve, reject) => {
        if (this.#ended) return reject(ended());
        this.#pending = { resolve, reject };
        this.#worker.postMessage(request);
      });
      if (reply.kind !== kind) throw new Error(`The planner answered ${reply.kind} instead of ${kind}. This is a bug.`);
      return reply as Reply<Kind>;
    } finally {
      this.#signal?.removeEventListener('abort', stop);
      clearTimeout(again);
    }
  }

  /**
   * The planner's thread as a prep thread: its code is warm, and one thread less starts. {@link ask} waits until it is through.
   * @returns what the thread tells: `message`, and once it is gone `error` or `exit`
   */
  lend(start: WorkerStart): EventEmitter {
    const { port1, port2 } = new MessageChannel();
    const thread = new EventEmitter();
    port1.on('message', (message: WorkerMessage) => {
      if (message.kind === 'finished' || message.kind === 'failed') port1.close();
      thread.emit('message', message);
    });
    this.#worker.on('error', (error) => thread.emit('error', error));
    this.#worker.on('exit', (exitCode) => {
      port1.close();
      thread.emit('exit', exitCode);
    });
    const request: PlannerRequest = { kind: 'prepare', start, port: port2 };
    this.#worker.postMessage(request, [port2]);
    return thread;
  }

  /** Disconnects what other threads have left, closes the engines, ends the thread. */
  async close(connections: readonly Pointer[]): Promise<void> {
    this.#connections.length = 0;
    await this.ask({ kind: 'close', connections }, 'closed').catch(() => this.#worker.terminate());
  }

  #explain(error: TandemError): TandemError {
    return this.#signal?.aborted === true
      ? new TandemError('STOPPED', 'The run was stopped while it was being planned.', {
          remedy: runAgain,
          cause: error,
        })
      : error;
  }

  #settle(how: (pending: { resolve(reply: PlannerReply): void; reject(error: unknown): void }) => void): void {
    const pending = this.#pending;
    this.#pending = undefined;
    if (pending !== undefined) how(pending);
  }
}
