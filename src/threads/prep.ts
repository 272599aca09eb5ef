/** Entry of a prep thread. */
import { parentPort } from 'node:worker_threads';
import { loadDuckDb } from '../engines/duckdb/bindings.ts';
import { closeEnvironment, openEnvironment } from '../engines/onnxruntime/session.ts';
import type { WorkerStart } from '../messages.ts';
import { prepare } from './prep-work.ts';
import { isAhead, workOfThread } from './start-worker.ts';

/** A thread that scores in place will need both, and the planner, which reads footers meanwhile, ONNX Runtime at once. */
function loadLibraries(): void {
  process.once('exit', closeEnvironment);
  try {
    openEnvironment();
    loadDuckDb();
  } catch {
    // The planner's thread fails for the same reason, and says so.
  }
}

if (isAhead()) loadLibraries();
const start = await workOfThread<WorkerStart>();
// By now the planner has its own.
closeEnvironment();
prepare(start, (message) => parentPort!.postMessage(message));
