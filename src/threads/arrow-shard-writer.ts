/**
 * Writes one shard's features as an Arrow IPC file: record batches of kept columns, which DuckDB reads from the shard, with
 * the features beside them. Each side counts its rows, and both must give those of the plan.
 */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs';
import { AsyncByteQueue, RecordBatch, RecordBatchFileWriter, Schema, Struct, makeData } from 'apache-arrow';
import type { TensorValues } from '../batch.ts';
import { ArrowExport } from '../engines/duckdb/arrow.ts';
import type { Connection } from '../engines/duckdb/database.ts';
import { bug } from '../errors.ts';
import { arrowBatchBytesMax } from '../limits.ts';
import type { ScoredValues } from '../messages.ts';
import type { ModelPlan, PlannedShard, RunPlan } from '../plan.ts';
import { scoreBytesPerRow } from '../planning/allocate.ts';
import { RecordBatchMaker } from '../read/arrow/arrow-types.ts';
import { readShardBatches } from '../read/arrow/shard-batches.ts';
import { putScores, roomForScores, withScores } from '../write/score-arrow.ts';
import { publishShard } from '../write/output-folder.ts';
import { temporaryPath } from '../write/shard-files.ts';
import { checkRows, identityOf, keptTable, type NextScores } from '../write/shard-writer.ts';
import { cannotWrite } from '../write/write-failure.ts';
import type { ShardOutput } from './shard-output.ts';

export class ArrowShardWriter implements ShardOutput {
  readonly #connection: Connection;
  readonly #plan: RunPlan;
  readonly #attempt: string;
  /** As the columns come: float16 is float32 by then. */
  readonly #model: ModelPlan;
  /** Of a record batch. */
  readonly #batchRows: number;

  constructor(connection: Connection, plan: RunPlan, attempt: string) {
    this.#connection = connection;
    this.#plan = plan;
    this.#attempt = attempt;
    const outputs = plan.model.outputs.map((output) =>
      output.elementType === 'float16' ? ({ ...output, elementType: 'float32' } as const) : output,
    );
    this.#model = { ...plan.model, outputs };
    const rowsInBytes = Math.floor(arrowBatchBytesMax / Math.max(1, scoreBytesPerRow(this.#model)));
    this.#batchRows = Math.max(1, Math.min(plan.files.rowGroupRows, rowsInBytes));
  }

  /** As `ShardWriter` does. @throws whatever `next` throws; BAD_SHARD, BAD_COLUMN, TRANSIENT, BAD_OUTPUT */
  write(shard: PlannedShard, next: NextScores): number {
    const plan = this.#plan;
    const temporary = temporaryPath(plan.output, shard.name, this.#attempt);
    try {
      const sink = new FileSink(temporary, plan.output);
      try {
        const written = this.#writeBatches(shard, next, sink);
        checkRows(shard, next().rowCount + written, written);
      } finally {
        sink.end();
      }
      return publishShard(plan, identityOf(plan), shard, this.#attempt);
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
  }

  close(): void {}

  #writeBatches(shard: PlannedShard, next: NextScores, sink: FileSink): number {
    const writer = new RecordBatchFileWriter();
    const kept = this.#keptBatches(shard);
    let schema: Schema | undefined;
    let written = 0;
    for (let batch = kept.next().value; batch !== undefined; batch = kept.next().value) {
      const whole = withScores(batch, this.#model, this.#take(next, batch.numRows));
      if (schema === undefined) writer.reset(sink, (schema = whole.schema));
      if (whole.numRows > 0) writer.write(whole);
      written += whole.numRows;
    }
    writer.finish();
    return written;
  }

  /** The next features, exactly so many rows. */
  #take(next: NextScores, rowCount: number): ScoredValues[] {
    const room = roomForScores(this.#model, rowCount);
    for (let filled = 0; filled < rowCount;) {
      const { rowCount: count, columns } = next();
      if (count === 0) throw bug(`Features end after ${filled} of ${rowCount} rows of a batch`);
      putScores(this.#model, room, filled, count, columns as readonly TensorValues[]);
      filled += count;
    }
    return room;
  }

  /** Kept columns in batches of the file's size; one without rows where the shard has none. */
  *#keptBatches(shard: PlannedShard): Generator<RecordBatch, undefined, void> {
    const { rowCount } = shard;
    const from = keptTable(this.#plan, shard);
    if (from === undefined) {
      const rowsOf = (first: number): number => Math.min(this.#batchRows, rowCount - first);
      yield withoutColumns(rowsOf(0));
      for (let first = rowsOf(0); first < rowCount; first += rowsOf(first)) yield withoutColumns(rowsOf(first));
    } // Not left out: one argument would be a record of columns.
    else if (rowCount === 0) yield new RecordBatch(this.#schemaOf(from), undefined);
    else {
      let maker: RecordBatchMaker | undefined;
      for (const part of readShardBatches(this.#connection, shard, undefined, this.#batchRows, { from, rowCount })) {
        if (part.kind === 'shard') maker = new RecordBatchMaker(part.fields, part.dictionaries);
        else yield maker!.make(part.rowCount, part.columns);
      }
    }
    return undefined;
  }

  #schemaOf(from: string): Schema {
    const stream = this.#connection.stream(`FROM ${from} LIMIT 0`);
    try {
      const columns = new ArrowExport(this.#connection, stream);
      const { fields } = columns;
      columns.close();
      return new RecordBatchMaker(
        fields,
        fields.map(() => null),
      ).schema;
    } finally {
      stream.close();
    }
  }
}

function withoutColumns(rowCount: number): RecordBatch {
  const data = makeData({ type: new Struct([]), length: rowCount, nullCount: 0, children: [] });
  return new RecordBatch(new Schema([]), data);
}

/** Where apache-arrow's writer puts its bytes: straight into a file, since its own queue would hold all of them. */
class FileSink extends AsyncByteQueue {
  readonly #descriptor: number;
  readonly #folder: string;

  constructor(path: string, folder: string) {
    super();
    this.#folder = folder;
    try {
      this.#descriptor = openSync(path, 'w');
    } catch (cause) {
      throw cannotWrite(folder, cause);
    }
  }

  override write({ buffer, byteOffset, byteLength }: ArrayBufferView): void {
    try {
      for (let at = 0; at < byteLength;)
        at += writeSync(this.#descriptor, new Uint8Array(buffer, byteOffset + at, byteLength - at));
    } catch (cause) {
      throw cannotWrite(this.#folder, cause);
    }
  }

  end(): void {
    closeSync(this.#descriptor);
  }
}
