/** Files that a run writes beside its output, where somebody says: never over what is not such a file. */
import { accessSync, closeSync, constants, openSync, readSync, statSync } from 'node:fs';
import { dirname, isAbsolute, relative, resolve, sep } from 'node:path';
import { TandemError } from '../errors.ts';

/** What such files hold within their first bytes: a report, and a trace. */
const markBytes = 200;
const marks = ['<!-- Written by Tandem -->', '"args":{"name":"tandem score"}'];

/**
 * Before a run of hours.
 * @param flag that named the file
 * @param output folder of the run, which holds nothing but its output; undefined: there is no run
 * @throws USAGE where the file cannot be written, lies in the output, or is there and holds something else
 */
export function checkSideFile(flag: string, path: string, output: string | undefined): void {
  if (output !== undefined && isWithin(output, path)) {
    throw refused(flag, `a file outside of the output folder ${output}, got \`${path}\``, 'Name a file beside it.');
  }
  let isOurs: boolean;
  try {
    accessSync(dirname(resolve(path)), constants.W_OK);
    isOurs = isFreeOrOurs(path);
  } catch (cause) {
    const remedy = 'Name a file in a folder that exists and can be written to.';
    throw refused(flag, `a file that can be written, got \`${path}\` (${(cause as Error).message})`, remedy, cause);
  }
  if (isOurs) return;
  throw refused(
    flag,
    `a new file, or one that it wrote before, got \`${path}\`, which holds something else`,
    'Name another one.',
  );
}

function isWithin(folder: string, path: string): boolean {
  const within = relative(resolve(folder), resolve(path));
  return within !== '..' && !within.startsWith(`..${sep}`) && !isAbsolute(within);
}

function isFreeOrOurs(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined) return true;
  if (found.isDirectory()) throw new Error('a folder');
  // A device or a pipe keeps nothing that could be lost.
  if (!found.isFile() || found.size === 0) return true;
  const bytes = Buffer.alloc(markBytes);
  const descriptor = openSync(path, 'r');
  try {
    readSync(descriptor, bytes);
  } finally {
    closeSync(descriptor);
  }
  const start = bytes.toString('latin1');
  return marks.some((mark) => start.includes(mark));
}

function refused(flag: string, expected: string, remedy: string, cause?: unknown): TandemError {
  return new TandemError('USAGE', `Expected ${flag} to be ${expected}.`, { remedy, cause });
}
