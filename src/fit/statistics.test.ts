import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../testing/random.ts';
import { momentsOf, quantileOf } from '../testing/statistics.ts';
import { DigitCounter } from './digits.ts';
import { addRepeated, addValues, emptyTally, mergeTally, tally } from './moments.ts';
import { QuantileSearch } from './quantiles.ts';

/** Parts of about equal length. */
function cut<T>(values: readonly T[], parts: number): T[][] {
  const size = Math.ceil(values.length / parts);
  return Array.from({ length: parts }, (_, i) => values.slice(i * size, (i + 1) * size));
}

function momentsInParts(values: readonly number[], parts: number, chunk: number): Float64Array {
  const whole = emptyTally();
  for (const part of cut(values, parts)) {
    const one = emptyTally();
    for (let i = 0; i < part.length; i += chunk) {
      const some = Float64Array.from(part.slice(i, i + chunk));
      assert.ok(addValues(one, some, some.length));
    }
    mergeTally(whole, one);
  }
  return whole;
}

function near(actual: number, expected: number, scale: number, label: string): void {
  assert.ok(Math.abs(actual - expected) <= 1e-12 * scale, `${label}: ${actual} instead of ${expected}`);
}

test('mean and deviation of parts are those of the whole, also far from 0', () => {
  const next = seededRandom(7);
  for (const [offset, scale] of [
    [0, 1],
    [1e6, 1e-2],
    [-3e5, 1e3],
    [1e-9, 1e-9],
  ] as const) {
    for (const length of [1, 2, 3, 5, 2048, 20_001]) {
      const values = Array.from({ length }, () => offset + scale * (next() + next() - 1));
      const expected = momentsOf(values);
      for (const parts of [1, 2, 7]) {
        const found = momentsInParts(values, parts, 1000);
        const label = `${length} values about ${offset} in ${parts} parts`;
        assert.equal(found[tally.count], length, label);
        near(found[tally.mean]!, expected.mean, Math.max(Math.abs(expected.mean), scale), label);
        const deviation = Math.sqrt(found[tally.squares]! / length);
        // Differences of two numbers near the offset have lost what they have in common.
        const lost = (Math.abs(offset) / scale) * Number.EPSILON * 4;
        assert.ok(Math.abs(deviation - expected.population) <= (1e-12 + lost) * scale, label);
        assert.equal(found[tally.min], Math.min(...values), label);
        assert.equal(found[tally.max], Math.max(...values), label);
      }
    }
  }
});

test('a value that stands for many counts as often, and sums that are not finite are refused', () => {
  const values = [1, 2, 4];
  const found = momentsInParts(values, 1, 3);
  addRepeated(found, 10, 5);
  addRepeated(found, NaN, 5);
  addRepeated(found, 3, 0);
  const expected = momentsOf([...values, 10, 10, 10, 10, 10]);
  near(found[tally.mean]!, expected.mean, 1, 'mean');
  near(found[tally.squares]!, expected.population ** 2 * 8, 1, 'squares');
  for (const odd of [NaN, Infinity, -Infinity]) {
    const into = emptyTally();
    assert.equal(addValues(into, Float64Array.of(1, odd, 2), 3), false);
    assert.deepEqual(into, emptyTally());
  }
});

/** Quantiles by as many passes as it takes, each by several counters. */
function search(values: readonly number[], shares: readonly number[], parts = 3, repeated = { value: NaN, count: 0 }) {
  const quantiles = new QuantileSearch(shares);
  let passes = 0;
  for (let wanted = quantiles.search; wanted !== undefined; wanted = quantiles.search) {
    const counters = cut(values, parts).map((part) => {
      const counter = new DigitCounter(wanted);
      const some = Float64Array.from(part);
      counter.add(some, some.length);
      return counter;
    });
    quantiles.take(counters, repeated);
    passes++;
  }
  return { passes, count: quantiles.count, quantiles: quantiles.quantiles };
}

const shares = [0, 0.01, 0.1, 0.25, 1 / 3, 0.5, 0.75, 0.9, 0.99, 0.999, 1];

test('quantiles are exact for every kind of numbers', () => {
  const next = seededRandom(11);
  const kinds: [name: string, value: () => number, passesMax: number][] = [
    ['uniform', () => next(), 5],
    ['both signs', () => (next() - 0.5) * 10 ** (next() * 20 - 10), 5],
    ['float32', () => Math.fround(next() * 1000 - 500), 3],
    ['small whole numbers', () => Math.floor(next() * 10) - 4, 2],
    ['bits', () => Math.floor(next() * 2), 1],
    ['whole numbers', () => Math.floor(next() * 60_000) - 30_000, 2],
    ['ties of long numbers', () => [0.1, 0.2, -0.3, 1e300, -1e-310][Math.floor(next() * 5)]!, 5],
    ['infinite ones', () => [Infinity, -Infinity, 1, 2][Math.floor(next() * 4)]!, 5],
    ['zeros of both signs', () => (next() < 0.5 ? -0 : 0), 5],
    ['huge and tiny', () => [Number.MAX_VALUE, -Number.MAX_VALUE, 5e-324, -5e-324][Math.floor(next() * 4)]!, 5],
  ];
  for (const [name, value, passesMax] of kinds) {
    for (const length of [1, 2, 3, 100, 30_000]) {
      const values = Array.from({ length }, value);
      const found = search(values, shares);
      const label = `${length} ${name}`;
      assert.equal(found.count, length, label);
      assert.ok(found.passes <= passesMax, `${label}: ${found.passes} passes`);
      assert.deepEqual(
        found.quantiles!.map((quantile) => quantile + 0),
        shares.map((share) => quantileOf(values, share) + 0),
        label,
      );
    }
  }
});

test('what replaces nulls is counted as often, few or many', () => {
  const next = seededRandom(3);
  const values = Array.from({ length: 5000 }, () => next());
  for (const [value, count] of [
    [0.25, 3],
    [0.25, 4000],
    [-7, 5001],
    [1 / 3, 20_000],
  ] as const) {
    const all = [...values, ...Array<number>(count).fill(value)];
    const found = search(values, shares, 4, { value, count });
    assert.deepEqual(
      found.quantiles,
      shares.map((share) => quantileOf(all, share)),
      `${count} of ${value}`,
    );
  }
  assert.equal(search(values, shares, 2, { value: NaN, count: 9 }).count, 5000);
  assert.equal(search([], shares).quantiles, undefined);
  assert.deepEqual(search([], [0.5], 1, { value: 4, count: 2 }).quantiles, [4]);
});
