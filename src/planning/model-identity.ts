/** What tells one model from another: a hash over the model file and the files that hold its weights. */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

export interface ModelIdentity {
  readonly path: string;
  /** Of the model file and its external data. */
  readonly bytes: number;
  readonly sha256: string;
}

/** Bytes read at once from external data, which may be larger than one buffer can be. */
const pieceBytes = 2 ** 22;

export function identifyModel(path: string): ModelIdentity {
  const model = readFileSync(path);
  const hash = createHash('sha256').update(model);
  let bytes = model.byteLength;
  for (const location of externalLocations(model)) {
    const file = join(dirname(path), location);
    // ONNX Runtime has loaded the model by now: what is not there is not needed.
    if (!existsSync(file) || !statSync(file).isFile()) continue;
    bytes += addFile(hash.update(location), file);
  }
  return { path, bytes, sha256: hash.digest('hex') };
}

/** Start of a StringStringEntryProto whose key is "location": field 1, 8 bytes, then field 2 (onnx.proto). */
const locationEntry = Buffer.from('\n\u0008location\u0012', 'latin1');

/** Files that a model names as holding its tensors, sorted, each once. */
export function externalLocations(model: Buffer): string[] {
  const locations = new Set<string>();
  for (let at = model.indexOf(locationEntry); at !== -1; at = model.indexOf(locationEntry, at + 1)) {
    const { value, next } = readVarint(model, at + locationEntry.byteLength);
    locations.add(model.toString('utf8', next, next + value));
  }
  return [...locations].sort();
}

function readVarint(bytes: Buffer, start: number): { readonly value: number; readonly next: number } {
  let value = 0;
  let next = start;
  for (let shift = 0; shift < 28; shift += 7) {
    const byte = bytes[next++] ?? 0;
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return { value, next };
}

function addFile(hash: Hash, path: string): number {
  const piece = Buffer.allocUnsafe(pieceBytes);
  const descriptor = openSync(path, 'r');
  try {
    let bytes = 0;
    for (let got = readSync(descriptor, piece); got > 0; got = readSync(descriptor, piece)) {
      hash.update(piece.subarray(0, got));
      bytes += got;
    }
    return bytes;
  } finally {
    closeSync(descriptor);
  }
}
