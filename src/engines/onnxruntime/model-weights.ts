/**
 * A model file's own graph with what its nodes and weights hold, for kernels that score it without ONNX Runtime. Only
 * for small graphs: every attribute is read. Weights are read when they are asked for: few models that have large ones
 * are for kernels.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ElementType } from '../../contract/contract.ts';
import {
  fields,
  graphFields,
  modelFields,
  nodeFields,
  openWindow,
  readNode,
  readValueName,
  textOf,
  wire,
  type Field,
  type GraphNode,
  type Read,
} from './model-graph.ts';
import { elementTypeOf } from './session.ts';

/** A tensor of numbers, row-major; integers beyond 2^53 are rounded. */
export interface Weight {
  readonly elementType: ElementType;
  readonly shape: readonly number[];
  readonly values: Float64Array;
}

/** What an attribute has of each kind; those that it is not are empty. */
export interface Attribute {
  readonly floats: Float32Array;
  /** Beyond 2^53 rounded. */
  readonly ints: Float64Array;
  readonly texts: readonly string[];
  readonly tensor: Weight | undefined;
}

export interface WeightedNode extends GraphNode {
  readonly attributes: ReadonlyMap<string, Attribute>;
}

export interface WeightedGraph {
  /** Also those that have a default, in old files all weights. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly WeightedNode[];
  /** By the names of the values that they are. Undefined: strings, types that no column can fill, and what is too large. */
  readonly weights: { get(name: string): Weight | undefined };
}

/** Reads what ONNX Runtime has loaded. @param weightBytesMax of a weight: larger ones are too large */
export function readWeightedGraph(path: string, weightBytesMax = Infinity): WeightedGraph {
  const descriptor = openSync(path, 'r');
  try {
    const read = openWindow(descriptor);
    const folder = dirname(path);
    const graph = { inputs: [] as string[], outputs: [] as string[], nodes: [] as WeightedNode[] };
    const places = new Map<string, Field>();
    for (const outer of fields(read, 0, fstatSync(descriptor).size)) {
      if (outer.number !== modelFields.graph) continue;
      for (const field of fields(read, outer.start, outer.end)) {
        if (field.number === graphFields.input) graph.inputs.push(readValueName(read, field));
        if (field.number === graphFields.output) graph.outputs.push(readValueName(read, field));
        if (field.number === graphFields.node) graph.nodes.push(readWeightedNode(read, field, folder));
        if (field.number === graphFields.initializer) places.set(readTensorName(read, field), field);
      }
    }
    return { ...graph, weights: new FileWeights(path, places, weightBytesMax) };
  } finally {
    closeSync(descriptor);
  }
}

/** Opens the file again for each. */
class FileWeights {
  readonly #path: string;
  readonly #places: ReadonlyMap<string, Field>;
  readonly #bytesMax: number;
  readonly #known = new Map<string, Weight | undefined>();

  constructor(path: string, places: ReadonlyMap<string, Field>, bytesMax: number) {
    this.#path = path;
    this.#places = places;
    this.#bytesMax = bytesMax;
  }

