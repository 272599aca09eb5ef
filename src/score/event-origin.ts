/** Puts the events of a device onto the host's clock. */
import type { GpuDriver } from '../engines/cuda/driver.ts';
import type { Pointer } from '../engines/native.ts';
import { eventOriginMsMax } from '../limits.ts';

/**
 * An event whose moment is known on the host's clock too. A device tells the time between two events as a float32 of
 * milliseconds, which is fine only over minutes, so a younger origin follows every now and then, dated by the older one.
 */
export class EventOrigin {
  readonly #driver: Pick<GpuDriver, 'createEvent' | 'record' | 'block' | 'isDone' | 'elapsedMs'>;
  readonly #stream: Pointer;
  #event: Pointer;
  #atMs: number;
  #next: Pointer;
  #isNextRecorded = false;

  /** Waits for all that the stream has to do. */
  constructor(driver: GpuDriver, stream: Pointer, nowMs: () => number) {
    this.#driver = driver;
    this.#stream = stream;
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
    if (this.#isNextRecorded) {
      if (!this.#driver.isDone(this.#next)) return;
      this.#atMs = this.timeOf(this.#next);
      [this.#event, this.#next] = [this.#next, this.#event];
      this.#isNextRecorded = false;
    } else if (nowMs - this.#atMs > eventOriginMsMax) {
      this.#driver.record(this.#next, this.#stream);
      this.#isNextRecorded = true;
    }
  }
}
