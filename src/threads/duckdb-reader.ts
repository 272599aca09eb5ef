/** Rows of a lane through DuckDB. */
import { DuckDbError, type Connection } from '../engines/duckdb/database.ts';
import type { ModelPlan } from '../plan.ts';
import { shardError } from '../read/footers.ts';
import { explainRowFailure } from '../read/row-failure.ts';
import { openChunks } from '../read/shard-reader.ts';
import type { LaneReader } from './slot-filler.ts';

export function duckDbReader(connection: Connection, model: Pick<ModelPlan, 'inputs'>): LaneReader {
  const sources = model.inputs.flatMap((tensor) => tensor.features).map((feature) => feature.source);
  return {
    open: (rows, requests) => openChunks(connection, rows.sql, requests),
    explain(error, rows) {
      if (!(error instanceof DuckDbError)) return undefined;
      return explainRowFailure(connection, sources, rows, error) ?? shardError(error, rows.name);
    },
  };
}
