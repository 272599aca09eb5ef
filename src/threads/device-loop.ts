/**
 * The loop of a GPU's thread: carries out what `device-flow.ts` decides, and does to session and batch size what the
 * controller of `device-batch-size.ts` asks for.
 */
import { GpuError } from '../engines/cuda/driver.ts';
import { deviceLookIntervalMs, devicePollMs, deviceStarvedMs, deviceWarmUpRuns } from '../limits.ts';
import { TandemError } from '../errors.ts';
import { nextStep, observe, type ControllerState, type Decision, type Sample } from '../score/device-batch-size.ts';
import type { DeviceSheet, HostState, RunPart } from '../measure/device-sheet.ts';
import type { Reported, ReportedShare } from '../engines/nvml/reported-share.ts';
import type { MemoryLook } from '../score/device-memory.ts';
import type { DeviceScorer, RunRows } from '../score/device-scorer.ts';
import {
  isFinished,
  isPartlyFilled,
  startFlow,
  step,
  type FlowAction,
  type FlowEvent,
  type FlowState,
  type Piece,
} from '../transfer/device-flow.ts';
import type { SlotAddress, SlotReceiver } from '../transfer/slot-queue.ts';

export interface DeviceLoopParts {
  readonly scorer: Pick<DeviceScorer, 'copyIn' | 'score' | 'isDone' | 'block' | 'computeSeconds' | 'times'>;
  readonly receiver: Pick<SlotReceiver, 'receive' | 'wait' | 'producersAreIdle' | 'giveBack'>;
  readonly buffers: number;
  readonly bufferRows: number;
  /** A number: the caller's batch size, which stays. */
  readonly batchSize: ControllerState | number;
  /** False for a model that takes one batch size only. */
  readonly canSplit: boolean;
  readonly look: () => MemoryLook;
  /** Asked once, after the first runs: whether what they showed asks for a new session. */
  readonly warmedUp: () => boolean;
  /** A new session for the scorer, the old one closed; nothing is in flight. @throws GpuError `outOfMemory` */
  readonly renewSession: () => void;
  /** Told each size that is tried. */
  readonly onBatchSize: (rowCount: number) => void;
  readonly onDecision: (decision: Decision) => void;
  readonly sheet: Pick<DeviceSheet, 'enter' | 'countShape' | 'batchDone' | 'end'>;
  /** What the driver says of the time from the first batch's end to the last one's. */
  readonly reportedShare: Pick<ReportedShare, 'begin' | 'tick' | 'end'>;
  /** Milliseconds, from the clock of the scorer's times. */
  readonly nowMs: () => number;
  /** Called whenever the thread is between two things, however little that was. */
  readonly between?: () => void;
}

interface BufferInFlight {
  readonly buffer: number;
  readonly rowCount: number;
  /** Its rows did not fit at once. */
  readonly isSplit: boolean;
  readonly shrinksArena: boolean;
  readonly part: RunPart;
  readonly queuedMs: number;
  /** Of its rows, which may be of several shards. */
  readonly first: Pick<SlotAddress, 'shardIndex' | 'firstRow'>;
}

type ScoreAction = Extract<FlowAction, { kind: 'score' }>;

/** Idle without end, but for the stop flag. */
const idleMs = 1_000;

export class DeviceLoop {
  readonly #parts: DeviceLoopParts;
  #flow: FlowState;
  /** Undefined: the batch size stays. */
  #controller: ControllerState | undefined;
  /** Decided, and not yet carried out: what a later decision asks for comes after it. */
  readonly #actions: FlowAction[] = [];
  #isActing = false;
  /** Oldest first: they arrive in this order. */
  readonly #inFlight: BufferInFlight[] = [];
  /** Of the rows of each slot that has come. */
  readonly #addresses = new Map<number, SlotAddress>();
  #batchCount = 0;
  #rowCount = 0;
  #splitCount = 0;
  #lastLookMs = -Infinity;
  #deliveredMs = 0;
  #reported: Reported = { problem: 'the device did not score to the end' };
  /** Numbers of rows that the session has run, and any session before it. */
  #prepared = new Set<number>();
  readonly #shapes = new Set<number>();

