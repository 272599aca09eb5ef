/** Why a text file could not be read, with its line and column, in words that say what to do. */
import { outOfMemory, type DuckDbError } from '../engines/duckdb/database.ts';
import { TandemError } from '../errors.ts';
import { textSampleRows } from '../limits.ts';
import type { StageSource } from './messages.ts';

/** A key that no row of the sample had: worth reading all rows for their types. */
export function isUnknownKey(error: DuckDbError): boolean {
  return /has unknown key/.test(error.message);
}

/** @returns BAD_SHARD, BAD_ROW for a line, MEMORY */
export function explainText(error: DuckDbError, { name, format }: StageSource): TandemError {
  const memory = outOfMemory(error, { shard: name });
  if (memory !== undefined) return memory;
  const { message: words } = error;
  const where = placeIn(words);
  const place = { shard: name, ...where };
  const value = /converting column "(.*)"\. Could not convert string "(.*)" to '([^'\n]*)'/s.exec(words);
  if (value !== null) {
    const [, column, text, type] = value;
    return new TandemError('BAD_ROW', `Expected ${column} to be ${type}, as in the rows before, got \`${text}\`.`, {
      place: { ...place, column: column! },
      remedy:
        `Correct the line, or say in tandem.json what the column is ("csv": { "types": { "${column}": "VARCHAR" } }) ` +
        `or what stands for a null ("csv": { "nullText": "${text}" }).`,
      cause: error,
    });
  }
  const isLine = where !== undefined && !/not utf-8/i.test(words);
  return new TandemError(isLine ? 'BAD_ROW' : 'BAD_SHARD', `Expected ${expected[format]}, got: ${gist(words)}.`, {
    place,
    remedy: remedyFor(words, format),
    cause: error,
  });
}

/**
 * BAD_SHARD for a CSV file of which no delimiter makes a table.
 * @param cause DuckDB's words, with the first such line where it has found one
 */
export function unevenLines(delimiter: string, cause: DuckDbError): TandemError {
  const place = placeIn(cause.message);
  const shown = JSON.stringify(delimiter);
  const found = place === undefined ? 'another number of them, or an open quote, in some line' : gist(cause.message);
  return new TandemError('BAD_SHARD', `Expected lines of as many fields as the first one (${shown}), got: ${found}.`, {
    ...(place === undefined ? {} : { place }),
    remedy: `Correct the line, or say in tandem.json what stands between the fields: "csv": { "delimiter": ${shown} }.`,
    cause,
  });
}

/** DuckDB counts the rows of CSV with the header's; the one after a line of JSON that is malformed. */
function placeIn(words: string): { readonly line: number } | { readonly row: number } | undefined {
  const beyond = /^[^\n]*Malformed JSON/.test(words) ? 1 : 0;
  const line = /(?:CSV Error on Line: |in line )(\d+)/.exec(words)?.[1];
  if (line !== undefined) return { line: Number(line) - beyond };
  const row = /in record\/value (\d+)/.exec(words)?.[1];
  return row === undefined ? undefined : { row: Number(row) - 1 - beyond };
}

const expected: Readonly<Record<StageSource['format'], string>> = {
  csv: 'CSV in UTF-8',
  json: 'JSON, one object a line',
  arrow: 'Arrow IPC',
};

/** What is wrong, without DuckDB's advice about its own settings. */
function gist(words: string): string {
  const lines = words.split('\n').map((line) => line.trim());
  const said = lines.filter((line) => !/^CSV Error on Line|^Original Line|^$|^LINE \d/.test(line));
  const wanted = said.find((line) => /Expected Number of Columns|unterminated|unicode|Maximum line size/i.test(line));
  return (wanted ?? said[0] ?? words).replace(/^\w[\w ]* Error: /, '').replace(/\.$/, '');
}

function remedyFor(words: string, format: StageSource['format']): string {
  if (/not utf-8|unicode/i.test(words)) return 'Convert the file: iconv -f latin1 -t utf-8 old.csv > new.csv';
  if (/GZIP/i.test(words)) return 'Rename it without .gz, or compress it again.';
  if (/do not exist in the CSV/.test(words)) return 'Correct "csv": { "types": ... } in tandem.json.';
  if (format === 'json') return `Correct the line; types are those of the first ${textSampleRows} rows.`;
  return 'Correct the line, or say in tandem.json how the file is written: "csv": { "delimiter": ";", "quote": "\'" }.';
}
