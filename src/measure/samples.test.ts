import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunSample } from '../run-record.ts';
import { mergeSamples, SampleSeries } from './samples.ts';

/** One second of a run that scores `rows` rows in each second. */
function sampleAt(second: number, rows = 100): RunSample {
  return {
    atSeconds: second,
    rowsDone: second * rows,
    rowsPerSecond: rows,
    shares: second % 2 === 0 ? { decode: 1 } : { compute: 1 },
    queueDepths: [second % 4],
    batchSize: second,
    residentBytes: second % 10,
    deviceBytes: [7],
  };
}

test('two samples as one: means by their time, peaks of memory', () => {
  const first = { ...sampleAt(1, 300), residentBytes: 9 };
  const second = { ...sampleAt(4, 100), atSeconds: 4, rowsDone: 600, queueDepths: [4] };
  assert.deepEqual(mergeSamples(0, first, second), {
    atSeconds: 4,
    rowsDone: 600,
    rowsPerSecond: (300 * 1 + 100 * 3) / 4,
    shares: { compute: 0.25, decode: 0.75 },
    queueDepths: [0.25 * 1 + 0.75 * 4],
    batchSize: 4,
    residentBytes: 9,
    deviceBytes: [7],
  });
});

for (const count of [0, 1, 7, 8, 9, 15, 16, 17, 100, 1000, 1023, 1024]) {
  test(`${count} samples stay within 8, even over the run, and lose no row`, () => {
    const series = new SampleSeries(8);
    for (let second = 1; second <= count; second++) series.add(sampleAt(second));
    const { samples } = series;
    assert.ok(samples.length <= 8 && samples.length >= Math.min(count, 4), `${samples.length}`);
    assert.equal(samples.at(-1)?.atSeconds, count === 0 ? undefined : count);
    const lengths = samples.map(({ atSeconds }, index) => atSeconds - (samples[index - 1]?.atSeconds ?? 0));
    // All are as long as the first one, but the last one, which may still be growing.
    assert.ok(
      lengths.slice(0, -1).every((length) => length === lengths[0]),
      lengths.join(),
    );
    assert.ok((lengths.at(-1) ?? 0) <= (lengths[0] ?? 0));
    const rows = samples.reduce((sum, { rowsPerSecond }, index) => sum + rowsPerSecond * lengths[index]!, 0);
    assert.equal(Math.round(rows), count * 100);
    for (const { shares } of samples) {
      assert.ok(Math.abs(Object.values(shares).reduce((sum, share) => sum + share, 0) - 1) < 1e-9);
    }
  });
}
