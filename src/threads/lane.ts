/**
 * Scores in place: the thread that has filled its slot runs the model on it, its cache still warm. The rows of a batch
 * leave before the next one is made.
 */
import type { SpanAddress, TensorValues } from '../batch.ts';
import type { KernelMemory } from '../engines/wasm.ts';
import type { Activity } from '../measure/activities.ts';
import type { Timekeeper } from '../measure/time-sheet.ts';
import { control } from '../messages.ts';
import type { RunPlan } from '../plan.ts';
import { addSample, chosenBatchSize, nextBatchSize, startSweep, type BatchSizeState } from '../score/batch-size.ts';
import type { Slot } from '../score/scorer.ts';
import type { InFlight } from '../write/in-flight.ts';
import type { InPlaceScorer } from './in-place-scorer.ts';
import { SlotFiller, type LaneReader, type LaneRows } from './slot-filler.ts';

/** Scores of a batch: rows [0, rowCount) of each output tensor of the slot, until the next batch. */
export interface ScoredBatch extends SpanAddress {
  readonly outputs: readonly TensorValues[];
}

/** One thread's way from rows to their scores, in row order. */
export interface Lane {
  /** Starts on rows; what was open before is closed. @throws BAD_ROW, BAD_SHARD, STOPPED */
  open(rows: LaneRows): void;
  /** The next batch's scores; undefined at the end. @throws BAD_ROW, BAD_SHARD, BAD_MODEL, STOPPED */
  next(): ScoredBatch | undefined;
  close(): void;
}

/** What a lane needs; all of it belongs to its thread but the shared counters. */
export interface LaneParts {
  readonly plan: Pick<RunPlan, 'model' | 'slotRows' | 'batchSize'>;
  readonly reader: LaneReader;
  /** Undefined: columns never lie in memory that kernels reach. */
  readonly kernels?: KernelMemory;
  readonly slot: Slot;
  readonly scorer: Pick<InPlaceScorer, 'score'>;
  readonly inFlight: Pick<InFlight, 'enter'>;
  readonly control: Int32Array;
  readonly rowsScored: BigInt64Array;
  readonly sheet: Timekeeper;
  /** Seconds, from a monotonic clock. */
  readonly now: () => number;
}

export class InPlaceLane implements Lane {
  readonly #parts: LaneParts;
  readonly #filler: SlotFiller;
  #sweep: BatchSizeState;
  /** Numbers of rows that the model has run at. */
  readonly #shapes = new Set<number>();

  constructor(parts: LaneParts) {
    this.#parts = parts;
    this.#filler = new SlotFiller(parts.plan.model, parts.reader, parts.control, parts.sheet, parts.kernels);
    this.#sweep = startSweep(parts.plan.slotRows);
  }

  open(rows: LaneRows): void {
    this.#filler.open(rows);
  }

  next(): ScoredBatch | undefined {
    const { slot, scorer, inFlight, sheet, now, rowsScored } = this.#parts;
    const address = this.#filler.fill(slot, this.#batchSize());
    if (address === undefined) return undefined;
    const { firstRow, rowCount } = address;
    inFlight.enter(address);
    sheet.about(address);
    const before = sheet.enter(this.#scoring(rowCount));
    const started = now();
    this.#filler.explain(firstRow, () => scorer.score(rowCount));
    this.#learn({ rowCount, seconds: now() - started });
    sheet.enter(before);
    sheet.countRows(rowCount);
    Atomics.add(rowsScored, 0, BigInt(rowCount));
    return { ...address, outputs: slot.outputs };
  }

  close(): void {
    this.#filler.close();
  }

  #batchSize(): number {
    const { plan } = this.#parts;
    const shared = Atomics.load(this.#parts.control, control.batchSize);
    return plan.batchSize ?? (shared !== 0 ? shared : nextBatchSize(this.#sweep));
  }

  get #isSearching(): boolean {
    return this.#parts.plan.batchSize === undefined && Atomics.load(this.#parts.control, control.batchSize) === 0;
  }

  #scoring(rowCount: number): Activity {
    if (!this.#shapes.has(rowCount)) {
      this.#shapes.add(rowCount);
      this.#parts.sheet.countShape();
      return 'newShapes';
    }
    return this.#isSearching ? 'search' : 'compute';
  }

  /** Every thread measures until the first one knows; its choice is everybody's. */
  #learn(sample: { readonly rowCount: number; readonly seconds: number }): void {
    if (!this.#isSearching) return;
    this.#sweep = addSample(this.#sweep, sample);
    const chosen = chosenBatchSize(this.#sweep);
    if (chosen !== undefined) Atomics.compareExchange(this.#parts.control, control.batchSize, 0, chosen);
  }
}
