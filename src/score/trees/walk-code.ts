/** The code of the kernel that walks from node to node. */
import {
  assemble,
  block,
  brIf,
  call,
  f32,
  get,
  i32,
  load,
  loop,
  op,
  set,
  store,
  storeLane,
  tee,
  WasmFunction,
  type Code,
} from '../../engines/wasm-code.ts';
import type { Forest } from './forest.ts';
import { childBits, walkNodeBytes, walkTreeBytes, type WalkLayout } from './walk-layout.ts';

/** Rows that walk side by side: each step waits for memory, and seven others have theirs in the meantime. */
const rowsAtOnce = 8;
/** Steps before another look whether all have arrived. */
const stepsAtOnce = 2;

const [scratch, tables, firstRow, rowCount] = [0, 1, 2, 3] as const;

/** A module with `score(scratch, tables, firstRow, rowCount)`: sums of one block of rows into the scratch. */
export function walkCode(forest: Forest, layout: WalkLayout): Uint8Array<ArrayBuffer> {
  const [keys, walk] = [keyColumn(layout), walkTree(forest, layout)];
  const score = new WasmFunction('score', ['i32', 'i32', 'i32', 'i32']);
  const [tree, end] = [score.local('i32'), score.local('i32')];
  const values = (column: number): Code =>
    op(
      'i32.add',
      load('i32.load', get(scratch), layout.scratch.columns + 4 * column),
      op('i32.shl', get(firstRow), i32(2)),
    );
  score.body(
    ...layout.keys.map(({ column, nanRight }, place) =>
      call(
        0,
        values(column),
        plus(scratch, layout.scratch.keys + 4 * place),
        get(rowCount),
        i32(nanRight ? 0x7fffffff : -0x80000000),
      ),
    ),
    clearSums(score, forest, layout),
    set(tree, plus(tables, layout.tables.trees)),
    set(end, plus(tree, layout.trees.length * walkTreeBytes)),
    loop(
      call(1, get(scratch), get(tables), get(tree), get(rowCount)),
      brIf(0, op('i32.lt_u', tee(tree, plus(tree, walkTreeBytes)), get(end))),
    ),
  );
  return assemble({ name: 'trees', memoryPages: 1, functions: [keys, walk, score] });
}

function plus(local: number, value: number): Code {
  return op('i32.add', get(local), i32(value));
}

function clearSums(fn: WasmFunction, forest: Forest, layout: WalkLayout): Code {
  const [at, end] = [fn.local('i32'), fn.local('i32')];
  const start = { SUM: 0, AVERAGE: 0, MIN: Infinity, MAX: -Infinity }[forest.aggregate];
  const bytes = (layout.hasOneTarget ? forest.targetCount : layout.sumWidth) * layout.blockRows * 4;
  return [
    ...set(at, plus(scratch, layout.scratch.sums)),
    ...set(end, plus(at, bytes)),
    ...loop(
      store('v128.store', get(at), op('f32x4.splat', f32(start))),
      brIf(0, op('i32.lt_u', tee(at, plus(at, 16)), get(end))),
    ),
  ];
}

/**
 * keys(values, keys, rowCount, nanKey): keys of a column, a row's keys beside each other. A negative number's bits count
 * down: all but the sign are turned around. Values are read to the next multiple of four rows.
 */
function keyColumn(layout: WalkLayout): WasmFunction {
  const fn = new WasmFunction('keys', ['i32', 'i32', 'i32', 'i32']);
  const [values, keys, count, nanKey] = [0, 1, 2, 3];
  const [end, value] = [fn.local('i32'), fn.local('v128')];
  const rowBytes = 4 * layout.keys.length;
  const turned = op('v128.and', op('i32x4.shr_s', get(value), i32(31)), op('i32x4.splat', i32(0x7fffffff)));
  const key = op(
    'v128.bitselect',
    op('i32x4.splat', get(nanKey)),
    op('v128.xor', get(value), turned),
    op('f32x4.ne', get(value), get(value)),
  );
  return fn.body(
    set(end, op('i32.add', get(values), op('i32.shl', get(count), i32(2)))),
    loop(
      set(value, load('v128.load', get(values))),
      set(value, key),
      ...[0, 1, 2, 3].map((lane) => storeLane('v128.store32_lane', lane, get(keys), get(value), lane * rowBytes)),
      set(keys, plus(keys, 4 * rowBytes)),
      brIf(0, op('i32.lt_u', tee(values, plus(values, 16)), get(end))),
    ),
  );
}

