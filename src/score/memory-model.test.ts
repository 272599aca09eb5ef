import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesText, fitMemory, safeBytesAt } from './memory-model.ts';

const line = [256, 2048, 4096, 8192].map((rows) => ({ rows, peakBytes: 8_388_608 + 4096 * rows }));

test('memory that grows with the rows is fitted exactly', () => {
  const fit = fitMemory(line)!;
  assert.ok(Math.abs(fit.fixedBytes - 8_388_608) < 1 && Math.abs(fit.perRowBytes - 4096) < 1e-3);
  assert.ok(Math.abs(safeBytesAt(line, 16_384)! - 1.07 * (8_388_608 + 4096 * 16_384)) < 100);
});

test('one size says nothing about a row', () => {
  assert.equal(fitMemory([]), undefined);
  assert.equal(fitMemory([{ rows: 8, peakBytes: 100 }]), undefined);
  assert.equal(safeBytesAt([{ rows: 8, peakBytes: 100 }], 16), undefined);
});

test('neither term falls below zero', () => {
  assert.deepEqual(fitMemory([1, 2].map((rows) => ({ rows, peakBytes: 30 - 10 * rows }))), {
    fixedBytes: 15,
    perRowBytes: 0,
  });
  const squares = fitMemory([1, 2, 4].map((rows) => ({ rows, peakBytes: rows ** 2 })))!;
  assert.equal(squares.fixedBytes, 0);
});

test('steps widen the margin by the worst residual', () => {
  const steps = [8, 16, 32, 64].map((rows, index) => ({ rows, peakBytes: 1000 + 10 * rows + (index === 2 ? 200 : 0) }));
  assert.ok(safeBytesAt(steps, 128)! > 1.07 * (1000 + 10 * 128) + 100);
});

test('memory that grows with the square is predicted for twice the rows', () => {
  for (const fixed of [0, 1e6]) {
    const points = [1, 2, 4, 8, 16, 32].map((rows) => ({ rows, peakBytes: fixed + 1000 * rows ** 2 }));
    assert.ok(safeBytesAt(points, 64)! >= 0.95 * (fixed + 1000 * 64 ** 2));
  }
});

test('bytes read well', () => {
  assert.deepEqual([0, 1023, 1536, 3.25 * 2 ** 30, 2 ** 52].map(bytesText), [
    '0 B',
    '1023 B',
    '1.5 KiB',
    '3.3 GiB',
    '4096.0 TiB',
  ]);
});
