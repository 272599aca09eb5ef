/** Puts the events of a device onto the host's clock. */
import type { GpuDriver } from '../engines/cuda/driver.ts';
import type { Pointer } from '../engines/native.ts';
import { eventOriginMsMax } from '../limits.ts';

/**
 * An event whose moment is known on the host's clock too. A device tells the time between two events as a float32 of
 * milliseconds, which is fine only over minutes, and its clock and the host's drift apart: so a younger origin follows every
 * now and then, dated by the older one, within the time that the host knows it to have happened in.
 */
export class EventOrigin {
  readonly #driver: Pick<GpuDriver, 'createEvent' | 'record' | 'block' | 'isDone' | 'elapsedMs'>;
  readonly #stream: Pointer;
  #event: Pointer;
  #atMs: number;
  #next: Pointer;
  readonly #nowMs: () => number;
  /** Of the host's clock; undefined: it is not recorded. */
  #nextRecordedMs: number | undefined;

  /** Waits for all that the stream has to do. */
  constructor(driver: GpuDriver, stream: Pointer, nowMs: () => number) {
    this.#driver = driver;
    this.#stream = stream;
    this.#nowMs = nowMs;
    this.#event = driver.createEvent();
    this.#next = driver.createEvent();
    driver.record(this.#event, stream);
    driver.block(this.#event);
    this.#atMs = nowMs();
  }

  /** Milliseconds of the host's clock; the event must have happened. */
  timeOf(event: Pointer): number {
    return this.#atMs + this.#driver.elapsedMs(this.#event, event);
  }

  /** Called with the present, as far as events tell it: takes a younger origin where this one is old. */
  renew(nowMs: number): void {
    if (this.#nextRecordedMs !== undefined) {
      if (!this.#driver.isDone(this.#next)) return;
      this.#atMs = Math.max(this.#nextRecordedMs, Math.min(this.#nowMs(), this.timeOf(this.#next)));
      [this.#event, this.#next] = [this.#next, this.#event];
      this.#nextRecordedMs = undefined;
    } else if (nowMs - this.#atMs > eventOriginMsMax) {
      this.#nextRecordedMs = this.#nowMs();
      this.#driver.record(this.#next, this.#stream);
    }
  }
}
