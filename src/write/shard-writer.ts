/**
 * Writes one shard's output: kept columns straight from the shard, scores beside them, in order and without bringing a kept
 * value into JavaScript. `POSITIONAL JOIN` does so for a file's rows; it would pad with NULL where the counts differ, so
 * both are compared with the plan before the file is published. Rows that a condition takes, or that come from several
 * files, it would hold all at once: these ask for their scores by a function.
 */
import { rmSync, statSync } from 'node:fs';
import {
  DuckDbError,
  outOfMemory,
  quoteIdentifier,
  quotePath,
  quoteText,
  type Connection,
} from '../engines/duckdb/database.ts';
import { registerRowFunction } from '../engines/duckdb/row-function.ts';
import { registerTableFunction, type TableRows } from '../engines/duckdb/table-function.ts';
import { TandemError } from '../errors.ts';
import type { PlannedShard, RunPlan } from '../plan.ts';
import { hasCondition, partRows, takenRows } from '../relation.ts';
import { copySettings } from './output-files.ts';
import type { RunIdentity } from './manifests.ts';
import { publishShard } from './output-folder.ts';
import { tableColumns } from './score-columns.ts';
import { partsIn, temporaryPath, type UnnamedFile } from './shard-files.ts';
import { diskFull } from './write-failure.ts';

/** Scores in row order, at most 2,048 rows a call; 0 rows end it. */
export type NextScores = () => TableRows;

/** A writer for one thread. Its table function is visible to the whole database, hence the name of its own. */
export class ShardWriter {
  readonly #connection: Connection;
  readonly #plan: RunPlan;
  readonly #attempt: string;
  readonly #functionName: string;
  readonly #scores: ReturnType<typeof registerTableFunction>;
  readonly #rowScores: ReturnType<typeof registerRowFunction>;
  #next: NextScores = () => ({ rowCount: 0, columns: [] });
  #delivered = 0;
  #failure: unknown;

  constructor(connection: Connection, plan: RunPlan, attempt: string, threadName: string) {
    this.#connection = connection;
    this.#plan = plan;
    this.#attempt = attempt;
    this.#functionName = `tandem_scores_${threadName}`;
    const columns = tableColumns(plan.model);
    this.#scores = registerTableFunction(connection, this.#functionName, columns, () => this.#deliver());
    this.#rowScores = registerRowFunction(connection, `${this.#functionName}_of_row`, columns, () =>
      this.#deliverMore(),
    );
  }

  /**
   * Writes, checks and publishes the output of a shard.
   * @returns bytes of the output
   * @throws whatever `next` throws; BAD_SHARD, TRANSIENT, BAD_OUTPUT
   */
  write(shard: PlannedShard, next: NextScores): number {
    const temporary = temporaryPath(this.#plan.output, shard.name, this.#attempt);
    this.#next = next;
    this.#delivered = 0;
    this.#failure = undefined;
    this.#rowScores.reset();
    try {
      const rows = this.#connection.rows(this.#copySql(shard, temporary));
      // More scores than kept rows show here only.
      if (this.#isPerRow(shard)) this.#deliver();
      checkRows(shard, this.#delivered, Number(rows[0]?.[0] ?? -1));
      return publishShard(this.#plan, identityOf(this.#plan), shard, this.#attempt, this.#parts(temporary));
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      throw this.#explain(error, shard);
    }
  }

  close(): void {
    this.#scores.dispose();
    this.#rowScores.dispose();
  }

  #deliver(): TableRows {
    try {
      const rows = this.#next();
      this.#delivered += rows.rowCount;
      return rows;
    } catch (error) {
      this.#failure = error;
      throw error;
    }
  }

  /** For a row that must be there: more kept rows than scores. */
  #deliverMore(): TableRows {
    const rows = this.#deliver();
    if (rows.rowCount > 0) return rows;
    const message = `Expected as many rows of the shard as of scores, ${this.#delivered}, got more.`;
    throw (this.#failure = new TandemError('TRANSIENT', message, { remedy: changedRemedy }));
  }

  #copySql(shard: PlannedShard, temporary: string): string {
    const query = this.#isPerRow(shard) ? this.#perRow(shard) : this.#positional(shard);
    return `COPY (${query}) TO ${quoteText(temporary)} (${copySettings(this.#plan.files)})`;
  }

  #isPerRow(shard: PlannedShard): boolean {
    const { schemas, selection } = this.#plan;
    return (shard.parts !== undefined || hasCondition(selection)) && schemas[shard.schema]!.keepProjection !== '';
  }

  #positional(shard: PlannedShard): string {
    const { keepProjection } = this.#plan.schemas[shard.schema]!;
    const scores = this.#plan.model.columns.map((column) => `scores.${quoteIdentifier(column.name)}`).join(', ');
    if (keepProjection === '') return `SELECT ${scores} FROM ${this.#functionName}() AS scores`;
    const from = `${takenRows(shard, this.#plan.selection)} AS shard POSITIONAL JOIN ${this.#functionName}() AS scores`;
    return `SELECT ${keepProjection}, ${scores} FROM ${from}`;
  }

  /** The function is called in a query below: in two fields of its value it would be called twice. */
  #perRow(shard: PlannedShard): string {
    const { columns } = this.#plan.schemas[shard.schema]!;
    let name = 'scores';
    while (columns.some((column) => column.name.toLowerCase() === name)) name += '_';
    const fields = this.#plan.model.columns.map(
      (column, index) => `${name}.c${index} AS ${quoteIdentifier(column.name)}`,
    );
    const rows = `SELECT *, ${this.#functionName}_of_row() AS ${name} FROM ${keptTable(this.#plan, shard)}`;
    return `SELECT * EXCLUDE (${name}), ${fields.join(', ')} FROM (${rows})`;
  }

  /** Rows of each file in the temporary folder, but of the empty one that COPY begins after a full one. */
  #parts(temporary: string): UnnamedFile[] | undefined {
    if (this.#plan.files.rowsPerFile === undefined) return undefined;
    const parts = partsIn(temporary).map((path) => {
      const rows = this.#connection.rows(`SELECT num_rows FROM parquet_file_metadata(${quotePath(path)})`);
      return { path, rowCount: Number(rows[0]?.[0]) };
    });
    return parts.filter(({ rowCount }, index) => rowCount > 0 || index === 0);
  }

  #explain(error: unknown, shard: PlannedShard): unknown {
    if (this.#failure !== undefined) return this.#failure;
    if (!(error instanceof DuckDbError)) return error;
    if (systemSays('No space left|Disk quota', error)) return diskFull(this.#plan.output, error);
    if (/^INTERRUPT Error/.test(error.message))
      return new TandemError('STOPPED', 'The run was stopped.', { cause: error });
    if (systemSays('Permission denied|Read-only file system', error)) {
      return new TandemError('BAD_OUTPUT', `Expected the output folder to be writable, got: ${error.message}`, {
        remedy: 'Change its permissions, or choose another --output.',
        cause: error,
      });
    }
    const memory = outOfMemory(error, { shard: shard.name });
    if (memory !== undefined) return memory;
    return new TandemError(
      'BAD_SHARD',
      `Expected the kept columns to be readable and the output writable, got: ${error.message.split('\n')[0]}`,
      {
        place: { shard: shard.name },
        remedy: 'If the shard is damaged, write it again or leave it out of the pattern.',
        cause: error,
      },
    );
  }
}

