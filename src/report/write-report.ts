/** A report on disk. */
import { randomBytes } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
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
  const temporary = `${path}.tmp-${randomBytes(6).toString('hex')}`;
  try {
    writeFileSync(temporary, html);
    renameSync(temporary, path);
  } catch (cause) {
    rmSync(temporary, { force: true });
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
