/**
 * Which batch each thread is scoring, on disk: a model can take the whole process down (an integer division by zero
 * does), and then only this tells which rows did it. One line of fixed length for each thread, overwritten in place.
 */
import { closeSync, constants, existsSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import type { SpanAddress } from '../batch.ts';
import { mapFile, type MappedFile } from '../engines/native.ts';
import { threadsMax } from '../limits.ts';

const lineBytes = 64;

/** Writes one thread's line, into memory that the kernel keeps as a file: it costs no call, and outlives the process. */
export class InFlight {
  readonly #file: MappedFile;
  readonly #line: Buffer;

  constructor(path: string, threadIndex: number) {
    // All threads open it at once: whoever is first creates it, and nobody empties it.
    const descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT);
    ftruncateSync(descriptor, threadsMax * lineBytes);
    this.#file = mapFile(descriptor, threadsMax * lineBytes);
    closeSync(descriptor);
    this.#line = Buffer.from(this.#file.memory, threadIndex * lineBytes, lineBytes);
  }

  /** About to score these rows. */
  enter({ shardIndex, firstRow, rowCount }: SpanAddress): void {
    this.#write(`${shardIndex} ${firstRow} ${rowCount}`);
  }

  /** This thread scores no more. */
  close(): void {
    this.#write('');
    this.#file.unmap();
  }

  #write(text: string): void {
    this.#line.write(`${text.padEnd(lineBytes - 1)}\n`, 'latin1');
  }
}

/** What the threads of a dead run were scoring; empty when it ended in order. */
export function readInFlight(path: string): SpanAddress[] {
  if (!existsSync(path)) return [];
  const spans: SpanAddress[] = [];
  for (const line of readFileSync(path, 'latin1').split('\n')) {
    const match = /^(\d+) (\d+) (\d+)\s*$/.exec(line.replaceAll('\u0000', ''));
    if (match !== null) spans.push({ shardIndex: Number(match[1]), firstRow: Number(match[2]), rowCount: Number(match[3]) });
  }
  return spans;
}
