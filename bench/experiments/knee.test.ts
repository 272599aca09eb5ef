import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sizesUpTo } from './batch-size.ts';
import { findKnee, fitCallCost, kneeSentences, type CurvePoint } from './knee.ts';

const caches = [
  { name: 'L1', bytes: 32 * 1024 },
  { name: 'L2', bytes: 512 * 1024 },
];
const widest = { name: 'the layer of 256 values', bytesPerRow: 1024 };

/** 4 µs a call, 0.5 µs a row; `slower`: factor by rows. */
function curve(slower: (rows: number) => number = () => 1): CurvePoint[] {
  return sizesUpTo(100_000).map((rows) => ({ rows, secondsPerCall: (4e-6 + 0.5e-6 * rows) * slower(rows) }));
}

function near(found: number, expected: number, tolerance = 1e-9): void {
  assert.ok(Math.abs(found / expected - 1) <= tolerance, `${found}, expected ${expected}`);
}

test('sizes are the powers of ten and of two, each once', () => {
  assert.deepEqual(sizesUpTo(20), [1, 2, 4, 8, 10, 16]);
  const sizes = sizesUpTo(100_000);
  for (const size of [1, 10, 100, 1_000, 10_000, 100_000, 65_536])
    assert.equal(sizes.filter((s) => s === size).length, 1);
  assert.equal(sizes.at(-1), 100_000);
});

test('a line is found again, whatever its scale', () => {
  for (const scale of [1e-3, 1, 1e6]) {
    const points = curve().map(({ rows, secondsPerCall }) => ({ rows, secondsPerCall: secondsPerCall * scale }));
    const cost = fitCallCost(points);
    near(cost.perCallSeconds, 4e-6 * scale, 1e-6);
    near(cost.perRowSeconds, 0.5e-6 * scale, 1e-6);
    assert.ok(cost.misfit < 1e-6);
  }
});

test('small calls weigh as much as large ones: one large call that is off does not hide what a call costs', () => {
  const cost = fitCallCost(curve((rows) => (rows === 100_000 ? 1.1 : 1)));
  near(cost.perCallSeconds, 4e-6, 0.02);
  assert.ok(cost.misfit > 0.08 && cost.misfit < 0.1, String(cost.misfit));
});

test('no cost is negative, and one point is no line', () => {
  const falling = [1, 2, 4, 8].map((rows) => ({ rows, secondsPerCall: 1e-6 * rows ** 1.2 }));
  assert.equal(fitCallCost(falling).perCallSeconds, 0);
  const flat = [1, 2, 4].map((rows) => ({ rows, secondsPerCall: 1e-6 / rows }));
  assert.equal(fitCallCost(flat).perRowSeconds, 0);
  assert.throws(() => fitCallCost(curve().slice(0, 1)), /Expected at least 2 points for a line, got 1\./);
});

test('the knee is the smallest batch within 3 % of the best; without a fall there is none', () => {
  const knee = findKnee(curve());
  assert.equal(knee.bestRows, 100_000);
  near(knee.halfAtRows, 8, 1e-6);
  // 8 / (8 + n) <= 3 % from n = 259 on.
  assert.equal(knee.kneeRows, 512);
  assert.equal(knee.fallsFromRows, undefined);
  assert.equal(knee.lastShare, 1);
  const sentence = kneeSentences(knee, widest, caches);
  assert.match(sentence, /A call costs 4 µs whatever its size, and 0\.5 µs more for each row/);
  assert.match(sentence, /at 8 rows half of the time is the call's/);
  assert.match(sentence, /has 512 rows; the call then takes 1\.5 % of the time/);
  assert.match(sentence, /does not fall again up to 100,000 rows\.$/);
});

test('where the rate falls again, the bytes of the widest activation are compared with the caches', () => {
  const knee = findKnee(curve((rows) => (rows > 2_048 ? 1.5 : 1)));
  assert.equal(knee.bestRows, 2_048);
  assert.equal(knee.fallsFromRows, 4_096);
  near(knee.lastShare, 2 / 3, 0.01);
  near(knee.cost.perCallSeconds, 4e-6, 1e-6);
  assert.match(
    kneeSentences(knee, widest, caches),
    /From 4,096 rows on it falls again, by 33 % at 100,000: .* the layer of 256 values, takes 4\.0 MiB, more than L2 \(512\.0 KiB\)\.$/,
  );
  const between = kneeSentences(knee, { ...widest, bytesPerRow: 64 }, caches);
  assert.match(between, /takes 256\.0 KiB, more than L1 \(32\.0 KiB\), less than L2 \(512\.0 KiB\)\.$/);
  const small = kneeSentences(knee, { ...widest, bytesPerRow: 4 }, caches);
  assert.match(small, /still fits into L1 \(32\.0 KiB\), so the widest activation is not why\.$/);
  assert.match(kneeSentences(knee, widest, []), /takes 4\.0 MiB\.$/);
});

test('a dip before the best is no fall', () => {
  const knee = findKnee(curve((rows) => (rows === 1_024 ? 2 : 1)));
  assert.equal(knee.fallsFromRows, undefined);
});
