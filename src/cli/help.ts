/** Flags to help, by way of yargs. */
import yargs from 'yargs';
import { errorCodes } from '../errors.ts';
import { commonFlags, type CommandSpec, type Flag } from './flags.ts';

/** The text of `tandem <command> --help`, in lines of `width` characters; examples stay whole, to be copied. */
export async function commandHelp(spec: CommandSpec, width: number): Promise<string> {
  const places = placesOf(spec);
  const required = spec.flags
    .filter((flag) => flag.required !== undefined)
    .map((flag) => ` --${flag.name} <${flag.value}>`);
  const about = spec.notes === undefined ? spec.describe : `${spec.describe} ${spec.notes}`;
  const flags = await describeFlags(bare(), [...spec.flags, ...commonFlags])
    .usage(`tandem ${spec.name}${places}${required.join('')} [flags]\n\n${about}`)
    .updateStrings({ 'Options:': 'Flags:' })
    .wrap(width)
    .getHelp();
  const guide = spec.guide === undefined ? [] : [spec.guide];
  return [flags, examples(spec.examples), ...guide, exitCodeHelp()].join('\n\n');
}

/** The text of `tandem --help`. */
export async function topHelp(specs: readonly CommandSpec[], width: number): Promise<string> {
  const instance = describeFlags(bare(), commonFlags)
    .usage('tandem <command> [flags]\n\nScores Parquet shards with ONNX models, on every core.')
    .updateStrings({ 'Options:': 'Flags:' })
    .wrap(width);
  for (const spec of specs) {
    instance.command(`${spec.name}${placesOf(spec)}`, spec.describe);
  }
  const first = specs.flatMap((spec) => spec.examples.slice(0, 1));
  const more = "tandem <command> --help shows a command's flags with examples.";
  return [await instance.getHelp(), examples(first), `${more}\n\n${exitCodeHelp()}`].join('\n\n');
}

/** What follows a command's name. */
function placesOf({ positional, positionalOptional, topics }: CommandSpec): string {
  if (topics !== undefined) return ` ${topics.join('|')}`;
  if (positional === undefined) return '';
  return positionalOptional === true ? ` [${positional}..]` : ` <${positional}..>`;
}

function examples(pairs: CommandSpec['examples']): string {
  return `Examples:\n${pairs.map(([command, why]) => `  # ${why}\n  ${command}`).join('\n')}`;
}

function exitCodeHelp(): string {
  const meanings: Readonly<Record<number, string>> = {
    [errorCodes.USAGE.exitCode]: 'wrong usage',
    [errorCodes.BAD_SHARD.exitCode]: 'bad data or model: do not retry',
    [errorCodes.BUG.exitCode]: 'a bug in Tandem',
    [errorCodes.STOPPED.exitCode]: 'stopped, or a passing fault: run the same command again',
    [errorCodes.ENVIRONMENT.exitCode]: 'missing or broken environment',
  };
  const lines = Object.entries(meanings).map(([code, means]) => `  ${code}  ${means}`);
  return ['Exit codes:', '   0  done', ...lines].join('\n');
}

function bare() {
  return yargs().scriptName('tandem').locale('en').help(false).version(false).exitProcess(false);
}

/** Flags as help shows them. The name holds the value's, which yargs has no place for; this instance parses nothing. */
function describeFlags(instance: ReturnType<typeof bare>, flags: readonly Flag[]) {
  for (const flag of flags) {
    const value = flag.value === undefined ? '' : ` <${flag.value}>`;
    const choices = flag.choices === undefined ? '' : `: ${flag.choices.join(', ')}`;
    const otherwise = flag.otherwise === undefined ? '' : ` (otherwise: ${flag.otherwise})`;
    const needed =
      flag.required === undefined ? '' : ` (required${flag.required === 'always' ? '' : ` ${flag.required}`})`;
    instance.option(`${flag.name}${value}`, { describe: `${flag.describe}${choices}${otherwise}${needed}` });
  }
  return instance;
}
