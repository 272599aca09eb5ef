/** The GPUs' threads of `scoreBatches`, as the main thread sees them: the same ones that score shards. */
import type { Pointer } from '../engines/native.ts';
import { asTandemError, TandemError } from '../errors.ts';
import type { BatchHandOver, BatchPlan, DeviceStart, WorkerMessage } from '../messages.ts';
import { createDeviceSheet } from '../measure/device-sheet.ts';
import { SlotSender } from '../transfer/slot-queue.ts';
import { startWorker } from './start-worker.ts';

export interface DeviceListener {
  readonly warn: (text: string) => void;
  /** May be told more than once: with one thread's failure the run is over. */
  readonly fail: (error: TandemError) => void;
}

export class BatchDevices {
  /** Whoever closes the engines frees them, after {@link close}. */
  readonly runOptions: Pointer[] = [];
  readonly #handOver: BatchHandOver;
  readonly #control: Int32Array;
  readonly #listener: DeviceListener;
  readonly #ended: readonly Promise<void>[];

  constructor(plan: BatchPlan, handOver: BatchHandOver, control: Int32Array, listener: DeviceListener) {
    this.#handOver = handOver;
    this.#control = control;
    this.#listener = listener;
    const { slots, queues } = handOver;
    this.#ended = plan.devices.map((_, deviceIndex) => {
      // Nobody reads them: batches come and go by themselves.
      const sheets = { prep: [], writer: undefined, devices: plan.devices.map(() => createDeviceSheet(0, false)) };
      return this.#start({ deviceIndex, plan, control, slots, queues, sheets });
    });
  }

  /**
   * Ends the threads once every slot that they hold is scored, or at once where the run is stopped; the batches' threads
   * must not hand over anything any more.
   */
  async close(): Promise<void> {
    const { queues } = this.#handOver;
    const sender = new SlotSender(queues, this.#control);
    // For all threads at once: those without batches were never started.
    for (let producer = 0; producer < queues.producers; producer++) sender.end();
    await Promise.all(this.#ended);
  }

  #start(workerData: DeviceStart): Promise<void> {
    const worker = startWorker('./gpu.js', workerData);
    let finished = false;
    worker.on('message', (message: WorkerMessage) => {
      if (message.kind === 'connected') this.runOptions.push(...message.runOptions);
      else if (message.kind === 'warning') this.#listener.warn(message.text);
      else if (message.kind === 'failed') this.#listener.fail(TandemError.fromRecord(message.error));
      finished ||= message.kind === 'failed' || message.kind === 'finished';
    });
    worker.on('error', (error) => this.#listener.fail(asTandemError(error)));
    return new Promise((resolve) => {
      worker.on('exit', () => {
        if (!finished) this.#listener.fail(threadEnded("a GPU's thread"));
        resolve();
      });
    });
  }
}

/** A thread that should have gone on. */
export function threadEnded(thread: string): TandemError {
  return new TandemError('TRANSIENT', `Expected ${thread} to go on, got its end.`, {
    remedy: 'Run it again; if it happens again, score the batch by itself to see why.',
  });
}
