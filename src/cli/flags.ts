/**
 * Flags as data, and what a command line says about them. Checks are ours, not yargs': an unknown flag must be named
 * before the required one that is missing because of it.
 */
import { closest, distance } from 'fastest-levenshtein';
import { TandemError } from '../errors.ts';
import { formatCount } from './format.ts';

export interface Flag {
  /** Without the dashes. */
  readonly name: string;
  readonly describe: string;
  /** What the value is, for example `folder`; undefined: a switch. */
  readonly value?: string;
  readonly required?: 'always' | 'unless --dry-run';
  /** The only values. */
  readonly choices?: readonly string[];
  /** May be given more than once. */
  readonly repeatable?: boolean;
  /** What holds without the flag, in words. */
  readonly otherwise?: string;
}

/** One command: what `--help` says, and what it takes. */
export interface CommandSpec {
  readonly name: string;
  readonly describe: string;
  /** What else its `--help` says. */
  readonly notes?: string;
  /** Name of the arguments, one or more; undefined: none are taken. */
  readonly positional?: string;
  /** None will do, too. */
  readonly positionalOptional?: boolean;
  /** One of these words must follow the name instead. */
  readonly topics?: readonly string[];
  readonly flags: readonly Flag[];
  /** A command line and what it is good for. */
  readonly examples: readonly (readonly [string, string])[];
  /** How to use what comes out; at most 80 columns. */
  readonly guide?: string;
}

/** A command line that names known flags only, each with a value if it takes one. */
export interface Arguments {
  /** The words as they were typed, from `tandem` on. */
  readonly commandLine: readonly string[];
  readonly positionals: readonly string[];
  /** The value of a flag; undefined: not given. */
  text(name: string): string | undefined;
  /** All values of a repeatable flag; empty: not given. */
  texts(name: string): readonly string[];
  isOn(name: string): boolean;
  /** A whole number from 1 to `max`. @throws USAGE */
  count(name: string, max: number): number | undefined;
}

/** Every command has these. */
export const commonFlags: readonly Flag[] = [
  { name: 'help', describe: 'Show this help' },
  { name: 'version', describe: 'Show the version' },
];

/**
 * Checks what yargs parsed against the command's flags.
 * @throws USAGE for an unknown flag, a value that is missing, given twice or none of the choices
 */
export function checkArguments(
  spec: CommandSpec,
  parsed: Readonly<Record<string, unknown>>,
  commandLine: readonly string[],
): Arguments {
  const known = [...spec.flags, ...commonFlags];
  const values = new Map<string, readonly string[]>();
  const switches = new Set<string>();
  for (const [name, value] of Object.entries(parsed)) {
    if (name === '_' || name === '$0' || value === undefined) continue;
    const flag = known.find((each) => each.name === name) ?? unknownFlag(spec, name, known);
    if (flag.value !== undefined) values.set(name, valuesOf(flag, value));
    // Of `--json --json=false` the last one counts.
    else if (value === true || (Array.isArray(value) && value.at(-1) === true)) switches.add(name);
  }
  const positionals = (parsed['_'] as readonly (string | number)[]).map(String);
  if (spec.positional === undefined && spec.topics === undefined && positionals.length > 0) {
    throw usage(`Expected tandem ${spec.name} to be given flags only, got \`${positionals[0]}\`.`, spec);
  }
  return {
    commandLine,
    positionals,
    text: (name) => values.get(name)?.[0],
    texts: (name) => values.get(name) ?? [],
    isOn: (name) => switches.has(name),
    count: (name, max) => wholeNumber(name, values.get(name)?.[0], max),
  };
}

/** @throws USAGE when the arguments or a required flag are missing */
export function checkRequired(spec: CommandSpec, given: Arguments): void {
  const isNeeded = spec.positional !== undefined && spec.positionalOptional !== true;
  if (isNeeded && given.positionals.length === 0 && given.text('files-from') === undefined) {
    throw usage(`Expected tandem ${spec.name} to be given ${spec.positional}, got none.`, spec);
  }
  if (spec.topics !== undefined) checkTopic(spec, spec.topics, given.positionals);
  for (const flag of spec.flags) {
    if (flag.required === undefined || (flag.required === 'unless --dry-run' && given.isOn('dry-run'))) continue;
    if (given.text(flag.name) === undefined) {
      throw usage(`Expected tandem ${spec.name} to be given --${flag.name} <${flag.value}>, got nothing.`, spec);
    }
  }
}

