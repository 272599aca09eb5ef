/** Whether a packed file is whole: DuckDB reads a cut one to where it ends and says nothing. */
import { createReadStream } from 'node:fs';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { TandemError } from '../errors.ts';

/** On Node's own threads. @throws BAD_SHARD; an AbortError after an abort */
export async function checkGzip(path: string, name: string, signal: AbortSignal): Promise<void> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  try {
    await pipeline(createReadStream(path), createGunzip({ chunkSize: 2 ** 18 }), nowhere, { signal });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new TandemError('BAD_SHARD', `Expected a whole gzip file, got: ${(cause as Error).message}.`, {
      place: { shard: name },
      remedy: 'Write it again, or leave it out of the pattern.',
      cause,
    });
  }
}
