/** The SELECT lists for each distinct set of columns among the shards. */
import type { ColumnRequest } from '../batch.ts';
import type { Source } from '../contract/contract.ts';
import { TandemError } from '../errors.ts';
import type { PlannedSchema } from '../plan.ts';
import type { SourceTable } from '../read/footers.ts';
import { isText, listType, type ColumnType } from '../read/projection.ts';
import type { SourceShape } from '../score/layout.ts';
import { columnNames, type TableReader } from './tables.ts';

/** Shards that share column names and types (in this order) share a schema. */
export class SchemaPlanner {
  readonly #reader: TableReader;
  readonly #tables: readonly SourceTable[];
  /** The first table of each schema, by the schema's signature. */
  readonly #first = new Map<string, SourceTable>();
  readonly #sqlTypes = new Map<string, string>();

  constructor(reader: TableReader, tables: readonly SourceTable[]) {
    this.#reader = reader;
    this.#tables = tables;
    for (const table of tables) if (!this.#first.has(signature(table))) this.#first.set(signature(table), table);
  }

  indexOf(table: SourceTable): number {
    return [...this.#first.keys()].indexOf(signature(table));
  }

  /** What a source is in the first shard. @throws BAD_COLUMN, BAD_CONTRACT */
  shapeOf(source: Source): SourceShape {
    const type = this.typeOf(source, this.#tables[0]!);
    const list = listType(type);
    if (list !== undefined) return { kind: 'list', length: list.length };
    return { kind: isText(type) ? 'text' : 'number' };
  }

  /** SELECT list of the requests over a shard. @throws BAD_COLUMN naming the shard */
  projection(table: SourceTable, requests: readonly ColumnRequest[]): string {
    return requests.map((request, index) => `${this.expression(table, request)} AS c${index}`).join(', ');
  }

  /** What is selected for one request. @throws BAD_COLUMN naming the shard */
  expression(table: SourceTable, request: ColumnRequest): string {
    try {
      return this.#reader.project(request, this.typeOf(request.feature.source, table), table);
    } catch (error) {
      throw error instanceof TandemError ? error.at({ shard: table.name }) : error;
    }
  }

  /** All schemas. @throws BAD_COLUMN for a kept column that is missing or named twice, BAD_CONTRACT for a name that is there twice */
  plan(
    requests: readonly ColumnRequest[],
    keep: readonly string[] | undefined,
    scoreNames: readonly string[],
    what: 'score' | 'feature' = 'score',
  ): PlannedSchema[] {
    return [...this.#first.values()].map((table) => {
      const kept = keep === undefined ? allColumns(table) : keptColumns(table, keep);
      const clash = scoreNames.find((name) => kept.some((other) => other.toLowerCase() === name.toLowerCase()));
      if (clash !== undefined) {
        throw new TandemError(
          'BAD_CONTRACT',
          `Expected ${what} columns to have names of their own, got ${clash}, which is a kept column too.`,
          {
            place: { shard: table.name, column: clash },
            remedy:
              what === 'feature'
                ? `Each input becomes a column of its name: leave ${clash} out with --keep.`
                : `Name the score column otherwise in tandem.json ("outputs": { ...: { "column": "score" } }), or leave ${clash} out with --keep.`,
          },
        );
      }
      return {
        columns: table.columns,
        projection: this.projection(table, requests),
        keepProjection: this.#keepProjection(kept, table),
      };
    });
  }

  #keepProjection(kept: readonly string[], table: SourceTable): string {
    try {
      return this.#reader.projectKept(kept, table);
    } catch (error) {
      throw error instanceof TandemError ? error.at({ shard: table.name }) : error;
    }
  }

  /** DuckDB's name of a source's type in a table. @throws BAD_COLUMN, BAD_CONTRACT */
  typeOf(source: Source, table: SourceTable): string {
    if ('column' in source) return findColumn(table, source.column, 'column', this.#tables).type;
    const key = `${signature(table)}\u0002${source.sql}`;
    let type = this.#sqlTypes.get(key);
    if (type === undefined) {
      type = this.#reader.typeOfSql(source, table);
      this.#sqlTypes.set(key, type);
    }
    return type;
  }
}

function signature(table: SourceTable): string {
  return table.columns.map(({ name, type }) => `${name}\u0000${type}`).join('\u0001');
}

/** What a reader does not get from the path. */
function allColumns({ columns }: SourceTable): string[] {
  return columns.filter(({ isOfPath }) => isOfPath !== true).map(({ name }) => name);
}

/** @throws BAD_COLUMN for a column that is missing or named twice */
function keptColumns(table: SourceTable, keep: readonly string[]): string[] {
  const kept = keep.map((name) => findColumn(table, name, 'kept column').name);
  const twice = kept.find((name, index) => kept.indexOf(name) !== index);
  if (twice === undefined) return kept;
  throw new TandemError(
    'BAD_COLUMN',
    `Expected each kept column once, got ${keep.join(', ')}, which names ${twice} twice.`,
    {
      place: { shard: table.name, column: twice },
      remedy: 'Name it once: case does not tell columns apart.',
    },
  );
}

/**
 * By exact name, or else regardless of case, as SQL does.
 * @param others tables of the same run: where one of them has the column, it may have another name here
 * @throws BAD_COLUMN
 */
function findColumn(table: SourceTable, name: string, what: string, others: readonly SourceTable[] = []): ColumnType {
  const isIt = (column: ColumnType): boolean => column.name.toLowerCase() === name.toLowerCase();
  const found = table.columns.find((column) => column.name === name) ?? table.columns.find(isIt);
  if (found !== undefined) return found;
  const drifts = others.some(({ columns }) => columns.some(isIt));
  const renames = `Other shards have it: if it had another name here, "renames": { "old": ${JSON.stringify(name)} } in tandem.json.`;
  throw new TandemError('BAD_COLUMN', `Expected ${what} ${name} in the shard, got none of that name.`, {
    place: { shard: table.name, column: name },
    remedy: `The shard has: ${columnNames(table.columns)}.${drifts ? ` ${renames}` : ''}`,
  });
}

/** Columns of the shard that the features read. */
export function usedColumns(requests: readonly ColumnRequest[], columns: readonly ColumnType[]): ReadonlySet<string> {
  const used = new Set(requests.flatMap(({ feature }) => [...namesIn(feature.source)]));
  return new Set(columns.map(({ name }) => name).filter((name) => used.has(name.toLowerCase())));
}

/** Texts, quoted names, and words of a SQL expression. */
const sqlTokens = /'(?:[^']|'')*'|"((?:[^"]|"")*)"|([\p{L}_][\p{L}\p{N}_$]*)/gu;

/** What may be a column of a feature, in lower case; of a SQL expression its functions and operators too. */
export function namesIn(source: Source): ReadonlySet<string> {
  if ('column' in source) return new Set([source.column.toLowerCase()]);
  const tokens = source.sql.matchAll(sqlTokens);
  return new Set(Array.from(tokens, ([, quoted, word = '']) => (quoted?.replaceAll('""', '"') ?? word).toLowerCase()));
}
