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

/** Byte offsets in the shared memory. */
export interface Places {
  readonly scratch: number;
  readonly tables: number;
}

/** A module with `score(firstRow, rowCount)`: sums of one block of rows into the scratch. */
export function slicedCode(forest: Forest, layout: SlicedLayout, places: Places): Uint8Array<ArrayBuffer> {
  const functions: WasmFunction[] = [];
  const add = (fn: WasmFunction): number => functions.push(fn) - 1;
  const levels = [...new Set(layout.columns.map((column) => column.levels))];
  const searchOf = new Map(
    searches(forest.columnType, levels, Math.log2(layout.entryBytes)).map((fn, index) => [levels[index]!, add(fn)]),
  );
  const clear = add(clearEntries(layout));
  const rise = add(riseEntries(layout));
  const unite = add(uniteEntries(layout, places));
  const split = add(splitRows(layout, places));
  const numbersOf = new Map(
    [...new Set(layout.trees.map(({ leafCount }) => leafCount))].map((count) => [
      count,
      add(leafNumbers(layout, count)),
    ]),
  );
  const trees = add(walkTrees(layout, places, split, numbersOf));
  const votes = add(sumVotes(forest, layout, places));
  const score = new WasmFunction('score', ['i32', 'i32']);
  add(
    score.body(
      ...layout.columns.map((column) =>
        rankColumn(forest, layout, places, column, searchOf.get(column.levels)!, clear),
      ),
      ...(layout.sets.length === 0 ? [] : [call(unite)]),
      ...layout.columns.flatMap((column) => riseColumn(layout, places, column, rise)),
      ...layout.runs.flatMap((run, index) => {
        const first = i32(places.tables + layout.tables.trees + run.first * treeBytes);
        const end = i32(places.tables + layout.tables.trees + run.end * treeBytes);
        const starts = index === 0 || layout.runs[index - 1]!.target !== run.target ? 1 : 0;
        const sums = i32(places.scratch + layout.scratch.sums + run.target * layout.blockRows * layout.voteBytes);
        return [call(trees, first, end), call(votes, first, end, sums, get(1), i32(starts))];
      }),
    ),
  );
  return assemble({ memoryPages: 1, functions });
}

function rankColumn(
  forest: Forest,
  layout: SlicedLayout,
  places: Places,
  column: SlicedColumn,
  search: number,
  clear: number,
): Code {
  const hits = places.scratch + column.hitsAt;
  const cuts = places.tables + column.cutsAt;
  const numberShift = forest.columnType === 'float32' ? 2 : 3;
  const values = op(
    'i32.add',
    load('i32.load', i32(places.scratch + layout.scratch.columns + 4 * column.column)),
    op('i32.shl', get(0), i32(numberShift)),
  );
  const nan = hits + nanRank(column) * layout.entryBytes;
  // The search works with addresses of cuts: so much more, shifted, is the address of the entry of a rank.
  const bias = hits - cuts * 2 ** (Math.log2(layout.entryBytes) - numberShift);
  return [
    ...call(clear, i32(hits), i32(hits + (column.cuts.length + 1) * layout.entryBytes)),
    ...call(clear, i32(nan), i32(nan + layout.entryBytes)),
    ...call(search, values, get(1), i32(Number(BigInt.asIntN(32, BigInt(bias)))), i32(cuts)),
  ];
}

