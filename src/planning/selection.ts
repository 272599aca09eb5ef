/**
 * Which rows of which shards a run takes. Conditions are counted before the run: every total of the plan is exact, and the
 * two sides of the run are held against these counts.
 */
import { DuckDbError, quoteIdentifier, type Connection } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { shardError, type Footer } from '../read/footers.ts';
import { explainRowFailure } from '../read/row-failure.ts';
import {
  countedBlocks,
  shardTable,
  takenRows,
  type PlannedSelection,
  type Selection,
  type SelectionOptions,
} from '../relation.ts';
import {
  checkCondition,
  parseCondition,
  type Condition,
  type ConditionPart,
  type WrittenCondition,
} from './condition.ts';
import { countRows } from './count-rows.ts';

export interface Selected {
  /** Those of which rows are taken, or might have been; with these rows only. */
  readonly footers: readonly Footer[];
  /** Undefined: every row of every shard is taken. */
  readonly selection: PlannedSelection | undefined;
}

/**
 * The shards with the rows that the options and the contract's `where` leave. Shards that a condition on their path rules
 * out, and those behind the limit, are left out; one that merely has no such row stays, without rows.
 * @throws what {@link RowSelector} throws; NO_SHARDS when all are ruled out
 */
export function selectRows(
  connection: Connection,
  footers: readonly Footer[],
  options: SelectionOptions,
  contractWhere: string | undefined,
  counter: RowCounter = {},
): Selected {
  if (!isSelection(options) && contractWhere === undefined) return { footers, selection: undefined };
  const startedMs = performance.now();
  const selector = new RowSelector(connection, options, contractWhere, counter);
  const taken = footers.flatMap((footer) => selector.take(footer) ?? []);
  if (taken.length === 0) throw nothingLeft(footers, selector.selection.where);
  const counted = selector.hasCounted ? (performance.now() - startedMs) / 1000 : undefined;
  return { footers: taken, selection: plannedSelection(selector, footers, options, counted) };
}

/**
 * For shards whose rows cannot be looked at yet: what is asked for, held against their columns; every row stays.
 * @throws what {@link RowSelector} throws
 */
export function describeSelection(
  connection: Connection,
  footers: readonly Footer[],
  options: SelectionOptions,
  contractWhere: string | undefined,
): Selected {
  if (!isSelection(options) && contractWhere === undefined) return { footers, selection: undefined };
  const selector = new RowSelector(connection, options, contractWhere);
  for (const footer of footers) selector.check(footer);
  return { footers, selection: plannedSelection(selector, footers, options, undefined) };
}

function plannedSelection(
  selector: RowSelector,
  footers: readonly Footer[],
  { where, limit, sample }: SelectionOptions,
  countSeconds: number | undefined,
): PlannedSelection {
  return {
    ...selector.selection,
    given: { where, sample, limit },
    columns: selector.columns,
    shardsFound: footers.length,
    rowsFound: footers.reduce((sum, { rowCount }) => sum + rowCount, 0),
    countSeconds,
  };
}

/** Whether anything is said at all. */
export function isSelection({ where, limit, sample }: SelectionOptions): boolean {
  return where !== undefined || limit !== undefined || sample !== undefined;
}

/** What counts rows, and who hears of it. */
export interface RowCounter {
  /** Of a database that may have several threads; default: the selector's own. */
  readonly connection?: Connection;
  /** Told of rows that have been looked at, or need not be. */
  readonly tell?: (rowCount: number) => void;
}

/** Takes rows from one shard after the other. */
export class RowSelector {
  readonly selection: Selection;
  /** Whether any row had to be looked at. */
  hasCounted = false;
  readonly #connection: Connection;
  readonly #conditions: readonly Condition[];
  readonly #parts: readonly ConditionPart[];
  /** Sets of columns that the conditions are known to fit. */
  readonly #fitting = new Set<string>();
  /** What a part gives for the values of a path. */
  readonly #answers = new Map<string, boolean>();
  readonly #counter: RowCounter;
  #left: number;

  /** @throws USAGE, BAD_CONTRACT for a condition that is none */
  constructor(
    connection: Connection,
    options: SelectionOptions,
    contractWhere: string | undefined,
    counter: RowCounter = {},
  ) {
    checkNumbers(options);
    const { where, limit = Infinity, sample } = options;
    const written: WrittenCondition[] = [];
    if (contractWhere !== undefined)
      written.push({ sql: contractWhere, what: '`where` in tandem.json', code: 'BAD_CONTRACT' });
    if (where !== undefined) written.push({ sql: where, what: '--where', code: 'USAGE' });
    this.#connection = connection;
    this.#counter = counter;
    this.#conditions = written.map((each) => parseCondition(connection, each));
    this.#parts = this.#conditions.flatMap(({ parts }) => parts);
    this.selection = { where: written.map(({ sql }) => sql), sample };
    this.#left = limit;
  }

