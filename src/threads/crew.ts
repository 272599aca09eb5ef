/** The main thread's side of prep threads and writer: starts them, hears from them, stops them. It never waits for one. */
import { randomBytes } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { interrupt } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import { terminateRuns } from '../engines/onnxruntime/run.ts';
import { createSharedMemory } from '../engines/wasm.ts';
import { asTandemError, TandemError } from '../errors.ts';
import { createTimeSheet, readTimeSheet, type TimeSheetMemory } from '../measure/time-sheet.ts';
import { threadsNowMs } from '../measure/clock.ts';
import { createDeviceSheet, readDeviceSheet } from '../measure/device-sheet.ts';
import type { CrewReading } from '../measure/ledger.ts';
import type { DeviceNow } from '../measure/metrics.ts';
import {
  control,
  createDeviceFigures,
  deviceFigures,
  type Engines,
  type RingMemory,
  type DeviceStart,
  type BatchSizeFinding,
  type CrewSheets,
  type SlotQueueMemory,
  type WorkerMessage,
  type WorkerStart,
} from '../messages.ts';
import { scoreBytesPerRow } from '../planning/allocate.ts';
import { cutSpans } from '../planning/spans.ts';
import { modelKernelBytes, sharedBytes } from '../planning/kernel-bytes.ts';
import type { BatchSizeDecision, DeviceReport, ReaderName, ScoreOptions } from '../options.ts';
import type { RunPlan } from '../plan.ts';
import { createRing } from '../transfer/ring.ts';
import { createSlotQueues, slotsInHands } from '../transfer/slot-queue.ts';
import { CrewProfiling } from './crew-profiling.ts';
import { writeModelTables } from './in-place-scorer.ts';
import type { PlannerClient } from './planner-client.ts';
import { startWorker } from './start-worker.ts';

/** What the crew has done so far. */
export interface Tally {
  readonly rowsScored: number;
  readonly shardsDone: number;
  readonly bytesWritten: number;
  /** Undefined while it is being chosen. */
  readonly batchSize: number | undefined;
}

export interface CrewOptions {
  readonly reader?: ReaderName | undefined;
  /** Whose thread becomes the first prep thread where threads score in place through DuckDB. Default: it gets one of its own. */
  readonly planner?: Pick<PlannerClient, 'lend'>;
  readonly hears?: CrewListener;
  /** Of the run, on the clock of all threads. Default: now. */
  readonly startMs?: number;
  /** What the threads do is kept for a trace, too. */
  readonly keepsEvents?: boolean;
}

/** Whoever wants to know at once. */
export interface CrewListener extends Pick<ScoreOptions, 'onWarning' | 'onDecision'> {
  /** A shard's output is whole. */
  readonly onShard?: (shardIndex: number, outputBytes: number) => void;
}

const prepEntries: Readonly<Record<ReaderName, string>> = {
  duckdb: './prep.js',
  parquetjs: './parquetjs-prep.js',
};

