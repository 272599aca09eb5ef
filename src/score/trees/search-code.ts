/** The rank of each value among the cuts of its column, by a search without branches. */
import {
  brIf,
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
const rowsAtOnce = 8;

/**
 * One function for each number of levels: `search(values, rowCount, bias, cuts)` sets bit r of the entry of row r's
 * rank. 2^levels - 1 cuts lie at `cuts`; the entry of the rank of the cut at p lies at (p << shift) + bias.
 */
export function searches(type: NumberType, levels: readonly number[], entryShift: number): WasmFunction[] {
  return levels.map((count) => searchFunction(type, count, entryShift));
}

function searchFunction(type: NumberType, levels: number, entryShift: number): WasmFunction {
  const fn = new WasmFunction(`search${levels}`, ['i32', 'i32', 'i32', 'i32']);
  const [values, rowCount, bias, cuts] = [0, 1, 2, 3];
  const numberShift = type === 'float32' ? 2 : 3;
  const numberBytes = 2 ** numberShift;
  const [end, bit] = [fn.local('i32'), fn.local('i32')];
  const rows = Array.from({ length: rowsAtOnce }, () => ({
    value: fn.local(type === 'float32' ? 'f32' : 'f64'),
    at: fn.local('i32'),
  }));
  const loadOp = type === 'float32' ? 'f32.load' : 'f64.load';
  const lessEqual = type === 'float32' ? 'f32.le' : 'f64.le';
  /** Ranks of the first `count` rows at `values`. */
  const ranks = (count: number): Code => {
    const some = rows.slice(0, count);
    return [
      ...some.flatMap(({ value, at }, row) => [
        ...set(value, load(loadOp, get(values), row * numberBytes)),
        ...set(at, get(cuts)),
      ]),
      ...Array.from({ length: levels }, (_, level) => 2 ** (levels - 1 - level) * numberBytes).flatMap((step) =>
        some.flatMap(({ value, at }) => {
          const isBelow = op(lessEqual, get(value), load(loadOp, get(at), step - numberBytes));
          return set(at, op('select', get(at), op('i32.add', get(at), i32(step)), isBelow));
        }),
      ),
    ];
  };
  const mark = (at: number, bits: Code): Code => {
    const entry = op('i32.add', op('i32.shl', get(at), i32(entryShift - numberShift)), get(bias));
    return store('i32.store8', tee(at, entry), op('i32.or', load('i32.load8_u', get(at)), bits));
  };
  const moveOn = (count: number): Code => set(values, op('i32.add', get(values), i32(count * numberBytes)));
  const endAfter = (count: Code): Code => set(end, op('i32.add', get(values), op('i32.shl', count, i32(numberShift))));
  const first = rows[0]!;
  return fn.body(
    endAfter(op('i32.and', get(rowCount), i32(-rowsAtOnce))),
    ifElse(
      op('i32.lt_u', get(values), get(end)),
      loop(
        ranks(rowsAtOnce),
        ...rows.map(({ at }, row) => mark(at, i32(2 ** row))),
        set(bias, op('i32.add', get(bias), i32(1))),
        moveOn(rowsAtOnce),
        brIf(0, op('i32.lt_u', get(values), get(end))),
      ),
    ),
    endAfter(op('i32.and', get(rowCount), i32(rowsAtOnce - 1))),
    set(bit, i32(1)),
    ifElse(
      op('i32.lt_u', get(values), get(end)),
      loop(
        ranks(1),
        mark(first.at, get(bit)),
        set(bit, op('i32.shl', get(bit), i32(1))),
        moveOn(1),
        brIf(0, op('i32.lt_u', get(values), get(end))),
      ),
    ),
  );
}
