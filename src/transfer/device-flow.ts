/**
 * What a GPU's thread does next, as a pure state machine: `step(state, event)` gives the new state and the actions. Slots
 * are cut and joined into batches of the batch size, so that the model sees few shapes; while one device buffer is
 * computed on, the next one fills and the one before is copied out. Two runners carry the actions out: the thread over a
 * GpuDriver, and a simulation on a virtual clock.
 */

/** Rows of one slot within a batch. */
export interface Piece {
  readonly slot: number;
  readonly slotRow: number;
  /** Where the rows begin in the device buffer. */
  readonly bufferRow: number;
  readonly rowCount: number;
}

/** Rows of a device buffer that are run at once. */
export interface Part {
  readonly bufferRow: number;
  readonly rowCount: number;
}

export type FlowEvent =
  | { readonly kind: 'slotFilled'; readonly slot: number; readonly rowCount: number }
  /** No slot will come any more. */
  | { readonly kind: 'slotsEnded' }
  /** Nothing is in flight and no slot comes: score what there is. */
  | { readonly kind: 'starved' }
  /** All scores of a buffer have arrived in its slots. */
  | { readonly kind: 'scored'; readonly buffer: number }
  /** The run of a buffer did not fit into the device's memory. Its rows are still on the device. */
  | { readonly kind: 'outOfMemory'; readonly buffer: number; readonly partRowsMax: number }
  /** From the batch size controller; for batches that begin from now on. */
  | { readonly kind: 'batchSize'; readonly rowCount: number };

export type FlowAction =
  | { readonly kind: 'copyIn'; readonly buffer: number; readonly piece: Piece }
  /** Run the model on these parts, one after the other, and copy their scores out to the pieces' slots. */
  | {
      readonly kind: 'score';
      readonly buffer: number;
      readonly parts: readonly Part[];
      readonly pieces: readonly Piece[];
    }
  /** The slot belongs to its owner again, with scores for all its rows. */
  | { readonly kind: 'release'; readonly slot: number };

interface Buffer {
  readonly phase: 'empty' | 'filling' | 'scoring';
  readonly pieces: readonly Piece[];
  readonly rowCount: number;
}

interface WaitingSlot {
  readonly slot: number;
  readonly rowCount: number;
  /** Rows that are in a buffer already. */
  readonly taken: number;
}

export interface FlowState {
  /** Rows that each device buffer holds. */
  readonly bufferRows: number;
  readonly batchSize: number;
  readonly buffers: readonly Buffer[];
  readonly waiting: readonly WaitingSlot[];
  /** By slot: rows whose scores are still missing. */
  readonly owed: ReadonlyMap<number, number>;
  readonly ended: boolean;
}

export interface FlowStep {
  readonly state: FlowState;
  readonly actions: readonly FlowAction[];
}

const emptyBuffer: Buffer = { phase: 'empty', pieces: [], rowCount: 0 };

/** @param bufferRows rows that a device buffer holds; no batch is larger */
export function startFlow(buffers: number, bufferRows: number, batchSize: number): FlowState {
  return {
    bufferRows,
    batchSize: Math.min(batchSize, bufferRows),
    buffers: Array.from({ length: buffers }, () => emptyBuffer),
    waiting: [],
    owed: new Map(),
    ended: false,
  };
}

export function step(state: FlowState, event: FlowEvent): FlowStep {
  switch (event.kind) {
    case 'slotFilled': {
      const { slot, rowCount } = event;
      const owed = new Map(state.owed).set(slot, rowCount);
      return pump({ ...state, owed, waiting: [...state.waiting, { slot, rowCount, taken: 0 }] });
    }
    case 'slotsEnded':
      return pump({ ...state, ended: true });
    case 'starved':
      return scoreFilling(state);
    case 'batchSize':
      return pump({ ...state, batchSize: Math.min(event.rowCount, state.bufferRows) });
    case 'scored':
      return release(state, event.buffer);
    case 'outOfMemory':
      return { state, actions: [scoreAction(state, event.buffer, event.partRowsMax)] };
  }
}

