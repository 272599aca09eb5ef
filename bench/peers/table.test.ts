import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tempDir } from '../../src/testing/shards.ts';
import { renderChart } from '../chart.ts';
import type { Contestant, PeerRun } from './rounds.ts';
import { chartOf, inOrder, renderStandings, standings } from './table.ts';

function run(wallSeconds: number, steadySeconds: number, cpuSeconds: number, peakBytes: number): PeerRun {
  const memory = { peakRssBytes: peakBytes + 1e6, peakPssBytes: peakBytes, processesMax: 1 };
  return { wallSeconds, steadySeconds, cpuSeconds, ...memory, othersShare: 0.1, differenceMax: 2e-7 };
}

const slow: Contestant = {
  workload: 'w1-network',
  peer: 'rows',
  rows: 1_000_000,
  runs: [run(50, 25, 60, 4e8), run(100, 50, 60, 4e8), run(50, 25, 60, 4e8)],
};
const contestants: readonly Contestant[] = [
  slow,
  { ...slow, peer: 'tandem', runs: [run(1, 0.5, 2, 1e8), run(2, 1, 2, 1e8), run(1, 0.5, 2, 1e8)] },
  { ...slow, peer: 'loop', rows: 10_000_000, runs: [run(8, 5, 16, 3e8), run(16, 10, 16, 9e8), run(8, 5, 16, 3e8)] },
  { ...slow, peer: 'tandem', rows: 10_000_000, runs: [run(4, 2, 8, 2e8), run(8, 4, 8, 3e8), run(4, 2, 8, 2e8)] },
];

test('ratios are within a round, with the same rows; steady against the run with the most rows', () => {
  const lines = standings(contestants);
  const [rows, , loop] = lines;
  assert.equal(loop!.wholeRate, 1_250_000);
  assert.equal(loop!.wholeRatio, 2);
  assert.equal(loop!.steadyRatio, 2.5);
  assert.equal(loop!.cpuRatio, 2);
  assert.equal(loop!.cpuSecondsPerMillionRows, 1.6);
  assert.equal(loop!.peakBytes, 9e8);
  assert.equal(loop!.peakRatio, 3);
  assert.equal(rows!.wholeRatio, 50);
  assert.equal(rows!.steadyRatio, 5_000_000 / 40_000);
  assert.equal(rows!.cpuRatio, 30);
});

test('the table has a line for each contestant and names who is missing', () => {
  const failures = [{ peer: 'ray', workload: undefined, reason: 'Expected python3' }];
  const text = renderStandings(inOrder(standings(contestants)), failures);
  const peers = text.split('\n').flatMap((line) => /^\s*W1\s+(\S+)/.exec(line)?.[1] ?? []);
  assert.deepEqual(peers, ['tandem', 'loop', 'tandem', 'rows']);
  assert.match(text, /loop\s+10,000,000\s+1\.25\s+2\.0\s+2\.00\s+2\.5\s+1\.60\s+2\.0\s+900\s+3\.0\s+10 %\s+2e-7/);
  assert.match(text, /not measured: ray: Expected python3/);
});

test('a peer with rows that Tandem has not run with is a bug', () => {
  assert.throws(() => standings([{ ...slow, rows: 5 }, ...contestants]), /5 rows beside rows, got none. This is a bug/);
});

test('without proportional sizes the resident ones count', () => {
  const runs = slow.runs.map((one) => ({ ...one, peakPssBytes: NaN }));
  const [line] = standings([{ ...slow, runs }, ...contestants.slice(1)]);
  assert.equal(line!.peakBytes, 4e8 + 1e6);
});

test('the chart has a mark for each figure and names every peer', async (t) => {
  const path = join(tempDir(t), 'peers.svg');
  await renderChart(chartOf(inOrder(standings(contestants)), 'two cores'), path);
  const svg = readFileSync(path, 'utf8');
  // Three peers (Tandem with the most rows only): two rates, CPU and memory each.
  assert.equal(svg.match(/aria-roledescription="point"/g)?.length, 12);
  for (const name of ['tandem', 'loop', 'rows (1,000,000 rows)', 'W1 network'])
    assert.ok(svg.includes(`>${name}</text>`), name);
});
