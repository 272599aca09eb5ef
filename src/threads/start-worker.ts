/** Starts a worker's entry file: when there is work for it, or ahead of that, while others find out what the work is. */
import { parentPort, Worker, workerData } from 'node:worker_threads';
import type { PlannerRequest } from '../messages.ts';
import { placeOf } from '../place.ts';

/** Threads that were started ahead and wait for their work, by entry. */
const ahead = new Map<string, Set<Worker>>();

/** What they are started with. */
const aheadOfWork = 'ahead of its work';

/** What they get instead of work. */
const noWork = { kind: 'close', connections: [] } as const satisfies PlannerRequest;

/**
 * @param entry compiled file of this folder, for example `./prep.js`
 * @param work what {@link workOfThread} gives the thread, unless it takes none
 */
export function startWorker(entry: string, work?: unknown): Worker {
  const [worker] = ahead.get(entry) ?? [];
  if (worker === undefined) return newWorker(entry, work);
  ahead.get(entry)!.delete(worker);
  worker.removeAllListeners();
  if (work !== undefined) worker.postMessage(work);
  return worker;
}

/**
 * Starts threads whose work {@link startWorker} will bring: it takes some 50 ms until a thread's modules are there. Who has
 * them started calls {@link endIdleWorkers} when no more work comes.
 */
export function startWorkersAhead(entry: string, count: number): void {
  const waiting = ahead.get(entry) ?? new Set();
  ahead.set(entry, waiting);
  while (waiting.size < count) {
    const worker = newWorker(entry, aheadOfWork);
    waiting.add(worker);
    // Why it ended is told by the one that is started in its place.
    worker.on('error', () => {}).on('exit', () => waiting.delete(worker));
  }
}

/**
 * Has the threads end that nobody took; the process waits for them. They are not terminated, nor may the process exit
 * before: koffi ends the process with an abort when that finds a thread in a native call, as one that loads libraries is.
 */
export function endIdleWorkers(): void {
  for (const waiting of ahead.values()) {
    for (const worker of waiting) worker.postMessage(noWork);
    waiting.clear();
  }
}

/** Flags of the process do not pass on: with `node --input-type=module --eval ...` no file could be started. */
function newWorker(entry: string, work: unknown): Worker {
  return new Worker(placeOf(`./threads/${entry}`), { workerData: work, execArgv: [] });
}

/** On the thread: whether its work is still to come. */
export function isAhead(): boolean {
  return workerData === aheadOfWork;
}

/** On the thread: what it was started with, or for one that was started ahead what comes later; it ends when nothing does. */
export async function workOfThread<Work extends object>(): Promise<Work> {
  if (!isAhead()) return workerData as Work;
  const work = await new Promise<Work | typeof noWork>((resolve) => parentPort!.once('message', resolve));
  if ('kind' in work) process.exit();
  return work;
}
