/**
 * Protocol Buffers, as far as writing an ONNX file takes it: fields of a message one after the other, large ones without
 * a copy until the file is put together. Own, since a run writes models too, where only production packages are installed.
 */

/** Encoded fields, and their bytes in all. */
export interface Message {
  readonly parts: readonly Uint8Array[];
  readonly byteCount: number;
}

/** Of a number of 64 bits. */
const varintBytesMax = 10;

/** The wire type of a field: what comes after its number. */
const wire = { varint: 0, bytes: 2, float32: 5 } as const;

export function message(...fields: readonly Message[]): Message {
  return joined(fields);
}

/** As {@link message}; of any number of fields, where a call has a limit. */
export function joined(fields: readonly Message[]): Message {
  return {
    parts: fields.flatMap(({ parts }) => parts),
    byteCount: fields.reduce((sum, { byteCount }) => sum + byteCount, 0),
  };
}

/** Negative numbers take ten bytes, as the format has it for int64. */
export function integerField(number: number, value: number | bigint): Message {
  return part([...varint(tag(number, wire.varint)), ...varint(value)]);
}

/** A repeated field: one for each value, in one piece, since a forest has millions. */
export function integerFields(number: number, values: readonly (number | bigint)[]): Message {
  const start = varint(tag(number, wire.varint));
  const bytes = new Uint8Array(values.length * (start.length + varintBytesMax));
  let end = 0;
  for (const value of values) {
    bytes.set(start, end);
    end += start.length;
    // Places and flags, which most values are, need no big integers.
    const isByte = value >= 0 && value < 0x80;
    const encoded = isByte ? [Number(value)] : varint(value);
    bytes.set(encoded, end);
    end += encoded.length;
  }
  return { parts: [bytes.slice(0, end)], byteCount: end };
}

export function floatField(number: number, value: number): Message {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setFloat32(0, value, true);
  return part([...varint(tag(number, wire.float32)), ...bytes]);
}

/** Text, bytes or a message in a message. The bytes must not change before {@link toBytes}. */
export function field(number: number, value: string | Uint8Array | Message): Message {
  const content = typeof value === 'string' ? Buffer.from(value) : value;
  const inner: Message = content instanceof Uint8Array ? { parts: [content], byteCount: content.byteLength } : content;
  return message(part([...varint(tag(number, wire.bytes)), ...varint(inner.byteCount)]), inner);
}

export function toBytes({ parts, byteCount }: Message): Uint8Array {
  return Buffer.concat(parts, byteCount);
}

function part(bytes: readonly number[]): Message {
  return { parts: [Uint8Array.from(bytes)], byteCount: bytes.length };
}

function tag(number: number, type: number): number {
  return number * 8 + type;
}

/** Seven bits a byte, the lowest first; the highest bit says that more follow. */
function varint(value: number | bigint): number[] {
  const bytes: number[] = [];
  let left = BigInt.asUintN(64, BigInt(value));
  for (; left > 0x7fn; left >>= 7n) bytes.push(Number(left & 0x7fn) | 0x80);
  return [...bytes, Number(left)];
}
