/**
 * Slots on their way to GPUs and back, in shared memory. A prep thread owns a few slots: it fills one, hands it to a
 * device's queue, and sleeps until the oldest of its own comes back with scores. A slot is in one pair of hands at any
 * time, so nothing in it needs a lock; its phase says whose.
 */
import { sleep } from '../engines/sleep.ts';
import { TandemError } from '../errors.ts';
import { control, type SlotQueueMemory } from '../messages.ts';

/** Whose a slot is; `awaited` is a device's while its owner sleeps for want of it. */
const phase = { owners: 0, devices: 1, awaited: 2, scored: 3 } as const;
/** Int32 of a slot: phase, rows, shard, first row. */
const slotInts = 4;

/**
 * Int32 of a device's queue: hand-overs so far; 1 once the device is lost; slots that are in its hands; then a ring of
 * entries, 0 where none is.
 */
const handedOver = 0;
const isLost = 1;
const slotsHeld = 2;
const firstEntry = 3;
/** An entry that says that one producer will hand over nothing more. */
const producerEnded = -1;

/** A sleeping thread looks at the stop flag this often. */
const wakeMs = 100;

/**
 * @param producers threads that hand over slots
 * @param idle of these, the ones that say when they begin to work: {@link SlotSender.begin}
 */
export function createSlotQueues(slots: number, producers: number, devices: number, idle = 0): SlotQueueMemory {
  const shared = (length: number): Int32Array =>
    new Int32Array(new SharedArrayBuffer(length * Int32Array.BYTES_PER_ELEMENT));
  return {
    slotCount: slots,
    slots: shared(slots * slotInts),
    queues: Array.from({ length: devices }, () => shared(firstEntry + slots + producers)),
    producers,
    producersIdle: shared(1).fill(idle),
    devicesAtWork: shared(1).fill(devices),
  };
}

/** A device's thread is about to end: it copies from no slot any more, nor to one. */
export function endDevice({ devicesAtWork }: SlotQueueMemory): void {
  Atomics.sub(devicesAtWork, 0, 1);
  Atomics.notify(devicesAtWork, 0);
}

/**
 * Sleeps until the calling thread's device is the last one at work.
 * @returns false when others still are after so long: memory that they may copy from must stay as it is
 */
export function waitForOtherDevices({ devicesAtWork }: SlotQueueMemory, milliseconds: number): boolean {
  const end = performance.now() + milliseconds;
  for (let left = Atomics.load(devicesAtWork, 0); left > 1; left = Atomics.load(devicesAtWork, 0)) {
    const rest = end - performance.now();
    if (rest <= 0) return false;
    sleep(devicesAtWork, 0, left, rest);
  }
  return true;
}

/** Slots in each device's hands now: those that wait there and those that are being scored. For any thread. */
export function slotsInHands({ queues }: SlotQueueMemory): number[] {
  return queues.map((queue) => Atomics.load(queue, slotsHeld));
}

/** Rows of a slot, by where they come from. */
export interface SlotAddress {
  readonly shardIndex: number;
  readonly firstRow: number;
  readonly rowCount: number;
}

function expectRunning(flags: Int32Array): void {
  if (Atomics.load(flags, control.stop) !== 0) throw new TandemError('STOPPED', 'The run was stopped.');
}

/** The ring is as long as everything that can be in it at once, so an entry's place is free when its turn comes. */
function handOver(queue: Int32Array, entry: number): void {
  const places = queue.length - firstEntry;
  const ticket = Atomics.add(queue, handedOver, 1) >>> 0;
  Atomics.store(queue, firstEntry + (ticket % places), entry);
  Atomics.notify(queue, handedOver);
}

/** Of the devices that answer, the one that holds the fewest slots: a slow one gets less. Undefined when none answers. */
function leastBusy(queues: readonly Int32Array[]): Int32Array | undefined {
  const alive = queues.filter((queue) => Atomics.load(queue, isLost) === 0);
  const held = alive.map((queue) => Atomics.load(queue, slotsHeld));
  return alive[held.indexOf(Math.min(...held))];
}

function handSlot(queue: Int32Array, slot: number): void {
  Atomics.add(queue, slotsHeld, 1);
  handOver(queue, slot + 1);
}

/** The side of a prep thread. */
export class SlotSender {
  readonly #memory: SlotQueueMemory;
  readonly #flags: Int32Array;

  constructor(memory: SlotQueueMemory, flags: Int32Array) {
    this.#memory = memory;
    this.#flags = flags;
  }

  /** To the device that has least to do; its thread reads the slot's first rows from now on. */
  send(slot: number, address: SlotAddress): void {
    const { slots, queues } = this.#memory;
    const at = slot * slotInts;
    slots[at + 1] = address.rowCount;
    slots[at + 2] = address.shardIndex;
    slots[at + 3] = address.firstRow;
    // After the rows and the address: whoever sees the phase sees them too.
    Atomics.store(slots, at, phase.devices);
    // The thread of a lost device passes on what still comes to it.
    handSlot(leastBusy(queues) ?? queues[0]!, slot);
  }

