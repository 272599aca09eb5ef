/** Puts what was fitted into tandem.json, and leaves all else in it as it is. */
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { setJsonValue } from '../contract/json-edit.ts';
import { parseContract } from '../contract/load.ts';
import { ruleToKeep } from '../contract/parameters.ts';
import { TandemError } from '../errors.ts';
import type { Found } from './feature-fit.ts';

/** What the parameters were found from. */
export interface FittedTo {
  readonly rows: number;
  readonly shards: number;
  readonly where?: string | undefined;
}

/**
 * The text of tandem.json with the found parameters, the rules by which they were found, and what from.
 * @throws BAD_CONTRACT where a value does not fit the rest of the contract
 */
export function withParameters(text: string, path: string, found: readonly Found[], from: FittedTo): string {
  let edited = text;
  const rules = new Map<
    string,
    { readonly path: readonly (string | number)[]; readonly kept: Record<string, unknown> }
  >();
  for (const { parameter, value } of found) {
    const { holderPath, rule } = parameter;
    edited = setJsonValue(edited, [...holderPath, rule.key], value);
    const id = JSON.stringify(holderPath);
    const holder = rules.get(id) ?? { path: [...holderPath, 'fit'], kept: { ...rulesAt(text, holderPath) } };
    holder.kept[rule.key] = ruleToKeep(rule);
    rules.set(id, holder);
  }
  for (const holder of rules.values()) edited = setJsonValue(edited, holder.path, holder.kept);
  edited = setJsonValue(edited, ['fitted'], from);
  // Whoever is to score with it would otherwise be the first to find out.
  parseContract(edited, path);
  return edited;
}

/** Rules that an earlier fit has left there. */
function rulesAt(text: string, path: readonly (string | number)[]): Record<string, unknown> {
  const root: unknown = JSON.parse(text.replace(/^\uFEFF/, ''));
  const holder = path.reduce((value, key) => (value as Record<string | number, unknown>)[key], root);
  return (holder as { fit?: Record<string, unknown> }).fit ?? {};
}

/**
 * In the place of the text that was read, all of it or nothing; a link stays one, and the file's rights stay.
 * @throws TRANSIENT where somebody else has written it meanwhile, BAD_OUTPUT where it cannot be written
 */
export function replaceContract(path: string, before: string, after: string): void {
  const place = realpathSync(path);
  if (readFileSync(place, 'utf8') !== before) {
    throw new TandemError('TRANSIENT', `Expected ${path} to be as it was when the fit began, got another text.`, {
      remedy: 'Run the same command again.',
    });
  }
  const temporary = `${place}.tmp-${randomBytes(6).toString('hex')}`;
  try {
    const file = openSync(temporary, 'wx');
    try {
      fchmodSync(file, statSync(place).mode);
      // Not `writeSync`: on a disk without room it writes less than all, and does not say so.
      writeFileSync(file, after);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(temporary, place);
  } catch (cause) {
    throw new TandemError('BAD_OUTPUT', `Expected ${path} to be writable, got: ${(cause as Error).message}`, {
      remedy:
        'Give this user the right to write into the model folder, or take a copy of it; --dry-run shows the values.',
      cause,
    });
  } finally {
    rmSync(temporary, { force: true });
  }
}
