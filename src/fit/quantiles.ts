/** Exact quantiles over passes: of n values the one at (n - 1) q, between two of them in a straight line (numpy.quantile). */
import { DigitCounter, narrow, type DigitCounts, type DigitSearch, type Narrowed, type Rank } from './digits.ts';

export class QuantileSearch {
  readonly #shares: readonly number[];
  #search: DigitSearch = { level: 0, prefixes: [0], collects: [false] };
  /** By position among the ordered values; undefined before the first pass has counted them. */
  #ranks: Map<number, Narrowed> | undefined;
  #count = 0;

  /** @param shares from 0 to 1 */
  constructor(shares: readonly number[]) {
    this.#shares = shares;
  }

  /** What the next pass has to count; undefined: all are found. */
  get search(): DigitSearch | undefined {
    const open = this.#ranks === undefined || [...this.#ranks.values()].some((rank) => !('value' in rank));
    return open ? this.#search : undefined;
  }

  /**
   * @param parts what threads have counted in this pass
   * @param repeated a value that stands for so many more (what replaces nulls)
   */
  take(parts: readonly DigitCounts[], repeated: { readonly value: number; readonly count: number }): void {
    const found = new DigitCounter(this.#search);
    for (const part of parts) found.merge(part);
    if (repeated.count > 0 && !Number.isNaN(repeated.value)) {
      found.add(Float64Array.of(repeated.value), 1, repeated.count);
    }
    this.#ranks ??= this.#firstRanks(found);
    for (const [position, rank] of this.#ranks) {
      if (!('value' in rank)) this.#ranks.set(position, narrow(this.#search, found, rank));
    }
    this.#search = nextSearch(this.#search.level + 1, [...this.#ranks.values()]);
  }

  /** Values that were counted. */
  get count(): number {
    return this.#count;
  }

  /** In the order of the shares; undefined where there are no values. */
  get quantiles(): number[] | undefined {
    if (this.#count === 0) return undefined;
    return this.#shares.map((share) => {
      const at = (this.#count - 1) * share;
      const below = Math.floor(at);
      return between(this.#valueAt(below), this.#valueAt(Math.min(below + 1, this.#count - 1)), at - below);
    });
  }

  #valueAt(position: number): number {
    const found = this.#ranks!.get(position)!;
    return 'value' in found ? found.value : NaN;
  }

  #firstRanks({ counts }: DigitCounts): Map<number, Narrowed> {
    this.#count = counts.reduce((sum, count) => sum + count, 0);
    const positions = this.#shares.flatMap((share) => {
      const below = Math.floor((this.#count - 1) * share);
      return this.#count === 0 ? [] : [below, Math.min(below + 1, this.#count - 1)];
    });
    return new Map(positions.map((rank) => [rank, { prefix: 0, rank, collects: false }]));
  }
}

function nextSearch(level: number, ranks: readonly Narrowed[]): DigitSearch {
  const open = ranks.filter((rank): rank is Rank & { readonly collects: boolean } => !('value' in rank));
  const collects = new Map(open.map((rank) => [rank.prefix, rank.collects]));
  const prefixes = [...collects.keys()].sort((a, b) => a - b);
  return { level, prefixes, collects: prefixes.map((prefix) => collects.get(prefix)!) };
}

/** As numpy computes it, from whichever end is nearer. */
function between(low: number, high: number, share: number): number {
  if (low === high) return low;
  const difference = high - low;
  return share >= 0.5 ? high - difference * (1 - share) : low + difference * share;
}
