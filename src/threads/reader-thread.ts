/** The reader's thread as its caller sees it. */
import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { bug, TandemError } from '../errors.ts';
import { interrupt } from '../engines/duckdb/database.ts';
import { connectionState, control, type ReaderMessage, type ReaderTask } from '../read/arrow/messages.ts';
import { startWorker } from './start-worker.ts';

export class ReaderThread {
  readonly #control: Int32Array;
  readonly #worker: Worker;
  readonly #exited: Promise<unknown>;
  readonly #messages: ReaderMessage[] = [];
  #connection: bigint | undefined;
  #wake: () => void = () => {};
  #failure: unknown;

  constructor(task: Omit<ReaderTask, 'control'>) {
    this.#control = new Int32Array(new SharedArrayBuffer(control.length * 4));
    const workerData: ReaderTask = { ...task, control: this.#control };
    this.#worker = startWorker('./reader.js', workerData);
    this.#exited = once(this.#worker, 'exit').catch(() => {});
    this.#worker.on('message', (message: ReaderMessage) => {
      if (message.kind === 'connected') this.#connection = message.connection;
      else this.#messages.push(message);
      this.#wake();
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => this.#fail(bug('The reader thread ended without a word')));
    // A generator that its owner forgot must not keep the process alive; next and close hold it while they wait.
    this.#worker.unref();
  }

  /** The next message; a batch counts as taken. @throws what the thread threw; STOPPED after an abort of the signal */
  async next(signal: AbortSignal | undefined): Promise<Exclude<ReaderMessage, { kind: 'connected' | 'failed' }>> {
    const wake = (): void => this.#wake();
    signal?.addEventListener('abort', wake);
    this.#worker.ref();
    try {
      for (;;) {
        if (signal?.aborted === true) throw stopped(signal);
        const message = this.#messages.shift();
        if (message?.kind === 'failed') throw TandemError.fromRecord(message.error);
        if (message?.kind === 'batch') {
          Atomics.add(this.#control, control.taken, 1);
          Atomics.notify(this.#control, control.taken);
        }
        if (message !== undefined && message.kind !== 'connected') return message;
        if (this.#failure !== undefined) throw this.#failure;
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    } finally {
      this.#worker.unref();
      signal?.removeEventListener('abort', wake);
    }
  }

  /** Stops the thread, wherever it is, and waits until it has freed everything. */
  async close(): Promise<void> {
    Atomics.store(this.#control, control.stop, 1);
    // The thread compares this number before it sleeps: a change keeps it from sleeping past the notification.
    Atomics.add(this.#control, control.taken, 1);
    Atomics.notify(this.#control, control.taken);
    this.#interrupt();
    this.#worker.ref();
    await this.#exited;
  }

  #interrupt(): void {
    const { open, interrupting } = connectionState;
    if (this.#connection === undefined) return;
    if (Atomics.compareExchange(this.#control, control.connection, open, interrupting) !== open) return;
    interrupt(this.#connection);
    Atomics.store(this.#control, control.connection, open);
    Atomics.notify(this.#control, control.connection);
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#wake();
  }
}

function stopped(signal: AbortSignal): TandemError {
  return new TandemError('STOPPED', 'Reading was stopped by its AbortSignal.', { cause: signal.reason });
}
