/** Planning over shards that parquetjs-lite reads: no SQL, and what cannot be read is refused before the start. */
import type { ColumnRequest } from '../batch.ts';
import type { ParquetFile } from '../engines/parquetjs/file.ts';
import { bug, TandemError } from '../errors.ts';
import type { Contract } from '../contract/contract.ts';
import type { PlainScoreOptions } from '../messages.ts';
import type { OutputOptions } from '../output-options.ts';
import type { ShardFile } from '../read/find-shards.ts';
import { formatOf } from '../shard-format.ts';
import type { Footer, SourceTable } from '../read/footers.ts';
import { openParquetJs } from '../read/parquetjs/footers.ts';
import { openParquetJsChunks } from '../read/parquetjs/open-chunks.ts';
import { explainParquetJs, keptColumn, refuseSql, requestedColumn } from '../read/parquetjs/refusals.ts';
import type { SelectionOptions } from '../relation.ts';
import type { ChunkSource } from '../read/shard-reader.ts';
import type { SqlSource, TableReader } from './tables.ts';

/** Said at the start of every run, so that nobody takes this reader for the fast one. */
export const parquetJsWarning =
  'Shards are read and written by parquetjs-lite, in JavaScript: many times slower than the native reader ' +
  '(leave out --reader parquetjs), a whole row group in memory at a time.';

export const parquetJsNote = 'Scoring on the CPU: a GPU would wait for --reader parquetjs.';

/** @throws USAGE */
export function checkParquetJsOptions(options: Pick<PlainScoreOptions, keyof OutputOptions | 'device'>): void {
  const { device = 'cpu' } = options;
  if (device !== 'cpu' && device !== 'auto') {
    throw new TandemError('USAGE', `Expected --device cpu with --reader parquetjs, got \`${device}\`.`, {
      remedy: 'Leave out one of the two: a GPU would wait for this reader.',
    });
  }
  const { compression = 'snappy', rowGroupRows, rowsPerFile } = options;
  const isPlain = rowGroupRows === undefined && rowsPerFile === undefined;
  if (isPlain && (compression === 'snappy' || compression === 'none')) return;
  const got = isPlain ? compression : rowsPerFile === undefined ? '--row-group-rows' : '--rows-per-file';
  throw new TandemError('USAGE', `Expected --compression snappy or none with --reader parquetjs, got ${got}.`, {
    remedy: 'Leave out one of the two: the native reader (DuckDB) writes all forms.',
  });
}

/** @throws USAGE for the first file that is no Parquet */
export function refuseOtherFormats(files: readonly ShardFile[]): void {
  const other = files.find(({ name }) => formatOf(name) !== 'parquet');
  if (other === undefined) return;
  throw new TandemError('USAGE', 'Expected --reader parquetjs to be given Parquet files only, got another format.', {
    place: { shard: other.name },
    remedy: 'Leave out --reader: the native reader (DuckDB) reads CSV, JSON and Arrow.',
  });
}

/** @throws USAGE, BAD_CONTRACT for rows and columns that only SQL chooses */
export function checkParquetJsRows(options: SelectionOptions, contract: Pick<Contract, 'where' | 'renames'>): void {
  const remedy = 'Leave out one of the two: the native reader (DuckDB) computes it.';
  const flag = (['where', 'limit', 'sample'] as const).find((name) => options[name] !== undefined);
  if (flag !== undefined)
    throw new TandemError('USAGE', `Expected every row with --reader parquetjs, got --${flag}.`, { remedy });
  const key = (['where', 'renames'] as const).find((name) => contract[name] !== undefined);
  if (key === undefined) return;
  const message = `Expected a contract without \`${key}\` where parquetjs-lite reads, got one.`;
  throw new TandemError('BAD_CONTRACT', message, { place: { field: key }, remedy: 'Leave out --reader parquetjs.' });
}

export class ParquetJsTables implements TableReader {
  readonly #footers: ReadonlyMap<SourceTable, Footer>;
  readonly #files = new Map<SourceTable, ParquetFile>();

  constructor(footers: readonly Footer[]) {
    this.#footers = new Map(footers.map((footer) => [footer, footer]));
  }

  typeOfSql(source: SqlSource): string {
    throw refuseSql(source);
  }

  project(request: ColumnRequest, _type: string, table: SourceTable): string {
    requestedColumn(this.#fileOf(table), request);
    return '';
  }

  projectKept(names: readonly string[], table: SourceTable): string {
    for (const name of names) keptColumn(this.#fileOf(table), name);
    return '';
  }

  openFirst(table: SourceTable, _projection: string, requests: readonly ColumnRequest[]): ChunkSource {
    return openParquetJsChunks(this.#fileOf(table), requests);
  }

  fileRow(_table: SourceTable, row: number): number {
    return row;
  }

  openStretch(table: SourceTable): ChunkSource {
    throw bug(`Rows of ${table.name} are read from the first one on only`);
  }

  explain(error: unknown, table: SourceTable): TandemError | undefined {
    return explainParquetJs(error, table.name);
  }

  #fileOf(table: SourceTable): ParquetFile {
    const footer = this.#footers.get(table);
    if (footer === undefined) throw bug(`${table.name} is no shard of this run`);
    let file = this.#files.get(table);
    if (file === undefined) this.#files.set(table, (file = openParquetJs(footer)));
    return file;
  }
}
