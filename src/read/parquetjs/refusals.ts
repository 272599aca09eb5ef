/** What the pure-JavaScript reader refuses, in words that name the way out. */
import type { ColumnRequest } from '../../batch.ts';
import { sourceName } from '../../contract/contract.ts';
import { whyUnreadable, type ParquetFile } from '../../engines/parquetjs/file.ts';
import { ParquetJsError } from '../../engines/parquetjs/library.ts';
import type { ParquetColumn } from '../../engines/parquetjs/schema.ts';
import { TandemError } from '../../errors.ts';
import { projectColumn } from '../projection.ts';

const useNative = 'Leave out --reader parquetjs: the native reader (DuckDB) reads it.';

/** Types whose texts are the same in DuckDB and in JavaScript. */
const textTypes = /^(VARCHAR|JSON|BOOLEAN|U?(TINY|SMALL|BIG)INT|U?INTEGER)$/;

/** The column that a request reads. @throws BAD_CONTRACT for SQL, BAD_COLUMN for what cannot be read */
export function requestedColumn(file: ParquetFile, request: ColumnRequest): ParquetColumn {
  const { source } = request.feature;
  if ('sql' in source) throw refuseSql(source);
  const column = readableColumn(file, source.column);
  // Throws where the type does not fit; the native reader's words serve both.
  projectColumn(request, column.type, '');
  if ((request.as === 'text' || request.as === 'category') && !textTypes.test(column.type)) {
    throw refuseColumn(column.name, `the text of type ${column.type}`);
  }
  return column;
}

export function refuseSql(source: { readonly sql: string }): TandemError {
  const message = `Expected features of columns where parquetjs-lite reads, got ${sourceName(source)}.`;
  return new TandemError('BAD_CONTRACT', message, {
    remedy: 'Leave out --reader parquetjs: the native reader (DuckDB) computes SQL.',
  });
}

/** A column by name, or else by name regardless of case. @throws BAD_COLUMN */
export function readableColumn(file: ParquetFile, name: string): ParquetColumn {
  const column =
    file.columns.find((candidate) => candidate.name === name) ??
    file.columns.find((candidate) => candidate.name.toLowerCase() === name.toLowerCase());
  if (column === undefined) {
    throw new TandemError('BAD_COLUMN', `Expected column ${name} in the shard, got none of that name.`, {
      place: { column: name },
      remedy: `The shard has: ${file.columns.map((other) => other.name).join(', ')}.`,
    });
  }
  const reason = whyUnreadable(file, column);
  if (reason !== undefined) throw refuseColumn(column.name, reason);
  return column;
}

/** Types that would come out changed: the writer knows their older annotations only. */
const notKept = /TIME ZONE/;

/** @throws BAD_COLUMN */
export function keptColumn(file: ParquetFile, name: string): ParquetColumn {
  const column = readableColumn(file, name);
  if (!notKept.test(column.type)) return column;
  const message = `Expected kept column ${name} to be of a type that parquetjs-lite writes, got ${column.type}.`;
  throw new TandemError('BAD_COLUMN', message, {
    place: { column: name },
    remedy: `Leave ${name} out with --keep, or leave out --reader parquetjs: the native reader (DuckDB) keeps it.`,
  });
}

function refuseColumn(column: string, got: string): TandemError {
  return new TandemError('BAD_COLUMN', `Expected column ${column} in a form that parquetjs-lite reads, got ${got}.`, {
    place: { column },
    remedy: useNative,
  });
}

/** What the library says of a file; undefined for what it did not say. */
export function explainParquetJs(error: unknown, shard: string): TandemError | undefined {
  if (!(error instanceof ParquetJsError)) return undefined;
  return new TandemError('BAD_SHARD', `Expected the shard to be readable with parquetjs-lite, got: ${error.message}.`, {
    place: { shard },
    cause: error,
    remedy: 'Leave out --reader parquetjs: the native reader (DuckDB) reads it if it is whole.',
  });
}
