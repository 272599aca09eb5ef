/** Entry of a thread that writes its share of shared memory over and over, until it is told to stop. */
import { workerData } from 'node:worker_threads';

const { memory, stop, index, threads } = workerData as {
  readonly memory: SharedArrayBuffer;
  /** 1 in the first word: stop. The second counts the threads that have begun. */
  readonly stop: Int32Array;
  readonly index: number;
  readonly threads: number;
};

const words = Math.floor(memory.byteLength / threads / 4);
const own = new Float32Array(memory, index * words * 4, words);
const chunk = 16_384;
Atomics.add(stop, 1, 1);
for (let at = 0; Atomics.load(stop, 0) === 0; at = at + chunk < words ? at + chunk : 0) {
  own.fill(at, at, at + chunk);
}