/** Buffers whose scores are still to come, in no order. */
export function inFlight(state: FlowState): number[] {
  return indicesOf(state, 'scoring');
}

/** Rows that lie in a buffer which is not full, and nothing will fill it but more slots. */
export function isPartlyFilled(state: FlowState): boolean {
  return indicesOf(state, 'filling').length > 0;
}

/** Every slot has come and gone. */
export function isFinished(state: FlowState): boolean {
  return state.ended && state.owed.size === 0;
}

function indicesOf(state: FlowState, phase: Buffer['phase']): number[] {
  return state.buffers.flatMap((buffer, index) => (buffer.phase === phase ? [index] : []));
}

/** Moves waiting rows into buffers as long as one has room. */
function pump(start: FlowState): FlowStep {
  let state = start;
  const actions: FlowAction[] = [];
  const take = (next: FlowStep): void => {
    state = next.state;
    actions.push(...next.actions);
  };
  for (;;) {
    const [filling] = indicesOf(state, 'filling');
    // A batch size that went down may find its buffer full.
    if (filling !== undefined && state.buffers[filling]!.rowCount >= state.batchSize) take(scoreFilling(state));
    else if (state.waiting.length > 0 && (filling ?? indicesOf(state, 'empty')[0]) !== undefined) {
      take(fill(state, filling ?? indicesOf(state, 'empty')[0]!));
    } else break;
  }
  if (state.ended && state.waiting.length === 0) take(scoreFilling(state));
  return { state, actions };
}

/** As many rows of the first waiting slot as the batch takes. */
function fill(state: FlowState, index: number): FlowStep {
  const [first, ...others] = state.waiting as [WaitingSlot, ...WaitingSlot[]];
  const buffer = state.buffers[index]!;
  const rowCount = Math.min(first.rowCount - first.taken, state.batchSize - buffer.rowCount);
  const piece: Piece = { slot: first.slot, slotRow: first.taken, bufferRow: buffer.rowCount, rowCount };
  const taken = first.taken + rowCount;
  const filled: Buffer = {
    phase: 'filling',
    pieces: [...buffer.pieces, piece],
    rowCount: buffer.rowCount + rowCount,
  };
  return {
    state: {
      ...state,
      buffers: state.buffers.with(index, filled),
      waiting: taken === first.rowCount ? others : [{ ...first, taken }, ...others],
    },
    actions: [{ kind: 'copyIn', buffer: index, piece }],
  };
}

function scoreFilling(state: FlowState): FlowStep {
  const [index] = indicesOf(state, 'filling');
  if (index === undefined) return { state, actions: [] };
  const buffers = state.buffers.with(index, { ...state.buffers[index]!, phase: 'scoring' });
  return { state: { ...state, buffers }, actions: [scoreAction(state, index, state.bufferRows)] };
}

function scoreAction(state: FlowState, index: number, partRowsMax: number): FlowAction {
  const { pieces, rowCount } = state.buffers[index]!;
  const parts: Part[] = [];
  for (let bufferRow = 0; bufferRow < rowCount; bufferRow += partRowsMax) {
    parts.push({ bufferRow, rowCount: Math.min(partRowsMax, rowCount - bufferRow) });
  }
  return { kind: 'score', buffer: index, parts, pieces };
}

function release(state: FlowState, index: number): FlowStep {
  const owed = new Map(state.owed);
  const actions: FlowAction[] = [];
  for (const { slot, rowCount } of state.buffers[index]!.pieces) {
    const left = owed.get(slot)! - rowCount;
    if (left > 0) owed.set(slot, left);
    else {
      owed.delete(slot);
      actions.push({ kind: 'release', slot });
    }
  }
  const pumped = pump({ ...state, owed, buffers: state.buffers.with(index, emptyBuffer) });
  return { state: pumped.state, actions: [...actions, ...pumped.actions] };
}
