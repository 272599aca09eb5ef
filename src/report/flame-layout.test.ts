import assert from 'node:assert/strict';
import { test } from 'node:test';
import { profileOf, type Call } from '../testing/thread-profiles.ts';
import { flameLayout, libraryOf } from './flame-layout.ts';

const everything = { depthMax: 100, shareMin: 0 };

function layout(root: Call, limits = everything) {
  return flameLayout(profileOf(root), limits).map(({ name, depth, selfMs, totalMs, left, right }) => ({
    name,
    depth,
    selfMs,
    totalMs,
    span: [left, right],
  }));
}

test('self and total time, callees beside each other, the longest first', () => {
  const root: Call = {
    name: '(root)',
    calls: [
      { name: 'short', self: 2 },
      { name: 'long', self: 3, calls: [{ name: 'inner', self: 5 }] },
    ],
  };
  assert.deepEqual(layout(root), [
    { name: 'the whole thread', depth: 0, selfMs: 0, totalMs: 10, span: [0, 1] },
    { name: 'long', depth: 1, selfMs: 3, totalMs: 8, span: [0, 0.8] },
    { name: 'inner', depth: 2, selfMs: 5, totalMs: 5, span: [0, 0.5] },
    { name: 'short', depth: 1, selfMs: 2, totalMs: 2, span: [0.8, 1] },
  ]);
});

test('a function that calls itself lies under itself, and its time is counted once for each frame', () => {
  const recursion: Call = {
    name: 'walk',
    self: 1,
    calls: [{ name: 'walk', self: 2, calls: [{ name: 'walk', self: 1 }] }],
  };
  const frames = layout({ name: '(root)', calls: [recursion] });
  assert.deepEqual(
    frames.map(({ depth, selfMs, totalMs }) => [depth, selfMs, totalMs]),
    [
      [0, 0, 4],
      [1, 1, 4],
      [2, 2, 3],
      [3, 1, 1],
    ],
  );
});

test('nodes of the same function under the same caller are one frame', () => {
  const twice: Call[] = [
    { name: 'read', url: 'file:///a.js', line: 4, self: 1, calls: [{ name: 'inner', self: 1 }] },
    { name: 'read', url: 'file:///a.js', line: 4, self: 2, calls: [{ name: 'inner', self: 1 }] },
    { name: 'read', url: 'file:///b.js', line: 4, self: 1 },
  ];
  assert.deepEqual(
    layout({ name: '(root)', calls: twice }).map(({ name, selfMs, totalMs }) => [name, selfMs, totalMs]),
    [
      ['the whole thread', 0, 6],
      ['read', 3, 5],
      ['inner', 2, 2],
      ['read', 1, 1],
    ],
  );
});

test('frames that are too deep or too small are left out, and stay in the totals of their callers', () => {
  const deep = (levels: number): Call =>
    levels === 0 ? { name: 'bottom', self: 1 } : { name: `level ${levels}`, self: 1, calls: [deep(levels - 1)] };
  const frames = layout({ name: '(root)', calls: [deep(60)] }, { depthMax: 10, shareMin: 0 });
  assert.equal(Math.max(...frames.map(({ depth }) => depth)), 10);
  assert.equal(frames[0]!.totalMs, 61);
  const small: Call = {
    name: '(root)',
    calls: [
      { name: 'large', self: 1999 },
      { name: 'small', self: 1 },
    ],
  };
  assert.deepEqual(
    layout(small, { depthMax: 10, shareMin: 0.001 }).map(({ name }) => name),
    ['the whole thread', 'large'],
  );
});

test('a profile without samples has no frames', () => {
  assert.deepEqual(layout({ name: '(root)' }), []);
  assert.deepEqual(flameLayout({ nodes: [], startTime: 0, endTime: 0 }), []);
});

test('whose code a function is', () => {
  const cases: [string, string, string][] = [
    ['duckdb_fetch_chunk', '', 'DuckDB'],
    ['query', 'file:///app/dist/src/engines/duckdb/database.js', 'DuckDB'],
    ['OrtRun', '', 'ONNX Runtime'],
    ['run', 'file:///app/dist/src/engines/onnxruntime/run.js', 'ONNX Runtime'],
    ['kernel', 'wasm://wasm/12ab', 'Tandem'],
    ['featurize', 'file:///app/dist/src/featurize/featurizer.js', 'Tandem'],
    ['(garbage collector)', '', 'Node'],
    ['readFileSync', 'node:fs', 'Node'],
    ['parse', 'file:///app/node_modules/zod/index.js', 'Node'],
  ];
  for (const [functionName, url, library] of cases)
    assert.equal(libraryOf({ functionName, url }), library, functionName);
});
