/** What comes from somebody else's iterable, without waiting for it. */

/** Wakes its one sleeper; a ring while nobody sleeps is not lost. */
export class Bell {
  #rung = false;
  #wake: (() => void) | undefined;

  ring(): void {
    this.#rung = true;
    this.#wake?.();
  }

  async sleep(): Promise<void> {
    if (!this.#rung) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#wake = undefined;
    this.#rung = false;
  }
}

/** An iterable that is asked for one item at a time, and rings when it has come. */
export class Arrivals<Item> {
  readonly #iterator: AsyncIterator<Item> | Iterator<Item>;
  readonly #bell: Bell;
  #asked = false;
  #arrived: Item | undefined;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;

  constructor(items: AsyncIterable<Item> | Iterable<Item>, bell: Bell) {
    this.#iterator = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
    this.#bell = bell;
  }

  /** No item will come any more, nor is one here. */
  get ended(): boolean {
    return this.#ended && this.#arrived === undefined;
  }

  /** Asks for the next item, unless one is on its way or here. */
  ask(): void {
    if (this.#asked || this.#ended || this.#arrived !== undefined) return;
    this.#asked = true;
    void this.#next();
  }

  /** The item that has come, once. */
  take(): Item | undefined {
    const item = this.#arrived;
    this.#arrived = undefined;
    return item;
  }

  /** @throws what the iterable threw at its end */
  finish(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  /** Tells the iterable that nobody asks any more; one that is busy with an item is not waited for. */
  async close(): Promise<void> {
    if (this.#ended) return;
    const returned = Promise.resolve(this.#iterator.return?.());
    if (this.#asked) returned.catch(() => {});
    else await returned;
  }

  async #next(): Promise<void> {
    try {
      const { done, value } = await this.#iterator.next();
      if (done === true) this.#ended = true;
      else this.#arrived = value;
    } catch (error) {
      this.#failure = { error };
      this.#ended = true;
    }
    this.#asked = false;
    this.#bell.ring();
  }
}
