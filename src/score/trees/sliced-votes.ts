/** Votes of the leaves that rows reach, summed up in the order of the trees. */
import {
  brIf,
  f32,
  f64,
  get,
  i32,
  ifElse,
  load,
  loadLane,
  loop,
  op,
  set,
  store,
  tee,
  WasmFunction,
  type Code,
} from '../../engines/wasm-code.ts';
import type { Aggregate, Forest, NumberType } from './forest.ts';
import { treeBytes, type SlicedLayout } from './sliced-layout.ts';

/**
 * `votes(scratch, tables, firstTree, endTree, sums, rowCount, starts)`: adds the votes of a run of trees to the sums of a block; `starts`
 * is 1 where these are the first. Sums of one target lie row after row; of several, the sums of a row lie together.
 */
export function sumVotes(forest: Forest, layout: SlicedLayout): WasmFunction {
  return new VotesWriter(forest, layout).write();
}

const [scratch, tables, firstTree, endTree, sums, rowCount, starts] = [0, 1, 2, 3, 4, 5, 6] as const;

class VotesWriter {
  readonly #layout: SlicedLayout;
  readonly #aggregate: Aggregate;
  readonly #type: NumberType;
  readonly #fn: WasmFunction;
  readonly #tree: number;
  readonly #leaves: number;
  /** Leaf numbers of the rows in turn. */
  readonly #numbers: number;
  readonly #start: number;

  constructor(forest: Forest, layout: SlicedLayout) {
    this.#layout = layout;
    this.#aggregate = forest.aggregate;
    this.#type = forest.sumType;
    this.#fn = new WasmFunction('votes', Array<'i32'>(7).fill('i32'));
    this.#tree = this.#fn.local('i32');
    this.#leaves = this.#fn.local('i32');
    this.#numbers = this.#fn.local('i32');
    this.#start = this.#fn.local('i32');
  }

  write(): WasmFunction {
    const { hasOneTarget, sumWidth } = this.#layout;
    const lanes = 16 / this.#layout.voteBytes;
    if (hasOneTarget) return this.#fn.body(this.#eachGroup(8 * lanes > 16 ? 16 : 8, (rows) => this.#oneTarget(rows)));
    return this.#fn.body(this.#eachGroup(1, () => this.#allTargets(sumWidth / lanes)));
  }

  /** `code` for each `rows` rows of the block, `start` at their first leaf number, `sums` at their sums. */
  #eachGroup(rows: number, code: (rows: number) => Code): Code {
    const { voteBytes, sumWidth } = this.#layout;
    const end = this.#fn.local('i32');
    return [
      ...set(this.#start, op('i32.add', get(scratch), i32(this.#layout.scratch.indices))),
      ...set(end, op('i32.add', get(this.#start), get(rowCount))),
      ...loop(
        code(rows),
        set(sums, op('i32.add', get(sums), i32(rows * sumWidth * voteBytes))),
        brIf(0, op('i32.lt_u', tee(this.#start, op('i32.add', get(this.#start), i32(rows))), get(end))),
      ),
    ];
  }

  #oneTarget(rows: number): Code {
    const lanes = 16 / this.#layout.voteBytes;
    const totals = Array.from({ length: rows / lanes }, () => this.#fn.local('v128'));
    return this.#sumUp(totals, (total) =>
      Array.from({ length: lanes }, (_, lane) => lane).reduce(
        (vote, lane) => this.#vote(lane, this.#leafAddress(total * lanes + lane), vote),
        [] as Code,
      ),
    );
  }

  /** A row's votes for up to four vectors of targets at a time. */
  #allTargets(vectorCount: number): Code {
    const groups = Math.ceil(vectorCount / 4);
    return Array.from({ length: groups }, (_, group) => {
      const count = Math.min(4, vectorCount - 4 * group);
      const totals = Array.from({ length: count }, () => this.#fn.local('v128'));
      const leaf = this.#fn.local('i32');
      const offset = 64 * group;
      const vote = (total: number): Code =>
        load('v128.load', total === 0 ? tee(leaf, this.#leafAddress(0)) : get(leaf), offset + 16 * total);
      return this.#sumUp(totals, vote, offset);
    }).flat();
  }

  /** Adds up what `vote` gives for each total, tree after tree. */
  #sumUp(totals: readonly number[], vote: (total: number) => Code, offset = 0): Code {
    const first = this.#splat({ SUM: 0, AVERAGE: 0, MIN: Infinity, MAX: -Infinity }[this.#aggregate]);
    return [
      ...ifElse(
        get(starts),
        totals.flatMap((total) => set(total, first)),
        totals.flatMap((total, index) => set(total, load('v128.load', get(sums), offset + 16 * index))),
      ),
      ...set(this.#tree, get(firstTree)),
      ...set(this.#numbers, get(this.#start)),
      ...loop(
        set(this.#leaves, op('i32.add', get(tables), load('i32.load', get(this.#tree), 12))),
        totals.flatMap((total, index) => set(total, this.#combine(get(total), vote(index)))),
        set(this.#numbers, op('i32.add', get(this.#numbers), i32(this.#layout.blockRows))),
        brIf(0, op('i32.lt_u', tee(this.#tree, op('i32.add', get(this.#tree), i32(treeBytes))), get(endTree))),
      ),
      ...totals.flatMap((total, index) => store('v128.store', get(sums), get(total), offset + 16 * index)),
    ];
  }

  #leafAddress(row: number): Code {
    const { indexShift, isWide, runBytes, sumWidth, voteBytes } = this.#layout;
    const lower = load('i32.load8_u', get(this.#numbers), row);
    const upper = op('i32.shl', load('i32.load8_u', get(this.#numbers), runBytes + row), i32(8));
    const number = isWide ? op('i32.or', lower, upper) : lower;
    const scale = (sumWidth * voteBytes) / 2 ** indexShift;
    const offset = scale === 1 ? number : op('i32.mul', number, i32(scale));
    return op('i32.add', get(this.#leaves), offset);
  }

  #vote(lane: number, address: Code, before: Code): Code {
    if (this.#type === 'float32') {
      return lane === 0 ? load('v128.load32_zero', address) : loadLane('v128.load32_lane', lane, address, before);
    }
    return lane === 0 ? load('v128.load64_zero', address) : loadLane('v128.load64_lane', lane, address, before);
  }

  #combine(total: Code, vote: Code): Code {
    const [least, most, sum] =
      this.#type === 'float32'
        ? (['f32x4.pmin', 'f32x4.pmax', 'f32x4.add'] as const)
        : (['f64x2.pmin', 'f64x2.pmax', 'f64x2.add'] as const);
    return op(this.#aggregate === 'MIN' ? least : this.#aggregate === 'MAX' ? most : sum, total, vote);
  }

  #splat(value: number): Code {
    return this.#type === 'float32' ? op('f32x4.splat', f32(value)) : op('f64x2.splat', f64(value));
  }
}
