/** Which known column stands against which score column, and as what the two are compared. */
import { quoteIdentifier } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { isNumeric, isText, listType, type ColumnType } from '../read/projection.ts';
import type { KnownColumn } from './against-report.ts';
import { isInteger, plainText, type TypedSql } from './common-form.ts';

export interface ColumnPair extends Pick<KnownColumn, 'name' | 'known' | 'kind'> {
  /** Whole column of the known files. */
  readonly knownColumn: string;
  /** Of both: DOUBLE for numbers, DOUBLE[] for lists, what labels are compared as. */
  readonly type: 'DOUBLE' | 'DOUBLE[]' | 'BIGINT' | 'VARCHAR';
  /** Both as that type, of a table `s` and a table `k`. */
  readonly scoreSql: string;
  readonly knownSql: string;
}

export interface PairedColumns {
  readonly pairs: readonly ColumnPair[];
  /** Scores that no known column stands against. */
  readonly notCompared: readonly string[];
}

/** By exact name, or else regardless of case, as SQL does. */
export function findNamed(columns: readonly ColumnType[], name: string): ColumnType | undefined {
  return (
    columns.find((column) => column.name === name) ??
    columns.find((column) => column.name.toLowerCase() === name.toLowerCase())
  );
}

/** @throws BAD_COLUMN where nothing can be compared, or a pair is of two kinds; USAGE for a map of what is no score */
export function pairColumns(
  ours: readonly ColumnType[],
  theirs: readonly ColumnType[],
  { key, map }: { readonly key: readonly string[]; readonly map: Readonly<Record<string, string>> },
): PairedColumns {
  const scores = ours.filter(({ name }) => !key.some((each) => each.toLowerCase() === name.toLowerCase()));
  const names = (columns: readonly ColumnType[]): string => columns.map(({ name }) => name).join(', ');
  const said = Object.entries(map).map(([name, known]) => {
    const score = findValue('s', scores, name);
    if (score === undefined) {
      throw new TandemError('USAGE', `Expected --map to name score columns, got \`${name}\`.`, {
        remedy: `The scores are: ${names(scores)}. Write score=known.`,
      });
    }
    const found = findValue('k', theirs, known);
    if (found !== undefined) return pair(score, found);
    throw new TandemError('BAD_COLUMN', `Expected column ${known} in the known scores, got none of that name.`, {
      place: { column: known },
      remedy: `They have: ${names(theirs)}.`,
    });
  });
  const saidOf = new Set(said.map(({ scoreColumn }) => scoreColumn));
  const others = scores.filter(({ name }) => !saidOf.has(name));
  const alike = others.flatMap(({ name }) => {
    const found = findValue('k', theirs, name);
    return found === undefined ? [] : [pair(findValue('s', scores, name)!, found)];
  });
  // In the order of the scores.
  const placeOf = ({ scoreColumn }: { readonly scoreColumn: string }): number =>
    scores.findIndex(({ name }) => name === scoreColumn);
  const pairs = [...said, ...alike].sort((a, b) => placeOf(a) - placeOf(b));
  if (pairs.length > 0) {
    const compared = new Set(pairs.map(({ scoreColumn }) => scoreColumn));
    return { pairs, notCompared: scores.flatMap(({ name }) => (compared.has(name) ? [] : [name])) };
  }
  throw new TandemError('BAD_COLUMN', `Expected known scores under the names of the scores, got ${names(theirs)}.`, {
    remedy: `Say which is which: --map ${scores[0]!.name}=${theirs.at(-1)!.name}. The scores are: ${names(scores)}.`,
  });
}

interface Value extends TypedSql {
  /** `probability[1]` */
  readonly name: string;
  /** `probability` */
  readonly column: string;
}

/** `probability`, or `probability[1]`: a position of a list. */
function findValue(table: 's' | 'k', columns: readonly ColumnType[], name: string): Value | undefined {
  const whole = findNamed(columns, name);
  if (whole !== undefined) return { ...denseOf(table, whole), name: whole.name, column: whole.name };
  const [, base, position] = /^(.*)\[(\d+)\]$/s.exec(name) ?? [];
  const column = base === undefined ? undefined : findNamed(columns, base);
  if (column === undefined) return undefined;
  const { sql, type } = denseOf(table, column);
  const list = listType(type);
  if (list === undefined || Number(position) >= (list.length ?? Infinity)) return undefined;
  return { name, column: column.name, sql: `list_extract(${sql}, ${Number(position) + 1})`, type: list.element };
}

/**
 * Spark writes its vectors as structs: dense ones hold values, sparse ones values and where they stand. As JSON they lack
 * what is not needed, and have other integers.
 */
