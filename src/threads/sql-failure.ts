/** A cast that fails in the middle of a query does not say where. This looks for the row. */
import { sourceName } from '../contract/contract.ts';
import { DuckDbError, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { requestsOf } from '../featurize/featurizer.ts';
import type { PlannedShard, RunPlan } from '../plan.ts';
import { readParquet } from '../read/footers.ts';
import { sourceSql } from '../read/projection.ts';

/** Rows to look at one by one: those where the expression gives NULL or fails. */
const suspectsMax = 200;
const rowErrors = /^(Conversion|Out of Range|Invalid Input|Invalid) Error/;

/** The same failure with the feature and the row that cause it; undefined when it is of another kind. */
export function explainSqlFailure(
  parts: { readonly plan: RunPlan; readonly connection: Pick<Connection, 'rows'> }, shard: PlannedShard, error: DuckDbError,
): TandemError | undefined {
  if (!rowErrors.test(error.message)) return undefined;
  const table = `${readParquet(shard.path, ', file_row_number=true')} AS shard`;
  for (const { feature } of parts.plan.model.inputs.flatMap(requestsOf)) {
    if ('column' in feature.source) continue;
    const sql = sourceSql(feature.source);
    const suspects = parts.connection.rows(`SELECT shard.file_row_number FROM ${table} WHERE TRY(${sql}) IS NULL LIMIT ${suspectsMax}`);
    for (const [row] of suspects) {
      const failure = failureAt(parts.connection, `SELECT ${sql} FROM ${table} WHERE shard.file_row_number = ${row}`);
      if (failure === undefined) continue;
      return new TandemError('BAD_ROW', `Expected ${sourceName(feature.source)} to give a value, got: ${failure.split('\n')[0]}`, {
        place: { shard: shard.name, row: Number(row) }, remedy: 'Use TRY_CAST(...) or TRY(...) in the expression and say what "missing" becomes.', cause: error,
      });
    }
  }
  return undefined;
}

function failureAt(connection: Pick<Connection, 'rows'>, sql: string): string | undefined {
  try {
    connection.rows(sql);
    return undefined;
  } catch (error) {
    if (error instanceof DuckDbError) return error.message;
    throw error;
  }
}

