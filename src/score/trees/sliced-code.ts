/** The code of the sliced kernel for one thread: its scratch and the tables lie at places that the code names. */
import {
  assemble,
  brIf,
  call,
  get,
  i32,
  i64,
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
import type { Forest } from './forest.ts';
import { nanRank } from './cuts.ts';
import { leafNumbers } from './sliced-leaves.ts';
import { searches } from './search-code.ts';
import { setBytes, splitBytes, treeBytes, type SlicedColumn, type SlicedLayout } from './sliced-layout.ts';
import { sumVotes } from './sliced-votes.ts';

/**
 * A module with `score(scratch, tables, firstRow, rowCount)`: sums of one block of rows into the scratch. Where scratch
 * and tables lie comes with each call, so that all threads run the same code.
 */
export function slicedCode(forest: Forest, layout: SlicedLayout): Uint8Array<ArrayBuffer> {
  const functions: WasmFunction[] = [];
  const add = (fn: WasmFunction): number => functions.push(fn) - 1;
  const levels = [...new Set(layout.columns.map((column) => column.levels))];
  const searchOf = new Map(
    searches(forest.columnType, levels, Math.log2(layout.entryBytes)).map((fn, index) => [levels[index]!, add(fn)]),
  );
  const clear = add(clearEntries(layout));
  const rise = add(riseEntries(layout));
  const unite = add(uniteEntries(layout));
  const split = add(splitRows(layout));
  const leafCounts = [...new Set(layout.trees.map(({ leafCount }) => leafCount))];
  const numbersOf = new Map(leafCounts.map((count) => [count, add(leafNumbers(layout, count))]));
  const trees = add(walkTrees(layout, split, numbersOf));
  const votes = add(sumVotes(forest, layout));
  const score = new WasmFunction('score', ['i32', 'i32', 'i32', 'i32']);
  add(
    score.body(
      ...layout.columns.map((column) => rankColumn(forest, layout, column, searchOf.get(column.levels)!, clear)),
      ...(layout.sets.length === 0 ? [] : [call(unite, get(scratch), get(tables))]),
      ...layout.columns.flatMap((column) => riseColumn(layout, column, rise)),
      ...layout.runs.flatMap((run, index) => {
        const places = [
          get(scratch),
          get(tables),
          plus(tables, layout.tables.trees + run.first * treeBytes),
          plus(tables, layout.tables.trees + run.end * treeBytes),
        ];
        const starts = index === 0 || layout.runs[index - 1]!.target !== run.target ? 1 : 0;
        const sums = plus(scratch, layout.scratch.sums + run.target * layout.blockRows * layout.voteBytes);
        return [call(trees, ...places), call(votes, ...places, sums, get(rowCount), i32(starts))];
      }),
    ),
  );
  return assemble({ name: 'trees', memoryPages: 1, functions });
}

/** Parameters of `score`; the first two are those of most of its functions, too. */
const [scratch, tables, firstRow, rowCount] = [0, 1, 2, 3] as const;

function plus(local: number, value: number): Code {
  return op('i32.add', get(local), i32(value));
}

function rankColumn(forest: Forest, layout: SlicedLayout, column: SlicedColumn, search: number, clear: number): Code {
  const { entryBytes } = layout;
  const numberShift = forest.columnType === 'float32' ? 2 : 3;
  const values = op(
    'i32.add',
    load('i32.load', get(scratch), layout.scratch.columns + 4 * column.column),
    op('i32.shl', get(firstRow), i32(numberShift)),
  );
  const hits = plus(scratch, column.hitsAt);
  const cuts = plus(tables, column.cutsAt);
  const nan = column.hitsAt + nanRank(column) * entryBytes;
  // The search works with addresses of cuts: so much more, shifted, is the address of the entry of a rank.
  const bias = op('i32.sub', hits, op('i32.shl', cuts, i32(Math.log2(entryBytes) - numberShift)));
  return [
    ...call(clear, hits, plus(scratch, column.hitsAt + (column.cuts.length + 1) * entryBytes)),
    ...call(clear, plus(scratch, nan), plus(scratch, nan + entryBytes)),
    ...call(search, values, get(rowCount), bias, cuts),
  ];
}

/** From hits to the rows above, with NaN first where both are needed: the other takes the place of the hits. */
function riseColumn(layout: SlicedLayout, column: SlicedColumn, rise: number): Code[] {
  const { entryBytes } = layout;
  const last = column.cuts.length * entryBytes;
  const hits = plus(scratch, column.hitsAt + last);
  const nan = plus(scratch, column.hitsAt + nanRank(column) * entryBytes);
  const nothing = plus(scratch, layout.scratch.zero);
  const count = i32(column.cuts.length);
  return [
    ...(column.sendsNanRight ? [call(rise, hits, plus(scratch, column.aboveWithNanAt + last), count, nan)] : []),
    ...(column.sendsNanLeft ? [call(rise, hits, plus(scratch, column.aboveAt + last), count, nothing)] : []),
  ];
}

/** No row. */
const none = op('i64x2.splat', i64(0n));

function eachVector(layout: SlicedLayout, code: (offset: number, vector: number) => Code): Code {
  return Array.from({ length: layout.vectorCount }, (_, vector) => code(16 * vector, vector)).flat();
}

/** clear(from, to) */
function clearEntries(layout: SlicedLayout): WasmFunction {
  const fn = new WasmFunction('clear', ['i32', 'i32']);
  return fn.body(
    loop(
      eachVector(layout, (offset) => store('v128.store', get(0), none, offset)),
      brIf(0, op('i32.lt_u', tee(0, op('i32.add', get(0), i32(layout.entryBytes))), get(1))),
    ),
  );
}

/** rise(hits, above, count, more): going down from the last entry, above = hits of this entry and all after it, and `more`. */
function riseEntries(layout: SlicedLayout): WasmFunction {
  const fn = new WasmFunction('rise', ['i32', 'i32', 'i32', 'i32']);
  const rows = Array.from({ length: layout.vectorCount }, () => fn.local('v128'));
  const back = (local: number): Code => set(local, op('i32.sub', get(local), i32(layout.entryBytes)));
  return fn.body(
    eachVector(layout, (offset, vector) => set(rows[vector]!, load('v128.load', get(3), offset))),
    loop(
      eachVector(layout, (offset, vector) => {
        const both = tee(rows[vector]!, op('v128.or', get(rows[vector]!), load('v128.load', get(0), offset)));
        return store('v128.store', get(1), both, offset);
      }),
      back(0),
      back(1),
      brIf(0, tee(2, op('i32.sub', get(2), i32(1)))),
    ),
  );
}

/** unite(scratch, tables): the rows of every set. */
function uniteEntries(layout: SlicedLayout): WasmFunction {
  const fn = new WasmFunction('unite', ['i32', 'i32']);
  const [at, end, hit, place] = [fn.local('i32'), fn.local('i32'), fn.local('i32'), fn.local('i32')];
  const rows = Array.from({ length: layout.vectorCount }, () => fn.local('v128'));
  const bytes = layout.sets.reduce((sum, { hits }) => sum + setBytes(hits.length), 0);
  const placeAt = (local: number): Code => set(place, op('i32.add', get(scratch), load('i32.load', get(local))));
  return fn.body(
    set(at, plus(tables, layout.tables.sets)),
    loop(
      eachVector(layout, (_offset, vector) => set(rows[vector]!, none)),
      set(hit, plus(at, 8)),
      set(end, op('i32.add', get(hit), op('i32.shl', load('i32.load', get(at), 4), i32(2)))),
      // A set may be empty: then nothing goes right.
      ifElse(
        op('i32.lt_u', get(hit), get(end)),
        loop(
          placeAt(hit),
          eachVector(layout, (offset, vector) =>
            set(rows[vector]!, op('v128.or', get(rows[vector]!), load('v128.load', get(place), offset))),
          ),
          set(hit, plus(hit, 4)),
          brIf(0, op('i32.lt_u', get(hit), get(end))),
        ),
      ),
      placeAt(at),
      eachVector(layout, (offset, vector) => store('v128.store', get(place), get(rows[vector]!), offset)),
      brIf(0, op('i32.lt_u', tee(at, get(end)), plus(tables, layout.tables.sets + bytes))),
    ),
  );
}

/** split(scratch, from, end): the slots of one tree, by its splits. */
function splitRows(layout: SlicedLayout): WasmFunction {
  const fn = new WasmFunction('split', ['i32', 'i32', 'i32']);
  const [from, end] = [1, 2];
  const [slots, above, slot, rightSlot] = [fn.local('i32'), fn.local('i32'), fn.local('i32'), fn.local('i32')];
  const [reached, right] = [fn.local('v128'), fn.local('v128')];
  const read = (base: number, offset: Code): Code => op('i32.add', get(base), offset);
  return fn.body(
    set(slots, plus(scratch, layout.scratch.slots)),
    eachVector(layout, (offset) => store('v128.store', get(slots), op('v128.not', none), offset)),
    loop(
      set(above, read(scratch, load('i32.load', get(from)))),
      set(slot, read(slots, load('i32.load16_u', get(from), 4))),
      set(rightSlot, read(slots, load('i32.load16_u', get(from), 6))),
      eachVector(layout, (offset) => [
        ...set(right, load('v128.load', get(above), offset)),
        ...set(reached, load('v128.load', get(slot), offset)),
        ...store('v128.store', get(slot), op('v128.andnot', get(reached), get(right)), offset),
        ...store('v128.store', get(rightSlot), op('v128.and', get(reached), get(right)), offset),
      ]),
      brIf(0, op('i32.lt_u', tee(from, plus(from, splitBytes)), get(end))),
    ),
  );
}

/** trees(scratch, tables, from, end): leaf numbers of a run of trees. */
function walkTrees(layout: SlicedLayout, split: number, numbersOf: ReadonlyMap<number, number>): WasmFunction {
  const fn = new WasmFunction('trees', ['i32', 'i32', 'i32', 'i32']);
  const [from, end] = [2, 3];
  const [numbers, leafCount] = [fn.local('i32'), fn.local('i32')];
  const splitAt = (offset: number): Code => op('i32.add', get(tables), load('i32.load', get(from), offset));
  const found = (index: number): Code =>
    eachVector(layout, (offset, vector) =>
      call(index, plus(scratch, layout.scratch.slots + offset), plus(numbers, 128 * vector)),
    );
  const [[, only] = [], ...others] = [...numbersOf];
  const choice = others.reduce(
    (rest, [count, index]) => ifElse(op('i32.eq', get(leafCount), i32(count)), found(index), rest),
    found(only!),
  );
  return fn.body(
    set(numbers, plus(scratch, layout.scratch.indices)),
    loop(
      call(split, get(scratch), splitAt(0), splitAt(4)),
      set(leafCount, load('i32.load', get(from), 8)),
      choice,
      set(numbers, plus(numbers, layout.blockRows)),
      brIf(0, op('i32.lt_u', tee(from, plus(from, treeBytes)), get(end))),
    ),
  );
}
