import assert from 'node:assert/strict';
import { test } from 'node:test';
import { racePatience, raceRoundsMin, raceRoundsWanted } from '../../limits.ts';
import { race, raceTwice } from './race.ts';

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
      { sizes: [100, 1000], isReady: false, run: first.run },
      { sizes: [10], isReady: true, run: second.run },
    ],
    0.02,
    () => clock.now,
  );
  assert.ok(Math.abs(a! - 2e-7) < 1e-12, `${a}`);
  assert.ok(Math.abs(b! - 4e-7) < 1e-12, `${b}`);
  assert.deepEqual([...new Set(first.ran)], [100, 1000]);
  assert.deepEqual([...new Set(second.ran)], [10]);
});

test('it ends in time, and runs a slow one twice', () => {
  const clock = { now: 0 };
  const seconds = 0.02;
  const runs = (each: number): number => {
    const contender = runner(clock, () => each);
    race([{ sizes: [1], isReady: false, run: contender.run }], seconds, () => clock.now);
    return contender.ran.length;
  };
  assert.ok(Math.abs(runs(1e-4) - seconds / 1e-4) <= 1);
  assert.equal(runs(2 * seconds * 0.1), raceRoundsWanted);
  assert.equal(runs(racePatience * seconds), 2);
});

test('who has clearly lost leaves, but not who may still become faster; the last one need not run alone', () => {
  const clock = { now: 0 };
  const slow = runner(clock, () => 1e-3);
  const late = runner(clock, (_, run) => (run < 5 ? 1e-2 : 1e-4));
  const fast = runner(clock, () => 2e-4);
  const contend = ({ run }: { run: (rowCount: number) => void }, isReady: boolean) => ({ sizes: [1], isReady, run });
  const best = race([contend(slow, true), contend(late, false), contend(fast, false)], 0.1, () => clock.now);
  assert.deepEqual(
    best.map((seconds) => Number(seconds.toPrecision(3))),
    [1e-3, 1e-4, 2e-4],
  );
  assert.equal(slow.ran.length, raceRoundsMin);
  const [one, other] = [runner(clock, () => 1e-3), runner(clock, () => 1e-4)];
  race([contend(one, true), contend(other, false)], 0.1, () => clock.now);
  assert.deepEqual([one.ran.length, other.ran.length], [raceRoundsMin, raceRoundsMin]);
});

test('one whose time is known runs only where it might still win', () => {
  const outcome = (knownSeconds: number, otherSeconds: number) => {
    const clock = { now: 0 };
    const [known, other] = [runner(clock, () => 1e-3), runner(clock, () => otherSeconds)];
    const contenders = [
      { sizes: [1], isReady: true, known: knownSeconds, run: known.run },
      { sizes: [1], isReady: false, run: other.run },
    ];
    const best = race(contenders, 0.02, () => clock.now).map((seconds) => Number(seconds.toPrecision(3)));
    return { best, ran: known.ran.length > 0 };
  };
  assert.deepEqual(outcome(1.1e-3, 1e-4), { best: [1.1e-3, 1e-4], ran: false });
  assert.deepEqual(outcome(1.1e-3, 8e-4), { best: [1e-3, 8e-4], ran: true });
  // One that was slow by chance gets another try.
  assert.deepEqual(outcome(1.5e-3, 1.2e-3), { best: [1e-3, 1.2e-3], ran: true });
});

test('what is slow until it has run for a while gets a second race', () => {
  const times = (runsUntilFast: number) => {
    const clock = { now: 0 };
    const first = runner(clock, () => 1e-3);
    const second = runner(clock, (_rows, run) => (run < runsUntilFast ? 5e-3 : 1e-4));
    const contenders = [first, second].map(({ run }, index) => ({ sizes: [1], isReady: index === 0, run }));
    const [a, b] = raceTwice(contenders, [5e-3, 50e-3], () => clock.now);
    return { wins: b! < a!, seconds: clock.now };
  };
  assert.equal(times(1).wins, true);
  assert.equal(times(12).wins, true);
  assert.equal(times(1000).wins, false);
  assert.ok(times(1).seconds < 0.03 && times(1000).seconds < 0.3);
});
