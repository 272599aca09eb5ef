/** CSV and JSON as DuckDB reads them: what stands after FROM, and how a CSV file is written. */
import type { CsvContract } from '../contract/contract.ts';
import {
  DuckDbError,
  quoteIdentifier,
  quotePath,
  quoteText,
  type Connection,
  type Value,
} from '../engines/duckdb/database.ts';
import { textSampleRows } from '../limits.ts';
import type { CsvForm, StageForm, StageSource } from './messages.ts';
import { unevenLines } from './text-failure.ts';

/** The table expression for one file. */
export function textRelation({ path, format }: StageSource, form: StageForm): string {
  if (format === 'json') {
    // Only `.json` may hold one array of rows: in the others each line is a row, and a bad one is named by its line.
    const layout = /\.json(?:\.gz)?$/i.test(path) ? 'auto' : 'newline_delimited';
    const sample = form.sampleAll === true ? -1 : textSampleRows;
    return `read_json(${quotePath(path)}, format='${layout}', sample_size=${sample}, hive_partitioning=false)`;
  }
  return `read_csv(${quotePath(path)}, ${csvSettings(form.csv!)})`;
}

/** Everything is said, so that nothing is guessed again, and differently, while the file is read. */
function csvSettings(form: CsvForm): string {
  const { delimiter, header, quote, escape, skip, dateFormat, timestampFormat, columns } = form;
  return [
    'auto_detect=false',
    `delim=${quoteText(delimiter)}`,
    `header=${header}`,
    `quote=${quoteText(quote)}`,
    `escape=${quoteText(escape)}`,
    `skip=${skip}`,
    ...nullSettings(form),
    ...(dateFormat === undefined ? [] : [`dateformat=${quoteText(dateFormat)}`]),
    ...(timestampFormat === undefined ? [] : [`timestampformat=${quoteText(timestampFormat)}`]),
    `columns=${struct(columns)}`,
    'hive_partitioning=false',
  ].join(', ');
}

function nullSettings({ nullText, quotedNull }: Pick<CsvForm, 'nullText' | 'quotedNull'>): string[] {
  return [`nullstr=[${nullText.map(quoteText).join(', ')}]`, `allow_quoted_nulls=${quotedNull}`];
}

function struct(entries: readonly (readonly [string, string])[]): string {
  return `{${entries.map(([key, value]) => `${quoteText(key)}: ${quoteText(value)}`).join(', ')}}`;
}

/**
 * Delimiter, types and forms of dates, from the first {@link textSampleRows} rows.
 * @throws DuckDbError, BAD_SHARD where lines have different numbers of fields
 */
export function lookAtCsv(connection: Connection, path: string, contract: CsvContract): CsvForm {
  return withLongIntegers(connection, path, split(connection, path, contract), contract);
}

/** Whole numbers that BIGINT does not hold, ids as a rule, would be DOUBLE to DuckDB, and lose their last digits. */
function withLongIntegers(connection: Connection, path: string, form: CsvForm, { types = {} }: CsvContract): CsvForm {
  const head = (columns: CsvForm['columns']): string =>
    `(FROM read_csv(${quotePath(path)}, ${csvSettings({ ...form, columns })}) LIMIT ${textSampleRows})`;
  const askEach = (names: readonly string[], sql: (name: string) => string, from: string): readonly Value[] =>
    names.length === 0
      ? []
      : connection.rows(`SELECT ${names.map((name) => sql(quoteIdentifier(name))).join(', ')} FROM ${from}`)[0]!;
  const doubles = form.columns.flatMap(([name, type]) =>
    type === 'DOUBLE' && types[name] === undefined ? [name] : [],
  );
  const most = askEach(doubles, (name) => `max(abs(${name}))`, head(form.columns));
  // Few columns have any such value: texts are looked at where one has.
  const large = doubles.filter((_, index) => Number(most[index]) >= 2 ** 63);
  const asTexts = head(form.columns.map(([name]) => [name, 'VARCHAR'] as const));
  const areWhole = askEach(
    large,
    (name) => `bool_and(regexp_full_match(${name}, '\\s*[+-]?\\d+\\s*'))::INTEGER`,
    asTexts,
  );
  const texts = new Set(large.filter((_, index) => areWhole[index] === 1));
  return {
    ...form,
    columns: form.columns.map(([name, type]) => [name, texts.has(name) ? 'VARCHAR' : type] as const),
  };
}

