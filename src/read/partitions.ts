/** Hive partitions: the keys of `dt=2026-05-01/country=DE/part-0.parquet` as columns of the shard. */
import { quoteText } from '../engines/duckdb/database.ts';
import type { PartitionColumn } from '../relation.ts';

/** What Hive and Spark call a folder whose key is null. */
const nullValue = '__HIVE_DEFAULT_PARTITION__';

type Type = PartitionColumn['type'];

/**
 * The keys of each path as columns. A key has one type over all paths, as texts decide: BIGINT, DATE, TIMESTAMP, or else
 * VARCHAR. Of a key that a path names twice, in capitals or not, the last value counts.
 * @param paths absolute, of files
 */
export function partitionColumns(paths: readonly string[]): PartitionColumn[][] {
  const keys = paths.map(keysOf);
  const texts = new Map<string, Set<string>>();
  for (const path of keys)
    for (const [key, { text }] of path) if (text !== null) (texts.get(key) ?? setAt(texts, key)).add(text);
  const types = new Map([...texts].map(([key, values]) => [key, typeOf([...values])]));
  return keys.map((path) =>
    [...path].map(([key, { name, text }]) => {
      const type = types.get(key) ?? 'VARCHAR';
      return { name, type, sql: text === null ? `NULL::${type}` : `${quoteText(text)}::${type}` };
    }),
  );
}

function setAt(sets: Map<string, Set<string>>, key: string): Set<string> {
  const set = new Set<string>();
  sets.set(key, set);
  return set;
}

/** A key as its path spells it; its text is null for a key that is. */
interface Key {
  readonly name: string;
  readonly text: string | null;
}

/** By their names in lower case, as columns are told apart. */
function keysOf(path: string): Map<string, Key> {
  const keys = new Map<string, Key>();
  for (const folder of path.split(/[/\\]/).slice(0, -1)) {
    const at = folder.indexOf('=');
    if (at < 1) continue;
    const name = decode(folder.slice(0, at));
    const value = folder.slice(at + 1);
    keys.set(name.toLowerCase(), { name, text: value === nullValue ? null : decode(value) });
  }
  return keys;
}

/** Writers escape what a path cannot hold; a text that is no escape is meant as it stands. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function typeOf(texts: readonly string[]): Type {
  if (texts.every((text) => /^[+-]?\d{1,18}$/.test(text))) return 'BIGINT';
  if (texts.every((text) => isDate(text))) return 'DATE';
  const isTimestamp = (text: string): boolean =>
    isDate(text.slice(0, 10)) && /^([ T]([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?)?$/.test(text.slice(10));
  return texts.every(isTimestamp) ? 'TIMESTAMP' : 'VARCHAR';
}

/** A day of the calendar: `2026-02-30` is a text. */
function isDate(text: string): boolean {
  if (!/^\d{4}-\d\d-\d\d$/.test(text)) return false;
  const date = new Date(`${text}T00:00:00Z`);
  return !Number.isNaN(date.getTime()) && date.toISOString().startsWith(text);
}
