/** A shard as a sequence of finished columns, on the reader's own thread. */
import { asTandemError, TandemError } from '../../errors.ts';
import { ArrowExport, type ArrowField, type ArrowPiece } from '../../engines/duckdb/arrow.ts';
import { loadDuckDb } from '../../engines/duckdb/bindings.ts';
import {
  DuckDbError,
  quoteIdentifier,
  quotePath,
  type Connection,
  type RowStream,
} from '../../engines/duckdb/database.ts';
import { holdsArrowLayout } from '../../engines/duckdb/types.ts';
import type { Pointer } from '../../engines/native.ts';
import type { ShardFile } from '../find-shards.ts';
import { parquetFile } from '../../relation.ts';
import type { SourceTable } from '../footers.ts';
import { ColumnBuilder } from './column-builder.ts';
import type { ColumnData } from './layout.ts';
import type { ShardBatch, ShardStart } from './messages.ts';

/**
 * First the columns' types, then batches of exactly `batchRows` rows, the shard's last one shorter. A shard without
 * rows gives nothing.
 * @param columns undefined: all of them
 * @param table its rows that are taken; undefined: all, with the columns of the file
 * @throws BAD_SHARD, BAD_COLUMN, MEMORY, each with the shard
 */
export function* readShardBatches(
  connection: Connection,
  shard: ShardFile,
  columns: readonly string[] | undefined,
  batchRows: number,
  table: Pick<SourceTable, 'from' | 'rowCount'> | undefined,
): Generator<ShardStart | ShardBatch, void, void> {
  const source = `${table?.from ?? parquetFile(shard.path)} AS shard`;
  const projection = columns?.map(quoteIdentifier).join(', ') ?? '*';
  try {
    const rowCount = table?.rowCount ?? countRows(connection, shard);
    const stream = connection.stream(`SELECT ${projection} FROM ${source}`);
    let assembly: BatchAssembly | undefined;
    try {
      assembly = new BatchAssembly(connection, stream);
      yield* assembly.run(rowCount, batchRows);
    } finally {
      assembly?.close();
      stream.close();
    }
  } catch (error) {
    throw missingColumn(connection, error, source, columns, shard) ?? inShard(error, shard);
  }
}

function countRows(connection: Connection, { path }: ShardFile): number {
  const [count] = connection.rows(`SELECT num_rows FROM parquet_file_metadata(${quotePath(path)})`);
  return Number(count![0]);
}

/** DuckDB names the column too, in words about its own binder; undefined: the error is about something else. */
function missingColumn(
  connection: Connection,
  cause: unknown,
  source: string,
  columns: readonly string[] | undefined,
  shard: ShardFile,
): TandemError | undefined {
  if (columns === undefined || !(cause instanceof DuckDbError) || !cause.message.startsWith('Binder Error')) return;
  const names = connection.rows(`SELECT column_name FROM (DESCRIBE FROM ${source})`).map(([name]) => String(name));
  const lowered = new Set(names.map((name) => name.toLowerCase()));
  const column = columns.find((name) => !lowered.has(name.toLowerCase()));
  if (column === undefined) return undefined;
  const more = names.length > columnsNamedMax ? ` and ${names.length - columnsNamedMax} more` : '';
  return new TandemError('BAD_COLUMN', `Expected column \`${column}\` in the shard, got none of that name.`, {
    place: { shard: shard.name, column },
    remedy: `The shard has: ${names.slice(0, columnsNamedMax).join(', ')}${more}.`,
    cause,
  });
}

/** More are no help. */
const columnsNamedMax = 20;

/** Joins the chunks of a query into batches. */
class BatchAssembly {
  readonly #stream: RowStream;
  readonly #export: ArrowExport;
  readonly #builders: readonly ColumnBuilder[];
  /** Columns whose vectors are Arrow's layout already: copied as they are, past the converter. */
  readonly #direct: readonly boolean[];

  constructor(connection: Connection, stream: RowStream) {
    this.#stream = stream;
    this.#direct = stream.columns.map((column) => holdsArrowLayout(column.type));
    this.#export = new ArrowExport(connection, stream);
    this.#builders = this.#export.fields.map((field) => new ColumnBuilder(field));
  }