const changedRemedy = 'The file changed while it was read: run the same command again.';

/** @throws TRANSIENT where one side has other rows than were planned, or a file has changed */
export function checkRows(shard: PlannedShard, delivered: number, written: number): void {
  const changed = (shard.parts ?? [shard]).some(({ path, sourcePath, bytes, modifiedMs }) => {
    const { size, mtimeMs } = statSync(sourcePath ?? path);
    return size !== bytes || Math.floor(mtimeMs) !== modifiedMs;
  });
  if (!changed && written === shard.rowCount && delivered === shard.rowCount) return;
  throw new TandemError(
    'TRANSIENT',
    `Expected ${shard.rowCount} rows of scores and of the shard, got ${delivered} and ${written}${changed ? '; the file has changed' : ''}.`,
    {
      place: { shard: shard.name },
      remedy: changedRemedy,
    },
  );
}

/** The kept columns of a shard, as what stands after FROM; undefined: none. */
export function keptTable({ schemas, selection }: RunPlan, shard: PlannedShard): string | undefined {
  if (schemas[shard.schema]!.keepProjection === '') return undefined;
  const kept = (schema: number, from: string): string =>
    `SELECT ${schemas[schema]!.keepProjection} FROM ${from} AS shard`;
  const selects =
    shard.parts === undefined
      ? [kept(shard.schema, takenRows(shard, selection))]
      : shard.parts.map((part) => kept(part.schema, partRows(part, selection)));
  return `(${selects.join(' UNION ALL BY NAME ')})`;
}

/** The operating system's words, which end the message; the path before them may hold anything. */
function systemSays(words: string, error: DuckDbError): boolean {
  return new RegExp(`^IO Error: .*: (?:${words})[^"]*$`, 'im').test(error.message);
}

/** What makes two runs into one output folder the same run. */
export function identityOf(plan: RunPlan): RunIdentity {
  return {
    modelSha256: plan.model.sha256,
    contractSha256: plan.model.contractSha256,
    keep: plan.keepsAll ? 'all' : plan.keep,
    precision: plan.precision,
    ...(plan.selection === undefined ? {} : { selection: plan.selection.given }),
    ...(plan.files.rowsPerFile === undefined ? {} : { rowsPerFile: plan.files.rowsPerFile }),
    ...(plan.features === undefined ? {} : { features: plan.features }),
  };
}
