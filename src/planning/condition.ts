/**
 * A condition on rows: one boolean SQL expression that each row gives by itself. It is evaluated several times, by the side
 * that reads and the side that writes, so whatever could answer differently there is refused.
 */
import { DuckDbError, quoteText, type Connection } from '../engines/duckdb/database.ts';
import { TandemError, type ErrorCode } from '../errors.ts';
import { describe, type SourceTable } from '../read/footers.ts';
import { columnNames } from './tables.ts';

/** A condition as somebody wrote it. */
export interface WrittenCondition {
  readonly sql: string;
  /** How errors name it: `--where`. */
  readonly what: string;
  readonly code: Extract<ErrorCode, 'USAGE' | 'BAD_CONTRACT'>;
}

export interface Condition extends WrittenCondition {
  /** The conditions that it joins by AND; itself where it joins none. */
  readonly parts: readonly ConditionPart[];
}

export interface ConditionPart {
  readonly sql: string;
  /** Names of columns, in lower case. */
  readonly columns: readonly string[];
}

/** A piece of DuckDB's syntax tree, as far as it is looked at. */
interface Node {
  readonly class?: string;
  readonly function_name?: string;
  readonly children?: readonly unknown[];
  readonly column_names?: readonly string[];
}

const prefix = 'SELECT 1 FROM shard WHERE ';

/** What a condition is made of, as DuckDB's parser says. @throws USAGE, BAD_CONTRACT */
export function parseCondition(connection: Connection, written: WrittenCondition): Condition {
  const tree = `json_serialize_sql(${quoteText(`${prefix}(${written.sql}\n)`)})`;
  // In parentheses alone `a) OR (b` would be one, without them `a LIMIT 1`.
  const bare = `json_serialize_sql(${quoteText(`${prefix}${written.sql}\n`)})`;
  const where = `tree->'$.statements[0].node.where_clause'`;
  const failed = `coalesce(tree->>'$.error_message', bare->>'$.error_message')`;
  const [row] = connection.rows(
    `SELECT tree::VARCHAR, (${failed})::VARCHAR, (${where})::VARCHAR,
            CASE WHEN ${where}->>'$.type' = 'CONJUNCTION_AND' THEN (${where}->'$.children')::VARCHAR END,
            json_array_length(${where}->'$.children')::INTEGER
     FROM (SELECT ${tree} AS tree, ${bare} AS bare)`,
  );
  const [whole, failure, clause, children, count] = row!;
  if (typeof failure === 'string' || typeof clause !== 'string')
    throw notOne(written, String(failure ?? 'no condition'));
  const nodes = nodesOf(JSON.parse(clause));
  refuseSubqueries(written, nodes);
  refuseVolatile(connection, written, nodes);
  const own = { sql: written.sql, columns: columnsIn(nodes) };
  if (typeof children !== 'string') return { ...written, parts: [own] };
  const parts = Array.from({ length: Number(count) }, (_, index) =>
    partOf(connection, String(whole), clause, children, index),
  );
  return { ...written, parts: parts.every((part) => part !== undefined) ? parts : [own] };
}

/** One of the children as SQL. The tree stays text: numbers would not survive JavaScript. Undefined: it does not work out. */
function partOf(
  connection: Connection,
  whole: string,
  clause: string,
  children: string,
  index: number,
): ConditionPart | undefined {
  const [[child] = []] = connection.rows(`SELECT (${quoteText(children)}::JSON->${index})::VARCHAR`);
  if (typeof child !== 'string' || !whole.includes(clause)) return undefined;
  const tree = whole.replace(clause, () => child);
  const [[sql] = []] = connection.rows(`SELECT json_deserialize_sql(${quoteText(tree)}::JSON)`);
  if (typeof sql !== 'string' || !sql.startsWith(prefix)) return undefined;
  return { sql: sql.slice(prefix.length), columns: columnsIn(nodesOf(JSON.parse(child))) };
}

/** The node and all below it. */
function nodesOf(tree: unknown): Node[] {
  if (typeof tree !== 'object' || tree === null) return [];
  const below = Object.values(tree).flatMap(nodesOf);
  return 'class' in tree ? [tree as Node, ...below] : below;
}

