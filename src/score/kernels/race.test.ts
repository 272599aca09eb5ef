import assert from 'node:assert/strict';
import { test } from 'node:test';
import { raceMs, raceMsMax, raceRoundsWanted } from '../../limits.ts';
import { race } from './race.ts';

/** A contender on a clock of its own. */
function runner(clock: { now: number }, secondsOf: (rowCount: number, run: number) => number) {
  let runs = 0;
  const sizes: number[] = [];
  const run = (rowCount: number): void => {
    sizes.push(rowCount);
    clock.now += secondsOf(rowCount, runs++);
  };
  return { run, ran: sizes };
}

test('each counts with its best run at the size that it likes', () => {
  const clock = { now: 5 };
  // The first run of a size prepares it; small batches cost a fixed time.
  const first = runner(clock, (rows, run) => (run < 2 ? 1e-3 : 1e-4 + rows * 1e-7));
  const second = runner(clock, (rows) => rows * 4e-7);
  const [a, b] = race(
    [
      { sizes: [100, 1000], run: first.run },
      { sizes: [10], run: second.run },
    ],
    () => clock.now,
  );
  assert.ok(Math.abs(a! - 2e-7) < 1e-12, `${a}`);
  assert.ok(Math.abs(b! - 4e-7) < 1e-12, `${b}`);
  assert.deepEqual([...new Set(first.ran)], [100, 1000]);
  assert.deepEqual([...new Set(second.ran)], [10]);
});

test('it ends in time, and runs a slow one twice', () => {
  const clock = { now: 0 };
  const quick = runner(clock, () => 1e-4);
  race([{ sizes: [1], run: quick.run }], () => clock.now);
  assert.ok(clock.now >= raceMs / 1000 && clock.now < raceMs / 1000 + 1e-3, `${clock.now}`);
  const disturbed = runner(clock, () => 2 * raceMs * 1e-4);
  race([{ sizes: [1], run: disturbed.run }], () => clock.now);
  assert.equal(disturbed.ran.length, raceRoundsWanted);
  const slow = runner(clock, () => raceMsMax);
  race([{ sizes: [1], run: slow.run }], () => clock.now);
  assert.equal(slow.ran.length, 2);
});
