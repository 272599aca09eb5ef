/** Scores against known ones, and one row's way: `tandem check --against` and `--row`. */
import { join } from 'node:path';
import type { KnownComparison, KnownRequest } from '../check/against-report.ts';
import type { RowRequest, RowWay } from '../check/row-report.ts';
import { compareKnown } from '../check/compare-known.ts';
import { followRow } from '../check/follow-row.ts';
import { openFiles } from '../check/known-files.ts';
import type { Connection } from '../engines/duckdb/database.ts';
import { isSelection, selectRows } from '../planning/selection.ts';
import { DuckDbTables } from '../planning/tables.ts';
import { contractOf, stageInto } from './open-shards.ts';
import type { PlannerEngines } from './planner-engines.ts';

export async function compareWithKnown(engines: PlannerEngines, request: KnownRequest): Promise<KnownComparison> {
  const { model, selection, scratch } = request;
  const open = engines.connect();
  const stage = stageInto(engines, open, join(scratch, 'known'), { ...request, model: undefined });
  const comparison = await compareKnown(open, request, stage);
  const isSelecting = isSelection(selection) || contractOf(model)?.where !== undefined;
  if (!isSelecting || comparison.columns.every(({ worst }) => worst.length === 0)) return comparison;
  // Settings of the other one are not those that the rows were taken with.
  return withFileRows(engines, engines.connectUnseen(), request, comparison);
}

/** Scores lie as the taken rows do; people know rows by their numbers in the file. */
async function withFileRows(
  engines: PlannerEngines,
  open: Connection,
  request: KnownRequest,
  comparison: KnownComparison,
): Promise<KnownComparison> {
  const { shards, model, selection, scratch } = request;
  const { renames, where } = contractOf(model) ?? {};
  const stage = stageInto(engines, open, join(scratch, 'shards'), request);
  const { footers } = selectRows(open, await openFiles(open, shards, stage, renames), selection, where);
  const taken = new Map(footers.map((footer) => [footer.name, footer]));
  const tables = new DuckDbTables(open);
  const columns = comparison.columns.map((column) => ({
    ...column,
    worst: column.worst.map((each) => ({ ...each, row: tables.fileRow(taken.get(each.shard)!, each.row) })),
  }));
  return { ...comparison, columns };
}

export async function followRowOf(engines: PlannerEngines, request: RowRequest): Promise<RowWay> {
  const { model, scratch } = request;
  const session = engines.load(model);
  const open = engines.connect();
  return followRow(open, session, request, {
    shards: stageInto(engines, open, join(scratch, 'shards'), request),
    known: stageInto(engines, open, join(scratch, 'known'), { ...request, model: undefined }),
  });
}
