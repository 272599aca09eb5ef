/** Turns a command line into arguments, by the parser of yargs alone: all of yargs, which `help.ts` takes, loads five times as long. */
import parser from 'yargs-parser';
import { TandemError } from '../errors.ts';
import { checkArguments, commonFlags, type Arguments, type CommandSpec } from './flags.ts';

/** A flag is what it is called, and what follows it stays text. */
const configuration = {
  'camel-case-expansion': false,
  'dot-notation': false,
  'parse-numbers': false,
  'parse-positional-numbers': false,
  'populate--': false,
  'boolean-negation': false,
};

/** @throws USAGE */
export function parseArguments(spec: CommandSpec, args: readonly string[]): Arguments {
  // Everything that takes a value stays text, so that errors can show what was typed.
  checkSwitches(spec, args);
  const flags = [...spec.flags, ...commonFlags];
  const named = (takesValue: boolean): string[] =>
    flags.filter(({ value }) => (value !== undefined) === takesValue).map(({ name }) => name);
  const parsed = parser(withDashes(args, named(true)), { boolean: named(false), string: named(true), configuration });
  return checkArguments(spec, parsed, ['tandem', spec.name, ...args]);
}

/** A lone `-`, which means standard input, is a value: yargs takes it for an argument, but not behind `=`. */
function withDashes(args: readonly string[], takingValues: readonly string[]): string[] {
  return args.flatMap((arg, index) => {
    const isTaker = (word: string | undefined): boolean =>
      word !== undefined && takingValues.some((name) => word === `--${name}`);
    if (arg === '-' && isTaker(args[index - 1])) return [];
    return args[index + 1] === '-' && isTaker(arg) ? [`${arg}=-`] : [arg];
  });
}

/** yargs takes `--json=anything` for off. */
function checkSwitches(spec: CommandSpec, args: readonly string[]): void {
  for (const arg of args) {
    const [name, value] = arg.startsWith('--') ? arg.slice(2).split('=', 2) : [];
    if (value === undefined || value === 'true' || value === 'false') continue;
    if (spec.flags.some((flag) => flag.name === name && flag.value === undefined)) {
      throw new TandemError('USAGE', `Expected --${name} to be a switch without a value, got \`${value}\`.`);
    }
  }
}