/** From hits to the rows above, with NaN first where both are needed: the other takes the place of the hits. */
function riseColumn(layout: SlicedLayout, places: Places, column: SlicedColumn, rise: number): Code[] {
  const { entryBytes } = layout;
  const last = column.cuts.length * entryBytes;
  const hits = i32(places.scratch + column.hitsAt + last);
  const nan = i32(places.scratch + column.hitsAt + nanRank(column) * entryBytes);
  const nothing = i32(places.scratch + layout.scratch.zero);
  const count = i32(column.cuts.length);
  return [
    ...(column.sendsNanRight ? [call(rise, hits, i32(places.scratch + column.aboveWithNanAt + last), count, nan)] : []),
    ...(column.sendsNanLeft ? [call(rise, hits, i32(places.scratch + column.aboveAt + last), count, nothing)] : []),
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

/** unite(): the rows of every set. */
function uniteEntries(layout: SlicedLayout, { scratch, tables }: Places): WasmFunction {
  const fn = new WasmFunction('unite', []);
  const [at, end, hit, place] = [fn.local('i32'), fn.local('i32'), fn.local('i32'), fn.local('i32')];
  const rows = Array.from({ length: layout.vectorCount }, () => fn.local('v128'));
  const start = tables + layout.tables.sets;
  const bytes = layout.sets.reduce((sum, { hits }) => sum + setBytes(hits.length), 0);
  return fn.body(
    set(at, i32(start)),
    loop(
      eachVector(layout, (_offset, vector) => set(rows[vector]!, none)),
      set(hit, op('i32.add', get(at), i32(8))),
      set(end, op('i32.add', get(hit), op('i32.shl', load('i32.load', get(at), 4), i32(2)))),
      // A set may be empty: then nothing goes right.
      ifElse(
        op('i32.lt_u', get(hit), get(end)),
        loop(
          set(place, load('i32.load', get(hit))),
          eachVector(layout, (offset, vector) => {
            const more = load('v128.load', get(place), scratch + offset);
            return set(rows[vector]!, op('v128.or', get(rows[vector]!), more));
          }),
          set(hit, op('i32.add', get(hit), i32(4))),
          brIf(0, op('i32.lt_u', get(hit), get(end))),
        ),
      ),
      set(place, load('i32.load', get(at))),
      eachVector(layout, (offset, vector) => store('v128.store', get(place), get(rows[vector]!), scratch + offset)),
      brIf(0, op('i32.lt_u', tee(at, get(end)), i32(start + bytes))),
    ),
  );
}

/** split(from, end): the slots of one tree, by its splits. */
function splitRows(layout: SlicedLayout, { scratch }: Places): WasmFunction {
  const fn = new WasmFunction('split', ['i32', 'i32']);
  const [above, slot, rightSlot] = [fn.local('i32'), fn.local('i32'), fn.local('i32')];
  const [reached, right] = [fn.local('v128'), fn.local('v128')];
  const slots = scratch + layout.scratch.slots;
  return fn.body(
    eachVector(layout, (offset) => store('v128.store', i32(slots + offset), op('v128.not', none))),
    loop(
      set(above, load('i32.load', get(0))),
      set(slot, load('i32.load16_u', get(0), 4)),
      set(rightSlot, load('i32.load16_u', get(0), 6)),
      eachVector(layout, (offset) => [
        ...set(right, load('v128.load', get(above), scratch + offset)),
        ...set(reached, load('v128.load', get(slot), slots + offset)),
        ...store('v128.store', get(slot), op('v128.andnot', get(reached), get(right)), slots + offset),
        ...store('v128.store', get(rightSlot), op('v128.and', get(reached), get(right)), slots + offset),
      ]),
      brIf(0, op('i32.lt_u', tee(0, op('i32.add', get(0), i32(splitBytes))), get(1))),
    ),
  );
}

/** trees(from, end): leaf numbers of a run of trees. */
function walkTrees(
  layout: SlicedLayout,
  { scratch }: Places,
  split: number,
  numbersOf: ReadonlyMap<number, number>,
): WasmFunction {
  const fn = new WasmFunction('trees', ['i32', 'i32']);
  const numbers = fn.local('i32');
  const leafCount = fn.local('i32');
  const slots = scratch + layout.scratch.slots;
  const found = (index: number): Code =>
    eachVector(layout, (offset, vector) =>
      call(index, i32(slots + offset), op('i32.add', get(numbers), i32(128 * vector))),
    );
  const [[, only] = [], ...others] = [...numbersOf];
  const choice = others.reduce(
    (rest, [count, index]) => ifElse(op('i32.eq', get(leafCount), i32(count)), found(index), rest),
    found(only!),
  );
  return fn.body(
    set(numbers, i32(scratch + layout.scratch.indices)),
    loop(
      call(split, load('i32.load', get(0)), load('i32.load', get(0), 4)),
      set(leafCount, load('i32.load', get(0), 8)),
      choice,
      set(numbers, op('i32.add', get(numbers), i32(layout.blockRows))),
      brIf(0, op('i32.lt_u', tee(0, op('i32.add', get(0), i32(treeBytes))), get(1))),
    ),
  );
}
