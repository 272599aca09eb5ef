/** What `init` wants to know before there is a contract: columns with their nulls, some rows, the model's tensors. */
import { quotePath, quoteText, type Connection } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { describeSession } from '../engines/onnxruntime/session.ts';
import type { Survey, SurveyRequest } from '../messages.ts';
import { selectColumns, type Footer } from '../read/footers.ts';

/** @param connection undefined without shards; @param session undefined without a model */
export function survey(
  connection: Connection | undefined,
  footers: readonly Footer[],
  session: Pointer | undefined,
): Survey {
  const nulls = connection === undefined ? new Map<string, number>() : countNulls(connection, footers);
  return {
    columns: (footers[0]?.columns ?? []).map(({ name, type }) => ({ name, type, nulls: nulls.get(name) })),
    rowCount: footers.reduce((sum, footer) => sum + footer.rowCount, 0),
    model: session === undefined ? undefined : describeSession(session),
  };
}

/** Nulls of each column, where all footers count them; files of other formats have none. */
function countNulls(connection: Connection, footers: readonly Footer[]): Map<string, number> {
  if (footers.some(({ sourcePath }) => sourcePath !== undefined)) return new Map();
  const list = `[${footers.map(({ path }) => quotePath(path)).join(', ')}]`;
  const rows = connection.rows(
    `SELECT path_in_schema, sum(stats_null_count)::BIGINT FROM parquet_metadata(${list})
     GROUP BY path_in_schema HAVING count(*) = count(stats_null_count)`,
  );
  return new Map(rows.map(([name, nulls]) => [String(name), Number(nulls)]));
}

/** Writes the first rows of some shards, spread over all of them. */
export function writeSample(
  connection: Connection,
  footers: readonly Footer[],
  { path, rows, shards }: NonNullable<SurveyRequest['sample']>,
): void {
  const filled = footers.filter(({ rowCount }) => rowCount > 0);
  const count = Math.min(shards, filled.length);
  const chosen = Array.from({ length: count }, (_, index) => filled[Math.floor((index * filled.length) / count)]!);
  const parts = chosen.map(({ from, columns }) => {
    const projection = selectColumns(columns.map(({ name }) => name));
    return `(SELECT ${projection} FROM ${from} AS shard LIMIT ${Math.ceil(rows / count)})`;
  });
  if (parts.length === 0) return;
  connection.execute(
    `COPY (FROM (${parts.join(' UNION ALL BY NAME ')}) LIMIT ${rows}) TO ${quoteText(path)} (FORMAT parquet)`,
  );
}
