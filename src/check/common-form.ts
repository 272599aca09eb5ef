/** Two columns of differing types in a form in which equal values are equal. */
import { isNumeric, isText } from '../read/projection.ts';

/** A value in SQL, and DuckDB's name of its type. */
export interface TypedSql {
  readonly sql: string;
  readonly type: string;
}

/**
 * A key's two sides. Times without a zone are taken as UTC (the connection's zone must be UTC), single precision against
 * double as single, a number that one side holds as text as text.
 * @returns undefined: the types have nothing in common
 */
export function commonKey(ours: TypedSql, theirs: TypedSql): readonly [string, string] | undefined {
  if (ours.type === theirs.type) return [ours.sql, theirs.sql];
  const both = (form: (side: TypedSql) => string): readonly [string, string] => [form(ours), form(theirs)];
  const as = (type: string): readonly [string, string] => both(({ sql }) => `CAST(${sql} AS ${type})`);
  const types = [ours.type, theirs.type];
  if (types.every(isNumeric)) {
    if (!types.some(isFloat)) return [ours.sql, theirs.sql];
    return as(types.includes('FLOAT') && !types.some(isInteger) ? 'FLOAT' : 'DOUBLE');
  }
  if (types.every(isTime)) return as(types.some(isZoned) ? zonedType : 'TIMESTAMP');
  if (!types.some(isText)) return undefined;
  // Of a text its offset counts, too.
  if (types.some(isTime)) return as(zonedType);
  return both(plainText);
}

/** As people write it: a number without a fraction has no point. */
export function plainText({ sql, type }: TypedSql): string {
  const text = `CAST(${sql} AS VARCHAR)`;
  if (type.startsWith('DECIMAL(')) return `CASE WHEN ${sql} = trunc(${sql}) THEN ${integerText(sql)} ELSE ${text} END`;
  if (!isFloat(type)) return text;
  // NaN and the infinities are no less than any number.
  return `CASE WHEN abs(${sql}) < 1e18 AND ${sql} = trunc(${sql}) THEN ${integerText(sql)} ELSE ${text} END`;
}

function integerText(sql: string): string {
  return `CAST(CAST(${sql} AS HUGEINT) AS VARCHAR)`;
}

/** Booleans count as integers. */
export function isInteger(type: string): boolean {
  return isNumeric(type) && !isFloat(type) && !type.startsWith('DECIMAL(');
}

function isFloat(type: string): boolean {
  return type === 'FLOAT' || type === 'DOUBLE';
}

const zonedType = 'TIMESTAMP WITH TIME ZONE';

function isZoned(type: string): boolean {
  return type === zonedType;
}

function isTime(type: string): boolean {
  return /^(?:DATE|TIMESTAMP)/.test(type);
}