function checkTopic(spec: CommandSpec, topics: readonly string[], words: readonly string[]): void {
  const [word, ...more] = words;
  if (word !== undefined && more.length === 0 && topics.includes(word)) return;
  const got = word === undefined ? 'none' : `\`${words.join(' ')}\``;
  throw usage(`Expected tandem ${spec.name} to be given ${orList(topics)}, got ${got}.`, spec);
}

function valuesOf(flag: Flag, value: unknown): readonly string[] {
  const texts = (Array.isArray(value) ? value : [value]).map(String);
  if (texts.length > 1 && flag.repeatable !== true) {
    throw new TandemError('USAGE', `Expected --${flag.name} to be given once, got \`${texts.join('` and `')}\`.`);
  }
  for (const text of texts) {
    if (text === '') {
      const wanted = flag.choices === undefined ? `have a value <${flag.value}>` : `be ${orList(flag.choices)}`;
      throw new TandemError('USAGE', `Expected --${flag.name} to ${wanted}, got none.`);
    }
    if (flag.choices !== undefined && !flag.choices.includes(text)) {
      const guess = nearest(text, flag.choices);
      // Any word is nearest to some name.
      const isLikely = guess.startsWith(text.toLowerCase()) || 2 * distance(guess, text.toLowerCase()) <= guess.length;
      throw new TandemError('USAGE', `Expected --${flag.name} to be ${orList(flag.choices)}, got \`${text}\`.`, {
        ...(isLikely ? { remedy: `Did you mean \`${guess}\`?` } : {}),
      });
    }
  }
  return texts;
}

function wholeNumber(name: string, text: string | undefined, max: number): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= 1 && value <= max) return value;
  throw new TandemError(
    'USAGE',
    `Expected --${name} to be a whole number from 1 to ${formatCount(max)}, got \`${text}\`.`,
  );
}

/** What people write for something that is called otherwise here. */
const otherWords: ReadonlyMap<string, string> = new Map([
  ...['gpu', 'gpus', 'cuda', 'use-gpu'].map((word) => [word, 'device cuda'] as const),
  ['cpu', 'device cpu'],
  ['tf32', 'precision tf32'],
  ['h', 'help'],
]);

function unknownFlag(spec: CommandSpec, name: string, known: readonly Flag[]): never {
  const dashes = [...name].length === 1 ? '-' : '--';
  const names = known.map((flag) => flag.name);
  const other = otherWords.get(name.toLowerCase());
  const guess = other !== undefined && names.includes(other.split(' ')[0]!) ? other : nearest(name, names);
  throw new TandemError(
    'USAGE',
    `Expected tandem ${spec.name} to be given known flags only, got \`${dashes}${name}\`.`,
    { remedy: `Did you mean \`--${guess}\`? \`tandem ${spec.name} --help\` lists all flags.` },
  );
}

/** @throws USAGE with the nearest right one */
export function unknownCommand(name: string, specs: readonly CommandSpec[]): never {
  const names = specs.map((spec) => spec.name);
  throw new TandemError('USAGE', `Expected the command to be ${orList(names)}, got \`${name}\`.`, {
    remedy: `Did you mean \`tandem ${nearest(name, names)}\`? \`tandem --help\` explains each.`,
  });
}

/** The nearest name; of several that start as the text does, the shortest. */
export function nearest(text: string, names: readonly string[]): string {
  const lowered = text.toLowerCase();
  const starting = names.filter((name) => lowered.length >= 3 && name.startsWith(lowered));
  const exact = names.find((name) => distance(name, lowered) <= 1);
  return exact ?? starting.sort((a, b) => a.length - b.length)[0] ?? closest(lowered, [...names]);
}

function orList(words: readonly string[]): string {
  return words.length === 1 ? words[0]! : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

function usage(message: string, spec: CommandSpec): TandemError {
  return new TandemError('USAGE', message, {
    remedy: `For example: ${spec.examples[0]?.[0] ?? `tandem ${spec.name} --help`}`,
  });
}
