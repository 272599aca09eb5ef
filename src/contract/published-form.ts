/**
 * Whether a value has the form that tandem.schema.json publishes, which zod wrote from `schema.ts`. Reading that file takes
 * a millisecond, loading zod fifty. It says yes or no; the words for a no are zod's.
 */
import { readFileSync } from 'node:fs';
import type { ContractFile } from './schema.ts';
import { placeOf } from '../place.ts';

/** JSON Schema, draft 7, as far as zod writes it. */
type Schema = boolean | Readonly<Record<string, unknown>>;
type Members = Readonly<Record<string, unknown>>;

/** Whether a value keeps a keyword's rule; `schema` is what the keyword stands in. */
type Keyword = (rule: never, value: unknown, schema: Members, root: Members) => boolean;

/** Of tandem.json. False: zod has to say what is wrong, or whether anything is. */
export function hasPublishedForm(contract: unknown): contract is ContractFile {
  let text: string;
  try {
    text = readFileSync(placeOf('../../models/tandem.schema.json'), 'utf8');
  } catch {
    return false;
  }
  const root = JSON.parse(text) as Members;
  return accepts(root, contract, root);
}

/** @param root the schema whose definitions `schema` may refer to; a keyword that is not known here accepts nothing */
export function accepts(schema: Schema, value: unknown, root: Members): boolean {
  if (typeof schema === 'boolean') return schema;
  return Object.entries(schema).every(([name, rule]) => {
    if (annotations.has(name)) return true;
    return keywords.get(name)?.(rule as never, value, schema, root) ?? false;
  });
}

const annotations = new Set(['$schema', 'title', 'description', 'definitions']);

const keywords: ReadonlyMap<string, Keyword> = new Map<string, Keyword>([
  ['type', (types: string | readonly string[], value) => [types].flat().some((type) => isOfType(type, value))],
  ['const', (only: unknown, value) => value === only],
  ['enum', (all: readonly unknown[], value) => all.includes(value)],
  ['$ref', (path: string, value, _, root) => accepts(definition(path, root), value, root)],
  ['anyOf', (all: readonly Schema[], value, _, root) => all.some((each) => accepts(each, value, root))],
  ['oneOf', (all: readonly Schema[], value, _, root) => all.filter((each) => accepts(each, value, root)).length === 1],
  ['minimum', (least: number, value) => typeof value !== 'number' || value >= least],
  ['exclusiveMinimum', (bound: number, value) => typeof value !== 'number' || value > bound],
  ['maximum', (most: number, value) => typeof value !== 'number' || value <= most],
  ['minLength', (least: number, value) => typeof value !== 'string' || value.length >= least],
  ['minItems', (least: number, value) => !Array.isArray(value) || value.length >= least],
  ['maxItems', (most: number, value) => !Array.isArray(value) || value.length <= most],
  ['minProperties', (least: number, value) => membersOf(value).length >= least],
  ['maxProperties', (most: number, value) => membersOf(value).length <= most],
  [
    'required',
    (names: readonly string[], value) => !isObject(value) || names.every((name) => Object.hasOwn(value, name)),
  ],
  ['items', (items: Schema | readonly Schema[], value, _, root) => hasItems(items, value, root)],
  ['additionalItems', (rest: Schema, value, { items }, root) => hasItems(rest, listed(items, value), root)],
  [
    'properties',
    (known: Readonly<Record<string, Schema>>, value, _, root) =>
      membersOf(value).every(([name, member]) => !Object.hasOwn(known, name) || accepts(known[name]!, member, root)),
  ],
  [
    'additionalProperties',
    (rest: Schema, value, { properties = {} }, root) =>
      membersOf(value).every(
        ([name, member]) => Object.hasOwn(properties as object, name) || accepts(rest, member, root),
      ),
  ],
  ['propertyNames', (names: Schema, value, _, root) => membersOf(value).every(([name]) => accepts(names, name, root))],
]);

function isOfType(type: string, value: unknown): boolean {
  switch (type) {
    case 'object':
      return isObject(value);
    case 'array':
      return Array.isArray(value);
    case 'number':
      // `1e999` in JSON becomes infinite.
      return Number.isFinite(value);
    case 'integer':
      return Number.isSafeInteger(value);
    default:
      return typeof value === type;
  }
}

function isObject(value: unknown): value is Members {
  // A member of this name is one to JSON, and something else to those who copy objects.
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Object.hasOwn(value, '__proto__');
}

function membersOf(value: unknown): [string, unknown][] {
  return isObject(value) ? Object.entries(value) : [];
}

/** A list of schemas is one for each position. */
function hasItems(items: Schema | readonly Schema[], value: unknown, root: Members): boolean {
  if (!Array.isArray(value)) return true;
  const schemaOf = (position: number): Schema => (Array.isArray(items) ? (items[position] ?? true) : items) as Schema;
  return value.every((item, position) => accepts(schemaOf(position), item, root));
}

/** Items beyond those that have a schema for their position. */
function listed(items: unknown, value: unknown): readonly unknown[] {
  return Array.isArray(items) && Array.isArray(value) ? value.slice(items.length) : [];
}

function definition(path: string, root: Members): Schema {
  const name = path.replace('#/definitions/', '');
  return (root['definitions'] as Readonly<Record<string, Schema>> | undefined)?.[name] ?? false;
}
