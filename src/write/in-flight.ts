/**
 * Which batch each thread is scoring, on disk: a model can take the whole process down (an integer division by zero
 * does), and then only this tells which rows did it. One line of fixed length for each thread, overwritten in place.
 */
import { closeSync, constants, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { SpanAddress } from '../batch.ts';

const lineBytes = 64;

/** Writes one thread's line. */
export class InFlight {
  readonly #descriptor: number;
  readonly #position: number;
  readonly #line = Buffer.alloc(lineBytes);

  constructor(path: string, threadIndex: number) {
    // All threads open it at once: whoever is first creates it, and nobody empties it.
    this.#descriptor = openSync(path, constants.O_RDWR | constants.O_CREAT);
    this.#position = threadIndex * lineBytes;
  }

  /** About to score these rows. 1 to 2 µs: the page cache survives the process. */
  enter({ shardIndex, firstRow, rowCount }: SpanAddress): void {
    this.#line.fill(' ');
    this.#line.write(`${shardIndex} ${firstRow} ${rowCount}`);
    this.#line.write('\n', lineBytes - 1);
    writeSync(this.#descriptor, this.#line, 0, lineBytes, this.#position);
  }

  /** This thread scores no more. */
  close(): void {
    this.#line.fill(' ');
    this.#line.write('\n', lineBytes - 1);
    writeSync(this.#descriptor, this.#line, 0, lineBytes, this.#position);
    closeSync(this.#descriptor);
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
