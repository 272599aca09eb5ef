/** Keeps a device busy the way a GPU's thread does: as many batches in flight as there are device buffers. */
import { GpuError } from '../../src/engines/cuda/driver.ts';
import type { NumberArray } from '../../src/batch.ts';
import type { Rig } from './rig.ts';
import type { TimedWork } from './timed-driver.ts';

export interface FeedOptions {
  readonly batchRows: number;
  /** True: every batch is copied in and its scores out; false: it runs on what lies in the device buffers. */
  readonly copies: boolean;
  /** Ends after so many batches, or after so long, whichever comes first. */
  readonly batchesMax: number;
  readonly secondsMax: number;
  /** Told of every buffer whose scores are in its slots. */
  readonly onScored?: (buffer: number, batch: number) => void;
}

export interface Fed {
  readonly batches: number;
  readonly rows: number;
  readonly seconds: number;
  readonly rowsPerSecond: number;
  /** Of this run only, in the order in which each stream did it. */
  readonly times: readonly TimedWork[];
}

/** @throws GpuError */
export function feed(rig: Rig, options: FeedOptions): Fed {
  const { scorer, driver } = rig;
  const { batchRows, copies, batchesMax, secondsMax, onScored } = options;
  const { buffers } = rig.options;
  driver.takeTimes();
  const times: TimedWork[] = [];
  const piecesOf = Array.from({ length: buffers }, (_, buffer) => (copies ? rig.pieces(buffer, batchRows) : []));
  const started = performance.now();
  const seconds = (): number => (performance.now() - started) / 1000;
  let batches = 0;
  const finish = (batch: number): void => {
    scorer.block(batch % buffers);
    times.push(...driver.takeTimes());
    onScored?.(batch % buffers, batch);
  };
  for (; batches < batchesMax && (batches < buffers || seconds() < secondsMax); batches++) {
    if (batches >= buffers) finish(batches - buffers);
    const buffer = batches % buffers;
    for (const piece of piecesOf[buffer]!) scorer.copyIn(buffer, piece);
    scorer.score(buffer, [{ bufferRow: 0, rowCount: batchRows }], piecesOf[buffer]!);
  }
  for (let batch = Math.max(0, batches - buffers); batch < batches; batch++) finish(batch);
  const took = seconds();
  const rows = batches * batchRows;
  return { batches, rows, seconds: took, rowsPerSecond: rows / took, times };
}

/** How fast one size runs, and what it takes. */
export interface SizeFigures {
  readonly rows: number;
  readonly rowsPerSecond: number;
  /** Of one run, by events: median. */
  readonly computeMs: number;
  readonly runs: number;
  /** Free on the device while the arena holds what this size needed. */
  readonly freeBytesAfter: number;
}

/** Rate of one size on data that lies on the device; one run first, which prepares the shape. @throws GpuError */
export function timeSize(rig: Rig, rows: number, secondsMax: number): SizeFigures {
  rig.runOnce(0, rows);
  const fed = feed(rig, { batchRows: rows, copies: false, batchesMax: 10_000, secondsMax });
  const computed = fed.times.map(({ startMs, endMs }) => endMs - startMs).sort((a, b) => a - b);
  return {
    rows,
    rowsPerSecond: fed.rowsPerSecond,
    computeMs: computed[computed.length >> 1] ?? NaN,
    runs: fed.batches,
    freeBytesAfter: rig.driver.memory().freeBytes,
  };
}

/** The error if it says that memory ran out. @throws every other */
export function outOfMemoryOf(error: unknown): GpuError {
  if (error instanceof GpuError && error.kind === 'outOfMemory') return error;
  throw error;
}

/** Marks the slots of a buffer, so that scores that do not come are missed. */
export function clearScores(rig: Rig, buffer: number, batchRows: number): void {
  for (const { slot } of rig.pieces(buffer, batchRows)) {
    for (const values of rig.slots[slot]!.outputs as NumberArray[]) values.fill(NaN as never);
  }
}
