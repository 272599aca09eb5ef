/**
 * Scores on GPUs: the thread fills its slots one after the other and hands them over; while the first ones are scored it
 * fills the others. Scores come back in the slots, so that nothing needs to be put in order again.
 */
import type { SpanAddress } from '../batch.ts';
import type { RunPlan } from '../plan.ts';
import type { Slot } from '../score/scorer.ts';
import type { SlotSender } from '../transfer/slot-queue.ts';
import type { InFlight } from '../write/in-flight.ts';
import type { Lane, ScoredBatch } from './lane.ts';
import { SlotFiller, type LaneReader, type LaneRows } from './slot-filler.ts';

export interface DeviceLaneParts {
  readonly plan: Pick<RunPlan, 'model' | 'slotRows'>;
  readonly reader: LaneReader;
  /** The thread's own; with one alone it would wait for each. */
  readonly slots: readonly Slot[];
  /** Number of the first one among the slots of all threads. */
  readonly firstSlot: number;
  readonly sender: SlotSender;
  readonly inFlight: Pick<InFlight, 'enter'>;
  readonly control: Int32Array;
  readonly rowsScored: BigInt64Array;
}

interface SentSlot {
  readonly index: number;
  readonly address: SpanAddress;
}

export class DeviceLane implements Lane {
  readonly #parts: DeviceLaneParts;
  readonly #filler: SlotFiller;
  readonly #free: number[];
  /** Oldest first. */
  readonly #sent: SentSlot[] = [];
  #given: number | undefined;
  #ended = true;

  constructor(parts: DeviceLaneParts) {
    this.#parts = parts;
    this.#filler = new SlotFiller(parts.plan.model, parts.reader, parts.control);
    this.#free = parts.slots.map((_, index) => index);
  }

  open(rows: LaneRows): void {
    this.#filler.open(rows);
    this.#ended = false;
  }

  /**
   * Hands over as many rows as there are free slots for; the last scores given are taken back. False: rows are left.
   * @throws BAD_ROW, BAD_SHARD, STOPPED
   */
  fill(): boolean {
    if (this.#given !== undefined) this.#free.push(this.#given);
    this.#given = undefined;
    while (!this.#ended && this.#free.length > 0) this.#send(this.#free.at(-1)!);
    return this.#ended;
  }

  next(): ScoredBatch | undefined {
    const { slots, firstSlot, sender, rowsScored } = this.#parts;
    this.fill();
    const oldest = this.#sent.shift();
    if (oldest === undefined) return undefined;
    sender.take(firstSlot + oldest.index);
    this.#given = oldest.index;
    Atomics.add(rowsScored, 0, BigInt(oldest.address.rowCount));
    return { ...oldest.address, outputs: slots[oldest.index]!.outputs };
  }

  /** Slots that are out still come back by {@link next}. */
  close(): void {
    this.#filler.close();
    this.#ended = true;
  }

  #send(index: number): void {
    const { plan, slots, firstSlot, sender, inFlight } = this.#parts;
    const address = this.#filler.fill(slots[index]!, plan.slotRows);
    if (address === undefined) {
      this.#ended = true;
      return;
    }
    this.#free.pop();
    inFlight.enter(address);
    sender.send(firstSlot + index, address);
    this.#sent.push({ index, address });
  }
}
