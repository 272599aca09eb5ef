/** Files of known scores, of any format, as one table. */
import { quoteIdentifier, quotePath, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { findShards, type ShardFile } from '../read/find-shards.ts';
import { describe, readFooters, type Footer } from '../read/footers.ts';
import { partitionColumns } from '../read/partitions.ts';
import type { ColumnType } from '../read/projection.ts';
import { nameColumns, type Renames } from '../read/shard-columns.ts';
import { formatOf } from '../shard-format.ts';

/** Turns files that are no Parquet into it; gives the footers of all, in their order. */
export type StageFiles = (files: readonly ShardFile[]) => Promise<Footer[]>;

export interface KnownTable {
  /** In the order of their names. */
  readonly files: readonly Footer[];
  /** What stands after FROM. */
  readonly from: string;
  /** Of all files: of the wider type where two differ. */
  readonly columns: readonly ColumnType[];
  readonly rowCount: number;
}

/** Footers of files of any format, with the keys of their paths as columns. @throws NO_SHARDS, BAD_SHARD, BAD_ROW */
export async function openFiles(
  connection: Connection,
  patterns: string | readonly string[],
  stage: StageFiles,
  renames: Renames = {},
): Promise<Footer[]> {
  const files = await findShards(patterns);
  const isParquet = files.every(({ name }) => formatOf(name) === 'parquet');
  const footers = isParquet ? readFooters(connection, files) : await stage(files);
  // Of the files themselves, wherever they are staged.
  return nameColumns(footers, renames, partitionColumns(files.map(({ path }) => path)));
}

/** @param withPaths whether the keys of the paths are columns, too; rows are in no order then */
export function knownTable(connection: Connection, files: readonly Footer[], withPaths: boolean): KnownTable {
  const from = withPaths ? unitedTable(files) : plainTable(files);
  const rowCount = files.reduce((sum, file) => sum + file.rowCount, 0);
  return { files, from, columns: describe(connection, '*', from), rowCount };
}

/** Files one after the other, under the names and with the types that serve them all. */
export function plainTable(files: readonly Footer[]): string {
  const forms = new Set(
    files.map(({ columns }) => JSON.stringify(columns.filter(({ isOfPath }) => isOfPath !== true))),
  );
  // Without it, DuckDB casts what later files hold to the types of the first: 0.7 to the integer 1.
  const union = forms.size > 1 ? ', union_by_name=true' : '';
  return `read_parquet([${files.map(({ path }) => quotePath(path)).join(', ')}], hive_partitioning=false${union})`;
}

/** Files with the same keys in their paths are read as one. */
function unitedTable(files: readonly Footer[]): string {
  const groups = new Map<string, Footer[]>();
  for (const file of files) {
    const constants = (file.partitions ?? []).map(({ name, sql }) => `, ${sql} AS ${quoteIdentifier(name)}`).join('');
    const group = groups.get(constants);
    if (group === undefined) groups.set(constants, [file]);
    else group.push(file);
  }
  const parts = [...groups].map(([constants, group]) => `SELECT *${constants} FROM ${plainTable(group)}`);
  return parts.length === 1 && groups.has('') ? plainTable(files) : `(${parts.join(' UNION ALL BY NAME ')})`;
}

/** Where one file lacks a column of the others, its rows would be null. @throws BAD_COLUMN */
export function requireColumns({ files, columns: all }: KnownTable, names: readonly string[]): void {
  for (const name of names.filter((wanted) => all.some((each) => isNamed(each, wanted)))) {
    const lacking = files.find(({ columns }) => !columns.some((each) => isNamed(each, name)));
    if (lacking === undefined) continue;
    throw new TandemError(
      'BAD_COLUMN',
      `Expected column ${name} in every file of known scores, got none in this one.`,
      {
        place: { shard: lacking.name, column: name },
        remedy: `It has: ${lacking.columns.map((each) => each.name).join(', ')}. Leave it out of --against, or write it again.`,
      },
    );
  }
}

function isNamed({ name }: ColumnType, wanted: string): boolean {
  return name.toLowerCase() === wanted.toLowerCase();
}