  /** Names of the columns that the conditions look at, in lower case. */
  get columns(): string[] {
    return [...new Set(this.#parts.flatMap(({ columns }) => columns))];
  }

  /**
   * The shard with its taken rows; undefined: its path rules it out, or the limit is reached.
   * @throws USAGE, BAD_CONTRACT for a condition that does not fit its columns; BAD_ROW, BAD_SHARD, BAD_COLUMN
   */
  take(footer: Footer): Footer | undefined {
    if (this.#left === 0) return undefined;
    this.check(footer);
    const names = new Set((footer.partitions ?? []).map(({ name }) => name.toLowerCase()));
    const isOfPath = ({ columns }: ConditionPart): boolean =>
      columns.length > 0 && columns.every((name) => names.has(name));
    if (!this.#parts.every((part) => !isOfPath(part) || this.#holds(part.sql, footer))) return undefined;
    const isPlain = this.selection.sample === undefined && this.#parts.every(isOfPath);
    const taken = isPlain ? firstRows(this.selection, footer, this.#left) : this.#count(footer, this.#left);
    this.#left -= taken.rowCount;
    return taken;
  }

  /** @throws USAGE, BAD_CONTRACT for a condition that does not fit its columns */
  check(footer: Footer): void {
    const signature = JSON.stringify(footer.columns);
    if (this.#fitting.has(signature)) return;
    for (const condition of this.#conditions) checkCondition(this.#connection, condition, footer);
    this.#fitting.add(signature);
  }

  #holds(sql: string, { partitions = [] }: Footer): boolean {
    const constants = partitions.map((column) => `${column.sql} AS ${quoteIdentifier(column.name)}`).join(', ');
    const query = `SELECT (${sql})::INTEGER FROM (SELECT ${constants}) AS shard`;
    let answer = this.#answers.get(query);
    if (answer === undefined) {
      answer = this.#connection.rows(query)[0]![0] === 1;
      this.#answers.set(query, answer);
    }
    return answer;
  }

  /** Looks at every row, or at as many as it takes. */
  #count(footer: Footer, rowsMax: number): Footer {
    refuseNumberColumn(footer);
    this.hasCounted = true;
    try {
      const { connection = this.#connection, tell = () => {} } = this.#counter;
      const { takenBlocks, rowCount, endRow } = countRows(connection, footer, this.selection, rowsMax, tell);
      return taking(this.selection, footer, takenBlocks, rowCount, endRow);
    } catch (error) {
      throw this.#explain(error, footer);
    }
  }

  #explain(error: unknown, footer: Footer): unknown {
    if (!(error instanceof DuckDbError)) return error;
    const { name, rowCount, rowGroupRows } = footer;
    const numberedFrom = `${shardTable(footer, true)} AS shard`;
    const rows = { fileRows: { firstRow: 0, rowCount }, name, rowGroupRows, numberedFrom };
    const sources = this.#conditions.map(({ sql }) => ({ sql }));
    return explainRowFailure(this.#connection, sources, rows, error) ?? shardError(error, name);
  }
}

/** @throws USAGE */
function checkNumbers({ sample, limit }: SelectionOptions): void {
  if (limit !== undefined && !(Number.isSafeInteger(limit) && limit >= 1))
    throw new TandemError('USAGE', `Expected limit to be a whole number of at least 1, got \`${limit}\`.`);
  if (sample !== undefined && !(sample > 0 && sample <= 1))
    throw new TandemError('USAGE', `Expected sample to be more than 0 and at most 1, got \`${sample}\`.`);
}

/** Nothing but a limit: no row needs to be looked at. */
function firstRows(selection: Selection, footer: Footer, rowsMax: number): Footer {
  if (footer.rowCount <= rowsMax) return taking(selection, footer, undefined, footer.rowCount, undefined);
  refuseNumberColumn(footer);
  let left = rowsMax;
  const taken = countedBlocks(footer.rowGroupRows).map((rows) => {
    const take = Math.min(rows, left);
    left -= take;
    return take;
  });
  return taking(selection, footer, taken, rowsMax, rowsMax);
}

function taking(
  selection: Selection,
  footer: Footer,
  takenBlocks: readonly number[] | undefined,
  rowCount: number,
  endRow: number | undefined,
): Footer {
  const part = { ...footer, ...(endRow === undefined ? {} : { endRow }), takenBlocks, rowCount };
  const numberedFrom = `${takenRows(part, selection, true)} AS shard`;
  return { ...part, from: takenRows(part, selection), numberedFrom };
}

/** Rows that are taken are told apart by their number, which a column of that name would hide. @throws BAD_COLUMN */
export function refuseNumberColumn({ name, columns }: Footer): void {
  const column = columns.find((each) => each.name.toLowerCase() === 'file_row_number')?.name;
  if (column === undefined) return;
  const message = `Expected no column ${column} in a shard of which some rows are taken, got one.`;
  throw new TandemError('BAD_COLUMN', message, {
    place: { shard: name, column },
    remedy: 'Write the shard without it, or take whole shards.',
  });
}

function nothingLeft(footers: readonly Footer[], where: readonly string[]): TandemError {
  const conditions = where.map((sql) => `\`${sql}\``).join(' and ');
  const [first, last] = [footers[0]!.name, footers.at(-1)!.name];
  return new TandemError(
    'NO_SHARDS',
    `Expected ${conditions} to leave a shard, got none of ${footers.length}: their paths rule them out, ${first} to ${last}.`,
    { remedy: '`tandem inspect` shows the columns that come from paths, and their types.' },
  );
}
