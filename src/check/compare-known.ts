/** Puts scores beside known ones, by key or by position, and says how far they are apart. */
import { join } from 'node:path';
import { DuckDbError, quoteIdentifier, quotePath, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { findShards } from '../read/find-shards.ts';
import { readFooters, shardError, type Footer } from '../read/footers.ts';
import { parquetFile } from '../relation.ts';
import { outputName } from '../shard-format.ts';
import { compareColumn } from './compare-column.ts';
import type { KnownComparison, KnownRequest } from './against-report.ts';
import { checkKeyNames, joinByKey, joinByPosition, type Join } from './join-rows.ts';
import { knownTable, openFiles, requireColumns, type StageFiles } from './known-files.ts';
import { findNamed, pairColumns, type ColumnPair } from './pair-columns.ts';

/**
 * @param connection of its own: settings change
 * @param stage for known scores in other formats
 * @returns worst rows have the numbers of their scores, which are those of the shard where every row is taken
 * @throws see `checkAgainst`
 */
export async function compareKnown(
  connection: Connection,
  request: Omit<KnownRequest, 'shards' | 'model' | 'selection'>,
  stage: StageFiles,
): Promise<KnownComparison> {
  const { key, scratch, shardNames } = request;
  checkKeyNames(key);
  connection.execute(`SET temp_directory = ${quotePath(join(scratch, 'spilled'))}`);
  const scores = inOrder(readFooters(connection, await findShards(request.scores)), shardNames);
  const known = knownTable(connection, await openFiles(connection, request.against, stage), key.length > 0);
  const { pairs, notCompared } = pairColumns(scores[0]!.columns, known.columns, request);
  requireColumns(known, [...key, ...pairs.map(({ knownColumn }) => knownColumn)]);
  const names = scores.map(({ name }) => shardNames.find((each) => outputName(each) === name) ?? name);
  try {
    const rowCount = known.rowCount;
    const byKey = key.length === 0 ? undefined : joinByKey(connection, scores, known, key);
    const joined = copyJoined(
      connection,
      scratch,
      scores[0]!,
      request.key,
      pairs,
      byKey ?? joinByPosition(scores, known.files),
    );
    const rows = byKey === undefined ? allRows(rowCount) : countRows(connection, joined);
    byKey?.checkJoined(rows);
    const columns = pairs.map((pair, index) =>
      compareColumn(connection, { ...request, joined, pair, index, names, rowCount: rows.both }),
    );
    const passed = rows.both > 0 && columns.every(({ rowsBeyond }) => rowsBeyond === 0);
    return { version: 1, key, rows, tolerance: request.tolerance, passed, notCompared, columns };
  } catch (error) {
    throw error instanceof DuckDbError ? explain(connection, error, known.files, request) : error;
  }
}

/** The order of the shards is not that of their scores, where endings differ: `a.csv` comes before `a.d.csv`, `a.parquet` after `a.d.parquet`. */
function inOrder(scores: readonly Footer[], shardNames: readonly string[]): Footer[] {
  const places = new Map(shardNames.map((name, index) => [outputName(name), index]));
  const placeOf = ({ name }: Footer): number => places.get(name) ?? shardNames.length;
  return [...scores].sort((a, b) => placeOf(a) - placeOf(b));
}

function allRows(rowCount: number): KnownComparison['rows'] {
  return { shards: rowCount, known: rowCount, both: rowCount, onlyShards: 0, onlyKnown: 0 };
}

function countRows(connection: Connection, joined: string): KnownComparison['rows'] {
  const [counts = []] = connection.rows(
    `SELECT count(*) FILTER (in_shards), count(*) FILTER (in_known), count(*) FILTER (in_shards AND in_known) FROM ${joined}`,
  );
  const [shards = 0, known = 0, both = 0] = counts.map(Number);
  return { shards, known, both, onlyShards: shards - both, onlyKnown: known - both };
}

/** One file with all pairs, so that the join is done once; gives its table expression. */
function copyJoined(
  connection: Connection,
  scratch: string,
  scores: Footer,
  key: readonly string[],
  pairs: readonly ColumnPair[],
  { from, inShards, inKnown }: Join,
): string {
  const path = join(scratch, 'joined.parquet');
  const keys = key.map((name, index) => `s.${quoteIdentifier(findNamed(scores.columns, name)!.name)} AS key${index}`);
  const values = pairs.flatMap(({ scoreSql, knownSql }, i) => [`${knownSql} AS k${i}`, `${scoreSql} AS s${i}`]);
  const items = [...keys, `${inShards} AS in_shards`, `${inKnown} AS in_known`, ...values];
  connection.execute(
    `COPY (SELECT s.file_index AS file, s.file_row_number AS row, ${items.join(', ')} FROM ${from})
     TO ${quotePath(path)} (FORMAT parquet)`,
  );
  return parquetFile(path);
}

/** What a failure of the join means. */
function explain(
  connection: Connection,
  error: DuckDbError,
  known: readonly Footer[],
  { key, scratch }: Pick<KnownRequest, 'key' | 'scratch'>,
): TandemError {
  const words = error.message.split('\n')[0]!;
  if (/No space left|Disk quota/i.test(words)) {
    return new TandemError('TRANSIENT', `Expected room under ${scratch}, got a full disk.`, {
      remedy: 'Make room there, or name a folder with more by TMPDIR; then run the same command again.',
      cause: error,
    });
  }
  if (/^(?:Conversion|Out of Range) Error/.test(words)) {
    return new TandemError('BAD_COLUMN', `Expected keys that can be compared with those of the shards, got: ${words}`, {
      place: { shard: known[0]!.name, column: key.join(', ') },
      remedy: 'Write the key with the same type on both sides.',
      cause: error,
    });
  }
  const isOfFiles = !/^(?:INTERRUPT|Out of Memory) Error/i.test(words);
  const damaged = isOfFiles ? known.find((file) => !isReadable(connection, file)) : undefined;
  return shardError(error, (damaged ?? known[0]!).name);
}

function isReadable(connection: Connection, { from }: Footer): boolean {
  try {
    connection.rows(`SELECT count(hash(shard)) FROM ${from} AS shard`);
    return true;
  } catch {
    return false;
  }
}
