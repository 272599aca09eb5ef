/**
 * One thread's way from a shard's rows to their scores: read, featurize into the slot, score in place. The rows of a
 * batch leave before the next one is made.
 */
import type { Chunk, ColumnRequest, Span, SpanAddress, TensorValues } from '../batch.ts';
import { TandemError } from '../errors.ts';
import { BadRowError } from '../featurize/bad-row.ts';
import { createFeaturizer, requestsOf, type Featurizer } from '../featurize/featurizer.ts';
import { control } from '../messages.ts';
import type { PlannedShard, RunPlan } from '../plan.ts';
import { numberedRows, readParquet } from '../read/footers.ts';
import { placeOfRow, type NamedRows } from '../read/row-failure.ts';
import type { ChunkSource } from '../read/shard-reader.ts';
import { addSample, chosenBatchSize, nextBatchSize, startSweep, type BatchSizeState } from '../score/batch-size.ts';
import type { Slot, SlotScorer } from '../score/scorer.ts';
import type { InFlight } from '../write/in-flight.ts';

/** Rows to score: where SQL finds them, and how errors name them. */
export interface LaneRows extends SpanAddress, NamedRows {
  /** One result column for each request of the model's features. */
  readonly sql: string;
}

/** Where a lane's rows come from. */
export interface LaneReader {
  open(rows: LaneRows, requests: readonly ColumnRequest[]): ChunkSource;
  /** What a failure of the library means; undefined: it is none. */
  explain(error: unknown, rows: LaneRows): TandemError | undefined;
}

/** What a lane needs; all of it belongs to its thread but the shared counters. */
export interface LaneParts {
  readonly plan: Pick<RunPlan, 'model' | 'slotRows' | 'batchSize'>;
  readonly reader: LaneReader;
  readonly slot: Slot;
  readonly scorer: SlotScorer;
  readonly inFlight: Pick<InFlight, 'enter'>;
  readonly control: Int32Array;
  readonly rowsScored: BigInt64Array;
  /** Seconds, from a monotonic clock. */
  readonly now: () => number;
}

/** Scores of a batch: rows [0, rowCount) of each output tensor of the slot, until the next batch. */
export interface ScoredBatch extends SpanAddress {
  readonly outputs: readonly TensorValues[];
}

export class Lane {
  readonly #parts: LaneParts;
  readonly #featurizers: readonly Featurizer[];
  #sweep: BatchSizeState;
  #rows: LaneRows | undefined;
  #source: ChunkSource | undefined;
  #chunk: Chunk | undefined;
  #chunkRow = 0;
  #nextRow = 0;
  #endRow = 0;

