import assert from 'node:assert/strict';
import { test } from 'node:test';
import { areAllSet, copyBits, setBits } from './bits.ts';

const bitsOf = (bytes: Uint8Array): number[] =>
  Array.from({ length: bytes.length * 8 }, (_, bit) => (bytes[bit >> 3]! >> (bit & 7)) & 1);

test('copyBits and setBits equal a loop over bits, at every alignment', () => {
  const source = Uint8Array.from({ length: 12 }, (_, index) => (index * 151 + 77) & 0xff);
  const sourceBits = bitsOf(source);
  for (let to = 0; to < 17; to++) {
    for (let from = 0; from < 17; from++) {
      for (const count of [0, 1, 7, 8, 9, 16, 31, 64]) {
        const copied = new Uint8Array(12);
        const set = new Uint8Array(12);
        copyBits(copied, to, source, from, count);
        setBits(set, to, count);
        const inside = (bit: number): boolean => bit >= to && bit < to + count;
        const bits = Array.from({ length: 96 }, (_, bit) => bit);
        assert.deepEqual(
          bitsOf(copied),
          bits.map((bit) => (inside(bit) ? sourceBits[bit - to + from] : 0)),
        );
        assert.deepEqual(
          bitsOf(set),
          bits.map((bit) => (inside(bit) ? 1 : 0)),
        );
        assert.equal(areAllSet(set, to, count), true);
        if (count > 0) assert.equal(areAllSet(set, to, count + 1), false);
      }
    }
  }
});

test('copyBits leaves what is before the target bit', () => {
  const target = Uint8Array.of(0b0000_0101, 0);
  copyBits(target, 3, Uint8Array.of(0xff), 0, 8);
  assert.deepEqual([...target], [0b1111_1101, 0b0000_0111]);
});
