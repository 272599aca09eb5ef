/** The planner's side of the threads that turn files of other formats into Parquet. */
import type { Worker } from 'node:worker_threads';
import { interrupt, queryShare } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { asTandemError, TandemError } from '../errors.ts';
import { interruptIntervalMs } from '../limits.ts';
import type { StageReply, StageResult, StagerStart, StageTask } from '../stage/messages.ts';
import { startWorker } from './start-worker.ts';

interface Stager {
  readonly worker: Worker;
  /** Addresses for stopping what runs, good until the thread is asked to close. */
  readonly connections: Pointer[];
  ended: boolean;
  settle: ((reply: StageReply | TandemError) => void) | undefined;
}

export class Stagers {
  readonly #stagers: readonly Stager[];
  /** Thread by task. */
  readonly #inWork = new Map<number, number>();
  #stopping: NodeJS.Timeout | undefined;

  /** @param count threads that each work on a file, with so many of DuckDB's as `start` says */
  constructor(count: number, start: StagerStart) {
    this.#stagers = Array.from({ length: count }, () => beginStager(start));
  }

  /**
   * Carries out tasks, each on the next free thread, in their order.
   * @param begin told of each task, before; `done` is waited for, after
   * @returns results in the order of the tasks
   * @throws the first failure, once no task is in work any more; STOPPED after {@link stop}
   */
  async run(
    tasks: readonly StageTask[],
    begin: (index: number) => void = () => {},
    done: (index: number) => Promise<void> | void = () => {},
  ): Promise<StageResult[]> {
    const results: StageResult[] = [];
    let next = 0;
    let failure: unknown;
    const serve = async (stager: Stager, position: number): Promise<void> => {
      while (next < tasks.length && failure === undefined && this.#stopping === undefined) {
        const index = next++;
        this.#inWork.set(index, position);
        try {
          begin(index);
          results[index] = await ask(stager, tasks[index]!);
          await done(index);
        } catch (error) {
          failure ??= error;
        } finally {
          this.#inWork.delete(index);
        }
      }
    };
    await Promise.all(this.#stagers.map(serve));
    if (this.#stopping !== undefined) throw new TandemError('STOPPED', 'The run was stopped.');
    if (failure !== undefined) throw failure;
    return results;
  }

  /** What share of each task in work is done, by its index. */
  get shares(): ReadonlyMap<number, number> {
    const shareOf = (position: number): number =>
      Math.max(0, ...this.#stagers[position]!.connections.map((connection) => queryShare(connection) ?? 0));
    return new Map([...this.#inWork].map(([index, position]) => [index, shareOf(position)]));
  }

  /** Ends what runs, again and again: an interrupt between two queries is forgotten. */
  stop(): void {
    if (this.#stopping !== undefined) return;
    const again = (): void => {
      for (const { connections } of this.#stagers) connections.forEach(interrupt);
    };
    this.#stopping = setInterval(again, interruptIntervalMs);
    again();
  }

  /** Nothing may be in work. */
  async close(): Promise<void> {
    clearInterval(this.#stopping);
    await Promise.all(
      this.#stagers.map(async (stager) => {
        // Nobody may interrupt what is being closed.
        stager.connections.length = 0;
        if (stager.ended) return;
        await new Promise<void>((resolve) => {
          stager.settle = () => resolve();
          stager.worker.postMessage({ kind: 'close' });
        });
      }),
    );
  }
}

function beginStager(start: StagerStart): Stager {
  const worker = startWorker('./stager.js', start);
  const stager: Stager = { worker, connections: [], ended: false, settle: undefined };
  const settle = (reply: StageReply | TandemError): void => {
    const { settle: waiting } = stager;
    stager.settle = undefined;
    waiting?.(reply);
  };
  worker.on('message', (reply: StageReply) => {
    if (reply.kind === 'connected') stager.connections.push(reply.connection);
    else settle(reply);
  });
  worker.on('error', (error) => settle(asTandemError(error)));
  worker.on('exit', () => {
    stager.ended = true;
    settle(new TandemError('TRANSIENT', 'Expected a thread to read a file, got its end.'));
  });
  return stager;
}

async function ask(stager: Stager, task: StageTask): Promise<StageResult> {
  const reply = await new Promise<StageReply | TandemError>((resolve) => {
    stager.settle = resolve;
    stager.worker.postMessage(task);
  });
  if (reply instanceof TandemError) throw reply;
  if (reply.kind === 'done') return reply.result;
  throw reply.kind === 'failed' ? TandemError.fromRecord(reply.error) : asTandemError(new Error('No answer.'));
}