/** @throws as {@link lookAtCsv} does */
function split(connection: Connection, path: string, contract: CsvContract): CsvForm {
  const form = sniff(connection, path, contract);
  const [[name] = [''], ...others] = form.columns;
  const delimiter = [',', ';', '|', '\t'].find((each) => name.includes(each));
  const isSaid = contract.delimiter !== undefined || /\.tsv(?:\.gz)?$/i.test(path);
  if (isSaid || others.length > 0 || delimiter === undefined) return form;
  // One uneven line makes DuckDB take another delimiter, by which each line is one field.
  try {
    return sniff(connection, path, { ...contract, delimiter });
  } catch (error) {
    if (!(error instanceof DuckDbError)) throw error;
    throw unevenLines(delimiter, unevenLine(connection, path, { ...form, delimiter }, name) ?? error);
  }
}

/** DuckDB's words about the first line that has not as many fields as the names. */
function unevenLine(connection: Connection, path: string, form: CsvForm, names: string): DuckDbError | undefined {
  const columns = names.split(form.delimiter).map((_, index) => [`field${index}`, 'VARCHAR'] as const);
  const from = `read_csv(${quotePath(path)}, ${csvSettings({ ...form, columns })})`;
  try {
    connection.rows(`SELECT count(*) FROM (FROM ${from} LIMIT ${textSampleRows})`);
    return undefined;
  } catch (error) {
    if (error instanceof DuckDbError) return error;
    throw error;
  }
}

/** @throws DuckDbError */
function sniff(connection: Connection, path: string, contract: CsvContract): CsvForm {
  const { header = true, quote = '"', quotedNull = true, types } = contract;
  const delimiter = contract.delimiter ?? (/\.tsv(?:\.gz)?$/i.test(path) ? '\t' : undefined);
  const nullText = ['', ...[contract.nullText ?? []].flat()];
  const settings = [
    `header=${header}`,
    // Where the first rows hold no quotes DuckDB would take later ones for parts of the values.
    `quote=${quoteText(quote)}`,
    `escape=${quoteText(quote)}`,
    ...nullSettings({ nullText, quotedNull }),
    // DuckDB would leave out first lines that look unlike those after them.
    'skip=0',
    `sample_size=${textSampleRows}`,
    ...(delimiter === undefined ? [] : [`delim=${quoteText(delimiter)}`]),
    ...(types === undefined ? [] : [`types=${struct(Object.entries(types))}`]),
  ];
  const call = `sniff_csv(${quotePath(path)}, ${settings.join(', ')})`;
  const [row = []] = connection.rows(
    `SELECT Delimiter, SkipRows, DateFormat, TimestampFormat, to_json(Columns)::VARCHAR FROM ${call}`,
  );
  const [found, skip, dateFormat, timestampFormat, columns] = row;
  const listed = JSON.parse(String(columns)) as { readonly name: string; readonly type: string }[];
  return {
    delimiter: String(found),
    header,
    quote,
    escape: quote,
    skip: Number(skip),
    nullText,
    quotedNull,
    dateFormat: textOf(dateFormat),
    timestampFormat: textOf(timestampFormat),
    columns: listed.map(({ name, type }) => [name, type] as const),
  };
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/**
 * One type for each column of all CSV files: where the first rows of one say BIGINT and of another DOUBLE, both are DOUBLE,
 * so that the outputs have the same columns too. A column without values has no say.
 */
export function uniteTypes(
  forms: readonly { readonly csv: CsvForm; readonly emptyColumns: readonly string[] }[],
): CsvForm[] {
  const types = new Map<string, string>();
  for (const { csv, emptyColumns } of forms) {
    for (const [name, type] of csv.columns) {
      const known = types.get(name);
      if (!emptyColumns.includes(name)) types.set(name, known === undefined ? type : commonType(known, type));
    }
  }
  return forms.map(({ csv }) => ({
    ...csv,
    columns: csv.columns.map(([name, type]) => [name, types.get(name) ?? type] as const),
  }));
}

function commonType(one: string, other: string): string {
  if (one === other) return one;
  const both = [one, other];
  if (both.every((type) => type === 'BIGINT' || type === 'DOUBLE')) return 'DOUBLE';
  if (both.every((type) => type === 'DATE' || type === 'TIMESTAMP')) return 'TIMESTAMP';
  return 'VARCHAR';
}
