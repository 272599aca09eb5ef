/**
 * A run as trace events, in a file that Perfetto and Chrome open. The form is the array of
 * https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU, which viewers read even where its end is
 * missing; what this file gets in the end is whole JSON.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createWriteStream, type WriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { TandemError } from '../errors.ts';
import { traceFileBytesMax, tracePendingBytesMax } from '../limits.ts';
import type { RunSample } from '../run-record.ts';
import type { TrackSpan } from './timeline.ts';

/** One process, which is the run; its tracks are the threads of it. */
const processId = 1;

export class TraceFile {
  readonly #path: string;
  readonly #temporary: string;
  readonly #stream: WriteStream;
  readonly #warn: (text: string) => void;
  readonly #bytesMax: number;
  /** Not yet given to the stream: one write for many events. */
  #text = '';
  #bytes = 0;
  #endsAtMs: number | undefined;
  #failure: Error | undefined;
  #leftOut = 0;

  private constructor(path: string, temporary: string, stream: WriteStream, warn: (text: string) => void, max: number) {
    this.#path = path;
    this.#temporary = temporary;
    this.#stream = stream;
    this.#warn = warn;
    this.#bytesMax = max;
    stream.on('error', (error) => (this.#failure = error));
    this.#write(`[\n${event({ ph: 'M', name: 'process_name', args: { name: 'tandem score' } })}`);
  }

  /**
   * Under a temporary name, until {@link close}.
   * @param warn told what somebody who reads the trace should know
   * @throws USAGE where the file cannot be made
   */
  static async open(path: string, warn: (text: string) => void, bytesMax = traceFileBytesMax): Promise<TraceFile> {
    const temporary = `${path}.tmp-${randomBytes(6).toString('hex')}`;
    const stream = createWriteStream(temporary);
    try {
      await once(stream, 'open');
    } catch (cause) {
      throw new TandemError(
        'USAGE',
        `Expected --trace to be a file that can be made, got ${(cause as Error).message}.`,
        {
          remedy: 'Name a file in a folder that exists and may be written to.',
          cause,
        },
      );
    }
    return new TraceFile(path, temporary, stream, warn, bytesMax);
  }

  /** Tells the tracks' names, in their order. */
  name(tracks: readonly string[]): void {
    tracks.forEach((name, track) => {
      this.#write(`,\n${event({ ph: 'M', name: 'thread_name', tid: track + 1, args: { name } })}`);
      this.#write(`,\n${event({ ph: 'M', name: 'thread_sort_index', tid: track + 1, args: { sort_index: track } })}`);
    });
    this.#flush();
  }

  /**
   * There may be hundreds of thousands a second: their text is put together by hand.
   * @param shardNames by the spans' indices
   */
  spans(spans: readonly TrackSpan[], shardNames: readonly string[]): void {
    const quoted = new Map<number, string>();
    for (const { track, activity, startMs, durationMs, shardIndex, firstRow, rowCount } of spans) {
      let args = '';
      if (shardIndex !== undefined) {
        const shard = quoted.get(shardIndex) ?? JSON.stringify(shardNames[shardIndex]);
        quoted.set(shardIndex, shard);
        args = `"shard":${shard},"firstRow":${firstRow},"rows":${rowCount}`;
      }
      const times = `"ts":${microseconds(startMs)},"dur":${microseconds(durationMs)}`;
      const text = `{"pid":${processId},"ph":"X","name":"${activity}","tid":${track + 1},${times},"args":{${args}}}`;
      this.#add(startMs, text);
    }
    this.#flush();
  }

  /** Figures of this moment, each as a curve of its own. */
  counters(sample: RunSample, deviceNames: readonly string[]): void {
    const { atSeconds, rowsPerSecond, batchSize, residentBytes, queueDepths, deviceBytes } = sample;
    const byDevice = (values: readonly number[]): Record<string, number> =>
      Object.fromEntries(values.map((value, device) => [deviceNames[device]!, value]));
    const curves: Record<string, Record<string, number>> = {
      'rows/s': { rows: Math.round(rowsPerSecond) },
      'batch size': batchSize === undefined ? {} : { rows: batchSize },
      'memory (MiB)': { process: mebibytes(residentBytes), ...byDevice(deviceBytes.map(mebibytes)) },
      'slots with the GPU': byDevice(queueDepths),
    };
    for (const [name, args] of Object.entries(curves)) {
      if (Object.keys(args).length === 0) continue;
      this.#add(atSeconds * 1000, event({ ph: 'C', name, ts: microseconds(atSeconds * 1000), args }));
    }
    this.#flush();
  }

  /**
   * Ends the JSON and gives the file its name.
   * @param missing events that were never given to this file
   */
  async close(missing: number): Promise<void> {
    const lost = missing + this.#leftOut;
    if (lost > 0)
      this.#note(`The trace lacks ${lost} events: they came faster than they could be taken or written.`, 0);
    this.#flush();
    try {
      if (this.#failure === undefined) await this.#end();
      if (this.#failure !== undefined) throw this.#failure;
      await rename(this.#temporary, this.#path);
    } catch (error) {
      await this.discard();
      this.#warn(`There is no trace: ${(error as Error).message}.`);
    }
  }

  #end(): Promise<void> {
    return new Promise((resolve, reject) => {
      // Told of a full disk here, before the stream's own error comes.
      this.#stream.end('\n]\n', (error?: Error | null) => (error ? reject(error) : resolve()));
    });
  }

  /** Leaves no file: there was nothing to trace. */
  async discard(): Promise<void> {
    this.#stream.destroy();
    await rm(this.#temporary, { force: true });
  }

  #add(startMs: number, text: string): void {
    if (this.#endsAtMs !== undefined) return;
    if (this.#bytes + text.length > this.#bytesMax) {
      this.#endsAtMs = startMs;
      const seconds = (startMs / 1000).toFixed(1);
      this.#note(
        `The trace ends ${seconds} s after the run's start: it holds ${mebibytes(this.#bytesMax)} MiB.`,
        startMs,
      );
    } else if (this.#stream.writableLength > tracePendingBytesMax) {
      this.#leftOut++;
    } else this.#write(`,\n${text}`);
  }

  /** Said, and in the trace. */
  #note(name: string, atMs: number): void {
    this.#warn(name);
    this.#write(`,\n${event({ ph: 'i', s: 'g', name, ts: microseconds(atMs) })}`);
  }

  #write(text: string): void {
    this.#bytes += text.length;
    this.#text += text;
  }

  #flush(): void {
    if (this.#failure === undefined) this.#stream.write(this.#text);
    this.#text = '';
  }
}

function event(fields: { readonly ph: string; readonly name: string; readonly [field: string]: unknown }): string {
  return JSON.stringify({ pid: processId, ...fields });
}

/** To the nanosecond, since the run's start. */
function microseconds(milliseconds: number): number {
  return Math.round(milliseconds * 1e6) / 1e3;
}

function mebibytes(bytes: number): number {
  return Math.round(bytes / 2 ** 20);
}
