/** Bitmaps as Arrow and DuckDB have them: least significant bit first. */

/** Copies bits. Those of the target from `targetBit` on must be 0 before. */
export function copyBits(
  target: Uint8Array,
  targetBit: number,
  source: Uint8Array,
  sourceBit: number,
  count: number,
): void {
  if ((targetBit & 7) === 0 && (sourceBit & 7) === 0 && (count & 7) === 0) {
    target.set(source.subarray(sourceBit >> 3, (sourceBit + count) >> 3), targetBit >> 3);
    return;
  }
  const sourceShift = sourceBit & 7;
  const targetShift = targetBit & 7;
  for (let done = 0; done < count; done += 8) {
    const bits = Math.min(8, count - done);
    const from = (sourceBit + done) >> 3;
    const value = ((source[from]! | ((source[from + 1] ?? 0) << 8)) >> sourceShift) & ((1 << bits) - 1);
    const to = (targetBit + done) >> 3;
    target[to]! |= value << targetShift;
    if (targetShift + bits > 8) target[to + 1]! |= value >> (8 - targetShift);
  }
}

/** Sets bits to 1. */
export function setBits(target: Uint8Array, firstBit: number, count: number): void {
  const end = firstBit + count;
  for (let bit = firstBit; bit < end;) {
    if ((bit & 7) === 0 && end - bit >= 8) {
      target.fill(0xff, bit >> 3, end >> 3);
      bit = end & ~7;
    } else {
      target[bit >> 3]! |= 1 << (bit & 7);
      bit++;
    }
  }
}

/** True if all of the bits are 1. */
export function areAllSet(source: Uint8Array, firstBit: number, count: number): boolean {
  const end = firstBit + count;
  for (let bit = firstBit; bit < end;) {
    if ((bit & 7) === 0 && end - bit >= 8) {
      if (source[bit >> 3] !== 0xff) return false;
      bit += 8;
    } else {
      if (((source[bit >> 3]! >> (bit & 7)) & 1) === 0) return false;
      bit++;
    }
  }
  return true;
}
