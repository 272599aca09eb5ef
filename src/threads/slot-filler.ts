/**
 * One thread's way from a shard's rows to full slots: read, featurize, in row order. What fails is named by its place in
 * the shard.
 */
import { readTensors, type Chunk, type ColumnRequest, type SpanAddress, type TakenSpan } from '../batch.ts';
import type { KernelMemory } from '../engines/wasm.ts';
import { bug, TandemError, type ErrorPlace } from '../errors.ts';
import { BadRowError } from '../featurize/bad-row.ts';
import { createFeaturizer, requestsOf, type Featurizer } from '../featurize/featurizer.ts';
import type { Timekeeper } from '../measure/time-sheet.ts';
import { control } from '../messages.ts';
import type { ModelPlan, PlannedPart, PlannedShard, RunPlan } from '../plan.ts';
import { placeOfRow, type NamedRows } from '../read/row-failure.ts';
import type { ChunkSource } from '../read/shard-reader.ts';
import { between, partRows, takenRows } from '../relation.ts';
import type { Slot } from '../score/scorer.ts';

/** Rows to score, counted among those that are taken: where SQL finds them, and how errors name them. */
export interface LaneRows extends SpanAddress, NamedRows {
  /** Only some rows of the file are taken, so that the number of a row does not say where it lies. */
  readonly isSelection: boolean;
  /** Taken rows among `fileRows` that come before the first of these; undefined: none. */
  readonly skippedRows?: number | undefined;
  /** One result column for each request of the model's features. */
  readonly sql: string;
}

/** Where a lane's rows come from. */
export interface LaneReader {
  open(rows: LaneRows, requests: readonly ColumnRequest[]): ChunkSource;
  /** What a failure of the library means; undefined: it is none. */
  explain(error: unknown, rows: LaneRows): TandemError | undefined;
  /** Where a row of a selection lies in its file; `row` counts from the first of these rows. */
  fileRow(rows: LaneRows, row: number): number;
}

export class SlotFiller {
  readonly #model: Pick<ModelPlan, 'inputs'>;
  readonly #reader: LaneReader;
  readonly #control: Int32Array;
  readonly #sheet: Timekeeper;
  /** Of each input; undefined: columns do not fill it. */
  readonly #featurizers: readonly (Featurizer | undefined)[];
  #rows: LaneRows | undefined;
  #source: ChunkSource | undefined;
  #chunk: Chunk | undefined;
  #chunkRow = 0;
  #nextRow = 0;
  #endRow = 0;

