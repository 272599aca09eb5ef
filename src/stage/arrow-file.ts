/** Record batches of an Arrow IPC file or stream, one after the other: a batch is in memory at a time, not the file. */
import { closeSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { createRequire } from 'node:module';
import {
  CompressionType,
  Data,
  DataType,
  type Field,
  MessageReader,
  RecordBatch,
  RecordBatchReader,
  type Schema,
  Struct,
  Table,
  compressionRegistry,
  makeBuilder,
  tableToIPC,
} from 'apache-arrow';
import { TandemError } from '../errors.ts';
import { unpackLz4 } from './lz4.ts';

/** The file format is the stream format between this and a footer. */
const fileMagic = 'ARROW1\0\0';
const chunkBytes = 2 ** 20;
/** Of the mark at the end of a stream. */
const endBytes = 8;

type Zstd = (bytes: Uint8Array) => Uint8Array;

/** Node brings zstd from version 22.15 on. */
const { zstdDecompressSync } = createRequire(import.meta.url)('node:zlib') as { zstdDecompressSync?: Zstd };

/** The first of them, without rows where the file has none, and what gives the next ones. */
export interface ArrowFile {
  readonly first: RecordBatch;
  /** @throws BAD_SHARD */
  next(): RecordBatch | undefined;
  close(): void;
}

/** @throws BAD_SHARD, without the shard */
export async function openArrowFile(path: string): Promise<ArrowFile> {
  compressionRegistry.set(CompressionType.LZ4_FRAME, { decode: unpackLz4 });
  if (zstdDecompressSync !== undefined) {
    compressionRegistry.set(CompressionType.ZSTD, { decode: (bytes) => new Uint8Array(zstdDecompressSync(bytes)) });
  }
  const descriptor = openSync(path, 'r');
  const close = (): void => closeSync(descriptor);
  try {
    const schema = startsWithSchema(descriptor) ? undefined : await schemaOfFooter(path);
    const reader = RecordBatchReader.from(chunksOf(descriptor, schema)).open();
    const take = batchesOf(reader);
    const next = (): RecordBatch | undefined => inWords(take);
    return { first: next() ?? emptyBatch(reader.schema), next, close };
  } catch (error) {
    close();
    throw explained(error);
  }
}

/** One with its children and dictionaries, which apache-arrow's own lacks. */
function emptyBatch(schema: Schema): RecordBatch {
  return new RecordBatch(schema, emptyData(new Struct(schema.fields)) as Data<Struct>);
}

function emptyData(type: DataType): Data {
  const children = ((type.children ?? []) as readonly Field[]).map((field) => emptyData(field.type));
  if (children.length === 0) return makeBuilder({ type }).finish().flush();
  const offsets = DataType.isLargeList(type) ? new BigInt64Array(1) : new Int32Array(1);
  return new Data(type, 0, 0, 0, [offsets], children);
}

/** Behind the mark at the end of a file comes its footer, which is no message: nothing is asked after the end. */
function batchesOf(reader: Iterator<RecordBatch>): () => RecordBatch | undefined {
  let ended = false;
  return () => {
    if (ended) return undefined;
    const { done, value } = reader.next();
    // Of a file without batches apache-arrow makes up one of a class of its own, at its end.
    ended = done === true || (value as RecordBatch).constructor !== RecordBatch;
    return ended ? undefined : (value as RecordBatch);
  };
}

/** The file as a stream. @param schema message that comes before all others */
function* chunksOf(descriptor: number, schema?: Uint8Array): Generator<Uint8Array, void, void> {
  if (schema !== undefined) yield schema;
  for (let position = isFileFormat(descriptor) ? fileMagic.length : 0; ;) {
    const chunk = new Uint8Array(chunkBytes);
    const count = readSync(descriptor, chunk, 0, chunkBytes, position);
    if (count === 0) return;
    position += count;
    yield chunk.subarray(0, count);
  }
}

function isFileFormat(descriptor: number): boolean {
  const head = Buffer.alloc(fileMagic.length);
  readSync(descriptor, head, 0, head.length, 0);
  return head.toString('latin1') === fileMagic;
}

/** Files that apache-arrow for JavaScript writes have their schema in the footer alone. */
function startsWithSchema(descriptor: number): boolean {
  if (!isFileFormat(descriptor)) return true;
  return new MessageReader(chunksOf(descriptor)).readMessage()?.isSchema() ?? true;
}

/** The schema in a file's footer, as the message that a stream begins with. */
async function schemaOfFooter(path: string): Promise<Uint8Array> {
  const file = await open(path);
  try {
    const reader = await RecordBatchReader.from(file);
    await reader.open();
    const stream = tableToIPC(new Table(reader.schema), 'stream');
    return stream.subarray(0, stream.byteLength - endBytes);
  } finally {
    await file.close();
  }
}

function inWords<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw explained(error);
  }
}

function explained(error: unknown): unknown {
  if (error instanceof TandemError) return error;
  const words = (error as Error).message.replace(/\.$/, '');
  const remedy = /codec not found/.test(words)
    ? 'Write it with LZ4 or without compression, or use Node 22.15 or newer, which unpacks zstd.'
    : 'Write the file again, or leave it out of the pattern.';
  return new TandemError('BAD_SHARD', `Expected an Arrow IPC file or stream, got: ${words}.`, { remedy, cause: error });
}
