/**
 * A GPU run as a simulation: the state machine of `transfer/device-flow.ts` carried out on a virtual clock, with prep
 * threads that use their slots as DeviceLane does. It shows schedules, overlap and waiting; nothing in it is measured.
 */
import type { RowCarrier } from './virtual-rows.ts';
import { Signal, VirtualClock, type Program } from './virtual-clock.ts';
import { VirtualGpu, type VirtualBatch, type VirtualGpuOptions } from './virtual-gpu.ts';
import { computeShares, shareOf, type Activity, type ComputeShares, type Timeline } from './virtual-times.ts';

export interface VirtualPrepOptions {
  readonly threads: number;
  readonly slotsPerThread: number;
  readonly slotRows: number;
  /** Reading and featurizing. */
  readonly fillSecondsPerRow: number;
  /** Writing the scores that have come back; the thread does it itself. */
  readonly writeSecondsPerRow: number;
  /** Rows of shards or spans, in the order in which threads take them; no slot holds rows of two. */
  readonly spanRows: readonly number[];
}

export interface VirtualOptions {
  readonly prep: VirtualPrepOptions;
  readonly gpus: readonly VirtualGpuOptions[];
  /** Which GPU gets a slot: one after the other, as SlotSender does, or the one that owes the fewest rows. */
  readonly handOver?: 'inTurn' | 'fewestRows';
  /** Told what happens to every row. */
  readonly rows?: RowCarrier;
  /** Factor on the seconds of each piece of work; 1 where it is left out. */
  readonly jitter?: () => number;
  /** Instants after which the run counts as stuck. */
  readonly stepsMax?: number;
}

export interface ThreadReport {
  /** Shares of the makespan. */
  readonly fillShare: number;
  readonly writeShare: number;
  readonly waitShare: number;
  readonly rowCount: number;
}

export interface GpuReport {
  /** Shares of the makespan. */
  readonly compute: ComputeShares;
  readonly copyInShare: number;
  readonly copyOutShare: number;
  readonly rowCount: number;
  readonly batches: readonly VirtualBatch[];
  /** Batches that began because nothing else came. */
  readonly starvedCount: number;
  readonly outOfMemoryCount: number;
}

export interface VirtualRun {
  readonly makespanSeconds: number;
  readonly rowCount: number;
  readonly rowsPerSecond: number;
  readonly slotsHandedOver: number;
  readonly slotsReturned: number;
  readonly threads: readonly ThreadReport[];
  readonly gpus: readonly GpuReport[];
  readonly timeline: readonly Activity[];
}

const stepsMaxDefault = 10_000_000;

interface Span {
  readonly firstRow: number;
  readonly endRow: number;
}

/** What the threads share. */
class Prep {
  readonly #options: VirtualOptions;
  readonly #clock: VirtualClock;
  readonly #timeline: Timeline;
  readonly #gpus: VirtualGpu[] = [];
  readonly #spans: Span[] = [];
  readonly #scored: boolean[];
  readonly #returned: readonly Signal[];
  /** Slots for which their thread waits. */
  readonly #awaited = new Set<number>();
  #idle = 0;
  readonly rowsDone: number[];
  slotsHandedOver = 0;
  slotsReturned = 0;

  constructor(options: VirtualOptions, clock: VirtualClock, timeline: Timeline) {
    const { threads, slotsPerThread, spanRows } = options.prep;
    this.#options = options;
    this.#clock = clock;
    this.#timeline = timeline;
    let firstRow = 0;
    for (const rows of spanRows) this.#spans.push({ firstRow, endRow: (firstRow += rows) });
    this.#scored = Array.from({ length: threads * slotsPerThread }, () => false);
    this.#returned = this.#scored.map(() => new Signal());
    this.rowsDone = Array.from({ length: threads }, () => 0);
  }

  connect(gpu: VirtualGpu): void {
    this.#gpus.push(gpu);
  }

  get producersAreIdle(): boolean {
    return this.#idle === this.#options.prep.threads;
  }

  #becomeIdle(): void {
    this.#idle++;
    if (this.producersAreIdle) for (const gpu of this.#gpus) gpu.look();
  }

