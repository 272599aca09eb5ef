/** Turns one file of another format into Parquet: all of its rows, or the first ones, and counts them. */
import { rmSync } from 'node:fs';
import { registerArrowTable } from '../engines/duckdb/arrow-import.ts';
import { DuckDbError, quoteIdentifier, quotePath, quoteText, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { rowGroupRowsDefault, stagedHeadRows } from '../limits.ts';
import { openArrowFile } from './arrow-file.ts';
import type { StageForm, StageResult, StageSource, StageTask } from './messages.ts';
import { explainText, isUnknownKey } from './text-failure.ts';
import { lookAtCsv, textRelation } from './text.ts';

/** Connections of the thread; those for Arrow call back into JavaScript, which needs a database of one thread. */
export interface StageConnections {
  text(): Connection;
  arrow(): Connection;
}

/** @throws BAD_ROW with the line, BAD_SHARD, BAD_COLUMN, MEMORY, DuckDbError for what has to do with `to` */
export async function carryOut(task: StageTask, connections: StageConnections): Promise<StageResult> {
  const { source } = task;
  try {
    if (source.format === 'arrow') return await ofArrow(task, connections.arrow());
    return ofText(task, connections.text());
  } catch (error) {
    if (error instanceof TandemError) throw error.at({ shard: source.name });
    throw error;
  }
}

function ofText(task: StageTask, connection: Connection): StageResult {
  const { source } = task;
  try {
    if (task.kind === 'look') {
      const form: StageForm = source.format === 'csv' ? { csv: lookAtCsv(connection, source.path, task.csv) } : {};
      return withAllTypes(source, form, (each) => look(connection, textRelation(source, each), task.to, each));
    }
    return withAllTypes(source, task.form, (form) => {
      const from = textRelation(source, form);
      const rowCount =
        task.kind === 'count' ? count(connection, `SELECT count(*) FROM ${from}`) : copy(connection, from, task.to);
      return { rowCount, form, emptyColumns: [] };
    });
  } catch (error) {
    if (!(error instanceof DuckDbError) || /^INTERRUPT/.test(error.message) || isAboutWriting(error)) throw error;
    throw explainText(error, source);
  }
}

/** A key of JSON that comes late is a column: then all rows tell the types. */
function withAllTypes(source: StageSource, form: StageForm, work: (form: StageForm) => StageResult): StageResult {
  try {
    return work(form);
  } catch (error) {
    if (source.format !== 'json' || form.sampleAll === true) throw error;
    if (!(error instanceof DuckDbError) || !isUnknownKey(error)) throw error;
    return work({ ...form, sampleAll: true });
  }
}

async function ofArrow(task: StageTask, connection: Connection): Promise<StageResult> {
  const file = await openArrowFile(task.source.path);
  try {
    if (task.kind === 'count') {
      let rowCount = 0;
      for (let batch = file.next(); batch !== undefined; batch = file.next()) rowCount += batch.numRows;
      return { rowCount: rowCount + file.first.numRows, form: {}, emptyColumns: [] };
    }
    // DuckDB keeps a name until its database closes.
    const name = `tandem_arrow_${arrowTables++}`;
    const table = registerArrowTable(connection, name, file.first, () => file.next());
    try {
      if (task.kind === 'look') return look(connection, `${name}()`, task.to, {});
      return { rowCount: copy(connection, `${name}()`, task.to), form: {}, emptyColumns: [] };
    } catch (error) {
      throw table.failure ?? error;
    } finally {
      table.dispose();
    }
  } finally {
    file.close();
  }
}

let arrowTables = 0;

function look(connection: Connection, from: string, to: string, form: StageForm): StageResult {
  const rowCount = copy(connection, `(FROM ${from} LIMIT ${stagedHeadRows})`, to);
  return { rowCount, form, emptyColumns: form.csv === undefined ? [] : emptyColumns(connection, to, form) };
}

function emptyColumns(connection: Connection, path: string, { csv }: StageForm): string[] {
  const names = csv!.columns.map(([name]) => name);
  const counts = names.map((name) => `count(${quoteIdentifier(name)})`).join(', ');
  const [row = []] = connection.rows(`SELECT ${counts} FROM read_parquet(${quotePath(path)}, hive_partitioning=false)`);
  return names.filter((_, index) => Number(row[index]) === 0);
}

/** Snappy: less CPU than no compression, whose file is larger (measured). */
function copy(connection: Connection, from: string, to: string): number {
  const settings = `FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE ${rowGroupRowsDefault}, USE_TMP_FILE false`;
  try {
    return count(connection, `COPY (FROM ${from}) TO ${quoteText(to)} (${settings})`);
  } catch (error) {
    rmSync(to, { force: true });
    throw error;
  }
}

function count(connection: Connection, sql: string): number {
  return Number(connection.rows(sql)[0]?.[0] ?? 0);
}

function isAboutWriting(error: DuckDbError): boolean {
  return /No space left|Disk quota|Cannot open file "[^"]*\.tmp-/i.test(error.message);
}
