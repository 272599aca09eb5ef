/** Compares scores with those of golden.parquet, row by row. */
import { quoteIdentifier, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import type { GoldenComparison } from '../messages.ts';
import type { CheckReport } from '../options.ts';
import { describe } from '../read/footers.ts';
import { parquetFile } from '../relation.ts';
import { isNumeric, isText, listType } from '../read/projection.ts';

const worstRowsMax = 10;

/**
 * @param golden a file with the expected scores under the names of the score columns
 * @param from its rows, as the run took them, after FROM
 * @param scores what a run over that file wrote, in the same order
 * @param tolerance largest |score - golden| / max(1, |golden|) that passes, for each value of a list too
 * @throws BAD_CONTRACT when golden.parquet holds none of the score columns, or one as another kind of value
 */
export function compareWithGolden(
  connection: Connection,
  golden: string,
  from: string,
  scores: string,
  tolerance: number,
): GoldenComparison {
  const goldenTypes = new Map(describe(connection, '*', from).map(({ name, type }) => [name.toLowerCase(), type]));
  const scoreColumns = describe(connection, '*', parquetFile(scores));
  const shared = scoreColumns.filter(({ name }) => goldenTypes.has(name.toLowerCase()));
  if (shared.length === 0) {
    throw new TandemError(
      'BAD_CONTRACT',
      `Expected golden.parquet to hold expected scores under the names of the score columns, got ${[...goldenTypes.keys()].join(', ')}.`,
      {
        place: { shard: golden },
        remedy: `Add one of: ${scoreColumns.map((column) => column.name).join(', ')}.`,
      },
    );
  }
  for (const { name, type } of shared) checkKind(golden, name, goldenTypes.get(name.toLowerCase())!, type);
  const columns = shared.map(({ name, type }) => compareColumn(connection, from, scores, name, type, tolerance));
  const [[rowCount] = [0n]] = connection.rows(`SELECT count(*) FROM ${from}`);
  return {
    version: 1,
    rowCount: Number(rowCount),
    tolerance,
    passed: columns.every((column) => column.rowsBeyond === 0),
    columns,
  };
}

/** @throws BAD_CONTRACT */
function checkKind(golden: string, name: string, goldenType: string, scoreType: string): void {
  if (kindOf(goldenType) === kindOf(scoreType)) return;
  throw new TandemError(
    'BAD_CONTRACT',
    `Expected ${name} in golden.parquet to be comparable with scores of type ${scoreType}, got ${goldenType}.`,
    {
      place: { shard: golden, column: name },
      remedy: `Write ${name} into golden.parquet as ${scoreType}.`,
    },
  );
}

/** Types of one kind can be compared, in any width. */
function kindOf(type: string): string {
  const list = listType(type);
  if (list !== undefined) return `list of ${kindOf(list.element)}`;
  if (isNumeric(type)) return 'number';
  return isText(type) ? 'text' : type;
}

function compareColumn(
  connection: Connection,
  from: string,
  scores: string,
  name: string,
  type: string,
  tolerance: number,
): CheckReport['columns'][number] {
  const column = quoteIdentifier(name);
  const both = `SELECT row, golden, score, ${differenceSql(type)} AS difference, ${beyondSql(type, tolerance)} AS beyond FROM (
    SELECT row_number() OVER () - 1 AS row, g.${column} AS golden, s.${column} AS score
    FROM ${from} AS g POSITIONAL JOIN ${parquetFile(scores)} AS s)`;
  const [[largest, beyond] = [0, 0n]] = connection.rows(
    `SELECT max(difference), count(*) FILTER (beyond) FROM (${both})`,
  );
  const worst = connection.rows(
    `SELECT row, golden::VARCHAR, score::VARCHAR, difference FROM (${both}) WHERE beyond ORDER BY difference DESC, row LIMIT ${worstRowsMax}`,
  );
  return {
    name,
    differenceMax: Number(largest ?? 0),
    rowsBeyond: Number(beyond),
    worst: worst.map(([row, expected, actual, difference]) => ({
      row: Number(row),
      golden: String(expected),
      score: String(actual),
      difference: Number(difference),
    })),
  };
}

/** |score - golden| as DOUBLE; lists: the largest of their values'; texts: 0 or infinity. NaN equals NaN, NULL equals NULL. */
export function differenceSql(type: string): string {
  if (isNumberList(type)) {
    return `CASE WHEN len(golden) IS DISTINCT FROM len(score) THEN 'infinity'::DOUBLE
                 ELSE coalesce(list_max(list_transform(${pairsSql}, lambda pair: ${scalarSql('pair[1]', 'pair[2]')})), 0) END`;
  }
  if (isNumeric(type)) return scalarSql('golden::DOUBLE', 'score::DOUBLE');
  return `CASE WHEN golden IS NOT DISTINCT FROM score THEN 0 ELSE 'infinity'::DOUBLE END`;
}

/** Whether a row does not pass: an infinite difference never does, however large |golden| is. */
export function beyondSql(type: string, tolerance: number): string {
  const beyond = (golden: string, score: string): string => {
    const difference = scalarSql(golden, score);
    return `(isinf(${difference}) OR ${difference} > ${tolerance} * greatest(1, abs(coalesce(${golden}, 0))))`;
  };
  if (isNumberList(type)) {
    return `(len(golden) IS DISTINCT FROM len(score)
      OR coalesce(list_contains(list_transform(${pairsSql}, lambda pair: ${beyond('pair[1]', 'pair[2]')}), true), false))`;
  }
  return isNumeric(type) ? beyond('golden::DOUBLE', 'score::DOUBLE') : 'golden IS DISTINCT FROM score';
}

const pairsSql = 'list_zip(golden::DOUBLE[], score::DOUBLE[])';

function scalarSql(golden: string, score: string): string {
  return `CASE WHEN ${golden} IS NOT DISTINCT FROM ${score} THEN 0
               WHEN ${golden} IS NULL OR ${score} IS NULL OR isnan(${golden}) OR isnan(${score}) THEN 'infinity'::DOUBLE
               ELSE abs(${golden} - ${score}) END`;
}

function isNumberList(type: string): boolean {
  const list = listType(type);
  return list !== undefined && isNumeric(list.element);
}
