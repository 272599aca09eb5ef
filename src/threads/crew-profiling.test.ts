import assert from 'node:assert/strict';
import { test } from 'node:test';
import { profileAnswerMsMax } from '../limits.ts';
import type { CrewReading } from '../measure/ledger.ts';
import { control } from '../messages.ts';
import type { ThreadProfile } from '../run-record.ts';
import { CrewProfiling } from './crew-profiling.ts';

const empty: ThreadProfile['profile'] = { nodes: [], startTime: 0, endTime: 0, samples: [], timeDeltas: [] };

/** Three threads, and a clock of readings that goes on by one at each. */
function crew() {
  const flags = new Int32Array(control.length);
  let wallMs = 0;
  const read = (): CrewReading => ({ wallMs: wallMs++, prep: [], writer: undefined, devices: [] });
  const profiling = new CrewProfiling(flags, read);
  for (const thread of ['prep 0', 'prep 1', 'writer']) profiling.join(thread);
  const tell = (thread: string, round: number, cameByInTime = true): void =>
    profiling.hear(thread, { kind: 'profiled', round, profile: cameByInTime ? empty : undefined, heapBytes: 7 });
  return { flags, profiling, tell };
}

test('a thread that does not come by is left out and named, one that has ended is not waited for', async (t) => {
  const { flags, profiling, tell } = crew();
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const taking = profiling.take(1);
  assert.equal(Atomics.load(flags, control.profile), 1);
  assert.equal(profiling.isUnderWay, true);
  t.mock.timers.tick(1000);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(Atomics.load(flags, control.profile), 2);
  tell('prep 0', 1);
  profiling.leave('writer');
  t.mock.timers.tick(profileAnswerMsMax);
  const { profiles, missing, from, to, heaps } = await taking;
  assert.deepEqual(
    profiles.map(({ thread }) => thread),
    ['main', 'prep 0'],
  );
  assert.deepEqual(missing, ['prep 1']);
  assert.deepEqual([from.wallMs, to.wallMs], [0, 1]);
  assert.deepEqual(heaps, [{ thread: 'prep 0', bytes: 7 }]);
  // What comes after all is of no use to the next one.
  const next = profiling.take(1);
  tell('prep 1', 1);
  tell('prep 1', 3, false);
  tell('prep 0', 3);
  assert.deepEqual((await next).missing, ['prep 1']);
});

test('threads that all end, end the profile', async () => {
  const { profiling, tell } = crew();
  const taking = profiling.take(600);
  tell('prep 0', 1);
  for (const thread of ['prep 0', 'prep 1', 'writer']) profiling.leave(thread);
  const { profiles } = await taking;
  assert.deepEqual(
    profiles.map(({ thread }) => thread),
    ['main', 'prep 0'],
  );
  assert.deepEqual([profiling.isOver, profiling.isUnderWay], [true, false]);
});
