/** The SQL that gives each requested column in the form that its kernel reads. */
import type { ColumnRequest } from '../batch.ts';
import { sourceName, type Source } from '../contract/contract.ts';
import { quoteIdentifier, quoteText } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';

/** A column's name and DuckDB's name of its type, as DESCRIBE gives them. */
export interface ColumnType {
  readonly name: string;
  readonly type: string;
  /** The shard's path gives it, not the file. */
  readonly isOfPath?: true;
}

/** Result types whose vectors are read as they are. */
const plainNumbers = new Set([
  'BOOLEAN',
  'TINYINT',
  'SMALLINT',
  'INTEGER',
  'UTINYINT',
  'USMALLINT',
  'UINTEGER',
  'FLOAT',
  'DOUBLE',
]);
const wideIntegers = new Set(['BIGINT', 'UBIGINT']);

/** True for numbers and booleans, in any width. */
export function isNumeric(type: string): boolean {
  return (
    plainNumbers.has(type) ||
    wideIntegers.has(type) ||
    type === 'HUGEINT' ||
    type === 'UHUGEINT' ||
    type.startsWith('DECIMAL(')
  );
}

/** Element type and, for arrays, the fixed length of a list type: `FLOAT[]`, `FLOAT[128]`. */
export function listType(type: string): { readonly element: string; readonly length: number | undefined } | undefined {
  const match = /^(.*)\[(\d*)\]$/s.exec(type);
  if (match === null) return undefined;
  return { element: match[1]!, length: match[2] === '' ? undefined : Number(match[2]) };
}

export function isText(type: string): boolean {
  return type === 'VARCHAR' || type.startsWith('ENUM(');
}

/** The source in SQL. Columns are qualified, so that no alias and no side column can take their place. */
export function sourceSql(source: Source): string {
  return 'column' in source ? `shard.${quoteIdentifier(source.column)}` : `(${source.sql})`;
}

/**
 * One SELECT item of a request over a source of the given type.
 * @param enumType name of the ENUM type that holds the feature's categories
 * @throws BAD_COLUMN when the type cannot be cast without loss of meaning
 */
export function projectColumn(request: ColumnRequest, type: string, enumType: string | undefined): string {
  const sql = sourceSql(request.feature.source);
  switch (request.as) {
    case 'number':
      return numberSql(sql, type, request);
    case 'category': {
      const text = type === 'VARCHAR' ? sql : `CAST(${sql} AS VARCHAR)`;
      return `CASE WHEN ${sql} IS NULL THEN -1 ELSE coalesce(CAST(enum_code(TRY_CAST(${text} AS ${enumType})) AS INTEGER), -2) END`;
    }
    case 'text':
      if (listType(type) !== undefined || type.startsWith('STRUCT(') || type === 'BLOB')
        throw wrongType(request, 'a text', type);
      return type === 'VARCHAR' ? sql : `CAST(${sql} AS VARCHAR)`;
    case 'list': {
      const list = listType(type);
      if (list !== undefined && request.feature.kind === 'length') return placeholderList(sql);
      if (list === undefined || !isNumeric(list.element)) throw wrongType(request, 'a list of numbers', type);
      if (plainNumbers.has(list.element) || (wideIntegers.has(list.element) && request.exactIntegers)) return sql;
      return `CAST(${sql} AS DOUBLE[${list.length ?? ''}])`;
    }
  }
}

/** A list as long as another of any type, for a feature that only counts. */
function placeholderList(sql: string): string {
  return `CASE WHEN ${sql} IS NULL THEN NULL ELSE list_resize(CAST([] AS TINYINT[]), len(${sql}), 0) END`;
}

function numberSql(sql: string, type: string, request: ColumnRequest): string {
  if (!isNumeric(type)) throw wrongType(request, 'a number', type);
  const exact = plainNumbers.has(type) || (wideIntegers.has(type) && request.exactIntegers);
  return exact ? sql : `CAST(${sql} AS DOUBLE)`;
}

function wrongType(request: ColumnRequest, wanted: string, type: string): TandemError {
  const name = sourceName(request.feature.source);
  const column = 'column' in request.feature.source ? request.feature.source.column : undefined;
  return new TandemError('BAD_COLUMN', `Expected ${name} to be ${wanted}, got ${type}.`, {
    place: column === undefined ? {} : { column },
    remedy: remedyFor(wanted, type, column),
  });
}

function remedyFor(wanted: string, type: string, column: string | undefined): string {
  const name = column === undefined ? 'the expression' : quoteIdentifier(column);
  if (wanted === 'a number' && isText(type))
    return 'Use "index", "oneHot" or "hash" for texts, or { "sql": "CAST(... AS DOUBLE)" } if it holds numbers.';
  if (wanted === 'a number' && /^(DATE|TIME)/.test(type))
    return `Say which number: { "sql": ${JSON.stringify(`hour(${name})`)} }, { "sql": ${JSON.stringify(`epoch(${name})`)} }.`;
  return `Turn it into ${wanted} with { "sql": ... }.`;
}

/** CREATE TYPE for the categories of a feature. */
export function createEnum(enumType: string, categories: readonly string[]): string {
  return `CREATE TYPE ${enumType} AS ENUM (${categories.map(quoteText).join(', ')})`;
}
