import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareScores } from './agreement.ts';

const outputs = [
  { name: 'label', width: 1 },
  { name: 'p', width: 2 },
];

test('equal scores agree, NaN and signed zeros included', () => {
  const scores = [BigInt64Array.of(1n, 0n), Float32Array.of(0.5, NaN, -0, Infinity)];
  const others = [BigInt64Array.of(1n, 0n), Float32Array.of(0.5, NaN, 0, Infinity)];
  assert.deepEqual(compareScores(outputs, scores, others, 2), { rowCount: 2, differenceMax: 0, worst: undefined });
});

test('the worst value is named, as a share of the largest', () => {
  const ours = [BigInt64Array.of(1n, 1n, 1n), Float32Array.of(0.5, 0.25, 2048, 3, 0, 512)];
  const theirs = [BigInt64Array.of(1n, 1n, 1n), Float32Array.of(0.5, 0.125, 2048, 3, 0, 0)];
  assert.deepEqual(compareScores(outputs, ours, theirs, 3), {
    rowCount: 3,
    differenceMax: 0.25,
    worst: { row: 2, value: 'p[1]', kernel: '512', onnxRuntime: '0', isGross: true },
  });
});

test('values below 1 differ by what they differ', () => {
  const found = compareScores([{ name: 'p', width: 1 }], [Float32Array.of(0.25)], [Float32Array.of(0.125)], 1);
  assert.equal(found.differenceMax, 0.125);
});

test('another label, and NaN on one side, agree with nothing', () => {
  const p = Float32Array.of(0.2, 0.8);
  const label = compareScores(outputs, [BigInt64Array.of(1n), p], [BigInt64Array.of(0n), p], 1);
  assert.deepEqual(label.worst, { row: 0, value: 'label', kernel: '1', onnxRuntime: '0', isGross: true });
  assert.equal(label.differenceMax, Infinity);
  const labels = BigInt64Array.of(1n);
  const nan = compareScores(outputs, [labels, Float32Array.of(0.2, NaN)], [labels, p], 1);
  assert.deepEqual([nan.differenceMax, nan.worst?.value], [Infinity, 'p[1]']);
});

test('rows beyond the count do not matter', () => {
  const labels = BigInt64Array.of(1n, 2n);
  const scores = compareScores(
    outputs,
    [labels, Float32Array.of(1, 1, 1, 1)],
    [labels, Float32Array.of(1, 1, 9, 9)],
    1,
  );
  assert.equal(scores.differenceMax, 0);
});

test('what rounding may explain is not gross: small differences, labels that are about as likely', () => {
  const labels = [BigInt64Array.of(1n, 0n), BigInt64Array.of(0n, 0n)] as const;
  const tie = Float32Array.of(0.50001, 0.49999, 0.3, 0.7);
  const found = compareScores(outputs, [labels[0], tie], [labels[1], tie], 2);
  assert.deepEqual([found.differenceMax, found.worst?.isGross], [Infinity, false]);
  const clear = Float32Array.of(0.6, 0.4, 0.3, 0.7);
  assert.equal(compareScores(outputs, [labels[0], clear], [labels[1], clear], 2).worst?.isGross, true);
  const near = compareScores([{ name: 'p', width: 1 }], [Float32Array.of(0.5)], [Float32Array.of(0.50001)], 1);
  assert.equal(near.worst?.isGross, false);
  // One that is clear says more than one before it.
  const both = compareScores(outputs, [BigInt64Array.of(1n, 0n), tie], [BigInt64Array.of(0n, 1n), tie], 2);
  assert.deepEqual([both.worst?.row, both.worst?.isGross], [1, true]);
});
