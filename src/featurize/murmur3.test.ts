import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hashBucket, murmur3, murmur3Text } from './murmur3.ts';

test('published vectors: bytes', () => {
  // Ian Boyd's collection, https://stackoverflow.com/a/31929528
  const known: readonly (readonly [string, number, number])[] = [
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['ffffffff', 0, 0x76293b50],
    ['21436587', 0, 0xf55b516b],
    ['21436587', 0x5082edee, 0x2362f9de],
    ['214365', 0, 0x7e4a8634],
    ['2143', 0, 0xa0f7b07a],
    ['21', 0, 0x72661cf4],
    ['00000000', 0, 0x2362f9de],
    ['000000', 0, 0x85f0b427],
    ['0000', 0, 0x30f4c306],
    ['00', 0, 0x514e28b7],
  ];
  for (const [hex, seed, hash] of known) {
    const bytes = Buffer.from(hex, 'hex');
    assert.equal(murmur3(bytes, bytes.length, seed) >>> 0, hash, `${hex} seed ${seed}`);
  }
});

test('published vectors: texts', () => {
  const seed = 0x9747b28c;
  const known: readonly (readonly [string, number, number])[] = [
    ['aaaa', seed, 0x5a97808a],
    ['aaa', seed, 0x283e0130],
    ['aa', seed, 0x5d211726],
    ['a', seed, 0x7fa09ea6],
    ['abcd', seed, 0xf0478627],
    ['abc', seed, 0xc84a62dd],
    ['ab', seed, 0x74875592],
    ['Hello, world!', seed, 0x24884cba],
    ['ππππππππ', seed, 0xd58063c1],
    ['a'.repeat(256), seed, 0x37405bdc],
    ['The quick brown fox jumps over the lazy dog', seed, 0x2fa826cd],
    // The README of the Python package mmh3.
    ['foo', 0, -156908512 >>> 0],
    ['foo', 42, -1322301282 >>> 0],
  ];
  for (const [text, seedOf, hash] of known) assert.equal(murmur3Text(text, seedOf) >>> 0, hash, text);
});

test('a text hashes as its UTF-8 bytes, also beyond the first buffer', () => {
  const texts = ['ASCII then ü', '日本語', '😀😀', 'x'.repeat(5000), 'ß'.repeat(3000), 'y'.repeat(1025) + 'é'];
  for (const text of texts) {
    const bytes = Buffer.from(text, 'utf8');
    assert.equal(murmur3Text(text, 42), murmur3(bytes, bytes.length, 42), text.slice(0, 20));
  }
});

test('buckets are never negative, and every bucket is hit', () => {
  for (const buckets of [1, 2, 7, 1000]) {
    const hit = new Set<number>();
    for (let i = 0; i < 20_000; i++) {
      const bucket = hashBucket(`key ${i}`, buckets);
      assert.ok(Number.isInteger(bucket) && bucket >= 0 && bucket < buckets && !Object.is(bucket, -0));
      hit.add(bucket);
    }
    assert.equal(hit.size, buckets);
  }
  assert.equal(hashBucket('foo', 1000), ((-1322301282 % 1000) + 1000) % 1000);
});