  get(name: string): Weight | undefined {
    const place = this.#places.get(name);
    if (place === undefined || place.end - place.start > this.#bytesMax) return undefined;
    if (!this.#known.has(name)) this.#known.set(name, this.#read(place));
    return this.#known.get(name);
  }

  #read({ start, end }: Field): Weight | undefined {
    const descriptor = openSync(this.#path, 'r');
    try {
      const bytes = Buffer.alloc(end - start);
      readSync(descriptor, bytes, 0, bytes.length, start);
      return readTensor(bytes, dirname(this.#path), this.#bytesMax);
    } finally {
      closeSync(descriptor);
    }
  }
}

function readTensorName(read: Read, { start, end }: Field): string {
  for (const field of fields(read, start, end)) {
    if (field.number === tensorFields.name) return textOf(read, field);
  }
  return '';
}

/** Its own bytes: a window's are gone with the next call. */
function bytesOf(read: Read, { start, end }: Field): Buffer {
  return Buffer.from(read(start, end));
}

function readWeightedNode(read: Read, place: Field, folder: string): WeightedNode {
  const attributes = new Map<string, Attribute>();
  for (const field of fields(read, place.start, place.end)) {
    if (field.number !== nodeFields.attribute) continue;
    const { name, attribute } = readAttribute(bytesOf(read, field), folder);
    attributes.set(name, attribute);
  }
  return { ...readNode(read, place, false), attributes };
}

/** Numbers of the fields, as onnx.proto gives them. */
const attributeFields = { name: 1, float: 2, int: 3, text: 4, tensor: 5, floats: 7, ints: 8, texts: 9 } as const;
const tensorFields = {
  shape: 1,
  elementType: 2,
  floats: 4,
  smallInts: 5,
  ints: 7,
  name: 8,
  raw: 9,
  doubles: 10,
  unsigned: 11,
  external: 13,
} as const;
const entryFields = { key: 1, value: 2 } as const;

function readAttribute(bytes: Buffer, folder: string): { readonly name: string; readonly attribute: Attribute } {
  let name = '';
  let tensor: Weight | undefined;
  const floats: number[] = [];
  const ints: number[] = [];
  const texts: string[] = [];
  const textAt = interned(bytes);
  scan(bytes, (field, kind, value, start, end) => {
    switch (field) {
      case attributeFields.name:
        name = bytes.toString('utf8', start, end);
        return;
      case attributeFields.text:
      case attributeFields.texts:
        texts.push(textAt(start, end));
        return;
      case attributeFields.float:
      case attributeFields.floats:
        return pushFloats(bytes, kind, start, end, floats);
      case attributeFields.int:
      case attributeFields.ints:
        return pushInts(bytes, kind, start, end, ints);
      case attributeFields.tensor:
        tensor = readTensor(bytes.subarray(start, end), folder);
    }
  });
  return { name, attribute: { floats: Float32Array.from(floats), ints: Float64Array.from(ints), texts, tensor } };
}

/** Text of a stretch of the bytes. Trees say the same few words for every node: each is decoded once. */
function interned(bytes: Buffer): (start: number, end: number) => string {
  // A character for each byte: what differs here differs there.
  const whole = bytes.toString('latin1');
  const known = new Map<string, string>();
  return (start, end) => {
    const key = whole.slice(start, end);
    let text = known.get(key);
    if (text === undefined) known.set(key, (text = bytes.toString('utf8', start, end)));
    return text;
  };
}

function readTensor(bytes: Buffer, folder: string, bytesMax = Infinity): Weight | undefined {
  let elementType: ElementType | undefined;
  let raw: Buffer | undefined;
  const shape: number[] = [];
  const listed: number[] = [];
  const external = new Map<string, string>();
  scan(bytes, (field, kind, value, start, end) => {
    switch (field) {
      case tensorFields.shape:
        return pushInts(bytes, kind, start, end, shape);
      case tensorFields.elementType:
        elementType = elementTypeOf(value);
        return;
      case tensorFields.floats:
        return pushFloats(bytes, kind, start, end, listed);
      case tensorFields.smallInts:
      case tensorFields.ints:
      case tensorFields.unsigned:
        return pushInts(bytes, kind, start, end, listed);
      case tensorFields.doubles:
        for (let at = start; at + 8 <= end; at += 8) listed.push(bytes.readDoubleLE(at));
        return;
      case tensorFields.raw:
        raw = bytes.subarray(start, end);
        return;
      case tensorFields.external:
        addEntry(bytes.subarray(start, end), external);
    }
  });
  if (external.size > 0) {
    raw = readExternal(folder, external, bytesMax);
    if (raw === undefined) return undefined;
  }
  const values = raw === undefined ? Float64Array.from(listed) : rawValues(elementType, raw);
  const isWhole = values?.length === shape.reduce((product, size) => product * size, 1);
  if (elementType === undefined || values === undefined || !isWhole) return undefined;
  return { elementType, shape, values };
}

function addEntry(bytes: Buffer, entries: Map<string, string>): void {
  let key = '';
  let text = '';
  scan(bytes, (field, _kind, _value, start, end) => {
    if (field === entryFields.key) key = bytes.toString('utf8', start, end);
    if (field === entryFields.value) text = bytes.toString('utf8', start, end);
  });
  entries.set(key, text);
}

/** Weights beside the model file; undefined: they are not all there, or too large. */
function readExternal(folder: string, entries: ReadonlyMap<string, string>, bytesMax: number): Buffer | undefined {
  const descriptor = openSync(join(folder, entries.get('location') ?? ''), 'r');
  try {
    const offset = Number(entries.get('offset') ?? 0);
    const length = Number(entries.get('length') ?? fstatSync(descriptor).size - offset);
    if (length > bytesMax) return undefined;
    const bytes = Buffer.alloc(length);
    return readSync(descriptor, bytes, 0, bytes.length, offset) === bytes.length ? bytes : undefined;
  } finally {
    closeSync(descriptor);
  }
}

/** Little-endian numbers; undefined: a type that kernels do not read. */
function rawValues(elementType: ElementType | undefined, raw: Buffer): Float64Array | undefined {
  const numbers = (bytesEach: number, at: (offset: number) => number): Float64Array =>
    Float64Array.from({ length: Math.floor(raw.length / bytesEach) }, (_, index) => at(index * bytesEach));
  switch (elementType) {
    case 'float32':
      return numbers(4, (offset) => raw.readFloatLE(offset));
    case 'float64':
      return numbers(8, (offset) => raw.readDoubleLE(offset));
    case 'int32':
      return numbers(4, (offset) => raw.readInt32LE(offset));
    case 'int64':
      return numbers(8, (offset) => Number(raw.readBigInt64LE(offset)));
    case 'uint8':
    case 'bool':
      return numbers(1, (offset) => raw[offset]!);
    default:
      return undefined;
  }
}

/**
 * Values that are packed, or that follow one another with the same tag each, of a field whose tag is one byte. Ensembles
 * are lists of many thousands, read once by code that is still interpreted: a call for each would take most of the time.
 * @returns the end of what was read
 */
function pushFloats(bytes: Buffer, kind: number, start: number, end: number, into: number[]): number {
  if (kind === wire.varint || kind === wire.fixed64) return end;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (kind === wire.bytes) {
    for (let at = start; at + 4 <= end; at += 4) into.push(view.getFloat32(at, true));
    return end;
  }
  const tag = bytes[start - 1];
  let at = start;
  for (; at + 4 <= bytes.length; at += 5) {
    into.push(view.getFloat32(at, true));
    if (bytes[at + 4] !== tag) return at + 4;
  }
  return Math.min(at, bytes.length);
}

/** As {@link pushFloats}. */
function pushInts(bytes: Buffer, kind: number, start: number, end: number, into: number[]): number {
  if (kind !== wire.varint && kind !== wire.bytes) return end;
  const tag = kind === wire.varint ? bytes[start - 1] : undefined;
  const stop = kind === wire.varint ? bytes.length : end;
  for (let at = start; at < stop;) {
    let value = bytes[at]!;
    let next = at + 1;
    if (value >= 0x80) {
      next = endOfVarint(bytes, at);
      value = varintAt(bytes, at, next);
    }
    into.push(value);
    if (tag !== undefined && bytes[next++] !== tag) return next - 1;
    at = next;
  }
  return stop;
}

/**
 * Calls `each` for every field of a message: a number in `value`, anything else from `start` to `end`. It may have read
 * the fields after it, and returns where it is then.
 */
function scan(
  bytes: Buffer,
  each: (field: number, kind: number, value: number, start: number, end: number) => number | void,
): void {
  const { length } = bytes;
  for (let at = 0; at < length;) {
    // Most numbers are one byte: trees are lists of a million of them.
    let tag = bytes[at]!;
    let start = at + 1;
    if (tag >= 0x80) {
      start = endOfVarint(bytes, at);
      tag = varintAt(bytes, at, start);
    }
    const kind = tag % 8;
    let end = kind === wire.fixed64 ? start + 8 : start + 4;
    let value = 0;
    if (kind === wire.varint || kind === wire.bytes) {
      value = bytes[start] ?? 0;
      end = start + 1;
      if (value >= 0x80) {
        end = endOfVarint(bytes, start);
        value = varintAt(bytes, start, end);
      }
      if (kind === wire.bytes) {
        start = end;
        end += value;
      }
    }
    // What is cut off ends somewhere, too.
    if (end > length) end = length;
    at = each(Math.floor(tag / 8), kind, value, start, end) ?? end;
  }
}

function endOfVarint(bytes: Buffer, at: number): number {
  let end = at;
  while (end < bytes.length && bytes[end]! >= 0x80) end++;
  return Math.min(bytes.length, end + 1);
}

/** Seven bits a byte, lowest first; a negative number takes ten bytes. */
function varintAt(bytes: Buffer, at: number, end: number): number {
  if (end - at < 10) {
    let value = 0;
    for (let index = end - 1; index >= at; index--) value = value * 0x80 + (bytes[index]! & 0x7f);
    return value;
  }
  let value = 0n;
  for (let index = end - 1; index >= at; index--) value = (value << 7n) | BigInt(bytes[index]! & 0x7f);
  return Number(BigInt.asIntN(64, value));
}
