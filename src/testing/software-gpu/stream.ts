/** Entry of a thread that is one stream of a software GPU: runs commands in order, sleeps while there are none. */
import { workerData } from 'node:worker_threads';
import { check, loadOnnxRuntime } from '../../engines/onnxruntime/bindings.ts';
import { addressOf, memcpy } from '../../engines/native.ts';
import { commandsMax, commandWords, done, operation, queued, type StreamMemory } from './commands.ts';

const { commands, counters, events, eventTimes, failure, failureText, copyBytesPerSecond } = workerData as StreamMemory;
const clock = new Int32Array(new SharedArrayBuffer(4));

function pause(milliseconds: number): void {
  if (milliseconds > 0) Atomics.wait(clock, 0, 0, milliseconds);
}

function runCommand(word: (index: number) => bigint): void {
  switch (word(0)) {
    case operation.copy:
      if (copyBytesPerSecond > 0) pause((Number(word(3)) / copyBytesPerSecond) * 1000);
      return memcpy(word(1), word(2), Number(word(3)));
    case operation.run:
      return check(loadOnnxRuntime().RunWithBinding(word(1), word(2), word(3)));
    case operation.record:
      eventTimes[Number(word(1))] = performance.timeOrigin + performance.now();
      Atomics.store(events, Number(word(1)), Number(word(2)));
      Atomics.notify(events, Number(word(1)));
      return;
    case operation.wait: {
      const event = Number(word(1));
      for (let passed = Atomics.load(events, event); passed < Number(word(2)); passed = Atomics.load(events, event)) {
        Atomics.wait(events, event, passed);
      }
      return;
    }
    case operation.round: {
      const bytes = Number(word(2));
      const words = new Uint32Array(bytes / 4);
      memcpy(addressOf(words), word(1), bytes);
      for (let index = 0; index < words.length; index++) words[index] = words[index]! & ~0x1fff;
      return memcpy(word(1), addressOf(words), bytes);
    }
    case operation.pause:
      return pause(Number(word(1)) / 1000);
  }
}

/** As on a GPU: after the first failure nothing is computed any more, but events still pass. */
function runOrFail(word: (index: number) => bigint): void {
  const failed = Atomics.load(failure, 0) !== 0;
  if (failed && (word(0) === operation.copy || word(0) === operation.run)) return;
  try {
    runCommand(word);
  } catch (error) {
    const text = new TextEncoder().encode(String((error as Error).message)).subarray(0, failureText.length);
    failureText.set(text);
    Atomics.compareExchange(failure, 0, 0, text.length);
  }
}

for (let next = 0; ; next++) {
  while (Atomics.load(counters, queued) === next) Atomics.wait(counters, queued, next);
  const first = (next % commandsMax) * commandWords;
  const word = (index: number): bigint => commands[first + index]!;
  runOrFail(word);
  Atomics.store(counters, done, next + 1);
  Atomics.notify(counters, done);
  if (word(0) === operation.end) break;
}
