/** A command line from the first word to the exit code. Every error ends here. */
import { asTandemError, TandemError } from '../errors.ts';
import { placeOf } from '../place.ts';
import type { LoadApi } from './api.ts';
import { checkCommand } from './check.ts';
import type { Command } from './command.ts';
import { doctorCommand } from './doctor.ts';
import { featurizeCommand } from './featurize.ts';
import { fitCommand } from './fit.ts';
import { checkRequired, unknownCommand } from './flags.ts';
import { initCommand } from './init.ts';
import { inspectCommand } from './inspect.ts';
import { widthOf, type Io } from './io.ts';
import { profileCommand } from './profile.ts';
import { reportCommand } from './report.ts';
import { reportError } from './report-error.ts';
import { scoreCommand } from './score.ts';
import { setupCommand } from './setup.ts';
import { tuneCommand } from './tune.ts';

export const commands: readonly Command[] = [
  scoreCommand,
  initCommand,
  inspectCommand,
  checkCommand,
  fitCommand,
  featurizeCommand,
  tuneCommand,
  profileCommand,
  reportCommand,
  doctorCommand,
  setupCommand,
];

/** Runs a command line (without node and script) and gives the exit code; never throws. */
export async function runCommandLine(args: readonly string[], io: Io, loadApi: LoadApi): Promise<number> {
  try {
    return await dispatch(args, io, loadApi);
  } catch (thrown) {
    return reportError(asTandemError(thrown), args.includes('--json'), io);
  }
}

async function dispatch(args: readonly string[], io: Io, loadApi: LoadApi): Promise<number> {
  const [first, ...rest] = args;
  if (first === '--version') return printVersion(io);
  const help = () => import('./help.ts');
  const specs = commands.map((command) => command.spec);
  const width = Math.min(widthOf(io.stdout), helpWidthMax);
  const isHelp = first === '--help' || first === '-h' || first === 'help';
  if (isHelp && (rest[0] === undefined || rest[0].startsWith('-'))) {
    io.stdout.write(`${await (await help()).topHelp(specs, width)}\n`);
    return 0;
  }
  if (first === undefined || (first.startsWith('-') && !isHelp)) {
    throw new TandemError('USAGE', `Expected a command, got ${first === undefined ? 'none' : `\`${first}\``}.`, {
      remedy: `The commands are ${specs.map((spec) => spec.name).join(', ')}; \`tandem --help\` explains each.`,
    });
  }
  const name = isHelp ? rest[0]! : first;
  const command = commands.find((each) => each.spec.name === name) ?? unknownCommand(name, specs);
  if (isHelp) {
    io.stdout.write(`${await (await help()).commandHelp(command.spec, width)}\n`);
    return 0;
  }
  const { parseArguments } = await import('./parse.ts');
  const given = parseArguments(command.spec, rest);
  if (given.isOn('help')) {
    io.stdout.write(`${await (await help()).commandHelp(command.spec, width)}\n`);
    return 0;
  }
  if (given.isOn('version')) return printVersion(io);
  checkRequired(command.spec, given);
  return command.run(given, io, loadApi);
}

/** Longer lines are hard to read. */
const helpWidthMax = 110;

async function printVersion(io: Io): Promise<number> {
  const { readFile } = await import('node:fs/promises');
  const text = await readFile(placeOf('../../package.json'), 'utf8');
  io.stdout.write(`${(JSON.parse(text) as { version: string }).version}\n`);
  return 0;
}
