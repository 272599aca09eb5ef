/** Entry of a thread that generates shards, one after the other, until none is left. */
import { workerData } from 'node:worker_threads';
import { writeShard } from '../../src/testing/shards.ts';
import { shardSql } from '../data.ts';

const { tasks, next } = workerData as {
  readonly tasks: readonly {
    readonly path: string;
    readonly index: number;
    readonly rowsPerShard: number;
    readonly seed: number;
  }[];
  /** Index of the first task that nobody has taken. */
  readonly next: Int32Array;
};

for (let task = Atomics.add(next, 0, 1); task < tasks.length; task = Atomics.add(next, 0, 1)) {
  const { path, index, rowsPerShard, seed } = tasks[task]!;
  writeShard(path, shardSql(index, rowsPerShard), { before: `SELECT setseed(${seed})` });
}
