/**
 * Scores of one split shard on their way to the thread that writes them: fixed memory, addressed by row. A thread may
 * fill a row as soon as the row one capacity before it has been written, so the rows that the writer waits for always
 * have room, whichever thread makes them.
 */
import { elementBytes, viewOf, type NumberArray, type TakenSpan, type TensorValues } from '../batch.ts';
import { TandemError } from '../errors.ts';
import { sleep } from '../engines/sleep.ts';
import { control, type RingMemory } from '../messages.ts';
import type { OutputLayout } from '../plan.ts';

/** Indices of the shared state; after them, for each span, its rows that are in the ring. */
const rowsWritten = 0;
const nextSpan = 1;
const firstSpan = 2;

const alignment = 64;
/** A sleeping thread looks at the stop flag this often. */
const wakeMs = 100;

export function createRing(
  shardIndex: number,
  cut: { readonly spans: readonly TakenSpan[]; readonly capacityRows: number },
  outputs: readonly OutputLayout[],
): RingMemory {
  const bytes = outputs.reduce((sum, output) => sum + stretchBytes(output, cut.capacityRows), 0);
  const state = new Int32Array(new SharedArrayBuffer((firstSpan + cut.spans.length) * Int32Array.BYTES_PER_ELEMENT));
  return { shardIndex, ...cut, state, values: new SharedArrayBuffer(bytes) };
}

function stretchBytes(output: OutputLayout, rows: number): number {
  return Math.ceil((rows * output.width * elementBytes[output.elementType]) / alignment) * alignment;
}

function viewsOf(memory: RingMemory, outputs: readonly OutputLayout[]): NumberArray[] {
  let offset = 0;
  return outputs.map((output) => {
    const view = viewOf(output.elementType, memory.values, offset, memory.capacityRows * output.width);
    offset += stretchBytes(output, memory.capacityRows);
    return view;
  });
}

/** Sleeps until `index` is no longer `value`. @throws STOPPED */
function waitFor(state: Int32Array, index: number, value: number, flags: Int32Array): void {
  sleep(state, index, value, wakeMs);
  if (Atomics.load(flags, control.stop) !== 0) throw new TandemError('STOPPED', 'The run was stopped.');
}

/** The side of the threads that score. */
export class RingFiller {
  readonly #memory: RingMemory;
  readonly #outputs: readonly OutputLayout[];
  readonly #views: readonly NumberArray[];
  readonly #flags: Int32Array;

  constructor(memory: RingMemory, outputs: readonly OutputLayout[], flags: Int32Array) {
    this.#memory = memory;
    this.#outputs = outputs;
    this.#views = viewsOf(memory, outputs);
    this.#flags = flags;
  }

  /** The next span that no thread has taken; undefined when all are. Spans are given out in row order. */
  takeSpan(): (TakenSpan & { readonly index: number }) | undefined {
    const index = Atomics.add(this.#memory.state, nextSpan, 1);
    const span = this.#memory.spans[index];
    return span === undefined ? undefined : { ...span, index };
  }

  /** Waits for room, copies a batch's scores, tells the writer. @throws STOPPED */
  put(spanIndex: number, firstRow: number, rowCount: number, outputs: readonly TensorValues[]): void {
    const { state, capacityRows } = this.#memory;
    for (;;) {
      const written = Atomics.load(state, rowsWritten);
      if (firstRow + rowCount <= written + capacityRows) break;
      waitFor(state, rowsWritten, written, this.#flags);
    }
    this.#views.forEach((view, index) => {
      const { width } = this.#outputs[index]!;
      const source = outputs[index] as NumberArray;
      const at = firstRow % capacityRows;
      const head = Math.min(rowCount, capacityRows - at);
      copy(view, at * width, source, 0, head * width);
      if (head < rowCount) copy(view, 0, source, head * width, (rowCount - head) * width);
    });
    // The values are in place before the count says so: Atomics orders both.
    Atomics.add(state, firstSpan + spanIndex, rowCount);
    Atomics.notify(state, firstSpan + spanIndex);
  }
}

function copy(target: NumberArray, at: number, source: NumberArray, from: number, length: number): void {
  (target as Float64Array).set(source.subarray(from, from + length) as Float64Array, at);
}

/** The side of the thread that writes. */
export class RingReader {
  readonly #memory: RingMemory;
  readonly #views: readonly NumberArray[];
  readonly #flags: Int32Array;
  #span = 0;
  #rowInSpan = 0;
  #given = 0;

  constructor(memory: RingMemory, outputs: readonly OutputLayout[], flags: Int32Array) {
    this.#memory = memory;
    this.#views = viewsOf(memory, outputs);
    this.#flags = flags;
  }

  /** All output tensors of the ring; {@link next} says which rows. */
  get outputs(): readonly NumberArray[] {
    return this.#views;
  }

  /**
   * The next rows in row order: their place in the ring. Waits for them; what was given before may be overwritten now.
   * 0 rows: all are through. @throws STOPPED
   */
  next(rowsMax: number): { readonly ringRow: number; readonly rowCount: number } {
    const { state, spans, capacityRows } = this.#memory;
    Atomics.store(state, rowsWritten, this.#given);
    Atomics.notify(state, rowsWritten);
    while (this.#span < spans.length && this.#rowInSpan === spans[this.#span]!.rowCount) {
      this.#span++;
      this.#rowInSpan = 0;
    }
    if (this.#span === spans.length) return { ringRow: 0, rowCount: 0 };
    let ready = Atomics.load(state, firstSpan + this.#span);
    while (ready === this.#rowInSpan) {
      waitFor(state, firstSpan + this.#span, ready, this.#flags);
      ready = Atomics.load(state, firstSpan + this.#span);
    }
    const ringRow = this.#given % capacityRows;
    const rowCount = Math.min(rowsMax, ready - this.#rowInSpan, capacityRows - ringRow);
    this.#rowInSpan += rowCount;
    this.#given += rowCount;
    return { ringRow, rowCount };
  }
}
