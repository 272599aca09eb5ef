/** Shards whose row k holds k, a model that copies it, and whether it came back to its place. */
import { quotePath } from '../engines/duckdb/database.ts';
import { withConnection } from '../testing/shards.ts';

/** y = x, kept beside it. */
export const copyContract = { inputs: { x: [{ column: 'x' }] }, keep: ['x'] };

/** Row k holds k. */
export function countShard(rowCount: number): string {
  return `SELECT i::FLOAT AS x FROM range(${rowCount}) rows(i)`;
}

/** Rows of an output in which the score is not the row's own number, counted without bringing them here. */
export function misplaced(path: string): { rowCount: number; wrong: number } {
  return withConnection((connection) => {
    const [[rowCount, wrong] = []] = connection.rows(
      `SELECT count(*), count(*) FILTER (y IS DISTINCT FROM file_row_number OR x IS DISTINCT FROM file_row_number)
      FROM read_parquet(${quotePath(path)}, file_row_number=true)`,
    );
    return { rowCount: Number(rowCount), wrong: Number(wrong) };
  });
}
