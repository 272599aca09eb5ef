import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { test } from 'node:test';
import { othersShare } from './environment.ts';
import { expectClose, median, medianRatio, timeRate } from './measure.ts';
import { isMet, stageLine } from './table.ts';

test('median of odd and even counts, whatever their order', () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 3, 2]), 2.5);
  assert.equal(median([10, 9]), 9.5);
});

test('a machine that slows down between rounds does not change the ratio', () => {
  assert.equal(medianRatio([9, 4.5, 0.9], [10, 5, 1]), 0.9);
});

test('work is repeated until the time is over', () => {
  let clockMs = 0;
  const work = (): number => {
    clockMs += 4;
    return 10;
  };
  assert.equal(
    timeRate(work, 0.01, () => clockMs),
    30 / 0.012,
    'three pieces of 4 ms',
  );
  assert.equal(
    timeRate(work, 0.004, () => clockMs),
    10 / 0.004,
    'one piece is enough',
  );
});

test('the fastest bare loop is the limit, and a copy from memory is none', () => {
  const loops = { ours: [9, 9, 9], 'bare 256': [5, 5, 5], 'bare 512': [10, 10, 10] };
  const score = stageLine('score', 'w1-network', loops, 1024);
  assert.equal(score.ratio, 0.9);
  assert.match(score.note, /512 rows a batch; ours: 1024/);
  assert.equal(isMet(score), false);
  const copies = { ours: [9, 9, 9], limit: [10, 10, 10], fromMemory: [20, 20, 20] };
  const write = stageLine('write', 'w1-network', copies, undefined);
  assert.equal(write.ratio, 0.9);
  assert.match(write.note, /0\.45 of one that has both columns in memory/);
  assert.equal(isMet(write), true);
});

test('memory and gaps are met from below', () => {
  const line = { what: '', measured: 1, limit: 1, unit: 'MB', target: 1, note: '' } as const;
  assert.equal(isMet({ ...line, ratio: 0.99 }), true);
  assert.equal(isMet({ ...line, ratio: 1.01 }), false);
});

test('what others take is neither ours nor less than nothing', () => {
  const cores = availableParallelism();
  const from = { busy: 100, stolen: 1, atMs: 0 };
  const second = { busy: 100 + cores, stolen: 1, atMs: 1000 };
  assert.equal(othersShare(from, second, 0), 1);
  assert.equal(othersShare(from, second, cores / 4), 0.75);
  assert.equal(othersShare(from, { ...second, busy: 100, stolen: 1 + cores / 2 }, 0), 0.5, 'stolen by another guest');
  assert.equal(othersShare(from, second, cores + 1), 0);
});

test('answers are compared relatively, small ones absolutely', () => {
  expectClose('x', 1000.001, 1000, 1e-5);
  expectClose('x', 0.000001, 0, 1e-5);
  assert.throws(() => expectClose('x', 1000.1, 1000, 1e-5), /Expected x to be 1000, got 1000.1/);
  assert.throws(() => expectClose('x', NaN, 0, 1e-5));
});
