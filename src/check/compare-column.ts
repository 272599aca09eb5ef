/** How far the scores of one column are from known ones that stand beside them. */
import type { Connection } from '../engines/duckdb/database.ts';
import { knownExactRowsMax, knownShown } from '../limits.ts';
import { beyondSql, differenceSql } from '../planning/golden.ts';
import type { KnownColumn, KnownRequest } from './against-report.ts';
import { plainText } from './common-form.ts';
import type { ColumnPair } from './pair-columns.ts';
import { findPatterns } from './patterns.ts';

export interface JoinedColumn extends Pick<KnownRequest, 'tolerance' | 'key' | 'worst'> {
  readonly pair: Pick<ColumnPair, 'name' | 'known' | 'kind' | 'type'>;
  /** Table expression: file, row, key0, ..., in_shards, in_known, and the values of each pair. */
  readonly joined: string;
  /** Its values are `k<index>` and `s<index>`. */
  readonly index: number;
  /** Of the shards, by `file`. */
  readonly names: readonly string[];
  /** Rows that are on both sides. */
  readonly rowCount: number;
}

export function compareColumn(connection: Connection, column: JoinedColumn): KnownColumn {
  const { pair, index, tolerance, joined } = column;
  const { name, known, kind, type } = pair;
  const both = `(SELECT * EXCLUDE (k${index}, s${index}), k${index} AS golden, s${index} AS score FROM ${joined} WHERE in_shards AND in_known)`;
  // Labels are equal or not, of whichever type.
  const asType = kind === 'label' ? 'VARCHAR' : type;
  const measured = `(SELECT *, ${differenceSql(asType)} AS difference, ${beyondSql(asType, tolerance)} AS beyond FROM ${both})`;
  const figures = readFigures(connection, measured, column);
  const isOff = figures.rowsBeyond > 0;
  return {
    name,
    known,
    kind,
    ...figures,
    worst: isOff || column.worst !== undefined ? worstRows(connection, measured, column) : [],
    confusion: isOff && kind === 'label' ? confusionOf(connection, both, type) : [],
    hints: isOff ? findPatterns(connection, both, column) : [],
  };
}

function worstRows(
  connection: Connection,
  measured: string,
  { pair, key, names, worst }: JoinedColumn,
): KnownColumn['worst'] {
  const keys = key.map((_, index) => `coalesce(CAST(key${index} AS VARCHAR), 'NULL')`);
  const rows = connection.rows(
    `SELECT file, row, ${keys.length === 0 ? "''" : `concat_ws(', ', ${keys.join(', ')})`}, ${shownSql(pair)}, difference FROM ${measured}
     WHERE ${worst === undefined ? 'beyond' : 'difference > 0'} ORDER BY difference DESC, file, row LIMIT ${worst ?? knownShown}`,
  );
  return rows.map(([file, row, keyText, known, score, difference]) => ({
    shard: names[Number(file)]!,
    row: Number(row),
    key: String(keyText),
    known: shown(known),
    score: shown(score),
    difference: Number(difference),
  }));
}

/** Labels that differ, the most frequent pairs first. */
function confusionOf(connection: Connection, both: string, type: ColumnPair['type']): KnownColumn['confusion'] {
  const rows = connection.rows(
    `SELECT ${shownSql({ kind: 'label', type })}, rows FROM
      (SELECT golden, score, count(*) AS rows FROM ${both} WHERE golden IS DISTINCT FROM score GROUP BY ALL)
     ORDER BY rows DESC, golden, score LIMIT ${knownShown}`,
  );
  return rows.map(([known, score, count]) => ({ known: shown(known), score: shown(score), rows: Number(count) }));
}

function shownSql({ kind, type }: Pick<ColumnPair, 'kind' | 'type'>): string {
  const text = (sql: string): string => (kind === 'label' ? plainText({ sql, type }) : `CAST(${sql} AS VARCHAR)`);
  return `${text('golden')}, ${text('score')}`;
}

function shown(value: unknown): string {
  return value === null || value === undefined ? 'null' : String(value);
}

type Figures = Pick<
  KnownColumn,
  'differenceMax' | 'differenceMedian' | 'differenceP99' | 'rowsBeyond' | 'nulls' | 'nans'
>;

function readFigures(connection: Connection, measured: string, { pair, rowCount }: JoinedColumn): Figures {
  const quantile = rowCount <= knownExactRowsMax ? 'quantile_disc' : 'approx_quantile';
  // Of labels there are no halves.
  const quantiles =
    pair.kind === 'label'
      ? '[NULL::DOUBLE, NULL::DOUBLE]'
      : `${quantile}(difference, [0.5, 0.99]) FILTER (isfinite(difference))`;
  const oneSided = (test: (side: string) => string, side: string, other: string): string =>
    `count(*) FILTER (coalesce(${test(side)}, false) AND NOT coalesce(${test(other)}, false))`;
  const isNull = (side: string): string => `${side} IS NULL`;
  const isNan = (side: string): string => nanSql(pair, side);
  const [row = []] = connection.rows(
    `SELECT most, beyond_count, found[1], found[2], COLUMNS('sided.*') FROM
      (SELECT max(difference) AS most, count(*) FILTER (beyond) AS beyond_count, ${quantiles} AS found,
         ${oneSided(isNull, 'golden', 'score')} AS sided0, ${oneSided(isNull, 'score', 'golden')} AS sided1,
         ${oneSided(isNan, 'golden', 'score')} AS sided2, ${oneSided(isNan, 'score', 'golden')} AS sided3
       FROM ${measured})`,
  );
  const [max, beyond, median, p99, ...counts] = row;
  const [nullKnown = 0, nullScore = 0, nanKnown = 0, nanScore = 0] = counts.map(Number);
  const finite = (value: unknown): number | undefined => (typeof value === 'number' ? value : undefined);
  return {
    differenceMax: Number(max ?? 0),
    differenceMedian: finite(median),
    differenceP99: finite(p99),
    rowsBeyond: Number(beyond ?? 0),
    nulls: { known: nullKnown, score: nullScore },
    nans: { known: nanKnown, score: nanScore },
  };
}

function nanSql({ kind, type }: Pick<ColumnPair, 'kind' | 'type'>, side: string): string {
  if (kind === 'list') return `list_contains(${side}, 'nan'::DOUBLE)`;
  return type === 'DOUBLE' ? `isnan(${side})` : 'false';
}