export class Crew {
  /** Names this run's temporary files. */
  readonly attempt = randomBytes(6).toString('hex');
  /** Connections that the threads leave open: whoever closes the database disconnects them. */
  readonly connections: Pointer[] = [];
  /** What the GPUs' threads found out about their batch sizes, once they have ended. */
  readonly findings: BatchSizeFinding[] = [];
  readonly #plan: RunPlan;
  readonly #hears: CrewListener;
  /** By the plan's order of devices, once they are done. */
  readonly devices: DeviceReport[] = [];
  readonly decisions: BatchSizeDecision[] = [];
  readonly #control = new Int32Array(new SharedArrayBuffer(control.length * Int32Array.BYTES_PER_ELEMENT));
  readonly #rowsScored = new BigInt64Array(new SharedArrayBuffer(BigInt64Array.BYTES_PER_ELEMENT));
  readonly profiling = new CrewProfiling(this.#control, () => this.read());
  readonly sheets: CrewSheets;
  readonly #queues: SlotQueueMemory | undefined;
  readonly #figures: readonly Float64Array[];
  readonly #startMs: number;
  readonly #runOptions: Pointer[] = [];
  readonly #ended: Promise<void>[] = [];
  #shardsDone = 0;
  #bytesWritten = 0;
  #failure: TandemError | undefined;

  constructor(plan: RunPlan, engines: Engines, options: CrewOptions = {}) {
    const { reader = 'duckdb', planner, hears = {}, startMs = threadsNowMs(), keepsEvents = false } = options;
    this.#plan = plan;
    this.#startMs = startMs;
    const rings = createRings(plan);
    const sheet = (): TimeSheetMemory => createTimeSheet(startMs, keepsEvents);
    this.sheets = {
      prep: Array.from({ length: plan.threads }, sheet),
      writer: rings.length === 0 ? undefined : sheet(),
      devices: plan.devices.map(() => createDeviceSheet(startMs, keepsEvents)),
    };
    this.#hears = hears;
    useOnnxRuntimeAt(plan.onnxRuntimePath);
    const slotCount = plan.threads * plan.slotsPerThread;
    const behind = sharedBytes(plan.model, plan.slotRows, slotCount, plan.threads);
    const slots = createSharedMemory(behind + modelKernelBytes(plan.model, plan.threads));
    writeModelTables(engines, slots, behind);
    this.#figures = plan.devices.map(createDeviceFigures);
    const queues = (this.#queues =
      plan.devices.length === 0 ? undefined : createSlotQueues(slotCount, plan.threads, plan.devices.length));
    const start = (threadIndex: number): WorkerStart => ({
      threadIndex,
      plan,
      engines,
      control: this.#control,
      rowsScored: this.#rowsScored,
      timeSheet: this.sheets.prep[threadIndex]!,
      slots,
      firstSlot: threadIndex * plan.slotsPerThread,
      queues,
      rings,
      attempt: this.attempt,
    });
    plan.devices.forEach(({ name }, deviceIndex) => {
      const work: DeviceStart = {
        deviceIndex,
        plan,
        control: this.#control,
        slots,
        queues: queues!,
        sheets: this.sheets,
        figures: this.#figures[deviceIndex]!,
      };
      this.#start(name, startWorker('./gpu.js', work));
    });
    const entry = plan.features?.format === 'arrow' ? './arrow-prep.js' : prepEntries[reader];
    const lender = entry === prepEntries.duckdb && plan.devices.length === 0 ? planner : undefined;
    for (let thread = 0; thread < plan.threads; thread++) {
      const work = start(thread);
      const lent = thread === 0 ? lender?.lend(work) : undefined;
      this.#start(`prep ${thread}`, lent ?? startWorker(entry, work), lent !== undefined);
    }
    if (this.sheets.writer !== undefined) {
      const work = { ...start(0), timeSheet: this.sheets.writer, firstSlot: 0 };
      this.#start('writer', startWorker('./writer.js', work));
    }
  }

  get tally(): Tally {
    const chosen = Atomics.load(this.#control, control.batchSize);
    return {
      rowsScored: Number(Atomics.load(this.#rowsScored, 0)),
      shardsDone: this.#shardsDone,
      bytesWritten: this.#bytesWritten,
      batchSize: this.#plan.batchSize ?? (chosen === 0 ? undefined : chosen),
    };
  }

  /** Ends what runs, natively too. {@link finished} is rejected with the error that came first. */
  stop(error: TandemError): void {
    this.#failure ??= error;
    Atomics.store(this.#control, control.stop, 1);
    for (const connection of this.connections) interrupt(connection);
    for (const runOptions of this.#runOptions) terminateRuns(runOptions);
  }

  /** Settles when every thread is through. */
  async finished(): Promise<void> {
    await Promise.all(this.#ended);
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Where every thread's time has gone so far. */
  read(): CrewReading {
    const nowMs = threadsNowMs();
    const { prep, writer, devices } = this.sheets;
    return {
      wallMs: nowMs - this.#startMs,
      prep: prep.map((sheet) => readTimeSheet(sheet, nowMs)),
      writer: writer === undefined ? undefined : readTimeSheet(writer, nowMs),
      devices: devices.map((sheet, index) => ({
        ...readDeviceSheet(sheet, nowMs),
        name: this.#plan.devices[index]!.name,
      })),
    };
  }

  /** What the GPUs have in hand now, by the plan's order of devices; empty on the CPU. */
  get devicesNow(): DeviceNow[] {
    const slots = this.#queues === undefined ? [] : slotsInHands(this.#queues);
    return this.#figures.map((figures, index) => ({
      slots: slots[index]!,
      heldBytes: figures[deviceFigures.heldBytes]!,
      splits: figures[deviceFigures.splits]!,
    }));
  }

  /** Of all threads together, running the model in place; 0 on a GPU. */
  get modelSeconds(): number {
    const nowMs = threadsNowMs();
    const parts = this.sheets.prep.map((sheet) => readTimeSheet(sheet, nowMs).parts);
    return parts.reduce((sum, { compute, search, newShapes }) => sum + compute + search + newShapes, 0) / 1000;
  }

  #start(thread: string, worker: EventEmitter, isLent = false): void {
    this.profiling.join(thread);
    let told = false;
    this.#ended.push(
      new Promise((resolve) => {
        const end = (): void => {
          this.profiling.leave(thread);
          resolve();
        };
        worker.on('message', (message: WorkerMessage) => {
          if (message.kind === 'failed' || message.kind === 'finished') told = true;
          if (message.kind === 'profiled') this.profiling.hear(thread, message);
          else this.#hear(message);
          // It has given back all it held, and nobody has to wait until V8 has taken down its heap. A lent one does not exit.
          if (message.kind === 'finished' || (told && isLent)) end();
        });
        worker.on('error', (error) => this.stop(asTandemError(error)));
        worker.on('exit', (exitCode) => {
          if (!told)
            this.stop(
              new TandemError('TRANSIENT', `Expected a thread to finish, got its end (exit code ${exitCode}).`, {
                remedy: 'Run the same command again.',
              }),
            );
          end();
        });
      }),
    );
  }

  #hear(message: Exclude<WorkerMessage, { kind: 'profiled' }>): void {
    switch (message.kind) {
      case 'connected':
        this.connections.push(...message.connections);
        this.#runOptions.push(...message.runOptions);
        // A thread that connects after the stop has not been interrupted yet.
        if (this.#failure !== undefined) this.stop(this.#failure);
        return;
      case 'shardDone':
        this.#shardsDone++;
        this.#bytesWritten += message.bytes;
        return this.#hears.onShard?.(message.shardIndex, message.bytes);
      case 'batchSizeSearched':
        this.findings.push(message.finding);
        return;
      case 'warning':
        return this.#hears.onWarning?.(message.text);
      case 'decided':
        this.decisions.push(message.decision);
        return this.#hears.onDecision?.(message.decision);
      case 'deviceDone':
        this.devices.push(message.report);
        return;
      case 'failed':
        return this.stop(TandemError.fromRecord(message.error));
      case 'finished':
    }
  }
}

function createRings(plan: RunPlan): RingMemory[] {
  return plan.shards
    .filter((shard) => shard.mode === 'split' && !shard.done)
    .sort((a, b) => b.rowCount - a.rowCount)
    .map((shard) =>
      createRing(
        shard.index,
        cutSpans(shard, plan.threads, scoreBytesPerRow(plan.model), plan.slotRows),
        plan.model.outputs,
      ),
    );
}
