/**
 * Batches of one thread on their way through the devices: a batch is filled while the ones before it are scored. Slots
 * come back in the order in which they were filled, whatever batch they belong to.
 */
import type { ScoredValues } from '../messages.ts';
import type { ModelPlan } from '../plan.ts';
import { putScores } from '../write/score-arrow.ts';
import type { DeviceLane } from './device-lane.ts';
import type { LaneRows } from './slot-filler.ts';

export interface DeviceBatchesParts {
  readonly lane: DeviceLane;
  readonly model: ModelPlan;
  /** Each batch is told of once, by one of these. */
  readonly done: (index: number, values: readonly ScoredValues[]) => void;
  readonly failed: (index: number, error: unknown) => void;
}

interface BatchInFlight {
  readonly values: readonly ScoredValues[];
  /** Whose scores are still to come. */
  rowsLeft: number;
}

export class DeviceBatches {
  readonly #parts: DeviceBatchesParts;
  readonly #inFlight = new Map<number, BatchInFlight>();

  constructor(parts: DeviceBatchesParts) {
    this.#parts = parts;
  }

  /** Batches wait for scores: {@link take} brings them. */
  get areWaiting(): boolean {
    return this.#inFlight.size > 0;
  }

  /**
   * Hands over all rows of a batch, and sleeps only while no slot is free. The rows are not read any more afterwards.
   * @param rows `shardIndex` is the batch's number
   * @param values room for all its scores
   */
  score(rows: LaneRows, values: readonly ScoredValues[]): void {
    const { lane, failed } = this.#parts;
    const index = rows.shardIndex;
    this.#inFlight.set(index, { values, rowsLeft: rows.rowCount });
    try {
      lane.open(rows);
      while (!lane.fill()) this.#receive();
      this.#settle(index);
    } catch (error) {
      this.#inFlight.delete(index);
      failed(index, error);
    } finally {
      lane.close();
    }
  }

  /** Sleeps until the slot that was handed over first is back. After a stop all batches fail. */
  take(): void {
    try {
      this.#receive();
    } catch (error) {
      for (const index of this.#inFlight.keys()) this.#parts.failed(index, error);
      this.#inFlight.clear();
    }
  }

  #receive(): void {
    const { lane, model } = this.#parts;
    const scored = lane.oldest();
    const batch = scored === undefined ? undefined : this.#inFlight.get(scored.shardIndex);
    // Of a batch that failed while its first slots were out nothing is wanted.
    if (scored === undefined || batch === undefined) return;
    putScores(model, batch.values, scored.firstRow, scored.rowCount, scored.outputs);
    batch.rowsLeft -= scored.rowCount;
    this.#settle(scored.shardIndex);
  }

  #settle(index: number): void {
    const batch = this.#inFlight.get(index);
    if (batch?.rowsLeft !== 0) return;
    this.#inFlight.delete(index);
    this.#parts.done(index, batch.values);
  }
}
