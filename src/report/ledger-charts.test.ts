import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Utilization } from '../run-record.ts';
import { cpuRunRecord, gpuRunRecord } from '../testing/run-records.ts';
import { firstBars, ledgerBarsMax, meanShares, scorerBars, threadBars, type BarPart } from './ledger-charts.ts';

function bars(parts: readonly BarPart[]): ReadonlyMap<string, readonly BarPart[]> {
  const names = new Set(parts.map(({ name }) => name));
  return new Map([...names].map((each) => [each, parts.filter(({ name }) => name === each)]));
}

for (const [run, record] of [
  ['GPU', gpuRunRecord()],
  ['CPU', cpuRunRecord()],
] as const) {
  test(`the parts of each bar of a ${run} run fill it from 0 to 1, without gaps`, () => {
    const ledger = record.result.ledger!;
    const all = bars([...scorerBars(ledger), ...threadBars(ledger)]);
    assert.equal(all.size, ledger.scorers.length + ledger.prep.length + (ledger.writer === undefined ? 0 : 1));
    for (const [name, parts] of all) {
      assert.equal(parts[0]!.from, 0, name);
      assert.ok(Math.abs(parts.at(-1)!.to - 1) < 1e-9, name);
      parts.slice(1).forEach((part, index) => assert.equal(part.from, parts[index]!.to, name));
      const seconds = parts.reduce((sum, part) => sum + part.seconds, 0);
      assert.ok(Math.abs(seconds - ledger.wallSeconds) < 1e-6, name);
    }
    const means = meanShares(scorerBars(ledger)).reduce((sum, { share }) => sum + share, 0);
    assert.ok(Math.abs(means - 1) < 1e-9);
  });
}

test('a chart has so many bars at most', () => {
  const part = scorerBars(gpuRunRecord().result.ledger!)[0]!;
  const many = Array.from({ length: ledgerBarsMax + 5 }, (_, index) => ({ ...part, name: `cpu thread ${index}` }));
  assert.deepEqual(firstBars(many), many.slice(0, ledgerBarsMax));
});
