/** The rank of each value among the cuts of its column, by a search without branches. */
import {
  brIf,
  extractLane,
  get,
  i32,
  ifElse,
  load,
  loop,
  op,
  set,
  store,
  tee,
  WasmFunction,
  type Code,
} from '../../engines/wasm-code.ts';
import type { NumberType } from './forest.ts';

/** Rows whose searches run side by side: each step waits for the one before it. */
const rowsAtOnce = 16;
/** Steps of a search that are taken by comparing with all 2^n - 1 cuts at once, four rows in a vector. */
const countedLevelsMax = 4;

/**
 * One function for each number of levels: `search(values, rowCount, bias, cuts)` sets bit r of the entry of row r's
 * rank. 2^levels - 1 cuts lie at `cuts`; the entry of the rank of the cut at p lies at (p << shift) + bias.
 */
export function searches(type: NumberType, levels: readonly number[], entryShift: number): WasmFunction[] {
  return levels.map((count) => new SearchWriter(type, count, entryShift).write());
}

const [values, rowCount, bias, cuts] = [0, 1, 2, 3] as const;

class SearchWriter {
  readonly #type: NumberType;
  readonly #levels: number;
  /** From the address of a cut to its entry. */
  readonly #shift: number;
  readonly #numberBytes: number;
  readonly #fn: WasmFunction;
  readonly #rows: readonly { readonly value: number; readonly at: number }[];

  constructor(type: NumberType, levels: number, entryShift: number) {
    this.#type = type;
    this.#levels = levels;
    this.#numberBytes = type === 'float32' ? 4 : 8;
    this.#shift = entryShift - Math.log2(this.#numberBytes);
    const fn = new WasmFunction(`search${levels}`, ['i32', 'i32', 'i32', 'i32']);
    this.#fn = fn;
    this.#rows = Array.from({ length: rowsAtOnce }, () => ({
      value: fn.local(type === 'float32' ? 'f32' : 'f64'),
      at: fn.local('i32'),
    }));
  }

  write(): WasmFunction {
    const [end, bit] = [this.#fn.local('i32'), this.#fn.local('i32')];
    const [first] = this.#rows;
    const counted = this.#type === 'float32' ? Math.min(this.#levels, countedLevelsMax) : 0;
    const bytesAfter = (count: Code): Code => op('i32.mul', count, i32(this.#numberBytes));
    const endAfter = (count: Code): Code => set(end, op('i32.add', get(values), bytesAfter(count)));
    const moveOn = (count: number): Code => set(values, op('i32.add', get(values), i32(count * this.#numberBytes)));
    const isBeforeEnd = op('i32.lt_u', get(values), get(end));
    return this.#fn.body(
      endAfter(op('i32.and', get(rowCount), i32(-rowsAtOnce))),
      ifElse(
        isBeforeEnd,
        loop(
          counted === 0 ? this.#rows.flatMap(({ at }) => set(at, get(cuts))) : this.#count(counted),
          this.#descend(this.#rows, counted),
          ...this.#rows.map(({ at }, row) => this.#mark(at, i32(2 ** (row % 8)), row >> 3)),
          set(bias, op('i32.add', get(bias), i32(rowsAtOnce / 8))),
          moveOn(rowsAtOnce),
          brIf(0, isBeforeEnd),
        ),
      ),
      endAfter(op('i32.and', get(rowCount), i32(rowsAtOnce - 1))),
      set(bit, i32(1)),
      ifElse(
        isBeforeEnd,
        loop(
          set(first!.at, get(cuts)),
          this.#descend([first!], 0),
          this.#mark(first!.at, get(bit), 0),
          set(bit, op('i32.shl', get(bit), i32(1))),
          ifElse(op('i32.gt_u', get(bit), i32(0x80)), [
            ...set(bit, i32(1)),
            ...set(bias, op('i32.add', get(bias), i32(1))),
          ]),
          moveOn(1),
          brIf(0, isBeforeEnd),
        ),
      ),
    );
  }

  /** The first levels of all rows: how many of their cuts are not above a value says where its search goes on. */
  #count(levels: number): Code {
    const cut = this.#fn.local('v128');
    const lanes = 4;
    const vectors = Array.from({ length: rowsAtOnce / lanes }, () => ({
      values: this.#fn.local('v128'),
      count: this.#fn.local('v128'),
    }));
    const cutCount = 2 ** levels - 1;
    const stride = 2 ** (this.#levels - levels);
    const shift = Math.log2(stride * this.#numberBytes);
    return [
      ...vectors.flatMap((vector, index) => [
        ...set(vector.values, load('v128.load', get(values), 16 * index)),
        ...set(vector.count, op('i32x4.splat', i32(cutCount))),
      ]),
      ...Array.from({ length: cutCount }, (_, index) => ((index + 1) * stride - 1) * this.#numberBytes).flatMap(
        (at) => [
          ...set(cut, load('v128.load32_splat', get(cuts), at)),
          // A comparison that holds is -1; with NaN none does.
          ...vectors.flatMap(({ values: some, count }) =>
            set(count, op('i32x4.add', get(count), op('f32x4.le', get(some), get(cut)))),
          ),
        ],
      ),
      ...vectors.flatMap(({ count }, index) => [
        ...set(count, op('i32x4.add', op('i32x4.shl', get(count), i32(shift)), op('i32x4.splat', get(cuts)))),
        ...Array.from({ length: lanes }, (_, lane) =>
          set(this.#rows[index * lanes + lane]!.at, extractLane('i32x4.extract_lane', lane, get(count))),
        ).flat(),
      ]),
    ];
  }

  /** The levels after the first `done`, one comparison each. */
  #descend(rows: readonly { readonly value: number; readonly at: number }[], done: number): Code {
    const [loadNumber, lessEqual] =
      this.#type === 'float32' ? (['f32.load', 'f32.le'] as const) : (['f64.load', 'f64.le'] as const);
    if (done === this.#levels) return [];
    const steps = Array.from(
      { length: this.#levels - done },
      (_, index) => 2 ** (this.#levels - done - 1 - index) * this.#numberBytes,
    );
    return [
      ...rows.flatMap(({ value }, row) => set(value, load(loadNumber, get(values), row * this.#numberBytes))),
      ...steps.flatMap((step) =>
        rows.flatMap(({ value, at }) => {
          const isBelow = op(lessEqual, get(value), load(loadNumber, get(at), step - this.#numberBytes));
          return set(at, op('select', get(at), op('i32.add', get(at), i32(step)), isBelow));
        }),
      ),
    ];
  }

  #mark(at: number, bits: Code, offset: number): Code {
    const entry = op('i32.add', op('i32.shl', get(at), i32(this.#shift)), get(bias));
    const before = load('i32.load8_u', get(at), offset);
    return store('i32.store8', tee(at, entry), op('i32.or', before, bits), offset);
  }
}
