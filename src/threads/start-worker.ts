/** Starts a worker's entry file. */
import { Worker } from 'node:worker_threads';

/**
 * @param entry compiled file beside this one, for example `./prep.js`
 * Flags of the process do not pass on: with `node --input-type=module --eval ...` no file could be started.
 */
export function startWorker(entry: string, workerData?: unknown): Worker {
  return new Worker(new URL(entry, import.meta.url), { workerData, execArgv: [] });
}
