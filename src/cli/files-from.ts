/** `--files-from`: a list of shards, such as the file list of a Delta or Iceberg snapshot. */
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TandemError } from '../errors.ts';
import type { Arguments, Flag } from './flags.ts';
import type { Io } from './io.ts';

export const filesFromFlag: Flag = {
  name: 'files-from',
  value: 'file',
  describe:
    'List of shards, one path or file:// URL a line, relative to the current folder; - reads standard input. Beside or instead of <shards..>',
};

/** What a command is to read: its arguments, then the files of the list. @throws see {@link withListed} */
export function shardsOf(given: Arguments, io: Pick<Io, 'stdin'>): Promise<readonly string[]> {
  return withListed(given.positionals, given, 'files-from', io);
}

/**
 * Paths and patterns, then the files of the list that a flag names. Paths of the list are taken as they are, never as
 * patterns, and relative ones start at the working directory, as those of tar and rsync do.
 * @throws USAGE for a list that cannot be read or holds nothing, NO_SHARDS naming the line of a file that is missing, is
 * none, or is there twice
 */
export async function withListed(
  named: readonly string[],
  given: Arguments,
  flag: string,
  io: Pick<Io, 'stdin'>,
): Promise<readonly string[]> {
  const list = given.text(flag);
  if (list === undefined) return named;
  const paths = parseList(await readList(list, flag, io), list === '-' ? 'standard input' : list, flag);
  return [...named, ...paths];
}

async function readList(list: string, flag: string, { stdin }: Pick<Io, 'stdin'>): Promise<string> {
  try {
    if (list !== '-') return await readFile(list, 'utf8');
    const parts: Buffer[] = [];
    for await (const part of stdin?.() ?? []) parts.push(Buffer.from(part));
    return Buffer.concat(parts).toString('utf8');
  } catch (cause) {
    const message = `Expected --${flag} to be a readable file or -, got \`${list}\` (${(cause as Error).message}).`;
    throw new TandemError('USAGE', message, { remedy: 'One path a line; `-` reads standard input.', cause });
  }
}

function parseList(text: string, source: string, flag: string): string[] {
  const lineOf = new Map<string, number>();
  text
    .replace(/^\uFEFF/, '')
    .split('\n')
    .forEach((written, index) => {
      const line = written.replace(/\r$/, '');
      if (line.trim() === '') return;
      const path = pathOf(line);
      const wrong = path === undefined ? 'a URL of no file here' : wrongWith(path, lineOf);
      if (wrong === undefined) return void lineOf.set(path!, index + 1);
      throw new TandemError(
        'NO_SHARDS',
        `Expected line ${index + 1} of ${source} to name a file that no other line names, got \`${line}\`, ${wrong}.`,
        {
          remedy: line.startsWith('#')
            ? 'Remove the line: a list has no comments, only paths.'
            : `Relative paths start at the current folder, ${process.cwd()}.`,
        },
      );
    });
  if (lineOf.size > 0) return [...lineOf.keys()];
  throw new TandemError('USAGE', `Expected --${flag} to name at least one file, got an empty list (${source}).`);
}

/** Absolute; undefined for a URL that is no file's. Hadoop writes `file:/data/x`. */
function pathOf(line: string): string | undefined {
  try {
    if (/^file:/i.test(line)) return fileURLToPath(line.replace(/^file:\/(?!\/)/i, 'file:///'));
  } catch {
    return undefined;
  }
  return /^[a-z][a-z0-9+.-]+:\/\//i.test(line) ? undefined : resolve(line);
}

function wrongWith(path: string, lineOf: ReadonlyMap<string, number>): string | undefined {
  const before = lineOf.get(path);
  if (before !== undefined) return `which line ${before} names too`;
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return 'which is not there';
  return found.isDirectory() ? 'which is a folder' : undefined;
}
