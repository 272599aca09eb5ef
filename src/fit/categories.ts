/** From how often each value was seen to a list of categories. Pure. */
import type { CategoryRule } from '../contract/parameters.ts';
import { TandemError } from '../errors.ts';
import { fitCategoriesMax, fitListMax } from '../limits.ts';

export type Category = string | number;

/** What a feature that is to get a list says of itself. */
export interface CategoryFeature {
  readonly kind: 'index' | 'oneHot';
  /** As errors name it. */
  readonly source: string;
  readonly unknown: 'error' | 'zeros' | 'last' | 'own';
  /** What a null counts as; undefined: nothing. */
  readonly missing: Category | undefined;
}

export interface CategoryList {
  readonly categories: readonly Category[];
  readonly notes: readonly string[];
}

/** A category that fewer rows have is called rare. */
const rareRows = 10;

/**
 * @param counts rows of each value; those of null are `nulls`
 * @throws BAD_CONTRACT where values are left out and nobody says what they become, or where `missing` is not of their type;
 *   BAD_COLUMN where there are none or too many
 */
export function listCategories(
  feature: CategoryFeature,
  rule: CategoryRule,
  seen: ReadonlyMap<Category, number>,
  nulls: number,
): CategoryList {
  const counts = new Map(seen);
  const { missing } = feature;
  const [value] = seen.keys();
  if (missing !== undefined && value !== undefined && typeof missing !== typeof value) throw otherType(feature, value);
  if (missing !== undefined && nulls > 0) counts.set(missing, (counts.get(missing) ?? 0) + nulls);
  if (counts.size === 0) throw noValues(feature);
  const byFrequency = [...counts].sort(([a, m], [b, n]) => n - m || compare(a, b));
  const frequent = byFrequency.filter(([, count]) => count >= (rule.minCount ?? 1));
  if (frequent.length === 0) throw noneFrequent(feature, rule.minCount ?? 1);
  const listed = frequent.slice(0, rule.max ?? fitListMax);
  const left = byFrequency.slice(listed.length);
  if (rule.max === undefined && frequent.length > fitListMax) throw tooMany(feature, `${frequent.length}`);
  if (left.length > 0 && feature.unknown === 'error') throw leftOut(feature, left.length, rule);
  if (rule.order === 'alphabet') listed.sort(([a], [b]) => compare(a, b));
  return { categories: listed.map(([category]) => category), notes: notesOf(feature, listed, left, nulls) };
}

/** Numbers by value, texts by UTF-16 units, as Java (Spark) and JavaScript compare them. */
function compare(a: Category, b: Category): number {
  return a < b ? -1 : 1;
}

function notesOf(
  { unknown, missing }: CategoryFeature,
  listed: readonly (readonly [Category, number])[],
  left: readonly (readonly [Category, number])[],
  nulls: number,
): string[] {
  const notes: string[] = [];
  const rows = left.reduce((sum, [, count]) => sum + count, 0);
  if (left.length > 0) notes.push(`${left.length} categories of ${rows} rows are left out and become "${unknown}"`);
  const rare = listed.filter(([, count]) => count < rareRows).length;
  if (rare > 0) notes.push(`${rare} of them in fewer than ${rareRows} rows: others like them may come unseen`);
  if (unknown === 'error' && rare > 0) notes.push('a value that is not listed stops a run: "unknown" is not set');
  if (listed.length === 1) notes.push('constant: one category');
  if (nulls > 0 && missing === undefined) notes.push(`${nulls} nulls stop a run: "missing" is not set`);
  return notes;
}

function noValues({ source, kind }: CategoryFeature): TandemError {
  return new TandemError('BAD_COLUMN', `Expected ${source} to have values for ${kind}, got none but nulls.`, {
    remedy: 'Leave the feature out, or fit on other shards.',
  });
}

function noneFrequent({ source }: CategoryFeature, minCount: number): TandemError {
  return new TandemError(
    'BAD_COLUMN',
    `Expected ${source} to have a value that ${minCount} rows have (minCount), got none.`,
    { remedy: 'Lower minCount, or use "hash".' },
  );
}

/** @param found how many, in words */
export function tooMany({ source, kind }: Pick<CategoryFeature, 'source' | 'kind'>, found: string): TandemError {
  const remedy = `Cut the list: "${kind}": { "fit": { "max": 1000 } } with "unknown"; or use { "hash": n }.`;
  const expected = `at most ${fitListMax} different values for a list without \`max\``;
  return new TandemError('BAD_COLUMN', `Expected ${source} to have ${expected}, got ${found}.`, { remedy });
}

function otherType({ source, missing }: CategoryFeature, value: Category): TandemError {
  const [wanted, other] = typeof value === 'number' ? ['number', 'text'] : ['text', 'number'];
  const message = `Expected missing of ${source} to be a ${wanted}, as its values are, got the ${other} ${JSON.stringify(missing)}.`;
  const inTexts = 'or make texts of the values: { "sql": "CAST(... AS VARCHAR)" }';
  const remedy = wanted === 'number' ? `Write a number, ${inTexts}.` : `Write it in quotes: "missing": "${missing}".`;
  return new TandemError('BAD_CONTRACT', message, { remedy });
}

/** Whole numbers that float64 cannot tell from their neighbours would become one category. */
export function inexact(source: string, value: number): TandemError {
  return new TandemError('BAD_COLUMN', `Expected ${source} to have whole numbers below 2^53 in size, got ${value}.`, {
    remedy:
      'Make texts of them, which are told apart at any length: { "sql": "CAST(... AS VARCHAR)" }; or use { "hash": n }.',
  });
}

/** Before a list is made at all. */
export function uncountable(source: string): TandemError {
  return new TandemError(
    'BAD_COLUMN',
    `Expected ${source} to have at most ${fitCategoriesMax} different values, got more.`,
    { remedy: 'Use { "hash": n }, which needs no list, or make fewer values of it with "sql".' },
  );
}

function leftOut({ source, kind }: CategoryFeature, count: number, { max, minCount }: CategoryRule): TandemError {
  const limits = [max === undefined ? [] : [`max ${max}`], minCount === undefined ? [] : [`minCount ${minCount}`]];
  const choices = kind === 'index' ? '"own" or "last"' : '"own", "zeros" or "last"';
  return new TandemError(
    'BAD_CONTRACT',
    `Expected unknown of ${source} to say what the ${count} categories beyond ${limits.flat().join(' and ')} become, ` +
      'got nothing.',
    { remedy: `Set "unknown" beside "${kind}" to ${choices}; or raise the limit.` },
  );
}
