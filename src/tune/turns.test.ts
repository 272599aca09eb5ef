import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tuneRoundsMax, tuneRoundsMin } from '../limits.ts';
import { chooseLeast, mayTry, measureInTurn, median, noiseOf } from './turns.ts';

/** Candidates are their own rates; `rateOf` may make them drift with the number of the trial. */
async function turns(
  rates: readonly number[],
  rateOf = (rate: number, _trial: number) => rate,
  goesOn: (round: number) => boolean = () => true,
) {
  const order: number[] = [];
  const { samples } = await measureInTurn(
    rates,
    async (rate) => rateOf(rate, order.push(rates.indexOf(rate)) - 1),
    goesOn,
  );
  return { samples, order };
}

test('each candidate is measured three times, in alternating order', async () => {
  const { samples, order } = await turns([100, 99, 98]);
  assert.deepEqual(order, [0, 1, 2, 2, 1, 0, 0, 1, 2]);
  assert.deepEqual(
    samples.map(({ length }) => length),
    [tuneRoundsMin, tuneRoundsMin, tuneRoundsMin],
  );
});

test('what is far below twice is out, what was so once by chance is not', async () => {
  const { samples } = await turns([100, 50, 90], (rate, trial) => (trial === 2 ? 10 : rate));
  assert.deepEqual(samples, [
    [100, 100, 100],
    [50, 50],
    [10, 90, 90],
  ]);
});

test('noise is answered with more trials, up to a bound', async () => {
  const { samples } = await turns([100, 101], (rate, trial) => rate * [1.15, 0.9, 1][trial % 3]!);
  assert.deepEqual(
    samples.map(({ length }) => length),
    [tuneRoundsMax, tuneRoundsMax],
  );
});

test('it ends when the time is up', async () => {
  const { samples } = await turns([100, 99], undefined, (round) => round < 1);
  assert.deepEqual(samples, [[100], [99]]);
  assert.deepEqual((await turns([100, 99], undefined, () => false)).samples, [[], []]);
});

test('trials end with the time, but for one of each candidate', () => {
  const descent = { allSeconds: 60, shareEndSeconds: 30, isLast: false };
  assert.deepEqual(
    [0, 20, 30, 50, 51, 200].map((seconds) => [0, 1, 2, 3].map((round) => mayTry(round, seconds, descent))),
    [
      [true, true, true, true],
      [true, true, true, true],
      [true, true, true, false],
      [true, true, true, false],
      [true, false, false, false],
      [true, false, false, false],
    ],
  );
  const end = { ...descent, shareEndSeconds: 70, isLast: true };
  assert.deepEqual([mayTry(1, 59, end), mayTry(5, 59, end), mayTry(1, 60, end)], [true, true, false]);
});

test('the first within three percent of the best wins', () => {
  assert.equal(chooseLeast([90, 97.1, 100, 99]), 1);
  assert.equal(chooseLeast([90, 96.9, 100, 101]), 2);
  assert.equal(chooseLeast([0, 0, 7]), 2);
  assert.equal(chooseLeast([]), -1);
});

test('noise is the median distance between trials that follow each other', () => {
  assert.equal(noiseOf([[100, 150, 75], [5], [8, 8]]), 0.5);
  assert.equal(noiseOf([[5], []]), 0);
  assert.equal(median([3, 1, 2, 10]), 2.5);
});
