/** MurmurHash3 x86 32 bit (Austin Appleby, public domain: MurmurHash3.cpp in the SMHasher repository). */

/** The seed of Spark's HashingTF and FeatureHasher. */
export const hashSeed = 42;

const encoder = new TextEncoder();
let scratch = new Uint8Array(1024);

function mixed(k: number): number {
  const a = Math.imul(k, 0xcc9e2d51);
  return Math.imul((a << 15) | (a >>> 17), 0x1b873593);
}

/** Hash of the first `byteCount` bytes, as a signed 32 bit number. */
export function murmur3(bytes: Uint8Array, byteCount: number, seed: number): number {
  let h = seed | 0;
  const wholeBytes = byteCount & ~3;
  for (let i = 0; i < wholeBytes; i += 4) {
    h ^= mixed(bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24));
    h = Math.imul((h << 13) | (h >>> 19), 5) + 0xe6546b64;
  }
  let tail = 0;
  for (let i = byteCount - 1; i >= wholeBytes; i--) tail = (tail << 8) | bytes[i]!;
  if (wholeBytes < byteCount) h ^= mixed(tail);
  h ^= byteCount;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** Hash of the UTF-8 bytes of a text. A surrogate without its pair counts as U+FFFD. */
export function murmur3Text(text: string, seed: number): number {
  if (scratch.length < text.length * 3) scratch = new Uint8Array(text.length * 6);
  // Most texts are ASCII, and short: a loop here is faster than a call of the encoder.
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit > 127) return murmur3(scratch, encoder.encodeInto(text, scratch).written, seed);
    scratch[i] = unit;
  }
  return murmur3(scratch, text.length, seed);
}

/** Bucket of a text: its hash with {@link hashSeed}, modulo `buckets`, 0 to buckets - 1. */
export function hashBucket(text: string, buckets: number): number {
  const rest = murmur3Text(text, hashSeed) % buckets;
  // -0, the rest of a negative multiple, becomes 0.
  return rest < 0 ? rest + buckets : rest + 0;
}
