/** Errors about a field of tandem.json: its path, what was expected there and what was found. */
import { closest } from 'fastest-levenshtein';
import type { z } from 'zod';
import { TandemError } from '../errors.ts';

/** Keys and positions from the root of tandem.json. */
export type FieldPath = readonly (string | number)[];

/** `inputs.x[2].clip`; a name that is no identifier comes in brackets and quotes. */
export function formatPath(path: FieldPath): string {
  return path
    .map((part, i) => {
      if (typeof part === 'number') return `[${part}]`;
      if (!/^[A-Za-z_$][\w$]*$/.test(part)) return `[${JSON.stringify(part)}]`;
      return i === 0 ? part : `.${part}`;
    })
    .join('');
}

/** The error "Expected X to be Y, got `v`." of a field, X being the last name of its path. */
export function badField(path: FieldPath, expected: string, got: unknown, remedy?: string): TandemError {
  const lastName = path.findLastIndex((part) => typeof part === 'string');
  const subject = path.length === 0 ? 'tandem.json' : formatPath(path.slice(Math.max(lastName, 0)));
  return new TandemError('BAD_CONTRACT', `Expected ${subject} to ${expected}, got ${shown(got)}.`, {
    place: { field: formatPath(path) },
    ...(remedy === undefined ? {} : { remedy }),
  });
}

/** A value as errors show it: JSON, at most 80 characters. */
function shown(value: unknown): string {
  if (value === undefined) return 'nothing';
  const json = typeof value === 'number' ? String(value) : JSON.stringify(value);
  return `\`${json.length <= 80 ? json : `${json.slice(0, 77)}...`}\``;
}

/** The first of zod's issues that matters as an error of ours. `root` is what was parsed. */
export function fromIssues(issues: readonly z.core.$ZodIssue[], root: unknown): TandemError {
  const { issue, path } = deepest(worst(issues), []);
  const value = valueAt(root, path);
  if (issue.code === 'unrecognized_keys') {
    const known = issue.message.split(' ');
    // Here a constant may stand as well as a feature.
    if (path.length === 2 && path[0] === 'inputs' && !known.includes('constant')) known.push('constant');
    return unknownKey(path, issue.keys[0]!, known, value);
  }
  return badField(path, `be ${issue.message}`, value);
}

function unknownKey(path: FieldPath, key: string, known: readonly string[], parent: unknown): TandemError {
  const lowered = known.map((each) => each.toLowerCase());
  const nearest = known[lowered.indexOf(closest(key.toLowerCase(), lowered))]!;
  const where = path.length === 0 ? 'tandem.json' : formatPath(path);
  const got = shown({ [key]: (parent as Record<string, unknown>)[key] });
  return new TandemError('BAD_CONTRACT', `Expected ${where} to have known keys only, got ${got}.`, {
    place: { field: formatPath([...path, key]) },
    remedy: `Did you mean \`${nearest}\`? Known here: ${known.join(', ')}.`,
  });
}

/** Unknown keys first: a misspelt key is also why a required one is missing. */
function worst(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  return issues.find((issue) => issue.code === 'unrecognized_keys') ?? issues[0]!;
}

/** Goes into the alternatives of a union as long as one of them accepts the JSON type of the value. */
function deepest(issue: z.core.$ZodIssue, base: FieldPath): { issue: z.core.$ZodIssue; path: FieldPath } {
  const path = [...base, ...(issue.path as (string | number)[])];
  if (issue.code !== 'invalid_union') return { issue, path };
  const fitting = issue.errors
    .filter((branch) => !branch.some((each) => each.path.length === 0 && isOfOtherType(each)))
    .sort((a, b) => unknownKeyCount(a) - unknownKeyCount(b) || a.length - b.length);
  return fitting[0] === undefined ? { issue, path } : deepest(worst(fitting[0]), path);
}

function isOfOtherType(issue: z.core.$ZodIssue): boolean {
  if (issue.code === 'invalid_union') return issue.errors.every((branch) => branch.some(isOfOtherType));
  return issue.path.length === 0 && (issue.code === 'invalid_type' || issue.code === 'invalid_value');
}

function unknownKeyCount(branch: readonly z.core.$ZodIssue[]): number {
  return branch.reduce((sum, issue) => sum + (issue.code === 'unrecognized_keys' ? issue.keys.length : 0), 0);
}

function valueAt(root: unknown, path: FieldPath): unknown {
  return path.reduce<unknown>((value, part) => (value as Record<string | number, unknown>)[part], root);
}