function denseOf(table: 's' | 'k', { name, type }: ColumnType): TypedSql {
  const column = `${table}.${quoteIdentifier(name)}`;
  const fields = new Map(
    [...type.matchAll(/"?(\w+)"? (TINYINT|INTEGER|BIGINT|DOUBLE)(\[\])?(?=[,)])/g)].map(([, field, of, list]) => [
      field!,
      `${of}${list ?? ''}`,
    ]),
  );
  const isVector =
    type.startsWith('STRUCT(') &&
    isInteger(fields.get('type') ?? '') &&
    fields.get('values') === 'DOUBLE[]' &&
    [...fields.keys()].every((field) => ['type', 'size', 'indices', 'values'].includes(field));
  if (!isVector) return { sql: column, type };
  const values = `${column}."values"`;
  if (!fields.has('indices')) return { sql: values, type: 'DOUBLE[]' };
  const at = `nullif(list_position(${column}."indices", i), 0)`;
  const sparse = `list_transform(range(${column}."size"), lambda i: coalesce(list_extract(${values}, ${at}), 0))`;
  const sql = `(CASE WHEN ${column} IS NULL THEN NULL WHEN ${column}."type" = 1 THEN ${values} ELSE ${sparse} END)`;
  return { sql, type: 'DOUBLE[]' };
}

function pair(score: Value, known: Value): ColumnPair & { readonly scoreColumn: string } {
  const names = { name: score.name, scoreColumn: score.column, known: known.name, knownColumn: known.column };
  const as = (kind: ColumnPair['kind'], type: ColumnPair['type'], form = ({ sql }: TypedSql) => sql) => ({
    ...names,
    kind,
    type,
    scoreSql: `CAST(${form(score)} AS ${type})`,
    knownSql: `CAST(${form(known)} AS ${type})`,
  });
  const [ourList, theirList] = [listType(score.type), listType(known.type)];
  if (ourList !== undefined && theirList !== undefined) {
    if (isNumeric(ourList.element) && isNumeric(theirList.element)) return as('list', 'DOUBLE[]');
  } else if (isText(score.type) && isText(known.type)) return as('label', 'VARCHAR');
  else if (isNumeric(score.type) && isNumeric(known.type)) {
    if (!isInteger(score.type)) return as('number', 'DOUBLE');
    if (!isInteger(known.type)) return as('label', 'DOUBLE');
    const isWide = [score, known].some(({ type }) => /^(?:UBIGINT|U?HUGEINT)$/.test(type));
    return isWide ? as('label', 'VARCHAR') : as('label', 'BIGINT');
  } else if ([score, known].every(({ type }) => isText(type) || isInteger(type))) {
    const number = isText(score.type) ? known : score;
    return as('label', 'VARCHAR', (side) =>
      isText(side.type) ? numberOfText(side.sql, number.type) : plainText(side),
    );
  }
  throw notComparable(score, known);
}

/** A text that is a number or a boolean, as {@link plainText} writes one; any other as it is. */
function numberOfText(sql: string, type: string): string {
  const as = type === 'BOOLEAN' ? 'BOOLEAN' : 'DOUBLE';
  // Not every integer of 64 bits is a double, and a cast to an integer rounds.
  const integer = `CASE WHEN regexp_full_match(${sql}, '[+-]?[0-9]+') THEN CAST(TRY_CAST(${sql} AS HUGEINT) AS VARCHAR) END`;
  const other = plainText({ sql: `TRY_CAST(${sql} AS ${as})`, type: as });
  return as === 'BOOLEAN' ? `coalesce(${other}, ${sql})` : `coalesce(${integer}, ${other}, ${sql})`;
}

function notComparable(score: Value, known: Value): TandemError {
  const message = `Expected known ${known.name} to be comparable with scores of type ${score.type}, got ${known.type}.`;
  const [ourList, theirList] = [listType(score.type), listType(known.type)];
  const position =
    theirList !== undefined && ourList === undefined
      ? `${score.name}=${known.name}[1]`
      : ourList !== undefined && theirList === undefined
        ? `${score.name}[1]=${known.name}`
        : undefined;
  return new TandemError('BAD_COLUMN', message, {
    place: { column: known.name },
    remedy:
      position !== undefined
        ? `Name the position of the list, from 0: --map '${position}'.`
        : isText(known.type) || known.type === 'JSON'
          ? `Write ${known.name} as numbers with a point and nothing for null, or as Parquet; or compare with another column: --map ${score.name}=...`
          : `Write ${known.name} as ${score.type}, or compare with another column: --map ${score.name}=...`,
  });
}
