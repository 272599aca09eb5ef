/** The walk-through as the README tells it: what its text block says is what runs. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export interface Command {
  /** As it stands in the README, without its comment. */
  readonly line: string;
  readonly program: 'tandem' | 'python';
  readonly args: readonly string[];
}

const readme = fileURLToPath(new URL('../../../README.md', import.meta.url));
const title = "## From someone else's model to trusted scores";

/** Commands in the order of the section's first text block, by case: each begins with a comment line. */
export function readCommands(): Command[][] {
  const text = readFileSync(readme, 'utf8');
  const section = text.slice(text.indexOf(title));
  const [, block] = /```\n(.*?)```/s.exec(section) ?? [];
  if (!text.includes(title) || block === undefined) throw new Error(`Expected a text block under ${title}.`);
  const cases: Command[][] = [];
  for (const line of block.split('\n').filter((each) => each !== '')) {
    if (line.startsWith('# ')) cases.push([]);
    else cases.at(-1)!.push(parseCommand(line));
  }
  return cases;
}

function parseCommand(text: string): Command {
  const line = text.replace(/\s+# .*$/, '');
  const words = line.replaceAll("'", '').split(' ');
  if (words[0] === 'python') return { line, program: 'python', args: words.slice(1) };
  if (words[0] === 'npx' && words[1] === 'tandem') return { line, program: 'tandem', args: words.slice(2) };
  throw new Error(`Expected a command of python or npx tandem, got ${line}.`);
}

/** What follows a flag. */
export function valueOf({ args }: Command, flag: string): string | undefined {
  const at = args.indexOf(flag);
  return at < 0 ? undefined : args[at + 1];
}