function columnsIn(nodes: readonly Node[]): string[] {
  return nodes.flatMap(({ column_names: names = [] }) => {
    const name = names.length > 1 && names[0]!.toLowerCase() === 'shard' ? names[1]! : names[0];
    return name === undefined ? [] : [name.toLowerCase()];
  });
}

function refuseSubqueries(written: WrittenCondition, nodes: readonly Node[]): void {
  if (!nodes.some((node) => node.class === 'SUBQUERY')) return;
  throw new TandemError(written.code, `Expected ${written.what} to look at one row, got a query inside it.`, {
    remedy: 'Write the values out: column IN (1, 2, 3). Thousands of them are fine.',
  });
}

/** Functions that are written like columns. */
const clocks = new Set(['current_date', 'current_time', 'current_timestamp', 'localtime', 'localtimestamp']);
/** Clocks that DuckDB 1.5 calls consistent, or, being macros, nothing. */
const hiddenClocks = new Set(['ago', 'current_localtime', 'current_localtimestamp']);

/** `age(t)` is the time since then, `age(t, other)` is arithmetic. */
function isHiddenClock({ function_name = '', children = [] }: Node): boolean {
  const name = function_name.toLowerCase();
  return hiddenClocks.has(name) || (name === 'age' && children.length === 1);
}

/** The two sides ask at different times: `random()`, `current_date`. */
function refuseVolatile(connection: Connection, written: WrittenCondition, nodes: readonly Node[]): void {
  const names = new Set(nodes.flatMap((node) => node.function_name ?? []).map((name) => name.toLowerCase()));
  for (const name of columnsIn(nodes)) if (clocks.has(name)) names.add(name);
  if (names.size === 0) return;
  const list = [...names].map(quoteText).join(', ');
  const [found] = connection.rows(
    `SELECT function_name FROM duckdb_functions() WHERE stability <> 'CONSISTENT' AND function_name IN (${list}) ORDER BY 1`,
  );
  const name = found?.[0] ?? nodes.find(isHiddenClock)?.function_name;
  if (name === undefined) return;
  const message = `Expected ${written.what} to give the same answer whenever it is asked, got ${String(name)}.`;
  throw new TandemError(written.code, message, {
    remedy: "Write the value itself (DATE '2026-05-01'); for a random part of the rows there is --sample.",
  });
}

/** @throws USAGE, BAD_CONTRACT where the condition means nothing over these columns, or is none */
export function checkCondition(connection: Connection, written: WrittenCondition, table: SourceTable): void {
  // Not what DuckDB adds to some tables (`filename`): others have none, and of staged files it is another one each time.
  const from = `(SELECT * FROM ${table.from})`;
  let type: string | undefined;
  try {
    type = describe(connection, `(${written.sql}\n)`, from)[0]?.type;
    // WHERE takes only what a row gives by itself: no aggregates, no window functions.
    describe(connection, '1', `(FROM ${from} AS shard WHERE (${written.sql}\n))`);
  } catch (error) {
    if (!(error instanceof DuckDbError)) throw error;
    throw notOne(written, error.message.split('\n')[0]!, table, error);
  }
  if (type === 'BOOLEAN') return;
  const message = `Expected ${written.what} to be true or false for each row, got \`${written.sql}\`, which gives ${type}.`;
  throw new TandemError(written.code, message, { place: { shard: table.name }, remedy: 'Compare it with something.' });
}

function notOne(written: WrittenCondition, words: string, table?: SourceTable, cause?: unknown): TandemError {
  return new TandemError(written.code, `Expected ${written.what} to be one condition on a row, got: ${words}`, {
    ...(table === undefined ? {} : { place: { shard: table.name } }),
    cause,
    remedy:
      table === undefined || /window function|aggregate|unnest/i.test(words)
        ? 'Write one SQL expression that each row gives by itself: --where "country = \'DE\'".'
        : `The shard has: ${columnNames(table.columns)}.`,
  });
}
