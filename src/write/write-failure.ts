/** Why something could not be written under the output folder, in words that say what to do. */
import { TandemError } from '../errors.ts';

/** A full disk is a passing fault; everything else needs another folder. */
export function cannotWrite(folder: string, cause: unknown): TandemError {
  if (cause instanceof TandemError) return cause;
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT') return diskFull(folder, cause);
  return new TandemError(
    'BAD_OUTPUT',
    `Expected the output folder ${folder} to be writable, got ${(cause as Error).message}.`,
    {
      remedy: 'Choose another --output, or change its permissions.',
      cause,
    },
  );
}

export function diskFull(folder: string, cause: unknown): TandemError {
  return new TandemError('TRANSIENT', `Expected room under ${folder}, got a full disk.`, {
    remedy: 'Make room and run the same command again: finished shards are kept.',
    cause,
  });
}