  constructor(parts: LaneParts) {
    this.#parts = parts;
    let firstVector = 0;
    this.#featurizers = parts.plan.model.inputs.map((tensor) => {
      const featurizer = createFeaturizer(tensor, firstVector);
      firstVector += tensor.features.length;
      return featurizer;
    });
    this.#sweep = startSweep(parts.plan.slotRows);
  }

  /** Starts on rows; what was open before is closed. @throws BAD_ROW, BAD_SHARD, STOPPED */
  open(rows: LaneRows): void {
    this.close();
    this.#rows = rows;
    this.#nextRow = rows.firstRow;
    this.#endRow = rows.firstRow + rows.rowCount;
    this.#chunk = undefined;
    const requests = this.#parts.plan.model.inputs.flatMap(requestsOf);
    this.#source = this.#translate(() => this.#parts.reader.open(rows, requests));
  }

  /** The next batch's scores; undefined at the end. @throws BAD_ROW, BAD_SHARD, BAD_MODEL, STOPPED */
  next(): ScoredBatch | undefined {
    return this.#translate(() => this.#nextBatch());
  }

  close(): void {
    this.#source?.close();
    this.#source = undefined;
  }

  #nextBatch(): ScoredBatch | undefined {
    const { slot, scorer, inFlight, now, rowsScored } = this.#parts;
    if (Atomics.load(this.#parts.control, control.stop) !== 0) throw new TandemError('STOPPED', 'The run was stopped.');
    const size = this.#batchSize();
    const rowCount = this.#fill(size);
    if (rowCount === 0) {
      this.#expectAllRows();
      return undefined;
    }
    const address = { shardIndex: this.#rows!.shardIndex, firstRow: this.#nextRow, rowCount };
    inFlight.enter(address);
    const started = now();
    scorer.score(rowCount);
    this.#learn({ rowCount, seconds: now() - started });
    this.#nextRow += rowCount;
    Atomics.add(rowsScored, 0, BigInt(rowCount));
    return { ...address, outputs: slot.outputs };
  }

  /** Featurizes up to `rowCount` rows into the slot. */
  #fill(rowCount: number): number {
    const { slot } = this.#parts;
    let filled = 0;
    while (filled < rowCount) {
      if (this.#chunk === undefined || this.#chunkRow === this.#chunk.rowCount) {
        this.#chunk = this.#source!.next();
        this.#chunkRow = 0;
        if (this.#chunk === undefined) break;
      }
      const take = Math.min(rowCount - filled, this.#chunk.rowCount - this.#chunkRow);
      this.#featurize(this.#chunk, take, filled, slot);
      this.#chunkRow += take;
      filled += take;
    }
    return filled;
  }

  #featurize(chunk: Chunk, take: number, filled: number, slot: Slot): void {
    try {
      this.#featurizers.forEach((featurizer, index) =>
        featurizer.fill(chunk, this.#chunkRow, take, slot.inputs[index]!, filled),
      );
    } catch (error) {
      if (!(error instanceof BadRowError)) throw error;
      const row = this.#nextRow + filled + (error.rowInChunk - this.#chunkRow);
      throw new TandemError('BAD_ROW', error.message, {
        place: { ...placeOfRow(this.#rows!, row), column: error.featureLabel },
        remedy: error.remedy,
        cause: error,
      });
    }
  }

  /** A stream that ends early without an error would lose rows. */
  #expectAllRows(): void {
    if (this.#nextRow === this.#endRow) return;
    throw new TandemError(
      'TRANSIENT',
      `Expected row ${this.#endRow - 1} to be the last one read, as the footer says, got ${this.#nextRow - 1}.`,
      {
        remedy: 'The file changed while it was read: run the same command again.',
      },
    );
  }

  #batchSize(): number {
    const { plan } = this.#parts;
    const shared = Atomics.load(this.#parts.control, control.batchSize);
    return plan.batchSize ?? (shared !== 0 ? shared : nextBatchSize(this.#sweep));
  }

  /** Every thread measures until the first one knows; its choice is everybody's. */
  #learn(sample: { readonly rowCount: number; readonly seconds: number }): void {
    if (this.#parts.plan.batchSize !== undefined || Atomics.load(this.#parts.control, control.batchSize) !== 0) return;
    this.#sweep = addSample(this.#sweep, sample);
    const chosen = chosenBatchSize(this.#sweep);
    if (chosen !== undefined) Atomics.compareExchange(this.#parts.control, control.batchSize, 0, chosen);
  }

  #translate<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      const rows = this.#rows!;
      const stopped = Atomics.load(this.#parts.control, control.stop) !== 0;
      if (stopped) throw new TandemError('STOPPED', 'The run was stopped.', { cause: error });
      if (!(error instanceof TandemError)) throw this.#parts.reader.explain(error, rows) ?? error;
      throw error.at(error.code === 'BAD_MODEL' ? placeOfRow(rows, this.#nextRow) : { shard: rows.name });
    }
  }
}

/** Rows of a planned shard; all of them when no span is given. */
export function shardRows(
  plan: RunPlan,
  shard: PlannedShard,
  span: Span = { firstRow: 0, rowCount: shard.rowCount },
): LaneRows {
  const { projection } = plan.schemas[shard.schema]!;
  const numberedFrom = numberedRows(shard.path);
  const { firstRow, rowCount } = span;
  const sql =
    rowCount === shard.rowCount
      ? `SELECT ${projection} FROM ${readParquet(shard.path)} AS shard`
      : `SELECT ${projection} FROM ${numberedFrom} WHERE shard.file_row_number BETWEEN ${firstRow} AND ${firstRow + rowCount - 1}`;
  return {
    shardIndex: shard.index,
    firstRow,
    rowCount,
    name: shard.name,
    rowGroupRows: shard.rowGroupRows,
    sql,
    numberedFrom,
  };
}
