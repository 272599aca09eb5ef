/** Rows that identify themselves travel the way a virtual run sends them; what arrives in a wrong place is noticed. */
import assert from 'node:assert/strict';
import type { Part, Piece } from '../transfer/device-flow.ts';

/** Told when something has happened to rows, in the order of time. */
export interface RowCarrier {
  /** A thread has filled a slot with rows [firstRow, firstRow + rowCount). */
  filled(slot: number, firstRow: number, rowCount: number): void;
  copiedIn(gpu: number, buffer: number, piece: Piece): void;
  ran(gpu: number, buffer: number, part: Part): void;
  copiedOut(gpu: number, buffer: number, piece: Piece): void;
  /** A thread has its slot back, with the scores of the same rows. */
  taken(slot: number, firstRow: number, rowCount: number): void;
}

const poison = -1;

interface Tensors {
  readonly inputs: Int32Array;
  readonly scores: Int32Array;
}

function tensors(rows: number): Tensors {
  return { inputs: new Int32Array(rows).fill(poison), scores: new Int32Array(rows).fill(poison) };
}

/** What the model says of row k. */
function scoreOf(row: number): number {
  return 3 * row + 1;
}

export class CheckedRows implements RowCarrier {
  readonly #slots: readonly Tensors[];
  readonly #buffers: readonly (readonly Tensors[])[];
  /** By row: scores that have come back. */
  readonly #scored: Uint8Array;

  constructor(
    rowCount: number,
    slots: { readonly count: number; readonly rows: number },
    gpus: readonly { readonly buffers: number; readonly bufferRows: number }[],
  ) {
    this.#slots = Array.from({ length: slots.count }, () => tensors(slots.rows));
    this.#buffers = gpus.map(({ buffers, bufferRows }) => Array.from({ length: buffers }, () => tensors(bufferRows)));
    this.#scored = new Uint8Array(rowCount);
  }

  filled(slot: number, firstRow: number, rowCount: number): void {
    const { inputs, scores } = this.#slots[slot]!;
    for (let row = 0; row < rowCount; row++) inputs[row] = firstRow + row;
    scores.fill(poison);
  }

  copiedIn(gpu: number, buffer: number, { slot, slotRow, bufferRow, rowCount }: Piece): void {
    const from = this.#slots[slot]!.inputs.subarray(slotRow, slotRow + rowCount);
    assert.equal(from.length, rowCount, 'the piece lies in its slot');
    // Throws a RangeError where the buffer ends.
    this.#buffers[gpu]![buffer]!.inputs.set(from, bufferRow);
  }

  ran(gpu: number, buffer: number, { bufferRow, rowCount }: Part): void {
    const { inputs, scores } = this.#buffers[gpu]![buffer]!;
    assert.ok(bufferRow + rowCount <= inputs.length, 'the part lies in its buffer');
    for (let row = bufferRow; row < bufferRow + rowCount; row++) scores[row] = scoreOf(inputs[row]!);
  }

  copiedOut(gpu: number, buffer: number, { slot, slotRow, bufferRow, rowCount }: Piece): void {
    const { scores } = this.#buffers[gpu]![buffer]!;
    this.#slots[slot]!.scores.set(scores.subarray(bufferRow, bufferRow + rowCount), slotRow);
  }

  taken(slot: number, firstRow: number, rowCount: number): void {
    const { inputs, scores } = this.#slots[slot]!;
    for (let row = 0; row < rowCount; row++) {
      assert.equal(scores[row], scoreOf(firstRow + row), `score of row ${firstRow + row}`);
      this.#scored[firstRow + row]!++;
    }
    inputs.fill(poison);
  }

  /** @throws AssertionError for a row whose scores did not come back, or came back twice */
  expectAllOnce(): void {
    this.#scored.forEach((times, row) => assert.equal(times, 1, `scores of row ${row}`));
  }
}
