/** Counts words, lower-case and split at whitespace: row by row, and over one column of bytes. */

export type WordCounts = ReadonlyMap<string, number>;

/** As people write it, for rows with a text. */
export function countInRows(rows: readonly { readonly text: string }[]): WordCounts {
  const counts = new Map<string, number>();
  for (const row of rows) {
    for (const word of row.text.toLowerCase().split(/\s+/)) {
      if (word !== '') counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return counts;
}

/** Texts one behind the other, as Arrow has them: text k is bytes [offsets[k], offsets[k + 1]). */
export interface TextColumn {
  readonly bytes: Uint8Array;
  readonly offsets: Int32Array;
}

export function columnOf(texts: readonly string[]): TextColumn {
  const offsets = new Int32Array(texts.length + 1);
  const parts = texts.map((text, index) => {
    const part = Buffer.from(text);
    offsets[index + 1] = offsets[index]! + part.length;
    return part;
  });
  return { bytes: new Uint8Array(Buffer.concat(parts)), offsets };
}

const space = 32;
/** Tab to carriage return: with the space all whitespace that ASCII has. */
const [tab, carriageReturn] = [9, 13];
const [upperA, upperZ, toLower] = [65, 90, 32];

/**
 * The same from the column's bytes: no string is made but one for each word that is new.
 * @throws RangeError for bytes beyond ASCII, whose lower case is not a matter of single bytes
 */
export function countInColumn({ bytes, offsets }: TextColumn): WordCounts {
  const words = new WordTable();
  const lower = new Uint8Array(bytes.length);
  for (let text = 0; text + 1 < offsets.length; text++) {
    const end = offsets[text + 1]!;
    let start = offsets[text]!;
    for (let at = start; at < end; at++) {
      const byte = bytes[at]!;
      if (byte > 127) throw new RangeError(`Expected ASCII, got byte ${byte} in text ${text}.`);
      if (byte === space || (byte >= tab && byte <= carriageReturn)) {
        if (at > start) words.count(lower, start, at);
        start = at + 1;
      } else lower[at] = byte >= upperA && byte <= upperZ ? byte + toLower : byte;
    }
    if (end > start) words.count(lower, start, end);
  }
  return words.counts(lower);
}

/** Words by where in the bytes they were first seen; open addressing. */
class WordTable {
  /** First byte + 1 of the word of each place; 0: free. */
  #starts = new Int32Array(1024);
  #lengths = new Int32Array(1024);
  #counts = new Int32Array(1024);
  #hashes = new Int32Array(1024);
  #used = 0;

  count(bytes: Uint8Array, start: number, end: number): void {
    let hash = 0x811c9dc5;
    // FNV-1a
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ bytes[at]!, 0x01000193);
    const place = this.#place(bytes, start, end - start, hash);
    if (this.#starts[place] === 0) {
      this.#starts[place] = start + 1;
      this.#lengths[place] = end - start;
      this.#hashes[place] = hash;
      this.#counts[place] = 1;
      this.#used += 1;
      if (this.#used * 2 > this.#starts.length) this.#grow();
    } else this.#counts[place]! += 1;
  }

  counts(bytes: Uint8Array): WordCounts {
    const counts = new Map<string, number>();
    this.#starts.forEach((start, place) => {
      if (start === 0) return;
      const word = Buffer.from(bytes.subarray(start - 1, start - 1 + this.#lengths[place]!)).toString('latin1');
      counts.set(word, this.#counts[place]!);
    });
    return counts;
  }

  #place(bytes: Uint8Array, start: number, length: number, hash: number): number {
    const mask = this.#starts.length - 1;
    let place = (hash ^ (hash >>> 15)) & mask;
    while (this.#starts[place] !== 0 && !this.#holds(place, bytes, start, length, hash)) place = (place + 1) & mask;
    return place;
  }

  #holds(place: number, bytes: Uint8Array, start: number, length: number, hash: number): boolean {
    if (this.#hashes[place] !== hash || this.#lengths[place] !== length) return false;
    const known = this.#starts[place]! - 1;
    for (let index = 0; index < length; index++) if (bytes[known + index] !== bytes[start + index]) return false;
    return true;
  }

  #grow(): void {
    const [starts, lengths, counts, hashes] = [this.#starts, this.#lengths, this.#counts, this.#hashes];
    const size = starts.length * 2;
    [this.#starts, this.#lengths] = [new Int32Array(size), new Int32Array(size)];
    [this.#counts, this.#hashes] = [new Int32Array(size), new Int32Array(size)];
    starts.forEach((start, old) => {
      if (start === 0) return;
      const mask = size - 1;
      let place = (hashes[old]! ^ (hashes[old]! >>> 15)) & mask;
      while (this.#starts[place] !== 0) place = (place + 1) & mask;
      this.#starts[place] = start;
      this.#lengths[place] = lengths[old]!;
      this.#counts[place] = counts[old]!;
      this.#hashes[place] = hashes[old]!;
    });
  }
}

/** Words whose counts are not the expected ones. */
export function differingWords(found: WordCounts, expected: WordCounts): number {
  const words = new Set([...found.keys(), ...expected.keys()]);
  return [...words].filter((word) => found.get(word) !== expected.get(word)).length;
}
