/** IEEE 754 binary16 as its bits: Node 20 has no Float16Array. */

const scratch = new Float64Array(1);
const words = new Uint32Array(scratch.buffer);

/**
 * Bits of the half nearest to a float64, ties to even, in one rounding (by way of float32 it would be two).
 * 65520 and more is infinity; NaN is 0x7e00.
 */
export function float16Bits(value: number): number {
  scratch[0] = value;
  // Word 1 is the upper one: every platform that the native engines exist for is little-endian.
  const upper = words[1]!;
  const sign = (upper >>> 16) & 0x8000;
  const magnitude = Math.abs(value);
  if (magnitude < 2 ** -14) {
    // In units of the smallest subnormal half; 2^52 more leaves no bits for a fraction, so the sum is rounded to even.
    return sign | (magnitude * 2 ** 24 + 2 ** 52 - 2 ** 52);
  }
  if (!(magnitude < 65520)) return magnitude === magnitude ? sign | 0x7c00 : 0x7e00;
  // Exponent and fraction, of which 10 bits are cut off; the lower word only says that something lies under them. What
  // is added before the cut carries if more than half is cut off, or half of an odd number: no branch to mispredict.
  const bits = (upper & 0x7fffffff) | (words[0] === 0 ? 0 : 1);
  const rounded = (bits + 0x1ff + ((bits >>> 10) & 1)) >>> 10;
  return sign | (rounded - ((1023 - 15) << 10));
}

/** The number that 16 bits stand for. Every half is exact in float64. */
export function float16Value(bits: number): number {
  const sign = (bits & 0x8000) === 0 ? 1 : -1;
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}
