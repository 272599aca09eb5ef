/**
 * Finds missing events. Every queued operation carries a vector clock (Lamport 1978, Fidge 1988): what it is certain to come
 * after. Reading what another stream wrote without such a certainty is an error, however the timing of this run went.
 */

/** Position of each stream's last operation that is certain to be over; index 0 is the host. */
type Clock = number[];

interface Access {
  readonly stream: number;
  readonly at: number;
}

interface Written {
  readonly start: bigint;
  readonly end: bigint;
  readonly writer: Access;
  readonly readers: readonly Access[];
}

export class HappensBefore {
  readonly #streams: Clock[] = [[]];
  readonly #events = new Map<number, Clock>();
  #written: Written[] = [];

  /** Index of a new stream. */
  addStream(): number {
    this.#streams.push([]);
    return this.#streams.length - 1;
  }

  record(event: number, stream: number): void {
    this.#events.set(event, [...this.#clockOf(stream)]);
  }

  /** The stream goes on after the event. */
  waitFor(event: number, stream: number): void {
    join(this.#streams[stream]!, this.#events.get(event) ?? []);
  }

  /** The host knows that the event has passed. */
  passed(event: number): void {
    join(this.#streams[0]!, this.#events.get(event) ?? []);
    // What the host knows to be over, everything that it queues from now on comes after.
    const isOver = ({ stream, at }: Access): boolean => (this.#streams[0]![stream] ?? 0) >= at;
    this.#written = this.#written.filter(({ writer, readers }) => !isOver(writer) || !readers.every(isOver));
  }

  /** An operation on a stream. @throws Error naming the streams when an access is not ordered after an earlier one */
  operation(stream: number, reads: readonly MemoryRange[], writes: readonly MemoryRange[]): void {
    const clock = this.#clockOf(stream);
    const access: Access = { stream, at: (clock[stream] ?? 0) + 1 };
    clock[stream] = access.at;
    for (const range of reads) this.#read(range, clock, access);
    for (const range of writes) this.#write(range, clock, access);
  }

  /** Forgets memory that is freed. */
  forget(range: MemoryRange): void {
    this.#written = this.#written.filter((written) => !overlaps(written, range));
  }

  /** What a stream's next operation comes after: all that was queued on it, and all that the host knew. */
  #clockOf(stream: number): Clock {
    const clock = this.#streams[stream]!;
    join(clock, this.#streams[0]!);
    return clock;
  }

  #read(range: MemoryRange, clock: Clock, access: Access): void {
    this.#written = this.#written.map((written) => {
      if (!overlaps(written, range)) return written;
      expectAfter('reads', written.writer, clock, access);
      return { ...written, readers: [...written.readers.filter((each) => each.stream !== access.stream), access] };
    });
  }

  #write(range: MemoryRange, clock: Clock, access: Access): void {
    for (const written of this.#written) {
      if (!overlaps(written, range)) continue;
      expectAfter('overwrites', written.writer, clock, access);
      for (const reader of written.readers) expectAfter('overwrites', reader, clock, access);
    }
    this.#written = this.#written.filter((written) => !(written.start >= range.start && written.end <= range.end));
    this.#written.push({ ...range, writer: access, readers: [] });
  }
}

export interface MemoryRange {
  readonly start: bigint;
  /** First byte behind it. */
  readonly end: bigint;
}

function overlaps(a: MemoryRange, b: MemoryRange): boolean {
  return a.start < b.end && b.start < a.end;
}

function join(clock: Clock, other: readonly number[]): void {
  for (let index = 0; index < other.length; index++) clock[index] = Math.max(clock[index] ?? 0, other[index] ?? 0);
}

function expectAfter(verb: string, earlier: Access, clock: Clock, access: Access): void {
  if ((clock[earlier.stream] ?? 0) >= earlier.at) return;
  throw new Error(
    `Expected stream ${access.stream} to wait for operation ${earlier.at} of stream ${earlier.stream} before it ${verb} its memory.`,
  );
}
