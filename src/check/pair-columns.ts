/** Which known column stands against which score column, and as what the two are compared. */
import { quoteIdentifier } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { isNumeric, isText, listType, type ColumnType } from '../read/projection.ts';
import type { KnownColumn } from './report.ts';

export interface ColumnPair extends Pick<KnownColumn, 'name' | 'known' | 'kind'> {
  /** Both as DOUBLE, DOUBLE[] or VARCHAR, of a table `s` and a table `k`. */
  readonly scoreSql: string;
  readonly knownSql: string;
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
): ColumnPair[] {
  const scores = ours.filter(({ name }) => !key.some((each) => each.toLowerCase() === name.toLowerCase()));
  const names = (columns: readonly ColumnType[]): string => columns.map(({ name }) => name).join(', ');
  for (const name of Object.keys(map)) {
    if (findNamed(scores, name) !== undefined) continue;
    throw new TandemError('USAGE', `Expected --map to name score columns, got \`${name}\`.`, {
      remedy: `The scores are: ${names(scores)}. Write score=known.`,
    });
  }
  const wanted = new Map(Object.entries(map).map(([name, known]) => [findNamed(scores, name)!.name, known]));
  const pairs = scores.flatMap((score) => {
    const known = wanted.get(score.name);
    const found = findKnown(theirs, known ?? score.name);
    if (found !== undefined) return [pair(score, found)];
    if (known === undefined) return [];
    throw new TandemError('BAD_COLUMN', `Expected column ${known} in the known scores, got none of that name.`, {
      place: { column: known },
      remedy: `They have: ${names(theirs)}.`,
    });
  });
  if (pairs.length > 0) return pairs;
  throw new TandemError('BAD_COLUMN', `Expected known scores under the names of the scores, got ${names(theirs)}.`, {
    remedy: `Say which is which: --map ${scores[0]!.name}=${theirs.at(-1)!.name}. The scores are: ${names(scores)}.`,
  });
}

interface KnownValue {
  readonly name: string;
  readonly sql: string;
  readonly type: string;
}

/** `probability`, or `probability[1]`: a position of a list. */
function findKnown(theirs: readonly ColumnType[], name: string): KnownValue | undefined {
  const whole = findNamed(theirs, name);
  if (whole !== undefined) return { ...denseOf(whole), name: whole.name };
  const [, base, position] = /^(.*)\[(\d+)\]$/s.exec(name) ?? [];
  const column = base === undefined ? undefined : findNamed(theirs, base);
  if (column === undefined) return undefined;
  const { sql, type } = denseOf(column);
  const element = listType(type)?.element;
  if (element === undefined) return undefined;
  return { name, sql: `list_extract(${sql}, ${Number(position) + 1})`, type: element };
}

/** Spark writes its vectors as structs: dense ones hold values, sparse ones values and where they stand. */
function denseOf({ name, type }: ColumnType): Omit<KnownValue, 'name'> {
  const column = `k.${quoteIdentifier(name)}`;
  if (!/^STRUCT\("?type"? TINYINT, "?size"? INTEGER, "?indices"? INTEGER\[\], "?values"? DOUBLE\[\]\)$/.test(type)) {
    return { sql: column, type };
  }
  const at = `nullif(list_position(${column}."indices", i::INTEGER), 0)`;
  const sparse = `list_transform(range(${column}."size"), lambda i: coalesce(list_extract(${column}."values", ${at}), 0))`;
  const sql = `(CASE WHEN ${column} IS NULL THEN NULL WHEN ${column}."type" = 1 THEN ${column}."values" ELSE ${sparse} END)`;
  return { sql, type: 'DOUBLE[]' };
}

function pair(score: ColumnType, known: KnownValue): ColumnPair {
  const names = { name: score.name, known: known.name };
  const scoreSql = `s.${quoteIdentifier(score.name)}`;
  const as = (kind: ColumnPair['kind'], type: string, through = type): ColumnPair => ({
    ...names,
    kind,
    scoreSql: `CAST(CAST(${scoreSql} AS ${through}) AS ${type})`,
    knownSql: `CAST(CAST(${known.sql} AS ${through}) AS ${type})`,
  });
  const [ourList, theirList] = [listType(score.type), listType(known.type)];
  if (ourList !== undefined && theirList !== undefined) {
    if (isNumeric(ourList.element) && isNumeric(theirList.element)) return as('list', 'DOUBLE[]');
  } else if (isText(score.type) && isText(known.type)) return as('label', 'VARCHAR');
  else if (isNumeric(score.type) && isNumeric(known.type)) {
    if (!isInteger(score.type)) return as('number', 'DOUBLE');
    return as('label', 'VARCHAR', isInteger(known.type) ? 'HUGEINT' : 'DOUBLE');
  }
  const message = `Expected known ${known.name} to be comparable with scores of type ${score.type}, got ${known.type}.`;
  throw new TandemError('BAD_COLUMN', message, {
    place: { column: known.name },
    remedy:
      theirList !== undefined && ourList === undefined
        ? `Name the position of the list: --map '${score.name}=${known.name}[1]'.`
        : `Write ${known.name} as ${score.type}, or compare with another column: --map ${score.name}=...`,
  });
}

function isInteger(type: string): boolean {
  return isNumeric(type) && !/^(FLOAT|DOUBLE|DECIMAL)/.test(type);
}
