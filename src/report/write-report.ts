/** A report on disk, and whether it can get there before the run that it is about. */
import { accessSync, constants, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, relative, resolve } from 'node:path';
import { TandemError } from '../errors.ts';
import type { RunRecord } from '../run-record.ts';
import { renderReport } from './report.ts';

/**
 * Writes a report; the file is whole or not there.
 * @param names of the runs where there are several
 * @throws USAGE where it cannot be written
 */
export function writeReport(path: string, records: readonly RunRecord[], names: readonly string[] = []): void {
  const html = renderReport(records, names);
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    writeFileSync(temporary, html);
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
    throw notWritable(path, cause);
  }
}

/** Before a run of hours. @throws USAGE where its report could not be written, or would lie among its output */
export function checkReportPlace(path: string, output: string): void {
  const within = relative(resolve(output), resolve(path));
  if (!within.startsWith('..') && !isAbsolute(within)) {
    throw new TandemError(
      'USAGE',
      `Expected --report to be a file outside of the output folder ${output}, got \`${path}\`.`,
      { remedy: 'Name a file beside it.' },
    );
  }
  try {
    accessSync(dirname(resolve(path)), constants.W_OK);
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === true) throw new Error('a folder');
  } catch (cause) {
    throw notWritable(path, cause);
  }
}

function notWritable(path: string, cause: unknown): TandemError {
  const got = (cause as Error).message;
  return new TandemError('USAGE', `Expected ${path} to be a file that can be written, got ${got}.`, {
    remedy: 'Name a file in a folder that exists and can be written to.',
    cause,
  });
}
