/** How far the scores of one column are from known ones that stand beside them. */
import type { Connection } from '../engines/duckdb/database.ts';
import { knownExactRowsMax, knownShown } from '../limits.ts';
import { beyondSql, differenceSql } from '../planning/golden.ts';
import type { ColumnPair } from './pair-columns.ts';
import { findPatterns } from './patterns.ts';
import type { KnownColumn } from './report.ts';

const types = { number: 'DOUBLE', list: 'DOUBLE[]', label: 'VARCHAR' } as const;

export interface JoinedColumn {
  readonly pair: Pick<ColumnPair, 'name' | 'known' | 'kind'>;
  /** Its values are `k<index>` and `s<index>`. */
  readonly index: number;
  readonly tolerance: number;
  /** Rows that are on both sides. */
  readonly rowCount: number;
  readonly byPosition: boolean;
}

/** @param joined table expression: shard, row, key, in_shards, in_known, and the values of each pair */
export function compareJoined(connection: Connection, joined: string, column: JoinedColumn): KnownColumn {
  const { pair, index, tolerance } = column;
  const { kind } = pair;
  const both = `(SELECT shard, row, key, k${index} AS golden, s${index} AS score FROM ${joined} WHERE in_shards AND in_known)`;
  const measured = `(SELECT *, ${differenceSql(types[kind])} AS difference, ${beyondSql(types[kind], tolerance)} AS beyond FROM ${both})`;
  const figures = readFigures(connection, measured, column);
  const worst = connection.rows(
    `SELECT shard, row, key, golden::VARCHAR, score::VARCHAR, difference FROM ${measured}
     WHERE difference > 0 ORDER BY difference DESC, shard, row LIMIT ${knownShown}`,
  );
  const confusion =
    kind !== 'label'
      ? []
      : connection.rows(
          `SELECT golden, score, count(*) AS rows FROM ${both} WHERE golden IS DISTINCT FROM score
           GROUP BY ALL ORDER BY rows DESC, golden, score LIMIT ${knownShown}`,
        );
  return {
    ...pair,
    ...figures,
    worst: worst.map(([shard, row, key, known, score, difference]) => ({
      shard: String(shard),
      row: Number(row),
      key: String(key),
      known: shown(known),
      score: shown(score),
      difference: Number(difference),
    })),
    confusion: confusion.map(([known, score, rows]) => ({
      known: shown(known),
      score: shown(score),
      rows: Number(rows),
    })),
    hints: figures.rowsBeyond === 0 ? [] : findPatterns(connection, both, column),
  };
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
  const isNan = (side: string): string => nanSql(pair.kind, side);
  const oneSided = (test: (side: string) => string, side: string, other: string): string =>
    `count(*) FILTER (coalesce(${test(side)}, false) AND NOT coalesce(${test(other)}, false))`;
  const isNull = (side: string): string => `${side} IS NULL`;
  const [row = []] = connection.rows(
    `SELECT max(difference), count(*) FILTER (beyond),
       ${quantile}(difference, 0.5) FILTER (isfinite(difference)), ${quantile}(difference, 0.99) FILTER (isfinite(difference)),
       ${oneSided(isNull, 'golden', 'score')}, ${oneSided(isNull, 'score', 'golden')},
       ${oneSided(isNan, 'golden', 'score')}, ${oneSided(isNan, 'score', 'golden')}
     FROM ${measured}`,
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

function nanSql(kind: KnownColumn['kind'], side: string): string {
  if (kind === 'number') return `isnan(${side})`;
  return kind === 'list' ? `list_contains(${side}, 'nan'::DOUBLE)` : 'false';
}
