/** Whether two peers' outputs are the same scores for the same ids, whatever the files and the order of rows. */
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { quotePath } from '../../src/engines/duckdb/database.ts';
import { withConnection } from '../../src/testing/shards.ts';

/** ONNX Runtime adds up in float32 in another order; features are float64 here and float32 there. */
export const scoreTolerance = 1e-5;

export interface Comparison {
  readonly rows: number;
  readonly differenceMax: number;
}

/** Number of rows of a peer's output. */
export function countRows(folder: string): number {
  return withConnection((connection) => Number(connection.rows(`SELECT count(*) FROM ${tableOf(folder)}`)[0]![0]));
}

/**
 * Compares columns id and score of all Parquet files of two folders. Scores may differ by the tolerance, relative to
 * the larger of 1 and the expected score; NULL and NaN are never near.
 * @throws Error that says how many rows are missing, too many or wrong, and names one of them
 */
export function compareOutputs(expected: string, found: string, tolerance = scoreTolerance): Comparison {
  return withConnection((connection) => {
    connection.execute(`CREATE VIEW pairs AS
      SELECT e.id AS expected_id, f.id AS found_id, e.score AS expected, f.score AS found,
        abs(e.score::DOUBLE - f.score::DOUBLE) AS difference,
        e.is_row AND f.is_row AND coalesce(difference <= ${tolerance} * greatest(1, abs(e.score)), false) AS is_near
      FROM (SELECT id, score, true AS is_row FROM ${tableOf(expected)}) e
      FULL JOIN (SELECT id, score, true AS is_row FROM ${tableOf(found)}) f ON e.id = f.id`);
    const [row] =
      connection.rows(`SELECT count(*), count(*) FILTER (WHERE found_id IS NULL AND expected_id IS NOT NULL),
      count(*) FILTER (WHERE expected_id IS NULL), count(*) FILTER (WHERE NOT coalesce(is_near, false)), max(difference)
      FROM pairs`);
    const [rows, missing, extra, bad, differenceMax] = row!.map(Number) as [number, number, number, number, number];
    if (bad > 0) {
      const [example] = connection.rows('SELECT * FROM pairs WHERE NOT coalesce(is_near, false) ORDER BY 1, 2 LIMIT 1');
      const [expectedId, foundId, expectedScore, foundScore] = example!;
      throw new Error(
        `Expected ${rows} scores within ${tolerance} of Tandem's, got ${missing} missing, ${extra} too many and ` +
          `${bad - missing - extra} others: id ${expectedId ?? foundId}: ${expectedScore} and ${foundScore}.`,
      );
    }
    return { rows, differenceMax };
  });
}

/** All files of an output, those in folders too; frameworks write several for a shard. */
function tableOf(folder: string): string {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const files = names.filter((name) => name.endsWith('.parquet') && !/^[._]/.test(basename(name)));
  if (files.length === 0) throw new Error(`Expected Parquet files in ${folder}, got none.`);
  return `read_parquet([${files.map((name) => quotePath(join(folder, name))).join(', ')}], hive_partitioning=false)`;
}