  /**
   * @param control the run's flags, see `messages.ts`
   * @param kernels where the reader puts its columns, as far as there is room; the slots lie in the same memory
   */
  constructor(
    model: Pick<ModelPlan, 'inputs'>,
    reader: LaneReader,
    control: Int32Array,
    sheet: Timekeeper,
    kernels: KernelMemory | undefined,
  ) {
    this.#model = model;
    this.#reader = reader;
    this.#control = control;
    this.#sheet = sheet;
    let firstVector = 0;
    const firstVectors = new Map<string, number>();
    for (const { name, features } of readTensors(model.inputs)) {
      firstVectors.set(name, firstVector);
      firstVector += features.length;
    }
    this.#featurizers = model.inputs.map((tensor) => {
      const first = firstVectors.get(tensor.name);
      return first === undefined ? undefined : createFeaturizer(tensor, first, kernels);
    });
  }

  /** Starts on rows; what was open before is closed. @throws BAD_ROW, BAD_SHARD, STOPPED */
  open(rows: LaneRows): void {
    this.close();
    this.#rows = rows;
    this.#nextRow = rows.firstRow;
    this.#endRow = rows.firstRow + rows.rowCount;
    this.#chunk = undefined;
    const requests = readTensors(this.#model.inputs).flatMap(requestsOf);
    this.#source = this.#sheet.during('decode', () =>
      this.explain(rows.firstRow, () => this.#reader.open(rows, requests)),
    );
  }

  /** Featurizes the next rows, at most `rowsMax`, into the slot; undefined at the end. @throws BAD_ROW, BAD_SHARD, STOPPED */
  fill(slot: Slot, rowsMax: number): SpanAddress | undefined {
    return this.explain(this.#nextRow, () => {
      if (Atomics.load(this.#control, control.stop) !== 0) throw stopped();
      const rowCount = this.#featurizeRows(slot, rowsMax);
      if (rowCount === 0) {
        this.#expectAllRows();
        return undefined;
      }
      const address = { shardIndex: this.#rows!.shardIndex, firstRow: this.#nextRow, rowCount };
      this.#nextRow += rowCount;
      return address;
    });
  }

  /** Names what `work` throws by its place: the shard, and of what the model refused the batch's first row. */
  explain<T>(firstRow: number, work: () => T): T {
    try {
      return work();
    } catch (error) {
      const rows = this.#rows!;
      if (Atomics.load(this.#control, control.stop) !== 0) throw stopped(error);
      if (!(error instanceof TandemError)) throw this.#reader.explain(error, rows) ?? error;
      throw error.at(error.code === 'BAD_MODEL' ? this.#placeOf(firstRow) : { shard: rows.name });
    }
  }

  close(): void {
    this.#source?.close();
    this.#source = undefined;
  }

  #featurizeRows(slot: Slot, rowsMax: number): number {
    let filled = 0;
    while (filled < rowsMax) {
      if (this.#chunk === undefined || this.#chunkRow === this.#chunk.rowCount) {
        this.#chunk = this.#sheet.during('decode', () => this.#nextChunk(filled));
        this.#chunkRow = 0;
        if (this.#chunk === undefined) break;
      }
      const take = Math.min(rowsMax - filled, this.#chunk.rowCount - this.#chunkRow);
      this.#featurize(this.#chunk, take, filled, slot);
      this.#chunkRow += take;
      filled += take;
    }
    return filled;
  }

  #featurize(chunk: Chunk, take: number, filled: number, slot: Slot): void {
    this.#about(filled, take);
    const before = this.#sheet.enter('featurize');
    try {
      this.#featurizers.forEach((featurizer, index) =>
        featurizer?.fill(chunk, this.#chunkRow, take, slot.inputs[index]!, filled),
      );
      this.#sheet.enter(before);
    } catch (error) {
      if (!(error instanceof BadRowError)) throw error;
      const row = this.#nextRow + filled + (error.rowInChunk - this.#chunkRow);
      throw new TandemError('BAD_ROW', error.message, {
        place: { ...this.#placeOf(row), column: error.featureLabel },
        remedy: error.remedy,
        cause: error,
      });
    }
  }

  #nextChunk(filled: number): Chunk | undefined {
    const chunk = this.#source!.next();
    this.#about(filled, chunk?.rowCount ?? 0);
    return chunk;
  }

  /** What the thread does now is about rows from there on. */
  #about(filled: number, rowCount: number): void {
    this.#sheet.about({ shardIndex: this.#rows!.shardIndex, firstRow: this.#nextRow + filled, rowCount });
  }

  #placeOf(row: number): ErrorPlace {
    const rows = this.#rows!;
    const position = row - rows.firstRow + (rows.skippedRows ?? 0);
    return placeOfRow(rows, rows.isSelection ? this.#reader.fileRow(rows, position) : row);
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
}

function stopped(cause?: unknown): TandemError {
  return new TandemError('STOPPED', 'The run was stopped.', { cause });
}

/** Rows of a planned shard; all that are taken when no span is given. */
export function shardRows(plan: RunPlan, shard: PlannedShard, span?: TakenSpan): LaneRows {
  const { projection } = plan.schemas[shard.schema]!;
  const { rowGroupRows, takenBlocks } = shard;
  const { firstRow, rowCount } = span ?? { firstRow: 0, rowCount: shard.rowCount };
  const fileRowCount = rowGroupRows.reduce((sum, rows) => sum + rows, 0);
  const fileRows = span?.fileRows ?? (span === undefined ? { firstRow: 0, rowCount: fileRowCount } : span);
  const numberedFrom = `${takenRows(shard, plan.selection, true)} AS shard`;
  const sql =
    fileRows.rowCount === fileRowCount
      ? `SELECT ${projection} FROM ${takenRows(shard, plan.selection)} AS shard`
      : `SELECT ${projection} FROM ${numberedFrom} WHERE ${between(fileRows)}`;
  return {
    shardIndex: shard.index,
    firstRow,
    rowCount,
    name: shard.name,
    fileRows,
    rowGroupRows,
    isSelection: takenBlocks !== undefined,
    sql,
    numberedFrom,
  };
}

/** Rows of a planned shard in the order in which one thread reads them: each from one file. */
export function rowsInOrder(plan: RunPlan, shard: PlannedShard): readonly [LaneRows, ...LaneRows[]] {
  if (shard.parts === undefined) return [shardRows(plan, shard)];
  const [first, ...more] = shard.parts.map((part) => rowsOfPart(plan, shard, part));
  if (first === undefined) throw bug(`Nothing is gathered into ${shard.name}`);
  return [first, ...more];
}

function rowsOfPart(plan: RunPlan, { index }: PlannedShard, part: PlannedPart): LaneRows {
  const { name, firstRow, rowCount, fileRows, skippedRows, rowGroupRows, takenBlocks, schema } = part;
  return {
    shardIndex: index,
    firstRow,
    rowCount,
    name,
    fileRows,
    rowGroupRows,
    isSelection: takenBlocks !== undefined,
    skippedRows,
    sql: `SELECT ${plan.schemas[schema]!.projection} FROM ${partRows(part, plan.selection)} AS shard`,
    numberedFrom: `${takenRows(part, plan.selection, true)} AS shard`,
  };
}