  *run(rowCount: number, batchRows: number): Generator<ShardStart | ShardBatch, void, void> {
    let rowsDone = 0;
    let rowsInBatch = 0;
    let batchEnd = 0;
    for (let chunkRows = this.#stream.next(); chunkRows > 0; chunkRows = this.#stream.next()) {
      if (rowsDone + chunkRows > rowCount) throw wrongRowCount(rowCount, 'more');
      const columns = this.#openChunk(chunkRows);
      if (rowsDone === 0) yield this.#start(columns);
      for (let first = 0; first < chunkRows;) {
        if (rowsInBatch === 0) {
          batchEnd = Math.min(batchRows, rowCount - rowsDone);
          for (const builder of this.#builders) builder.begin(batchEnd);
        }
        const count = Math.min(chunkRows - first, batchEnd - rowsInBatch);
        columns.forEach((column, index) => appendRows(this.#builders[index]!, column, first, count));
        first += count;
        rowsDone += count;
        rowsInBatch += count;
        if (rowsInBatch < batchEnd) continue;
        yield { kind: 'batch', rowCount: batchEnd, columns: this.#builders.map((builder) => builder.finish()) };
        rowsInBatch = 0;
      }
      this.#export.release();
    }
    if (rowsDone < rowCount) throw wrongRowCount(rowCount, `only ${rowsDone}`);
  }

  close(): void {
    this.#export.close();
  }

  #openChunk(rowCount: number): ChunkColumn[] {
    const duckdb = loadDuckDb();
    return this.#direct.map((direct, column) => {
      if (!direct) return this.#export.piece(column, rowCount);
      const vector = this.#stream.vector(column);
      return { data: duckdb.duckdb_vector_get_data(vector), validity: duckdb.duckdb_vector_get_validity(vector) };
    });
  }

  #start(columns: readonly ChunkColumn[]): ShardStart {
    const { fields } = this.#export;
    return { kind: 'shard', fields, dictionaries: fields.map((field, index) => dictionaryOf(field, columns[index]!)) };
  }
}

/** A column of one chunk. */
type ChunkColumn = ArrowPiece | { readonly data: Pointer; readonly validity: Pointer | null };

function appendRows(builder: ColumnBuilder, column: ChunkColumn, first: number, count: number): void {
  if ('data' in column) builder.appendFixed(column.data, column.validity, first, count);
  else builder.append(column, first, count);
}

/** DuckDB sends an ENUM's whole dictionary with every chunk; it is that of the type, so the first is enough. */
function dictionaryOf(field: ArrowField, column: ChunkColumn): ColumnData | null {
  if (field.dictionary === null || 'data' in column || column.dictionary === null) return null;
  const builder = new ColumnBuilder(field.dictionary);
  builder.begin(column.dictionary.length);
  builder.append(column.dictionary, 0, column.dictionary.length);
  return builder.finish();
}

function wrongRowCount(expected: number, got: string): TandemError {
  return new TandemError('BAD_SHARD', `Expected ${expected} rows, as the footer says, got ${got}.`, {
    remedy: 'Write the file again; it is damaged, or was changed while it was read.',
  });
}

/** What went wrong in a shard, with its name. */
function inShard(error: unknown, shard: ShardFile): TandemError {
  if (!(error instanceof DuckDbError)) return asTandemError(error).at({ shard: shard.name });
  const options = { place: { shard: shard.name }, cause: error };
  if (error.message.startsWith('Out of Memory')) {
    return new TandemError('MEMORY', `Expected the row groups to fit into memory, got: ${error.message}.`, options);
  }
  if (error.message.startsWith('Binder Error')) {
    return new TandemError('BAD_COLUMN', `Expected the shard to have the columns, got: ${error.message}.`, options);
  }
  return new TandemError('BAD_SHARD', `Expected a readable Parquet file, got: ${error.message}.`, {
    ...options,
    remedy: 'Write the file again, or leave it out of the pattern.',
  });
}
