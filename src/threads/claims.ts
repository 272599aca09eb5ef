/** What a prep thread works on, one after the other: whole shards as long as there are any, then spans of split ones. */
import type { TakenSpan } from '../batch.ts';
import { control, type WorkerStart } from '../messages.ts';
import type { PlannedShard } from '../plan.ts';
import { RingFiller } from '../transfer/ring.ts';
import { rowsInOrder, shardRows, type LaneRows } from './slot-filler.ts';

/** Rows that this thread alone scores. */
export interface Claim {
  readonly shard: PlannedShard;
  readonly rows: LaneRows;
  /** Of other files, that follow in the same output. */
  readonly more: readonly LaneRows[];
  /** Undefined: the thread writes the shard itself. */
  readonly part: { readonly ring: RingFiller; readonly span: TakenSpan & { readonly index: number } } | undefined;
}

export class Claims {
  readonly #start: Pick<WorkerStart, 'plan' | 'control' | 'rings'>;
  /** Largest first, so that no thread begins a large one when the others are done. */
  readonly #whole: readonly PlannedShard[];
  readonly #rings: readonly { readonly shard: PlannedShard; readonly ring: RingFiller }[];
  /** Claimed ahead, and not yet taken. */
  readonly #ahead: Claim[] = [];
  #ring = 0;

  constructor(start: Pick<WorkerStart, 'plan' | 'control' | 'rings'>) {
    const { plan } = start;
    this.#start = start;
    this.#whole = plan.shards
      .filter((shard) => !shard.done && shard.mode === 'whole')
      .sort((a, b) => b.rowCount - a.rowCount);
    this.#rings = start.rings.map((memory) => ({
      shard: plan.shards[memory.shardIndex]!,
      ring: new RingFiller(memory, plan.model.outputs, start.control),
    }));
  }

  /** The next work, undefined when there is none. */
  take(): Claim | undefined {
    return this.#ahead.shift() ?? this.#claim();
  }

  /** Claims what {@link take} will give after all that is claimed already, so that its rows can be read before. */
  readAhead(): LaneRows | undefined {
    const claim = this.#claim();
    if (claim !== undefined) this.#ahead.push(claim);
    return claim?.rows;
  }

  #claim(): Claim | undefined {
    const { plan, control: flags } = this.#start;
    const shard = this.#whole[Atomics.add(flags, control.nextWhole, 1)];
    if (shard !== undefined) {
      const [rows, ...more] = rowsInOrder(plan, shard);
      return { shard, rows, more, part: undefined };
    }
    for (; this.#ring < this.#rings.length; this.#ring++) {
      const { shard, ring } = this.#rings[this.#ring]!;
      const span = ring.takeSpan();
      if (span !== undefined) return { shard, rows: shardRows(plan, shard, span), more: [], part: { ring, span } };
    }
    return undefined;
  }
}