  constructor(parts: DeviceLoopParts) {
    this.#parts = parts;
    const isFixed = typeof parts.batchSize === 'number';
    this.#controller = isFixed ? undefined : (parts.batchSize as ControllerState);
    this.#flow = startFlow(parts.buffers, parts.bufferRows, isFixed ? (parts.batchSize as number) : 1);
  }

  /** What the controller has found out; undefined where the batch size was given. */
  get controller(): ControllerState | undefined {
    return this.#controller;
  }

  /** How busy the driver says that the device was. */
  get reported(): Reported {
    return this.#reported;
  }

  /** Every row that came is scored and back in its slot. */
  get isFinished(): boolean {
    return isFinished(this.#flow);
  }

  get batchSize(): number {
    return this.#flow.batchSize;
  }

  /** Batches that are scored, those among them that were split, and the rows of all. */
  get scored(): { readonly batchCount: number; readonly splitCount: number; readonly rowCount: number } {
    return { batchCount: this.#batchCount, splitCount: this.#splitCount, rowCount: this.#rowCount };
  }

  /** Slots that are here and have not gone back, those among them whose scores are complete too. */
  get heldSlots(): number[] {
    const scored = this.#actions.flatMap((action) => (action.kind === 'release' ? [action.slot] : []));
    return [...this.#flow.owed.keys(), ...scored];
  }

  /** Until every producer has ended and every slot is back. @throws GpuError, STOPPED, MEMORY */
  run(): void {
    this.#controller?.decisions.forEach(this.#parts.onDecision);
    this.#follow();
    while (!isFinished(this.#flow)) {
      this.#parts.between?.();
      const progress = [this.#receive(), this.#collect()];
      if (!progress.includes(true)) this.#rest();
    }
    if (this.#batchCount > 0) this.#reported = this.#parts.reportedShare.end();
    this.#parts.sheet.end(this.#deliveredMs);
  }

  #receive(): boolean {
    let some = false;
    for (let received = this.#parts.receiver.receive(); received !== undefined; some = true) {
      if (received === 'ended') this.#dispatch({ kind: 'slotsEnded' });
      else {
        this.#addresses.set(received.slot, received.address);
        this.#dispatch({ kind: 'slotFilled', slot: received.slot, rowCount: received.address.rowCount });
      }
      received = this.#parts.receiver.receive();
    }
    return some;
  }

  #collect(): boolean {
    let some = false;
    while (this.#inFlight.length > 0 && this.#parts.scorer.isDone(this.#inFlight[0]!.buffer)) {
      const done = this.#inFlight.shift()!;
      this.#learn(done);
      this.#dispatch({ kind: 'scored', buffer: done.buffer });
      some = true;
    }
    return some;
  }

  /** Sleeps as long as nothing can be done, and no longer. */
  #rest(): void {
    const { scorer, receiver, buffers, sheet } = this.#parts;
    sheet.enter(this.#flow.waiting.length > 0 ? 'awaitBuffer' : 'awaitRows');
    if (this.#inFlight.length === buffers) scorer.block(this.#inFlight[0]!.buffer);
    else if (this.#inFlight.length > 0) receiver.wait(devicePollMs);
    else if (!isPartlyFilled(this.#flow)) receiver.wait(idleMs);
    else if (receiver.producersAreIdle || !receiver.wait(deviceStarvedMs)) this.#dispatch({ kind: 'starved' });
  }

  #dispatch(event: FlowEvent): void {
    if (!this.#isActing) this.#parts.sheet.enter('driving');
    const { state, actions } = step(this.#flow, event);
    this.#flow = state;
    this.#actions.push(...actions);
    if (this.#isActing) return;
    this.#isActing = true;
    for (let action = this.#actions.shift(); action !== undefined; action = this.#actions.shift()) {
      this.#carryOut(action);
    }
    this.#isActing = false;
  }

  #carryOut(action: FlowAction): void {
    switch (action.kind) {
      case 'copyIn':
        return this.#parts.scorer.copyIn(action.buffer, action.piece);
      case 'release':
        return this.#parts.receiver.giveBack(action.slot);
      case 'score':
        return this.#score(action);
    }
  }

  #score({ buffer, parts, pieces }: ScoreAction): void {
    const wanted = this.#controller === undefined ? undefined : nextStep(this.#controller);
    const shrinksArena = wanted?.kind === 'shrink' && !this.#inFlight.some((other) => other.shrinksArena);
    const queuedMs = this.#parts.nowMs();
    const isSplit = parts.length > 1;
    const runs =
      isSplit || !this.#parts.canSplit || this.#isAllowed(parts[0]!.rowCount) ? parts : inFewShapes(parts[0]!.rowCount);
    const part = isSplit || shrinksArena ? 'outOfMemory' : this.#partOf(runs);
    try {
      this.#during(part === 'newShapes' ? 'newShapes' : 'driving', () =>
        this.#parts.scorer.score(buffer, runs, pieces, shrinksArena),
      );
    } catch (error) {
      if (!(error instanceof GpuError) || error.kind !== 'outOfMemory') throw error;
      return this.#during('outOfMemory', () => this.#split(buffer, runs[0]!.rowCount, shrinksArena, error));
    }
    for (const { rowCount } of runs) this.#noteShape(rowCount);
    const rowCount = runs.reduce((sum, part) => sum + part.rowCount, 0);
    const first = this.#addressOf(pieces[0]!);
    this.#inFlight.push({ buffer, rowCount, isSplit, shrinksArena, part, queuedMs, first });
  }

  #addressOf({ slot, slotRow }: Piece): BufferInFlight['first'] {
    const { shardIndex, firstRow } = this.#addresses.get(slot)!;
    return { shardIndex, firstRow: firstRow + slotRow };
  }

  #partOf(runs: readonly RunRows[]): RunPart {
    if (runs.some(({ rowCount }) => !this.#prepared.has(rowCount))) return 'newShapes';
    return this.#controller === undefined || this.#controller.phase === 'steady' ? 'computing' : 'search';
  }

  #isAllowed(rowCount: number): boolean {
    return rowCount === this.#flow.batchSize || this.#controller?.sizes.includes(rowCount) === true;
  }

  #noteShape(rowCount: number): void {
    this.#prepared.add(rowCount);
    if (this.#shapes.has(rowCount)) return;
    this.#shapes.add(rowCount);
    this.#parts.sheet.countShape();
  }

  #during(state: HostState, work: () => void): void {
    const before = this.#parts.sheet.enter(state);
    try {
      work();
    } finally {
      this.#parts.sheet.enter(before);
    }
  }

  /** The rows are on the device: the same again in smaller runs, as small as the controller says. */
  #split(buffer: number, rows: number, shrinks: boolean, error: GpuError): void {
    if (!this.#parts.canSplit || (this.#controller === undefined && rows === 1)) throw memoryError(rows, error);
    // What else is under way may be what holds the memory.
    for (const other of this.#inFlight) this.#parts.scorer.block(other.buffer);
    this.#collect();
    const during = shrinks ? 'shrink' : 'run';
    const { freeBytes } = this.#look();
    this.#observe({ kind: 'outOfMemory', rows, during, where: error.message, freeBytes });
    // The size in use, not that of a step to give memory back, which is one row: a run of its own for each.
    const smaller = Math.min(this.#controller?.rows ?? rows, Math.ceil(rows / 2));
    this.#dispatch({ kind: 'outOfMemory', buffer, partRowsMax: alignedRows(smaller) });
  }

  #learn({ buffer, rowCount, isSplit, shrinksArena, part, queuedMs, first }: BufferInFlight): void {
    const times = this.#parts.scorer.times(buffer);
    this.#deliveredMs = times.deliveredMs;
    this.#parts.sheet.batchDone({ ...times, queuedMs }, rowCount, part, first);
    this.#batchCount++;
    if (this.#batchCount === 1) this.#parts.reportedShare.begin();
    else this.#parts.reportedShare.tick();
    this.#rowCount += rowCount;
    this.#splitCount += Number(isSplit);
    if (this.#batchCount === deviceWarmUpRuns && this.#parts.warmedUp()) this.#renewSession();
    const look = shrinksArena || isSplit || this.#isLookDue() ? this.#look() : undefined;
    if (shrinksArena) return this.#observe({ kind: 'shrink', freeBytes: look?.freeBytes });
    if (isSplit) return this.#observe({ kind: 'memory', freeBytes: look?.freeBytes });
    const seconds = this.#parts.scorer.computeSeconds(buffer);
    const memory = { memoryPeakBytes: look?.heldBytes, freeBytes: look?.freeBytes };
    this.#observe({ kind: 'ran', rows: rowCount, seconds, ...memory });
  }

  #isLookDue(): boolean {
    const isSearching = this.#controller !== undefined && this.#controller.phase !== 'steady';
    return isSearching || this.#parts.nowMs() - this.#lastLookMs >= deviceLookIntervalMs;
  }

  #look(): MemoryLook {
    this.#lastLookMs = this.#parts.nowMs();
    return this.#parts.look();
  }

  #observe(sample: Sample): void {
    if (this.#controller === undefined) return;
    const last = this.#controller.decisions.at(-1);
    this.#controller = observe(this.#controller, sample);
    const { decisions } = this.#controller;
    decisions.slice(last === undefined ? 0 : decisions.lastIndexOf(last) + 1).forEach(this.#parts.onDecision);
    this.#follow();
  }

  /** What the controller asks for besides the next run. */
  #follow(): void {
    if (this.#controller === undefined) return this.#parts.onBatchSize(this.#flow.batchSize);
    const next = nextStep(this.#controller);
    switch (next.kind) {
      case 'run':
      case 'shrink':
        if (next.rows === this.#flow.batchSize) return;
        if (next.kind === 'run') this.#parts.onBatchSize(next.rows);
        return this.#dispatch({ kind: 'batchSize', rowCount: next.rows });
      case 'newSession':
        return this.#renewSession();
      case 'fail':
        throw new TandemError('MEMORY', next.reason, { remedy: 'Free memory on the device, or use --device cpu.' });
    }
  }

  #renewSession(): void {
    const { scorer, renewSession } = this.#parts;
    for (const { buffer } of this.#inFlight) scorer.block(buffer);
    this.#prepared = new Set();
    try {
      // The first session of a promise of memory is measured, then opened again: that belongs to starting.
      this.#during(this.#batchCount <= deviceWarmUpRuns ? 'warmUp' : 'outOfMemory', renewSession);
    } catch (error) {
      if (this.#controller === undefined || !(error instanceof GpuError) || error.kind !== 'outOfMemory') throw error;
      return this.#observe({ kind: 'outOfMemory', rows: 0, during: 'newSession', where: error.message });
    }
    this.#observe({ kind: 'newSession', freeBytes: this.#look().freeBytes });
  }
}

/**
 * A batch that did not get full, as runs whose sizes come again and again: powers of two down to 16, and what is left. Each
 * size is a shape that the engine prepares once and keeps for ever. Larger ones first, so that each begins at an aligned row.
 */
export function inFewShapes(rowCount: number): readonly RunRows[] {
  const runs: RunRows[] = [];
  for (let bufferRow = 0; bufferRow < rowCount;) {
    const left = rowCount - bufferRow;
    const rows = left < 16 ? left : 2 ** Math.floor(Math.log2(left));
    runs.push({ bufferRow, rowCount: rows });
    bufferRow += rows;
  }
  return runs;
}

/**
 * Rows of a part, so that the next one begins where kernels can load several values at once, as they do at the start of
 * memory that was allocated: an address that is not aligned ends the device's work (cudaErrorMisalignedAddress).
 */
function alignedRows(rows: number): number {
  const group = rows >= 64 ? 64 : rows >= 8 ? 8 : 1;
  return Math.max(1, rows - (rows % group));
}

function memoryError(rows: number, cause: GpuError): TandemError {
  return new TandemError(
    'MEMORY',
    `Expected a batch of ${rows === 1 ? 'one row' : `${rows} rows`} to fit into the device's memory, got: ${cause.message}`,
    {
      remedy: 'Free memory on the device (other processes use it too), or use --device cpu.',
      cause,
    },
  );
}
