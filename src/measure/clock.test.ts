import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { threadsNowMs } from './clock.ts';

/** Says its time when asked: that lies between the question and the answer. */
const code = `
  const { parentPort, workerData } = require('node:worker_threads');
  import(workerData).then(({ threadsNowMs }) => {
    parentPort.on('message', () => parentPort.postMessage(threadsNowMs()));
    parentPort.postMessage('ready');
  });`;

test('threads agree about the time, however late they began', async (t) => {
  const clock = new URL('./clock.js', import.meta.url).href;
  for (let thread = 0; thread < 3; thread++) {
    const worker = new Worker(code, { eval: true, workerData: clock });
    t.after(() => worker.terminate());
    await once(worker, 'message');
    for (let question = 0; question < 5; question++) {
      const before = threadsNowMs();
      worker.postMessage('now');
      const [answer] = (await once(worker, 'message')) as [number];
      const after = threadsNowMs();
      assert.ok(answer > before - 0.01 && answer < after + 0.01, `${before} ${answer} ${after}`);
    }
  }
});