/** walk(scratch, tables, tree, rowCount): adds the votes of one tree to the sums of all rows. */
function walkTree(forest: Forest, layout: WalkLayout): WasmFunction {
  const fn = new WasmFunction('walk', ['i32', 'i32', 'i32', 'i32']);
  const [tree, count] = [2, 3];
  const [nodes, votes, sums, row, end] = [
    fn.local('i32'),
    fn.local('i32'),
    fn.local('i32'),
    fn.local('i32'),
    fn.local('i32'),
  ];
  const left = fn.local('i32');
  const rows = Array.from({ length: rowsAtOnce }, () => ({
    at: fn.local('i32'),
    before: fn.local('i32'),
    word: fn.local('i32'),
  }));
  const rowBytes = 4 * layout.keys.length;
  const sumBytes = 4 * layout.sumWidth;
  /** From the offset of a node to that of its left or right child. */
  const step = ({ at, word }: (typeof rows)[number], index: number): Code => {
    const node = op('i32.add', get(nodes), get(at));
    const keyAt = op('i32.shl', op('i32.shr_u', get(word), i32(childBits)), i32(2));
    const key = load('i32.load', op('i32.add', get(row), keyAt), index * rowBytes);
    const isRight = op('i32.gt_s', key, load('i32.load', node));
    const child = op('i32.and', get(word), i32(2 ** childBits - 1));
    return [
      ...set(word, load('i32.load', node, 4)),
      ...set(at, op('i32.mul', op('i32.add', child, isRight), i32(walkNodeBytes))),
    ];
  };
  const steps = (count: number): Code[] =>
    Array.from({ length: count }, () => rows.flatMap((each, index) => step(each, index)));
  const changes = rows.map(({ at, before }) => op('i32.xor', get(at), get(before)));
  const readAt = (offset: number): Code => op('i32.add', get(tables), load('i32.load', get(tree), offset));
  return fn.body(
    set(nodes, readAt(0)),
    set(votes, readAt(4)),
    set(sums, op('i32.add', plus(scratch, layout.scratch.sums), load('i32.load', get(tree), 8))),
    set(row, plus(scratch, layout.scratch.keys)),
    set(end, op('i32.add', get(row), op('i32.mul', get(count), i32(rowBytes)))),
    loop(
      ...rows.map(({ at }) => set(at, i32(0))),
      set(left, load('i32.load', get(tree), 12)),
      loop(...steps(1), brIf(0, tee(left, op('i32.sub', get(left), i32(1))))),
      set(left, load('i32.load', get(tree), 16)),
      // Most rows have arrived; few trees need more.
      block(
        loop(
          brIf(1, op('i32.le_s', get(left), i32(0))),
          ...rows.map(({ at, before }) => set(before, get(at))),
          ...steps(stepsAtOnce),
          set(left, op('i32.sub', get(left), i32(stepsAtOnce))),
          brIf(
            0,
            changes.reduce((all, each) => op('i32.or', all, each)),
          ),
        ),
      ),
      ...rows.map(({ at }, index) => addVotes(forest, layout, sums, index * sumBytes, leafWord(votes, at))),
      set(sums, plus(sums, rowsAtOnce * sumBytes)),
      brIf(0, op('i32.lt_u', tee(row, plus(row, rowsAtOnce * rowBytes)), get(end))),
    ),
  );

  function leafWord(from: number, at: number): Code {
    return op('i32.add', get(from), op('i32.shr_u', get(at), i32(1)));
  }
}

/** Of one row, whose leaf has its word at `word`. */
function addVotes(forest: Forest, layout: WalkLayout, sums: number, offset: number, word: Code): Code {
  const { aggregate } = forest;
  if (layout.hasOneTarget) {
    const [sum, vote] = [load('f32.load', get(sums), offset), load('f32.load', word)];
    const isLess = op(aggregate === 'MIN' ? 'f32.lt' : 'f32.gt', vote, sum);
    const both =
      aggregate === 'MIN' || aggregate === 'MAX' ? op('select', vote, sum, isLess) : op('f32.add', sum, vote);
    return store('f32.store', get(sums), both, offset);
  }
  const vectors = Array.from({ length: layout.sumWidth / 4 }, (_, index) => 16 * index);
  const leaf = op('i32.add', get(tables), load('i32.load', word));
  return vectors.flatMap((at) => {
    const [sum, vote] = [load('v128.load', get(sums), offset + at), load('v128.load', leaf, at)];
    const name = aggregate === 'MIN' ? 'f32x4.pmin' : aggregate === 'MAX' ? 'f32x4.pmax' : 'f32x4.add';
    return store('v128.store', get(sums), op(name, sum, vote), offset + at);
  });
}
