/** Which known row stands beside which scored one: by their places, or by key columns. */
import { quoteIdentifier, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { knownKeyBuckets } from '../limits.ts';
import type { Footer } from '../read/footers.ts';
import type { ColumnType } from '../read/projection.ts';
import { outputName } from '../shard-format.ts';
import { commonKey, type TypedSql } from './common-form.ts';
import { plainTable, type KnownTable } from './known-files.ts';
import { findNamed } from './pair-columns.ts';

/** What stands after FROM, where `s` are the scores (file_index, file_row_number) and `k` what is known. */
export interface Join {
  readonly from: string;
  readonly inShards: string;
  readonly inKnown: string;
}

/** Rows of a shard that are scored. */
export interface ScoredRows {
  /** Of the shard or its scores. */
  readonly name: string;
  readonly rowCount: number;
}

/**
 * Files pair by their names, or one file holds all rows in the order of the shards.
 * @returns the known file of each shard; one for all: once
 * @throws BAD_SHARD
 */
export function pairFiles(scored: readonly ScoredRows[], known: readonly Footer[]): Footer[] {
  const [only, another] = known;
  if (only !== undefined && another === undefined) {
    const rowCount = scored.reduce((sum, each) => sum + each.rowCount, 0);
    checkRows(only, rowCount);
    return [only];
  }
  const byName = new Map(known.map((file) => [outputName(file.name), file]));
  const twin = known.find((file) => byName.get(outputName(file.name)) !== file);
  if (twin !== undefined) throw notPaired(twin, 'to have names of their own', `two for ${outputName(twin.name)}`);
  const paired = scored.map(({ name, rowCount }) => {
    const file = byName.get(outputName(name));
    if (file !== undefined) checkRows(file, rowCount);
    byName.delete(outputName(name));
    return file;
  });
  const files = paired.filter((file) => file !== undefined);
  const [stranger] = byName.values();
  if (stranger === undefined && files.length === scored.length) return files;
  const names = scored.map(({ name }) => name);
  const got = stranger?.name ?? `${known.length} of ${scored.length}`;
  throw notPaired(stranger, `to be called like the shards (${names.slice(0, 3).join(', ')}, ...)`, got);
}

function checkRows(file: Footer, rowCount: number): void {
  if (file.rowCount === rowCount) return;
  throw notPaired(file, `to hold ${rowCount} rows, as many as are scored`, file.rowCount);
}

function notPaired(file: Footer | undefined, expected: string, got: string | number): TandemError {
  return new TandemError('BAD_SHARD', `Expected files of known scores ${expected}, got ${got}.`, {
    place: file === undefined ? {} : { shard: file.name },
    remedy: 'Join rows by columns that both sides have, wherever they lie: --key id.',
  });
}

/** @throws BAD_SHARD for files that do not pair */
export function joinByPosition(scores: readonly Footer[], known: readonly Footer[]): Join {
  // Of two plain scans neither side is held in memory.
  const from = `${plainTable(scores)} AS s POSITIONAL JOIN ${plainTable(pairFiles(scores, known))} AS k`;
  return { from, inShards: 'true', inKnown: 'true' };
}

/** Rows are told by columns that DuckDB calls so. @throws BAD_COLUMN */
export function checkKeyNames(key: readonly string[]): void {
  const name = key.find((each) => /^file_(?:index|row_number)$/i.test(each));
  if (name === undefined) return;
  throw new TandemError('BAD_COLUMN', `Expected a key of another name than ${name}, which stands for a row's place.`, {
    place: { column: name },
    remedy: 'Rename the column on both sides, or join by other columns.',
  });
}

/** One side of a join by key. */
interface Side {
  readonly from: string;
  /** As errors name it. */
  readonly where: string;
  readonly rowCount: number;
  /** The key in SQL, in the form that both sides share. */
  readonly key: readonly string[];
}

export interface KeyJoin extends Join {
  /**
   * Once rows are joined: matched keys that name several rows on one side make more rows than there are.
   * @throws BAD_ROW
   */
  checkJoined(rows: { readonly shards: number; readonly known: number }): void;
}

/** @throws BAD_COLUMN for a key that is not on both sides, BAD_ROW for one that names many rows */
export function joinByKey(
  connection: Connection,
  scores: readonly Footer[],
  known: KnownTable,
  key: readonly string[],
): KeyJoin {
  const pairs = key.map((name) => {
    const ours = sideOf('s', scores[0]!, scores[0]!.columns, name, 'the scores');
    const theirs = sideOf('k', known.files[0]!, known.columns, name, 'the known scores');
    const common = commonKey(ours, theirs);
    if (common !== undefined) return common;
    throw new TandemError(
      'BAD_COLUMN',
      `Expected key ${name} to be ${ours.type}, as in the shards, got ${theirs.type}.`,
      {
        place: { shard: known.files[0]!.name, column: name },
        remedy: `Write it as ${ours.type}, or join by other columns.`,
      },
    );
  });
  const rowCount = scores.reduce((sum, each) => sum + each.rowCount, 0);
  const ours: Side = {
    from: `${plainTable(scores)} AS s`,
    where: 'the shards',
    rowCount,
    key: pairs.map(([sql]) => sql),
  };
  const theirs: Side = {
    from: `${known.from} AS k`,
    where: 'the known scores',
    rowCount: known.rowCount,
    key: pairs.map(([, sql]) => sql),
  };
  for (const side of [ours, theirs]) {
    if (mayRepeat(connection, side)) checkUnique(connection, side, key);
  }
  const left = `(SELECT *, file_index, file_row_number FROM ${plainTable(scores)}) AS s`;
  const right = `(SELECT *, true AS tandem_known FROM ${known.from}) AS k`;
  const conditions = pairs.map(([our, their]) => `${our} IS NOT DISTINCT FROM ${their}`);
  return {
    from: `${left} FULL OUTER JOIN ${right} ON ${conditions.join(' AND ')}`,
    inShards: 's.file_row_number IS NOT NULL',
    inKnown: 'k.tandem_known IS NOT NULL',
    checkJoined(rows) {
      if (rows.known > theirs.rowCount) checkUnique(connection, ours, key);
      if (rows.shards > ours.rowCount) checkUnique(connection, theirs, key);
    },
  };
}

/** @throws BAD_COLUMN */
function sideOf(table: 's' | 'k', file: Footer, columns: readonly ColumnType[], name: string, where: string): TypedSql {
  const found = findNamed(columns, name);
  if (found !== undefined) return { sql: `${table}.${quoteIdentifier(found.name)}`, type: found.type };
  throw new TandemError('BAD_COLUMN', `Expected key ${name} in ${where}, got none of that name.`, {
    place: { shard: file.name, column: name },
    remedy: `They have: ${columns.map((column) => column.name).join(', ')}.`,
  });
}

/**
 * Whether a key names so many rows that a join would multiply them: told by counts of hashes, which cost a tenth of
 * grouping by the key and no memory. A few rows of one key pass here, and show in the number of joined rows.
 */
function mayRepeat(connection: Connection, { from, key, rowCount }: Side): boolean {
  const [[most] = []] = connection.rows(
    `SELECT max(rows) FROM (SELECT count(*) AS rows FROM ${from} GROUP BY (hash(${key.join(', ')}) & ${knownKeyBuckets - 1})::UINTEGER)`,
  );
  const mean = rowCount / knownKeyBuckets;
  // Eight deviations of a Poisson distribution beyond the mean: keys of one row each stay below it.
  return Number(most ?? 0) > mean + 8 * Math.sqrt(mean) + 16;
}

/** @throws BAD_ROW */
function checkUnique(connection: Connection, { from, where, key }: Side, names: readonly string[]): void {
  const columns = key.map((sql, index) => `${sql} AS key${index}`).join(', ');
  const texts = key.map((_, index) => `coalesce(CAST(key${index} AS VARCHAR), 'NULL')`);
  const [[value, rows, more] = []] = connection.rows(
    `SELECT concat_ws(', ', ${texts.join(', ')}), rows, more FROM
      (SELECT *, count(*) OVER () AS more FROM
        (SELECT ${columns}, count(*) AS rows FROM ${from} GROUP BY ALL HAVING count(*) > 1) ORDER BY ALL LIMIT 1)`,
  );
  if (rows === undefined) return;
  const message = `Expected key ${names.join(', ')} to name one row of ${where}, got ${rows} rows of \`${value}\`, and ${more} such keys in all.`;
  throw new TandemError('BAD_ROW', message, {
    place: { column: names.join(', ') },
    remedy: 'Add a column that tells them apart (--key id,date), or leave double rows out.',
  });
}
