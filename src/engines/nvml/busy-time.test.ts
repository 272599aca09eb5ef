import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addSamples, clockOf, noBusyTime, samplePeriodUsMax, type BusyTime, type Window } from './busy-time.ts';
import type { BusySample } from './nvml.ts';

const ms = 1000;
const window: Window = { startUs: 1000 * ms, endUs: 2000 * ms };

/** From milliseconds and percent. */
function samples(...list: readonly (readonly [number, number])[]): BusySample[] {
  return list.map(([atMs, percent]) => ({ atUs: atMs * ms, percent }));
}

function from(lastMs: number | undefined): BusyTime {
  return { ...noBusyTime, lastUs: lastMs === undefined ? undefined : lastMs * ms };
}

/** As milliseconds. */
function sum(before: BusyTime, list: readonly BusySample[], within = window): (number | undefined)[] {
  const { busyUs, coveredUs, lastUs } = addSamples(before, list, within);
  return [busyUs / ms, coveredUs / ms, lastUs === undefined ? undefined : lastUs / ms];
}

describe('samples over a window', () => {
  for (const [what, before, list, expected] of [
    ['none', from(900), samples(), [0, 0, 900]],
    ['none, and none before', from(undefined), samples(), [0, 0, undefined]],
    ['each stands for the time since the one before', from(1000), samples([1200, 50], [1500, 100]), [400, 500, 1500]],
    ['the first of all has no beginning', from(undefined), samples([1200, 50], [1500, 100]), [300, 300, 1500]],
    ['clipped at the start', from(900), samples([1100, 40]), [40, 100, 1100]],
    ['clipped at the end', from(1900), samples([2100, 40]), [40, 100, 2100]],
    ['clipped at both', from(900), samples([1900, 100], [2500, 50]), [900 + 50, 1000, 2500]],
    ['before the window', from(500), samples([700, 100], [1000, 100]), [0, 0, 1000]],
    ['after the window', from(2000), samples([2200, 100]), [0, 0, 2200]],
    ['known already', from(1500), samples([1300, 100], [1500, 100], [1600, 100]), [100, 100, 1600]],
    ['no percentage', from(1000), samples([1200, 101], [1400, -1], [1500, NaN], [1600, 100]), [100, 100, 1600]],
    ['idle is known, too', from(1000), samples([1500, 0]), [0, 500, 1500]],
  ] as const) {
    test(what, () => {
      assert.deepEqual(sum(before, list), expected);
    });
  }

  test('a gap longer than a period is not covered', () => {
    const long: Window = { startUs: 0, endUs: 100_000 * ms };
    assert.deepEqual(sum(from(1000), samples([9000, 50]), long), [500, samplePeriodUsMax / ms, 9000]);
  });

  test('in parts it is the same as at once', () => {
    const all = samples(...Array.from({ length: 40 }, (_, index) => [850 + index * 37, (index * 29) % 101] as const));
    const open: Window = { startUs: window.startUs, endUs: Infinity };
    for (let cut = 0; cut <= 31; cut++) {
      const parts = addSamples(addSamples(from(800), all.slice(0, cut), open), all.slice(cut), window);
      const whole = addSamples(from(800), all, window);
      assert.ok(Math.abs(parts.busyUs - whole.busyUs) < 1e-6);
      assert.equal(parts.coveredUs, whole.coveredUs);
      assert.equal(whole.coveredUs, 1000 * ms);
    }
  });
});

test('a sample goes by the clock that it is nearest to', () => {
  const readings = [5_000 * 1e6, 9_000 * 1e6, 1.7e15];
  assert.equal(clockOf(4_999.8 * 1e6, readings), 0);
  assert.equal(clockOf(9_000.1 * 1e6, readings), 1);
  assert.equal(clockOf(1.7e15 - 4e5, readings), 2);
});
