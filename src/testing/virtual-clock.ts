/** Time that passes only when nothing is left to do at an instant. Programs are generators that say how they pause. */

/** Wakes the one program that waits for it; a firing while nobody waits is lost. */
export class Signal {
  #wake: (() => void) | undefined;

  fire(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  onFire(wake: (() => void) | undefined): void {
    this.#wake = wake;
  }
}

/** Until the signal fires or the seconds are over, whichever is there and comes first. */
export interface Pause {
  readonly signal?: Signal;
  readonly seconds?: number;
}

/** Each pause gives whether the signal ended it. */
export type Program<Result = void> = Generator<Pause, Result, boolean>;

interface Entry {
  readonly seconds: number;
  /** What was scheduled first comes first among equal times. */
  readonly order: number;
  readonly act: () => void;
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.seconds < b.seconds || (a.seconds === b.seconds && a.order < b.order);
}

export class VirtualClock {
  #nowSeconds = 0;
  #scheduled = 0;
  /** A binary heap: the earliest entry is the first. */
  readonly #entries: Entry[] = [];
  readonly #running = new Set<string>();

  get nowSeconds(): number {
    return this.#nowSeconds;
  }

  at(seconds: number, act: () => void): void {
    const entries = this.#entries;
    let at = entries.push({ seconds, order: this.#scheduled++, act }) - 1;
    while (at > 0 && isBefore(entries[at]!, entries[(at - 1) >> 1]!)) at = swap(entries, at, (at - 1) >> 1);
  }

  /** @param name how a deadlock names the program */
  start(name: string, program: Program): void {
    this.#running.add(name);
    this.at(this.#nowSeconds, () => this.#resume(name, program, false));
  }

  /**
   * Until every program has ended.
   * @throws Error for a deadlock, and after `stepsMax` instants: somebody turns in circles
   */
  run(stepsMax: number): void {
    for (let steps = 0; this.#entries.length > 0; steps++) {
      if (steps === stepsMax) throw new Error(`Still at work after ${stepsMax} steps: ${this.#names()}.`);
      const { seconds, act } = this.#pop();
      this.#nowSeconds = seconds;
      act();
    }
    if (this.#running.size > 0) throw new Error(`Deadlock at ${this.#nowSeconds} s: ${this.#names()} still wait.`);
  }

  #names(): string {
    return [...this.#running].join(', ');
  }

  #resume(name: string, program: Program, signalled: boolean): void {
    const { done, value } = program.next(signalled);
    if (done === true) {
      this.#running.delete(name);
      return;
    }
    const { signal, seconds } = value;
    let paused = true;
    const end = (bySignal: boolean): void => {
      if (!paused) return;
      paused = false;
      signal?.onFire(undefined);
      this.#resume(name, program, bySignal);
    };
    signal?.onFire(() => this.at(this.#nowSeconds, () => end(true)));
    if (seconds !== undefined) this.at(this.#nowSeconds + seconds, () => end(false));
  }

  #pop(): Entry {
    const entries = this.#entries;
    const first = entries[0]!;
    const last = entries.pop()!;
    if (entries.length > 0) entries[0] = last;
    for (let at = 0; ;) {
      const left = 2 * at + 1;
      if (left >= entries.length) return first;
      const right = left + 1;
      const child = right < entries.length && isBefore(entries[right]!, entries[left]!) ? right : left;
      if (!isBefore(entries[child]!, entries[at]!)) return first;
      at = swap(entries, at, child);
    }
  }
}

/** @returns `to` */
function swap(entries: Entry[], from: number, to: number): number {
  [entries[from], entries[to]] = [entries[to]!, entries[from]!];
  return to;
}