  giveBack(slot: number): void {
    if (this.#awaited.delete(slot)) this.#idle--;
    this.#scored[slot] = true;
    this.slotsReturned++;
    this.#returned[slot]!.fire();
  }

  /** As DeviceLane: reads on in the next span while the scores of the last one are still to come. */
  *thread(index: number): Program {
    const { slotsPerThread } = this.#options.prep;
    const free = Array.from({ length: slotsPerThread }, (_, slot) => index * slotsPerThread + slot);
    const sent: { readonly slot: number; readonly firstRow: number; readonly rowCount: number }[] = [];
    let turn = index;
    let span = this.#spans.shift();
    for (let firstRow = span?.firstRow ?? 0; ;) {
      while (span !== undefined && free.length > 0) {
        const rowCount = Math.min(this.#options.prep.slotRows, span.endRow - firstRow);
        if (rowCount > 0) {
          const slot = free.pop()!;
          yield* this.#fill(index, slot, firstRow, rowCount);
          this.#send(slot, rowCount, turn++);
          sent.push({ slot, firstRow, rowCount });
          firstRow += rowCount;
        }
        if (firstRow < span.endRow) continue;
        span = this.#spans.shift();
        firstRow = span?.firstRow ?? 0;
      }
      const oldest = sent.shift();
      if (oldest === undefined) break;
      yield* this.#take(index, oldest.slot);
      this.#options.rows?.taken(oldest.slot, oldest.firstRow, oldest.rowCount);
      yield* this.#work(index, 'write', oldest.rowCount, this.#options.prep.writeSecondsPerRow);
      this.rowsDone[index]! += oldest.rowCount;
      free.push(oldest.slot);
    }
    this.#becomeIdle();
    for (const gpu of this.#gpus) gpu.handOver('ended');
  }

  *#fill(thread: number, slot: number, firstRow: number, rowCount: number): Program {
    yield* this.#work(thread, 'fill', rowCount, this.#options.prep.fillSecondsPerRow);
    this.#options.rows?.filled(slot, firstRow, rowCount);
  }

  #send(slot: number, rowCount: number, turn: number): void {
    const order = this.#gpus.map((_, offset) => this.#gpus[(turn + offset) % this.#gpus.length]!);
    const [first, ...others] = order as [VirtualGpu, ...VirtualGpu[]];
    const fewest = (best: VirtualGpu, other: VirtualGpu): VirtualGpu => (other.rowsOwed < best.rowsOwed ? other : best);
    const gpu = this.#options.handOver === 'fewestRows' ? others.reduce(fewest, first) : first;
    this.#scored[slot] = false;
    this.slotsHandedOver++;
    gpu.handOver({ slot, rowCount });
  }

  *#take(thread: number, slot: number): Program {
    const start = this.#clock.nowSeconds;
    if (!this.#scored[slot]!) {
      this.#awaited.add(slot);
      this.#becomeIdle();
    }
    while (!this.#scored[slot]!) yield { signal: this.#returned[slot]! };
    this.#record(thread, 'waitForScores', start, 0);
  }

  *#work(thread: number, what: 'fill' | 'write', rowCount: number, secondsPerRow: number): Program {
    const start = this.#clock.nowSeconds;
    const { jitter = () => 1 } = this.#options;
    yield { seconds: rowCount * secondsPerRow * jitter() };
    this.#record(thread, what, start, rowCount);
  }

  #record(index: number, what: Activity['what'], startSeconds: number, rowCount: number): void {
    const endSeconds = this.#clock.nowSeconds;
    if (endSeconds > startSeconds) {
      this.#timeline.push({ unit: 'thread', index, what, startSeconds, endSeconds, rowCount });
    }
  }
}

/** @throws Error for a deadlock, for too many steps, and for a row that does not fit into a GPU's memory */
export function runVirtually(options: VirtualOptions): VirtualRun {
  const { prep: prepOptions, jitter = () => 1, stepsMax = stepsMaxDefault } = options;
  const clock = new VirtualClock();
  const timeline: Timeline = [];
  const prep = new Prep(options, clock, timeline);
  const gpus = options.gpus.map((gpuOptions, index) => {
    const producers = prepOptions.threads;
    const giveBack = (slot: number): void => prep.giveBack(slot);
    const producersAreIdle = (): boolean => prep.producersAreIdle;
    const calls = { giveBack, producersAreIdle, jitter };
    return new VirtualGpu({ options: gpuOptions, index, clock, timeline, rows: options.rows, producers, ...calls });
  });
  gpus.forEach((gpu, index) => {
    prep.connect(gpu);
    clock.start(`GPU ${index}`, gpu.run());
  });
  for (let thread = 0; thread < prepOptions.threads; thread++) {
    clock.start(`prep thread ${thread}`, prep.thread(thread));
  }
  clock.run(stepsMax);
  return report(prep, gpus, timeline);
}

function report(prep: Prep, gpus: readonly VirtualGpu[], timeline: Timeline): VirtualRun {
  const makespanSeconds = timeline.reduce((latest, { endSeconds }) => Math.max(latest, endSeconds), 0);
  const window = { fromSeconds: 0, toSeconds: makespanSeconds };
  const share = (unit: Activity['unit'], index: number, what: Activity['what']): number =>
    shareOf(timeline, { unit, index, what }, window);
  const rowCount = prep.rowsDone.reduce((sum, rows) => sum + rows, 0);
  return {
    makespanSeconds,
    rowCount,
    rowsPerSecond: rowCount / makespanSeconds,
    slotsHandedOver: prep.slotsHandedOver,
    slotsReturned: prep.slotsReturned,
    threads: prep.rowsDone.map((rows, index) => ({
      fillShare: share('thread', index, 'fill'),
      writeShare: share('thread', index, 'write'),
      waitShare: share('thread', index, 'waitForScores'),
      rowCount: rows,
    })),
    gpus: gpus.map(({ batches, starvedCount, outOfMemoryCount }, index) => ({
      compute: computeShares(timeline, index, window),
      copyInShare: share('gpu', index, 'copyIn'),
      copyOutShare: share('gpu', index, 'copyOut'),
      rowCount: batches.reduce((sum, batch) => sum + batch.rowCount, 0),
      batches,
      starvedCount,
      outOfMemoryCount,
    })),
    timeline,
  };
}
