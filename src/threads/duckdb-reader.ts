/** Rows of a lane through DuckDB. */
import { readTensors } from '../batch.ts';
import { DuckDbError, type Connection } from '../engines/duckdb/database.ts';
import type { KernelMemory } from '../engines/wasm.ts';
import { requestsOf } from '../featurize/featurizer.ts';
import type { ModelPlan } from '../plan.ts';
import { shardError } from '../read/footers.ts';
import { explainRowFailure, fileRowOf } from '../read/row-failure.ts';
import { openChunks } from '../read/shard-reader.ts';
import { createVectorPlaces } from '../read/vector-places.ts';
import type { LaneReader } from './slot-filler.ts';

/** @param kernels where the columns go that kernels read, as far as there is room */
export function duckDbReader(
  connection: Connection,
  { inputs }: Pick<ModelPlan, 'inputs'>,
  kernels: KernelMemory,
): LaneReader {
  const tensors = readTensors(inputs);
  const sources = tensors.flatMap((tensor) => tensor.features).map((feature) => feature.source);
  const places = createVectorPlaces(tensors.flatMap(requestsOf), kernels);
  return {
    open: (rows, requests) => openChunks(connection, rows.sql, requests, places),
    explain(error, rows) {
      if (!(error instanceof DuckDbError)) return undefined;
      return explainRowFailure(connection, sources, rows, error) ?? shardError(error, rows.name);
    },
    fileRow: (rows, row) => fileRowOf(connection, rows, row),
  };
}
