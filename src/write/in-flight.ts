/**
 * Which batch each thread is scoring, on disk: a model can take the whole process down (an integer division by zero
 * does), and then only this tells which rows did it. One line of fixed length for each thread, overwritten in place.
 */
import { closeSync, constants, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { SpanAddress } from '../batch.ts';
import { mapFile, type MappedFile } from '../engines/native.ts';
import { cannotWrite } from './write-failure.ts';

const lineBytes = 64;
const blankLine = Buffer.from(`${' '.repeat(lineBytes - 1)}\n`);

/** Writes one thread's line, into memory that the kernel keeps as a file: it costs no call, and outlives the process. */
export class InFlight {
  readonly #descriptor: number;
  readonly #position: number;
  readonly #file: MappedFile | undefined;
  readonly #line: Buffer;

  /** @throws TRANSIENT when the disk is full */
  constructor(path: string, threadIndex: number) {
    this.#position = threadIndex * lineBytes;
    let descriptor: number | undefined;
    try {
      // All threads open it at once: whoever is first creates it, and nobody empties it.
      descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT);
      // Written once the ordinary way, so that the line has its place on the disk: a store into a mapped page that a full
      // disk has no room for would kill the process.
      writeSync(descriptor, blankLine, 0, lineBytes, this.#position);
    } catch (cause) {
      if (descriptor !== undefined) closeSync(descriptor);
      throw cannotWrite(dirname(path), cause);
    }
    this.#descriptor = descriptor;
    this.#file = mapFile(this.#descriptor, this.#position + lineBytes);
    this.#line =
      this.#file === undefined ? Buffer.from(blankLine) : Buffer.from(this.#file.memory, this.#position, lineBytes);
  }

  /** About to score these rows. */
  enter({ shardIndex, firstRow, rowCount }: SpanAddress): void {
    this.#write(`${shardIndex} ${firstRow} ${rowCount}`);
  }

  /** This thread scores no more. */
  close(): void {
    this.#write('');
    this.#file?.unmap();
    closeSync(this.#descriptor);
  }

  #write(text: string): void {
    this.#line.write(`${text.padEnd(lineBytes - 1)}\n`, 'latin1');
    if (this.#file === undefined) writeSync(this.#descriptor, this.#line, 0, lineBytes, this.#position);
  }
}

/** What the threads of a dead run were scoring; empty when it ended in order. */
export function readInFlight(path: string): SpanAddress[] {
  if (!existsSync(path)) return [];
  const spans: SpanAddress[] = [];
  for (const line of readFileSync(path, 'latin1').split('\n')) {
    const match = /^(\d+) (\d+) (\d+)\s*$/.exec(line.replaceAll('\u0000', ''));
    if (match !== null)
      spans.push({ shardIndex: Number(match[1]), firstRow: Number(match[2]), rowCount: Number(match[3]) });
  }
  return spans;
}
