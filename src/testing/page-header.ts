/** As much of Thrift's compact protocol as it takes to find where a Parquet page header ends. */

/** Type numbers of the compact protocol. */
const thrift = {
  stop: 0,
  true: 1,
  false: 2,
  byte: 3,
  i16: 4,
  i32: 5,
  i64: 6,
  double: 7,
  binary: 8,
  list: 9,
  set: 10,
  struct: 12,
} as const;

/** Length of the page header that `bytes` starts with. @throws RangeError when it is longer than `bytes` or is none */
export function pageHeaderBytes(bytes: Uint8Array): number {
  return skipStruct(bytes, 0);
}

function skipStruct(bytes: Uint8Array, start: number): number {
  for (let at = start; ;) {
    const field = byteAt(bytes, at++);
    if (field === thrift.stop) return at;
    // The upper half is the step to the field's number; 0: the number itself follows.
    if (field >> 4 === 0) at = readVarint(bytes, at).end;
    at = skipValue(bytes, at, field & 15, false);
  }
}

function skipValue(bytes: Uint8Array, at: number, type: number, isElement: boolean): number {
  switch (type) {
    case thrift.true:
    case thrift.false:
      return isElement ? at + 1 : at;
    case thrift.byte:
      return at + 1;
    case thrift.i16:
    case thrift.i32:
    case thrift.i64:
      return readVarint(bytes, at).end;
    case thrift.double:
      return at + 8;
    case thrift.binary: {
      const length = readVarint(bytes, at);
      return length.end + length.value;
    }
    case thrift.list:
    case thrift.set:
      return skipList(bytes, at);
    case thrift.struct:
      return skipStruct(bytes, at);
    default:
      throw new RangeError(`Expected a page header, got Thrift type ${type}.`);
  }
}

function skipList(bytes: Uint8Array, start: number): number {
  const head = byteAt(bytes, start);
  const length = head >> 4 === 15 ? readVarint(bytes, start + 1) : { value: head >> 4, end: start + 1 };
  let at = length.end;
  for (let index = 0; index < length.value; index++) at = skipValue(bytes, at, head & 15, true);
  return at;
}

function readVarint(bytes: Uint8Array, start: number): { value: number; end: number } {
  let value = 0;
  for (let at = start, scale = 1; ; at++, scale *= 128) {
    const byte = byteAt(bytes, at);
    value += (byte & 127) * scale;
    if (byte < 128) return { value, end: at + 1 };
  }
}

function byteAt(bytes: Uint8Array, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new RangeError(`Expected a page header of ${bytes.length} bytes at most, got more.`);
  return byte;
}
