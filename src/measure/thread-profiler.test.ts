import assert from 'node:assert/strict';
import { test } from 'node:test';
import { control } from '../messages.ts';
import { ThreadProfiler, type ProfiledMessage } from './thread-profiler.ts';

function profiling() {
  const flags = new Int32Array(control.length);
  const told: ProfiledMessage[] = [];
  const profiler = new ThreadProfiler(flags, (message) => told.push(message));
  /** The main thread asks, or ends what it asked for. */
  const turn = (): number => Atomics.add(flags, control.profile, 1) + 1;
  return { profiler, told, turn };
}

function spinForTheProfiler(milliseconds: number): number {
  const endMs = performance.now() + milliseconds;
  let sum = 0;
  while (performance.now() < endMs) sum += Math.sqrt(sum + 1);
  return sum;
}

test('samples what the thread does between two looks', () => {
  const { profiler, told, turn } = profiling();
  profiler.look();
  const round = turn();
  profiler.look();
  spinForTheProfiler(200);
  profiler.look();
  assert.equal(told.length, 0);
  turn();
  profiler.look();
  profiler.look();
  assert.equal(told.length, 1);
  assert.equal(told[0]!.round, round);
  assert.ok(told[0]!.heapBytes > 1e6);
  const { nodes, samples } = told[0]!.profile!;
  const spinning = nodes.filter(({ callFrame }) => callFrame.functionName === 'spinForTheProfiler');
  const ids = new Set(spinning.flatMap(({ id, children = [] }) => [id, ...children]));
  // A busy machine leaves fewer samples, but what it leaves is of what the thread did.
  const seen = samples!.filter((id) => ids.has(id)).length;
  assert.ok(seen >= 5 && seen > samples!.length / 4, `${seen} of ${samples!.length} samples`);
});

test('a thread that comes by too late says so, and the next round begins afresh', () => {
  const { profiler, told, turn } = profiling();
  turn();
  turn();
  profiler.look();
  assert.deepEqual(
    told.map(({ round, profile }) => [round, profile]),
    [[1, undefined]],
  );
  turn();
  profiler.look();
  turn();
  // Asked again before it came by: both in one look.
  turn();
  profiler.look();
  profiler.end();
  assert.deepEqual(
    told.map(({ round, profile }) => [round, profile !== undefined]),
    [
      [1, false],
      [3, true],
      [5, true],
    ],
  );
});
