/**
 * Scores on GPUs: the thread fills its slots one after the other and hands them over; while the first ones are scored it
 * fills the others, with rows of the next shard where one ends. Scores come back in the slots, so that nothing needs to
 * be put in order again.
 */
import type { SpanAddress } from '../batch.ts';
import type { KernelMemory } from '../engines/wasm.ts';
import type { Timekeeper } from '../measure/time-sheet.ts';
import type { RunPlan } from '../plan.ts';
import type { Slot } from '../score/scorer.ts';
import type { SlotSender } from '../transfer/slot-queue.ts';
import type { InFlight } from '../write/in-flight.ts';
import type { InPlaceScorer } from './in-place-scorer.ts';
import type { Lane, ScoredBatch } from './lane.ts';
import { SlotFiller, type LaneReader, type LaneRows } from './slot-filler.ts';

export interface DeviceLaneParts {
  readonly plan: Pick<RunPlan, 'model' | 'slotRows'>;
  readonly reader: LaneReader;
  readonly kernels: KernelMemory;
  /** The thread's own; with one alone it would wait for each. */
  readonly slots: readonly Slot[];
  /** What this thread scores of the model, for each of the slots; empty: a GPU scores all of it. */
  readonly parts: readonly Pick<InPlaceScorer, 'score'>[];
  /** Number of the first one among the slots of all threads. */
  readonly firstSlot: number;
  readonly sender: SlotSender;
  readonly sheet: Timekeeper;
  readonly inFlight: Pick<InFlight, 'enter'>;
  readonly control: Int32Array;
  readonly rowsScored: BigInt64Array;
  /** The rows that will be opened after those that are known, so that a GPU need not wait at the end of a shard. */
  readonly readAhead: () => LaneRows | undefined;
}

interface SentSlot {
  readonly index: number;
  readonly address: SpanAddress;
  readonly rows: LaneRows;
}

export class DeviceLane implements Lane {
  readonly #parts: DeviceLaneParts;
  readonly #filler: SlotFiller;
  readonly #free: number[];
  /** Oldest first. */
  readonly #sent: SentSlot[] = [];
  #given: number | undefined;
  /** What {@link next} gives the scores of. */
  #rows: LaneRows | undefined;
  /** What slots are filled from; undefined: there is nothing left. */
  #reading: LaneRows | undefined;
  /** Read ahead and not yet opened. */
  readonly #ahead = new Set<LaneRows>();
  /** Of rows that were read ahead: it is theirs, so it waits until they are opened. */
  #failure: { readonly rows: LaneRows; readonly error: unknown } | undefined;

  constructor(parts: DeviceLaneParts) {
    this.#parts = parts;
    this.#filler = new SlotFiller(parts.plan.model, parts.reader, parts.control, parts.sheet, parts.kernels);
    this.#free = parts.slots.map((_, index) => index);
  }

  open(rows: LaneRows): void {
    this.#rows = rows;
    if (this.#ahead.delete(rows)) return;
    this.#reading = rows;
    this.#filler.open(rows);
  }

  /**
   * Hands over as many rows as there are free slots for; the last scores given are taken back. False: rows are left.
   * @throws BAD_ROW, BAD_SHARD, STOPPED
   */
  fill(): boolean {
    if (this.#given !== undefined) this.#free.push(this.#given);
    this.#given = undefined;
    while (this.#reading !== undefined && this.#free.length > 0) this.#fillNext(this.#reading);
    return this.#reading === undefined;
  }

  next(): ScoredBatch | undefined {
    this.fill();
    const oldest = this.#sent[0];
    if (oldest !== undefined && oldest.rows === this.#rows) return this.#take();
    if (this.#failure !== undefined && this.#failure.rows === this.#rows) throw this.#failure.error;
    return undefined;
  }

  /** The scores of the slot that was handed over first, whatever was opened since. @throws as {@link next} */
  oldest(): ScoredBatch | undefined {
    this.fill();
    return this.#sent.length === 0 ? undefined : this.#take();
  }

  /** Slots that are out still come back by {@link oldest}. */
  close(): void {
    this.#filler.close();
    this.#reading = undefined;
  }

  #take(): ScoredBatch {
    const { slots, firstSlot, sender, sheet, rowsScored } = this.#parts;
    const { index, address } = this.#sent.shift()!;
    sheet.about(address);
    sheet.during('waitForScores', () => sender.take(firstSlot + index));
    sheet.countRows(address.rowCount);
    this.#given = index;
    Atomics.add(rowsScored, 0, BigInt(address.rowCount));
    return { ...address, outputs: slots[index]!.outputs };
  }

  /** Fills a slot from these rows and hands it over; goes on to the next rows where they end. */
  #fillNext(rows: LaneRows): void {
    const index = this.#free.pop()!;
    try {
      if (this.#send(index, rows)) return;
    } catch (error) {
      this.#free.push(index);
      return this.#fail(rows, error);
    }
    this.#free.push(index);
    this.#readOn();
  }

  /** @returns false at the end of the rows */
  #send(index: number, rows: LaneRows): boolean {
    const { plan, slots, parts, firstSlot, sender, inFlight, sheet } = this.#parts;
    const address = this.#filler.fill(slots[index]!, plan.slotRows);
    if (address === undefined) return false;
    inFlight.enter(address);
    const part = parts[index];
    if (part !== undefined) {
      sheet.about(address);
      sheet.during('compute', () => part.score(address.rowCount));
    }
    sender.send(firstSlot + index, address);
    this.#sent.push({ index, address, rows });
    return true;
  }

  #readOn(): void {
    const rows = this.#parts.readAhead();
    this.#reading = rows;
    if (rows === undefined) return;
    this.#ahead.add(rows);
    try {
      this.#filler.open(rows);
    } catch (error) {
      this.#fail(rows, error);
    }
  }

  #fail(rows: LaneRows, error: unknown): void {
    this.#reading = undefined;
    if (rows === this.#rows) throw error;
    this.#failure = { rows, error };
  }
}
