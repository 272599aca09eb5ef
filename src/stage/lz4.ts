/**
 * Unpacks the LZ4 frames of Arrow files: pandas and pyarrow write Feather with them unless told otherwise, and apache-arrow
 * brings no decoder. Formats: lz4_Frame_format.md and lz4_Block_format.md of the lz4 project. Checksums are skipped.
 */

const frameMagic = 0x184d2204;
/** The block holds its bytes as they are. */
const plainBlock = 0x80000000;
/** Matches are longer than their code by so much. */
const matchBytesMin = 4;
/** Blocks of 64 KiB to 4 MiB. */
const blockBytesOf = (code: number): number => 2 ** (8 + 2 * code);

/** @throws RangeError for bytes that are no whole frame */
export function unpackLz4(frame: Uint8Array): Uint8Array {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (view.getUint32(0, true) !== frameMagic) throw new RangeError('an LZ4 frame that starts otherwise');
  const flags = view.getUint8(4);
  const [hasBlockChecksum, hasSize, hasDictionary] = [(flags & 16) !== 0, (flags & 8) !== 0, (flags & 1) !== 0];
  const blockBytesMax = blockBytesOf((view.getUint8(5) >> 4) & 7);
  let at = 7 + (hasSize ? 8 : 0) + (hasDictionary ? 4 : 0);
  const output = new Output(hasSize ? Number(view.getBigUint64(6, true)) : 2 * frame.byteLength);
  for (;;) {
    const size = view.getUint32(at, true);
    at += 4;
    if (size === 0) return output.bytes();
    const length = size % plainBlock;
    const block = frame.subarray(at, at + length);
    if (block.length < length) throw new RangeError('an LZ4 frame that is cut off');
    if (size >= plainBlock) output.copy(block, 0, length);
    else unpackBlock(block, output, blockBytesMax);
    at += length + (hasBlockChecksum ? 4 : 0);
  }
}

function unpackBlock(block: Uint8Array, output: Output, bytesMax: number): void {
  const end = output.length + bytesMax;
  for (let at = 0; at < block.length;) {
    const token = block[at++]!;
    let literals = token >> 4;
    if (literals === 15) {
      let more: number;
      do literals += more = block[at++]!;
      while (more === 255);
    }
    if (at + literals > block.length) throw new RangeError('an LZ4 block that is cut off');
    output.copy(block, at, literals);
    at += literals;
    // The last sequence has no match.
    if (at >= block.length) break;
    const distance = block[at]! | (block[at + 1]! << 8);
    at += 2;
    let length = token & 15;
    if (length === 15) {
      let more: number;
      do length += more = block[at++]!;
      while (more === 255);
    }
    output.repeat(distance, length + matchBytesMin);
  }
  if (output.length > end) throw new RangeError('an LZ4 block that is longer than its frame says');
}

/** Bytes that grow; what was written can be repeated. */
class Output {
  length = 0;
  #bytes: Uint8Array;

  constructor(bytesLikely: number) {
    this.#bytes = new Uint8Array(bytesLikely);
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  copy(from: Uint8Array, start: number, count: number): void {
    this.#grow(count);
    this.#bytes.set(from.subarray(start, start + count), this.length);
    this.length += count;
  }

  repeat(distance: number, count: number): void {
    if (!(distance > 0 && distance <= this.length)) throw new RangeError('an LZ4 match before the first byte');
    this.#grow(count);
    const bytes = this.#bytes;
    if (distance >= count) bytes.copyWithin(this.length, this.length - distance, this.length - distance + count);
    else {
      // It overlaps with itself: each byte is there when it is read.
      for (let index = 0; index < count; index++) bytes[this.length + index] = bytes[this.length + index - distance]!;
    }
    this.length += count;
  }

  #grow(count: number): void {
    if (this.length + count <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#bytes.length, this.length + count));
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}