  /** Sleeps until the slot's scores are in it, and takes it back. @throws STOPPED */
  take(slot: number): void {
    const { slots } = this.#memory;
    const at = slot * slotInts;
    this.#becomeIdle();
    // Whoever gives an awaited slot back counts its owner as busy again, so that no device sees it idle with a slot.
    if (Atomics.compareExchange(slots, at, phase.devices, phase.awaited) !== phase.devices) this.#becomeBusy();
    while (Atomics.load(slots, at) !== phase.scored) {
      sleep(slots, at, phase.awaited, wakeMs);
      expectRunning(this.#flags);
    }
    Atomics.store(slots, at, phase.owners);
  }

  /** From here on slots may come from this thread, which was idle. */
  begin(): void {
    this.#becomeBusy();
  }

  /** Nothing comes from this thread before it begins again. */
  rest(): void {
    this.#becomeIdle();
  }

  /** Nothing more comes from this thread. */
  end(): void {
    this.#becomeIdle();
    for (const queue of this.#memory.queues) handOver(queue, producerEnded);
  }

  #becomeIdle(): void {
    const { producersIdle, producers, queues } = this.#memory;
    if (Atomics.add(producersIdle, 0, 1) + 1 < producers) return;
    // The last one: devices that wait for more rows need not.
    for (const queue of queues) Atomics.notify(queue, handedOver);
  }

  #becomeBusy(): void {
    Atomics.sub(this.#memory.producersIdle, 0, 1);
  }
}

export type Received = { readonly slot: number; readonly address: SlotAddress } | 'ended' | undefined;

/** The side of a GPU's thread. */
export class SlotReceiver {
  readonly #memory: SlotQueueMemory;
  readonly #queue: Int32Array;
  readonly #flags: Int32Array;
  #received = 0;
  #producersLeft: number;

  constructor(memory: SlotQueueMemory, device: number, flags: Int32Array) {
    this.#memory = memory;
    this.#queue = memory.queues[device]!;
    this.#flags = flags;
    this.#producersLeft = memory.producers;
  }

  /** The next slot, `ended` once when all producers have ended, undefined while there is none. @throws STOPPED */
  receive(): Received {
    expectRunning(this.#flags);
    while (this.#received !== Atomics.load(this.#queue, handedOver)) {
      const place = firstEntry + ((this.#received >>> 0) % (this.#queue.length - firstEntry));
      let entry = Atomics.exchange(this.#queue, place, 0);
      // Counted, and stored a moment later.
      while (entry === 0) entry = Atomics.exchange(this.#queue, place, 0);
      this.#received = (this.#received + 1) | 0;
      if (entry !== producerEnded) return { slot: entry - 1, address: this.#addressOf(entry - 1) };
      if (--this.#producersLeft === 0) return 'ended';
    }
    return undefined;
  }

  /** Sleeps until something is handed over, or so long. @returns false when the time is over */
  wait(milliseconds: number): boolean {
    return sleep(this.#queue, handedOver, this.#received, Math.min(milliseconds, wakeMs));
  }

  /** Every thread that hands over slots sleeps until one comes back, or has ended: nothing more comes by itself. */
  get producersAreIdle(): boolean {
    // In this order: what a thread hands over before it falls asleep is seen.
    const areIdle = Atomics.load(this.#memory.producersIdle, 0) >= this.#memory.producers;
    return areIdle && Atomics.load(this.#queue, handedOver) === this.#received;
  }

  /** Gives a slot with scores for all its rows back to its owner. */
  giveBack(slot: number): void {
    const { slots, producersIdle } = this.#memory;
    Atomics.sub(this.#queue, slotsHeld, 1);
    const before = Atomics.exchange(slots, slot * slotInts, phase.scored);
    if (before === phase.awaited) Atomics.sub(producersIdle, 0, 1);
    Atomics.notify(slots, slot * slotInts);
  }

  /** This device answers no more: other threads should not send to it. */
  markLost(): void {
    Atomics.store(this.#queue, isLost, 1);
  }

  /** Another device still takes slots. */
  get othersAnswer(): boolean {
    return this.#memory.queues.some((queue) => queue !== this.#queue && Atomics.load(queue, isLost) === 0);
  }

  /** Gives a slot to another device. @returns false when all are lost */
  passOn(slot: number): boolean {
    const queue = leastBusy(this.#memory.queues);
    if (queue === undefined) return false;
    Atomics.sub(this.#queue, slotsHeld, 1);
    handSlot(queue, slot);
    return true;
  }

  #addressOf(slot: number): SlotAddress {
    const { slots } = this.#memory;
    const at = slot * slotInts;
    return { rowCount: slots[at + 1]!, shardIndex: slots[at + 2]!, firstRow: slots[at + 3]! };
  }
}
