import assert from 'node:assert/strict';
import { test } from 'node:test';
import { float16Bits, float16Value } from './float16.ts';

test('every half has the bits that it came from', () => {
  for (let bits = 0; bits < 65536; bits++) {
    const value = float16Value(bits);
    assert.equal(float16Bits(value), Number.isNaN(value) ? 0x7e00 : bits, `bits ${bits.toString(16)}`);
  }
});

test('values of known bits', () => {
  const known: readonly (readonly [number, number])[] = [
    [0, 0x0000],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [1 / 3, 0x3555],
    [65504, 0x7bff],
    [Math.PI, 0x4248],
    [Infinity, 0x7c00],
    [-Infinity, 0xfc00],
    [NaN, 0x7e00],
    [2 ** -14, 0x0400],
    [2 ** -24, 0x0001],
    [65519.999, 0x7bff],
    [65520, 0x7c00],
    [-65520, 0xfc00],
    [1e300, 0x7c00],
    [5e-324, 0x0000],
    [-5e-324, 0x8000],
  ];
  for (const [value, bits] of known) assert.equal(float16Bits(value), bits, `${value}`);
});

test('between two halves the nearer wins, and the even one of two equally near', () => {
  for (let bits = 0; bits < 0x7bff; bits++) {
    const low = float16Value(bits);
    const middle = (low + float16Value(bits + 1)) / 2;
    // The smallest step off the middle that float64 can make here: float32 would lose it.
    const step = middle * 2 ** -52;
    const even = (bits & 1) === 0 ? bits : bits + 1;
    assert.equal(float16Bits(middle), even, `middle above ${low}`);
    assert.equal(float16Bits(-middle), even | 0x8000);
    assert.equal(float16Bits(middle - step), bits, `just below the middle above ${low}`);
    assert.equal(float16Bits(middle + step), bits + 1, `just above the middle above ${low}`);
  }
});
