/**
 * The README's way from someone else's model to trusted scores, for real: fits and saves with Spark, LightGBM and
 * scikit-learn, runs the README's commands, then scores all rows with both in turn. Fails where answers differ.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatTable } from '../../src/cli/format.ts';
import type { ScoreResult } from '../../src/options.ts';
import { defaultFolder } from '../data.ts';
import { median } from '../measure.ts';
import { pythonWith } from '../peers/python.ts';
import { readCommands, valueOf, type Command } from './commands.ts';
import { keep, makeShards } from './shards.ts';

const help = `npm run walkthrough -- [--folder bench/data] [--rounds 3] [--only spark] [--keep]

Runs the commands of the README's walk-through in <folder>/walkthrough, with Spark (Java 17), LightGBM and scikit-learn
in Python environments made beside it. --rounds: how often both score all rows, in turn. --only: the case whose script's
name has this. --keep: models, known scores and some rows are taken over into bench/walkthrough/kept, for the test.`;

const scripts = fileURLToPath(new URL('../../../bench/walkthrough/', import.meta.url));
const main = fileURLToPath(new URL('../../bundle/main.js', import.meta.url));

/** Seconds of one scoring of all rows. */
interface Scoring {
  /** The process, from start to end. */
  readonly whole: number;
  /** Reading, scoring, writing; Spark's in a session that has done it before. */
  readonly steady: number;
}

interface Place {
  readonly folder: string;
  /** Where environments are. */
  readonly pythons: string;
}

function programOf({ program, args }: Command, { pythons }: Place): string[] {
  if (program === 'tandem') return [process.execPath, main, ...args];
  const [script = '', ...more] = args;
  const requirements = script.startsWith('spark') ? 'requirements-spark.txt' : 'requirements-walkthrough.txt';
  return [pythonWith(requirements, pythons), join(scripts, script), ...more];
}

/** Its standard output. @throws Error when it fails */
function execute(command: Command, place: Place, ...more: readonly string[]): string {
  const [program = '', ...args] = programOf(command, place);
  const { status, stdout, stderr } = spawnSync(program, [...args, ...more], { cwd: place.folder, encoding: 'utf8' });
  if (status !== 0) throw new Error(`Expected \`${command.line}\` to succeed, got ${status}.\n${stdout}${stderr}`);
  return stdout;
}

function timeScoring(command: Command, place: Place): Scoring {
  // A run over whole outputs would have nothing to do.
  if (command.program === 'tandem')
    rmSync(join(place.folder, valueOf(command, '--output')!), { recursive: true, force: true });
  // Everything that is made once is made by now.
  programOf(command, place);
  const started = performance.now();
  const stdout = execute(command, place, command.program === 'tandem' ? '--json' : '--again');
  const seconds = (performance.now() - started) / 1000;
  const text = command.program === 'tandem' ? stdout : stdout.trim().split('\n').at(-1)!;
  const printed = JSON.parse(text) as { seconds: number; again: boolean } | ScoreResult;
  if ('wallSeconds' in printed) return { whole: seconds, steady: printed.wallSeconds };
  return { whole: printed.again ? seconds - printed.seconds : seconds, steady: printed.seconds };
}

const isScoring = ({ args }: Command): boolean => args[0] === 'score' || args[1] === 'score';

/** Runs a case's commands in their order, then scores in turn; gives the seconds of each way, by round. */
function walk(
  commands: readonly Command[],
  place: Place,
  rounds: number,
): Readonly<Record<Command['program'], Scoring[]>> {
  const scorings: Record<Command['program'], Scoring[]> = { python: [], tandem: [] };
  for (const command of commands) {
    say(`$ ${command.line}`);
    if (isScoring(command)) {
      scorings[command.program].push(timeScoring(command, place));
      continue;
    }
    if (command.args[0] === 'init')
      rmSync(join(place.folder, valueOf(command, '--output')!), { recursive: true, force: true });
    say(execute(command, place));
  }
  for (let round = 1; round < rounds; round++) {
    for (const command of commands.filter(isScoring)) scorings[command.program].push(timeScoring(command, place));
  }
  return scorings;
}

function rowOf(
  commands: readonly Command[],
  scorings: Readonly<Record<Command['program'], readonly Scoring[]>>,
): string[] {
  const script = commands.find(({ program }) => program === 'python')!.args[0]!;
  const cells = (['whole', 'steady'] as const).flatMap((what) => {
    const theirs = scorings.python.map((each) => each[what]);
    const ours = scorings.tandem.map((each) => each[what]);
    const ratio = median(theirs.map((seconds, round) => seconds / ours[round]!));
    return [median(theirs).toFixed(2), median(ours).toFixed(2), ratio.toFixed(1)];
  });
  return [script.replace('.py', ''), ...cells];
}

function say(text: string): void {
  process.stdout.write(`${text.trimEnd()}\n`);
}

const { values } = parseArgs({
  options: {
    folder: { type: 'string', default: defaultFolder },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  say(help);
} else {
  const pythons = resolve(values.folder);
  const place = { pythons, folder: join(pythons, 'walkthrough') };
  mkdirSync(place.folder, { recursive: true });
  makeShards(place.folder);
  const rows = readCommands()
    .filter(([first]) => first!.line.includes(values.only))
    .map((commands) => rowOf(commands, walk(commands, place, Number(values.rounds))));
  if (values.keep) keep(place.folder);
  const right = (title: string) => ({ title, align: 'right' as const });
  say(
    `\n${availableParallelism()} cores (${cpus()[0]?.model}), seconds for all rows, median of ${values.rounds} rounds in turn`,
  );
  say(
    formatTable(
      [
        { title: 'theirs' },
        right('start to end'),
        right('Tandem'),
        right('times faster'),
        right('scoring'),
        right('Tandem'),
        right('times faster'),
      ],
      rows,
    ),
  );
}
