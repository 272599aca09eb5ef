/** A cast that fails in the middle of a query does not say where. This looks for the row. */
import { sourceName } from '../contract/contract.ts';
import { DuckDbError, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { requestsOf } from '../featurize/featurizer.ts';
import { sourceSql } from '../read/projection.ts';
import { rowGroupOf, type LaneParts, type LaneRows } from './lane.ts';

/** Rows to look at one by one: those where the expression gives NULL or fails. */
const suspectsMax = 200;
const rowErrors = /^(Conversion|Out of Range|Invalid Input|Invalid) Error/;

/** The same failure with the feature and the row that cause it; undefined when it is of another kind. */
export function explainSqlFailure(
  parts: Pick<LaneParts, 'plan' | 'connection'>, rows: LaneRows, error: DuckDbError,
): TandemError | undefined {
  if (!rowErrors.test(error.message) || rows.numberedFrom === undefined) return undefined;
  try {
    return findFailure(parts, rows, rows.numberedFrom, error);
  } catch (secondError) {
    // Not the expression's fault: the shard cannot be read at all.
    if (secondError instanceof DuckDbError) return undefined;
    throw secondError;
  }
}

function findFailure(parts: Pick<LaneParts, 'plan' | 'connection'>, shard: LaneRows, table: string, error: DuckDbError): TandemError | undefined {
  for (const { feature } of parts.plan.model.inputs.flatMap(requestsOf)) {
    if ('column' in feature.source) continue;
    const sql = sourceSql(feature.source);
    const suspects = parts.connection.rows(`SELECT shard.file_row_number FROM ${table} WHERE TRY(${sql}) IS NULL LIMIT ${suspectsMax}`);
    for (const [row] of suspects) {
      const failure = failureAt(parts.connection, `SELECT ${sql} FROM ${table} WHERE shard.file_row_number = ${row}`);
      if (failure === undefined) continue;
      return new TandemError('BAD_ROW', `Expected ${sourceName(feature.source)} to give a value, got: ${failure.split('\n')[0]}`, {
        place: { shard: shard.name, row: Number(row), rowGroup: rowGroupOf(shard, Number(row)) }, remedy: 'Use TRY_CAST(...) or TRY(...) in the expression and say what "missing" becomes.', cause: error,
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

