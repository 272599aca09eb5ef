/** Puts scores beside known ones, by key or by position, and says how far they are apart. */
import { join } from 'node:path';
import { DuckDbError, quoteIdentifier, quotePath, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { findShards, type ShardFile } from '../read/find-shards.ts';
import { readFooters, shardError, type Footer } from '../read/footers.ts';
import { parquetFile } from '../relation.ts';
import type { ColumnType } from '../read/projection.ts';
import { formatOf, outputName } from '../shard-format.ts';
import { compareJoined } from './joined.ts';
import { pairColumns, findNamed, type ColumnPair } from './pair-columns.ts';
import type { KnownColumn, KnownComparison, KnownRequest } from './report.ts';

/**
 * @param rowOf number in its shard of a row of an output, which holds the rows that were taken
 * @throws see `checkAgainst`
 */
export async function compareKnown(
  connection: Connection,
  request: Omit<KnownRequest, 'shards' | 'model' | 'selection'>,
  rowOf: (shard: string, row: number) => number = (_, row) => row,
): Promise<KnownComparison> {
  const { key, map, tolerance, scratch } = request;
  connection.execute(`SET temp_directory = ${quotePath(join(scratch, 'spilled'))}`);
  const scores = readFooters(connection, await findShards(request.scores));
  const known = readFooters(connection, (await findShards(request.against)).map(asParquet(connection, scratch)));
  const [ours, theirs] = [scores[0]!.columns, known[0]!.columns];
  const pairs = pairColumns(ours, theirs, { key, map });
  try {
    const join = key.length === 0 ? joinByPosition(scores, known) : joinByKey(connection, scores, known, key);
    const joined = copyJoined(connection, request, pairs, join);
    const [counts = []] = connection.rows(
      `SELECT count(*) FILTER (in_shards), count(*) FILTER (in_known), count(*) FILTER (in_shards AND in_known) FROM ${joined}`,
    );
    const [inShards = 0, inKnown = 0, both = 0] = counts.map(Number);
    const rows = { shards: inShards, known: inKnown, both, onlyShards: inShards - both, onlyKnown: inKnown - both };
    const columns = pairs.map((pair, index): KnownColumn => {
      const asked = { pair, index, tolerance, rowCount: both, byPosition: key.length === 0 };
      const column = compareJoined(connection, joined, asked);
      return { ...column, worst: column.worst.map((row) => ({ ...row, row: rowOf(row.shard, row.row) })) };
    });
    const passed = both > 0 && columns.every(({ rowsBeyond }) => rowsBeyond === 0);
    return { version: 1, key, rows, tolerance, passed, columns };
  } catch (error) {
    throw error instanceof DuckDbError ? shardError(error, known[0]!.name) : error;
  }
}

/** Notebooks write CSV: turned into Parquet once, so that what follows knows one kind of file. */
function asParquet(connection: Connection, scratch: string): (file: ShardFile, index: number) => ShardFile {
  return (file, index) => {
    if (formatOf(file.name) !== 'csv') return file;
    const path = join(scratch, `known-${index}.parquet`);
    try {
      connection.execute(
        `COPY (FROM read_csv([${quotePath(file.path)}], sample_size=-1)) TO ${quotePath(path)} (FORMAT parquet)`,
      );
    } catch (error) {
      throw error instanceof DuckDbError ? shardError(error, file.name) : error;
    }
    return { path, name: file.name };
  };
}

/** What stands after FROM, where `s` are the scores and `k` what is known. */
interface Join {
  readonly from: string;
  readonly inShards: string;
  readonly inKnown: string;
  readonly keyText: string;
}

/** Files pair by their path, or one file holds all rows in the order of the shards' names. @throws BAD_SHARD */
function joinByPosition(scores: readonly Footer[], known: readonly Footer[]): Join {
  if (known.length > 1) {
    const stranger = known.find(({ name }, index) => outputName(name) !== scores[index]?.name);
    if (stranger !== undefined || known.length < scores.length) {
      const names = scores.map(({ name }) => name);
      const got = stranger?.name ?? `${known.length} of ${scores.length}`;
      throw notPaired(stranger, `to be called like the shards (${names.slice(0, 3).join(', ')}, ...)`, got);
    }
    known.forEach((file, index) => checkRows(file, scores[index]!.rowCount));
  } else {
    const [file] = known;
    checkRows(
      file!,
      scores.reduce((sum, { rowCount }) => sum + rowCount, 0),
    );
  }
  // Of two plain scans neither side is held in memory.
  const from = `${readAll(scores, numbered)} AS s POSITIONAL JOIN ${readAll(known)} AS k`;
  return { from, inShards: 'true', inKnown: 'true', keyText: "''" };
}

function checkRows(file: Footer, rowCount: number): void {
  if (file.rowCount !== rowCount) throw notPaired(file, `to hold ${rowCount} rows, as the shards do`, file.rowCount);
}

function notPaired(file: Footer | undefined, expected: string, got: string | number): TandemError {
  return new TandemError('BAD_SHARD', `Expected files of known scores ${expected}, got ${got}.`, {
    place: file === undefined ? {} : { shard: file.name },
    remedy: 'Join rows by columns that both sides have, wherever they lie: --key id.',
  });
}

/** @throws BAD_COLUMN for a key that is not on both sides, BAD_ROW for one that names several rows */
function joinByKey(
  connection: Connection,
  scores: readonly Footer[],
  known: readonly Footer[],
  key: readonly string[],
): Join {
  const conditions = key.map((name) => {
    const ours = findNamed(scores[0]!.columns, name);
    if (ours === undefined) throw noKey(name, scores[0]!, 'the scores');
    const theirs = findNamed(known[0]!.columns, name);
    if (theirs === undefined) throw noKey(name, known[0]!, 'the known scores');
    const isText = [ours, theirs].filter(({ type }) => type === 'VARCHAR').length === 1;
    return `${keySql('s', ours, isText)} IS NOT DISTINCT FROM ${keySql('k', theirs, isText)}`;
  });
  checkUnique(connection, readAll(scores), key, 'the shards');
  checkUnique(connection, readAll(known), key, 'the known scores');
  const ours = `${readAll(scores, numbered)} AS s`;
  const theirs = `(SELECT *, true AS tandem_known_row FROM ${readAll(known)}) AS k`;
  const texts = key.map((name) => {
    const column = quoteIdentifier(name);
    return `coalesce(CAST(coalesce(s.${column}, k.${column}) AS VARCHAR), 'NULL')`;
  });
  return {
    from: `${ours} FULL OUTER JOIN ${theirs} ON ${conditions.join(' AND ')}`,
    inShards: 's.file_row_number IS NOT NULL',
    inKnown: 'k.tandem_known_row IS NOT NULL',
    keyText: `concat_ws(', ', ${texts.join(', ')})`,
  };
}

/** A number that one side holds as text is compared as text. */
function keySql(side: string, { name }: ColumnType, asText: boolean): string {
  const column = `${side}.${quoteIdentifier(name)}`;
  return asText ? `CAST(${column} AS VARCHAR)` : column;
}

function noKey(name: string, { name: shard, columns }: Footer, where: string): TandemError {
  return new TandemError('BAD_COLUMN', `Expected key ${name} in ${where}, got none of that name.`, {
    place: { shard, column: name },
    remedy: `They have: ${columns.map((column) => column.name).join(', ')}.`,
  });
}

/** @throws BAD_ROW */
function checkUnique(connection: Connection, table: string, key: readonly string[], where: string): void {
  const columns = key.map(quoteIdentifier).join(', ');
  const texts = key.map((name) => `coalesce(CAST(${quoteIdentifier(name)} AS VARCHAR), 'NULL')`);
  const [twice] = connection.rows(
    `SELECT concat_ws(', ', ${texts.join(', ')}), rows FROM
      (SELECT ${columns}, count(*) AS rows FROM ${table} GROUP BY ${columns} HAVING count(*) > 1 ORDER BY ALL LIMIT 1)`,
  );
  if (twice === undefined) return;
  const [value, rows] = twice;
  const [more] = connection.rows(
    `SELECT count(*) FROM (SELECT 1 FROM ${table} GROUP BY ${columns} HAVING count(*) > 1)`,
  );
  const message = `Expected key ${key.join(', ')} to name one row of ${where}, got ${rows} rows of \`${value}\`, and ${more![0]} such keys in all.`;
  throw new TandemError('BAD_ROW', message, {
    place: { column: key.join(', ') },
    remedy: 'Add a column that tells them apart (--key id,date), or leave double rows out.',
  });
}

const numbered = ', filename=true, file_row_number=true';

function readAll(footers: readonly Footer[], options = ''): string {
  return `read_parquet([${footers.map(({ path }) => quotePath(path)).join(', ')}], hive_partitioning=false${options})`;
}

/** One file with all pairs, so that the join is done once; gives its table expression. */
function copyJoined(
  connection: Connection,
  { scores, scratch }: Pick<KnownRequest, 'scores' | 'scratch'>,
  pairs: readonly ColumnPair[],
  { from, inShards, inKnown, keyText }: Join,
): string {
  const path = join(scratch, 'joined.parquet');
  const values = pairs.flatMap(({ scoreSql, knownSql }, i) => [`${knownSql} AS k${i}`, `${scoreSql} AS s${i}`]);
  connection.execute(
    `COPY (SELECT substr(s.filename, ${[...scores].length + 2}) AS shard, s.file_row_number AS row, ${keyText} AS key,
      ${inShards} AS in_shards, ${inKnown} AS in_known, ${values.join(', ')} FROM ${from})
     TO ${quotePath(path)} (FORMAT parquet)`,
  );
  return parquetFile(path);
}
