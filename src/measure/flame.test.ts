import assert from 'node:assert/strict';
import type { Profiler } from 'node:inspector';
import { test } from 'node:test';
import { foldNativeCalls, hottest, summedProfile } from './flame.ts';
import { selfMicroseconds } from './self-time.ts';

/** A node: id, function, file, children. */
type Row = readonly [id: number, functionName: string, url: string, children: readonly number[]];

/** One sample each 10 ms. */
function profileOf(rows: readonly Row[], samples: readonly number[]): Profiler.Profile {
  return {
    nodes: rows.map(([id, functionName, url, children]) => ({
      id,
      callFrame: { functionName, url, scriptId: '0', lineNumber: 6, columnNumber: 0 },
      hitCount: samples.filter((sample) => sample === id).length,
      children: [...children],
    })),
    startTime: 1000,
    endTime: 1000 + samples.length * 10_000,
    samples: [...samples],
    timeDeltas: samples.map((_, index) => (index === 0 ? 0 : 10_000)),
  };
}

/** A query whose rows JavaScript makes, which calls native code by a name and without one. */
const nested = profileOf(
  [
    [1, '(root)', '', [2, 9]],
    [2, 'duckdb_query', 'native:libduckdb', [3]],
    [3, 'anyName', '', [4]],
    [4, 'fill', 'file:///a/dist/src/write.js', [5, 7, 8]],
    [5, 'OrtRun', 'native:libonnxruntime', [6]],
    [6, 'anyName', '', []],
    [7, 'anyName', '', []],
    [8, '', 'file:///a/node_modules/b/c.js', []],
    [9, '(idle)', '', []],
  ],
  [3, 3, 6, 6, 6, 7, 8, 9, 9],
);

test('the time of C functions goes to the functions that bear their names', () => {
  const folded = foldNativeCalls(nested);
  assert.deepEqual(
    folded.nodes.map(({ id, callFrame, hitCount, children }) => [id, callFrame.functionName, hitCount, children]),
    [
      [1, '(root)', 0, [2, 9]],
      [2, 'duckdb_query', 2, [4]],
      [4, 'fill', 0, [5, 7, 8]],
      [5, 'OrtRun', 3, []],
      [7, '(native add-on)', 1, []],
      [8, '', 1, []],
      [9, '(idle)', 2, []],
    ],
  );
  assert.deepEqual(folded.samples, [2, 2, 5, 5, 5, 7, 8, 9, 9]);
  assert.equal(
    [...selfMicroseconds(folded).values()].reduce((sum, each) => sum + each, 0),
    90_000,
  );
});

test('the hottest functions over all threads, without those that slept', () => {
  const asleep = profileOf(
    [
      [1, '(root)', '', [2, 3]],
      [2, 'sleep', 'native:sleep', []],
      [3, 'OrtRun', 'native:libonnxruntime', []],
    ],
    [2, 2, 2, 3],
  );
  const profiles = [
    { thread: 'prep 0', profile: foldNativeCalls(nested) },
    { thread: 'prep 1', profile: asleep },
  ];
  assert.deepEqual(
    hottest(profiles, 4).map(({ name, file, selfSeconds, share, threads }) => [
      name,
      file,
      Math.round(selfSeconds * 1000),
      Math.round(share * 8),
      threads,
    ]),
    [
      ['OrtRun', 'libonnxruntime', 40, 4, 2],
      ['duckdb_query', 'libduckdb', 20, 2, 1],
      ['(native add-on)', '', 10, 1, 1],
      ['(line 7)', 'b/c.js', 10, 1, 1],
    ],
  );
  assert.deepEqual(hottest([], 4), []);
});

test('a summed profile has every function its time, whatever the number of samples', () => {
  const calls = [
    [1, '(root)', '', [2, 4]],
    [2, 'busy', '', [3]],
    [3, 'rare', '', []],
    [4, '(idle)', '', []],
  ] as const;
  // One sample of 4,000 is below the least share; it counts with its caller.
  const samples = Array.from({ length: 4_000 }, (_, index) => (index === 1_999 ? 3 : index % 4 === 0 ? 4 : 2));
  const long = profileOf(calls, samples);
  const summed = summedProfile(long);
  assert.deepEqual(
    summed.nodes.map(({ id, children }) => [id, children]),
    [
      [1, [2, 4]],
      [2, []],
      [4, []],
    ],
  );
  assert.deepEqual(
    [...selfMicroseconds(summed)],
    [
      [1, 0],
      [2, 30_000_000],
      [4, 10_000_000],
    ],
  );
  assert.equal(summed.endTime - summed.startTime, 40_000_000);
  assert.deepEqual(summedProfile(summed), summed);
  const nothing = { nodes: [], startTime: 0, endTime: 0 };
  assert.deepEqual(summedProfile(nothing), nothing);
});
