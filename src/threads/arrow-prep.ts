/** Entry of a prep thread whose shards become Arrow files: apache-arrow takes long to load, and no other thread needs it. */
import { parentPort } from 'node:worker_threads';
import type { WorkerStart } from '../messages.ts';
import { ArrowShardWriter } from './arrow-shard-writer.ts';
import { prepare } from './prep-work.ts';
import { workOfThread } from './start-worker.ts';

const start = await workOfThread<WorkerStart>();
prepare(
  start,
  (message) => parentPort!.postMessage(message),
  (connection, plan, attempt) => new ArrowShardWriter(connection, plan, attempt),
);
