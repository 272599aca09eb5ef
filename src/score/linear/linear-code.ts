/**
 * The code of a linear model, over blocks of 16 rows: a cache line of each column. Addresses come as parameters, so
 * that all threads run the same code.
 */
import {
  assemble,
  brIf,
  extractLane,
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
import { exponential, sigmoid, splat } from '../kernels/float-functions.ts';
import type { LinearModel, LinearOutput, ScoreStep } from './linear-model.ts';
import type { Norm } from './linear-nodes.ts';
import { blockBytes, blockRows, layOutLinear, targetsAtOnce, type LinearLayout } from './linear-layout.ts';

/** Of a block. */
const vectors = [0, 1, 2, 3];

/**
 * A module with one function, `score(rowCount, tables, scratch, output 0, output 1, ...)`. It works on whole blocks:
 * rows up to the next multiple of 16 are read and written too.
 */
export function linearCode(model: LinearModel): Uint8Array<ArrayBuffer> {
  const fn = new WasmFunction('score', ['i32', 'i32', 'i32', ...model.outputs.map(() => 'i32' as const)]);
  return assemble({ name: 'linear', memoryPages: 1, functions: [new LinearWriter(model, fn).write()] });
}

const rowCount = 0;
const tables = 1;
const scratch = 2;
const firstOutput = 3;

class LinearWriter {
  readonly #model: LinearModel;
  readonly #layout: LinearLayout;
  readonly #fn: WasmFunction;
  /** First row of the block, and four times that. */
  readonly #row: number;
  readonly #rowBytes: number;

  constructor(model: LinearModel, fn: WasmFunction) {
    this.#model = model;
    this.#layout = layOutLinear(model);
    this.#fn = fn;
    this.#row = fn.local('i32');
    this.#rowBytes = fn.local('i32');
  }

  write(): WasmFunction {
    const { outputs } = this.#model;
    const next = op('i32.add', get(this.#row), i32(blockRows));
    return this.#fn.body(
      loop(
        set(this.#rowBytes, op('i32.shl', get(this.#row), i32(2))),
        this.#front(),
        this.#products(),
        ...outputs.map((output, index) => this.#output(output, index)),
        brIf(0, op('i32.lt_u', tee(this.#row, next), get(rowCount))),
      ),
    );
  }

  /** Columns of the block, as they are multiplied, into the scratch; nothing where they are multiplied as they come. */
  #front(): Code {
    const { columns, front } = this.#model;
    if (front.length === 0) return [];
    const { x } = this.#layout.scratch;
    const column = this.#fn.local('i32');
    const copy = this.#over(x, columns.length, blockBytes, (at) => [
      ...set(column, this.#columnAddress(at)),
      ...vectors.flatMap((v) => store('v128.store', get(at), load('v128.load', get(column), 16 * v), 16 * v)),
    ]);
    const steps = front.flatMap((step, index) => {
      if (step.kind === 'normalize') return this.#normalize(step.norm, x, columns.length);
      return this.#affine(x, columns.length, this.#layout.front[index]!, (value, offset, scale) =>
        op('f32x4.mul', op('f32x4.sub', value, offset), scale),
      );
    });
    return [...copy, ...steps];
  }

  /** Address of the block's rows in the column whose copy is at `at`: by the table at the scratch's start. */
  #columnAddress(at: number): Code {
    const { x } = this.#layout.scratch;
    const index = op('i32.sub', op('i32.sub', get(at), get(scratch)), i32(x));
    // A column's copy takes 64 bytes, its entry 4.
    return op(
      'i32.add',
      load('i32.load', op('i32.add', get(scratch), op('i32.shr_u', index, i32(4)))),
      get(this.#rowBytes),
    );
  }

  #products(): Code {
    const { targetCount } = this.#model;
    const [weight, intercept, target] = [this.#fn.local('i32'), this.#fn.local('i32'), this.#fn.local('i32')];
    const end = this.#fn.local('i32');
    const { z } = this.#layout.scratch;
    const groups = Math.floor(targetCount / targetsAtOnce);
    const places = { weight, intercept, target };
    const isOdd = targetCount % targetsAtOnce !== 0;
    return [
      ...set(weight, plus(tables, this.#layout.weights)),
      ...set(intercept, plus(tables, this.#layout.intercepts)),
      ...set(target, plus(scratch, z)),
      ...(groups === 0
        ? []
        : [
            ...set(end, plus(scratch, z + groups * targetsAtOnce * blockBytes)),
            ...loop(this.#product(targetsAtOnce, places), brIf(0, op('i32.lt_u', get(target), get(end)))),
          ]),
      ...(isOdd ? this.#product(1, places) : []),
    ];
  }

  /** Sums of `count` targets; what points to weights, intercepts and sums moves on. */
  #product(
    count: number,
    { weight, intercept, target }: Readonly<Record<'weight' | 'intercept' | 'target', number>>,
  ): Code {
    const fn = this.#fn;
    const targets = Array.from({ length: count }, (_, index) => index);
    const sums = targets.map(() => vectors.map(() => fn.local('v128')));
    const values = vectors.map(() => fn.local('v128'));
    const factor = fn.local('v128');
    const [column, address, end] = [fn.local('i32'), fn.local('i32'), fn.local('i32')];
    const { columns, front } = this.#model;
    const isCopied = front.length > 0;
    const [from, stride] = isCopied ? [this.#layout.scratch.x, blockBytes] : [0, 4];
    const at = isCopied ? get(column) : op('i32.add', load('i32.load', get(column)), get(this.#rowBytes));
    return [
      ...targets.flatMap((t) => [
        ...set(factor, load('v128.load32_splat', get(intercept), 4 * t)),
        ...vectors.flatMap((v) => set(sums[t]![v]!, get(factor))),
      ]),
      ...set(column, plus(scratch, from)),
      ...set(end, plus(scratch, from + stride * columns.length)),
      ...loop(
        set(address, at),
        ...vectors.map((v) => set(values[v]!, load('v128.load', get(address), 16 * v))),
        ...targets.flatMap((t) => [
          set(factor, load('v128.load32_splat', get(weight), 4 * t)),
          ...vectors.map((v) => {
            const product = op('f32x4.mul', get(values[v]!), get(factor));
            return set(sums[t]![v]!, op('f32x4.add', get(sums[t]![v]!), product));
          }),
        ]),
        set(weight, plus(weight, 4 * count)),
        brIf(0, op('i32.lt_u', tee(column, plus(column, stride)), get(end))),
      ),
      ...targets.flatMap((t) =>
        vectors.flatMap((v) => store('v128.store', get(target), get(sums[t]![v]!), t * blockBytes + 16 * v)),
      ),
      ...set(intercept, plus(intercept, 4 * count)),
      ...set(target, plus(target, count * blockBytes)),
    ];
  }

  #output(output: LinearOutput, index: number): Code {
    const { scratch: places, outputs } = this.#layout;
    const { targetCount } = this.#model;
    let width = targetCount;
    let from = places.z;
    const steps: Code[] = [];
    output.steps.forEach((step, at) => {
      if (from === places.z) steps.push(this.#copyTargets());
      from = places.work;
      steps.push(this.#step(step, width, outputs[index]!.steps[at]!));
      if (step.kind === 'complement') width = 2;
    });
    const target = firstOutput + index;
    const write =
      output.kind === 'label'
        ? this.#writeLabels(from, width, target, outputs[index]!.labels)
        : this.#writeScores(from, width, target);
    return [...steps.flat(), ...write];
  }

  #copyTargets(): Code {
    const { z, work } = this.#layout.scratch;
    return this.#over(z, this.#model.targetCount, blockBytes, (at) =>
      vectors.flatMap((v) =>
        store('v128.store', op('i32.add', get(at), i32(work - z)), load('v128.load', get(at), 16 * v), 16 * v),
      ),
    );
  }

  /** @param table where the step's constants lie */
  #step(step: ScoreStep, width: number, table: number): Code {
    const { work } = this.#layout.scratch;
    switch (step.kind) {
      case 'sigmoid':
        return this.#each(work, width, (value) => sigmoid(this.#fn, value));
      case 'exp':
        return this.#each(work, width, (value) => exponential(this.#fn, value));
      case 'softmax':
        return this.#softmax(work, width);
      case 'normalize':
        return this.#normalize(step.norm, work, width);
      case 'affine':
        return this.#affine(work, width, table, (value, scale, offset) =>
          op('f32x4.add', op('f32x4.mul', value, scale), offset),
        );
      case 'complement':
        return vectors.flatMap((v) => {
          const value = load('v128.load', get(scratch), work + 16 * v);
          const complement = store('v128.store', get(scratch), op('f32x4.sub', splat(1), value), work + 16 * v);
          return [...store('v128.store', get(scratch), value, work + blockBytes + 16 * v), ...complement];
        });
    }
  }

  #each(place: number, count: number, change: (value: Code, v: number) => Code): Code {
    return this.#over(place, count, blockBytes, (at) =>
      vectors.flatMap((v) => store('v128.store', get(at), change(load('v128.load', get(at), 16 * v), v), 16 * v)),
    );
  }

  /** `change` gets a pair of constants for each value of a row. */
  #affine(place: number, count: number, table: number, change: (value: Code, first: Code, second: Code) => Code): Code {
    const [pair, first, second] = [this.#fn.local('i32'), this.#fn.local('v128'), this.#fn.local('v128')];
    const body = (at: number): Code => [
      ...set(first, load('v128.load32_splat', get(pair))),
      ...set(second, load('v128.load32_splat', get(pair), 4)),
      ...vectors.flatMap((v) => {
        const value = load('v128.load', get(at), 16 * v);
        return store('v128.store', get(at), change(value, get(first), get(second)), 16 * v);
      }),
      ...set(pair, plus(pair, 8)),
    ];
    return [...set(pair, plus(tables, table)), ...this.#over(place, count, blockBytes, body)];
  }

  /** One vector of four rows each: `start`, then what `add` makes of it and each value. */
  #fold(
    place: number,
    count: number,
    start: Code,
    add: (sum: Code, value: Code) => Code,
  ): { locals: number[]; code: Code } {
    const locals = vectors.map(() => this.#fn.local('v128'));
    const code = [
      ...locals.flatMap((local) => set(local, start)),
      ...this.#over(place, count, blockBytes, (at) =>
        locals.flatMap((local, v) => set(local, add(get(local), load('v128.load', get(at), 16 * v)))),
      ),
    ];
    return { locals, code };
  }

  #softmax(place: number, count: number): Code {
    const largest = this.#fold(place, count, splat(-Infinity), (most, value) => op('f32x4.max', most, value));
    const powers = this.#each(place, count, (value, v) =>
      exponential(this.#fn, op('f32x4.sub', value, get(largest.locals[v]!))),
    );
    const sum = this.#fold(place, count, splat(0), (total, value) => op('f32x4.add', total, value));
    const share = this.#each(place, count, (value, v) => op('f32x4.div', value, get(sum.locals[v]!)));
    return [...largest.code, ...powers, ...sum.code, ...share];
  }

  #normalize(norm: Norm, place: number, count: number): Code {
    const norms = this.#fold(place, count, splat(norm === 'MAX' ? -3.4028234663852886e38 : 0), (sum, value) => {
      if (norm === 'MAX') return op('f32x4.max', sum, value);
      return op('f32x4.add', sum, norm === 'L1' ? op('f32x4.abs', value) : op('f32x4.mul', value, value));
    });
    const divide = this.#each(place, count, (value, v) => {
      const by = get(norms.locals[v]!);
      const divided = norm === 'L2' ? rootOfShare(value, by) : op('f32x4.div', value, by);
      return op('v128.bitselect', value, divided, op('f32x4.eq', by, splat(0)));
    });
    return [...norms.code, ...divide];
  }

  /** Row-major. */
  #writeScores(from: number, width: number, output: number): Code {
    const target = this.#fn.local('i32');
    if (width === 1) {
      return [
        ...set(target, op('i32.add', get(output), get(this.#rowBytes))),
        ...vectors.flatMap((v) =>
          store('v128.store', get(target), load('v128.load', get(scratch), from + 16 * v), 16 * v),
        ),
      ];
    }
    const value = this.#fn.local('v128');
    const body = (at: number): Code => [
      ...vectors.flatMap((v) => [
        ...set(value, load('v128.load', get(at), 16 * v)),
        ...vectors.flatMap((lane) =>
          storeLane('v128.store32_lane', lane, get(target), get(value), 4 * width * (4 * v + lane)),
        ),
      ]),
      ...set(target, plus(target, 4)),
    ];
    return [
      ...set(target, op('i32.add', get(output), op('i32.mul', get(this.#rowBytes), i32(width)))),
      ...this.#over(from, width, blockBytes, body),
    ];
  }

  /** Of the first of the largest targets, as ONNX Runtime chooses: a later one must be larger. */
  #writeLabels(from: number, width: number, output: number, labels: number): Code {
    const fn = this.#fn;
    const [index, target] = [fn.local('v128'), fn.local('i32')];
    const best = vectors.map(() => fn.local('v128'));
    const chosen = vectors.map(() => fn.local('v128'));
    const isMore = fn.local('v128');
    const one = op('i32x4.splat', i32(1));
    const choose = (at: number): Code => [
      ...set(index, op('i32x4.add', get(index), one)),
      ...vectors.flatMap((v) => {
        const value = load('v128.load', get(at), 16 * v);
        return [
          ...set(isMore, op('f32x4.gt', value, get(best[v]!))),
          ...set(chosen[v]!, op('v128.bitselect', get(index), get(chosen[v]!), get(isMore))),
          ...set(best[v]!, op('v128.bitselect', value, get(best[v]!), get(isMore))),
        ];
      }),
    ];
    // A single target chooses between two labels by its sign; of several the first one is the one to beat.
    const start = vectors.flatMap((v) => [
      ...set(best[v]!, width === 1 ? splat(0) : load('v128.load', get(scratch), from + 16 * v)),
      ...set(chosen[v]!, op('i32x4.splat', i32(0))),
    ]);
    const rest =
      width === 1
        ? this.#over(from, 1, blockBytes, choose)
        : this.#over(from + blockBytes, width - 1, blockBytes, choose);
    const label = (v: number, lane: number): Code =>
      load(
        'i64.load',
        op('i32.add', get(tables), op('i32.shl', extractLane('i32x4.extract_lane', lane, get(chosen[v]!)), i32(3))),
        labels,
      );
    return [
      ...set(index, op('i32x4.splat', i32(0))),
      ...start,
      ...rest,
      ...set(target, op('i32.add', get(output), op('i32.shl', get(this.#row), i32(3)))),
      ...vectors.flatMap((v) =>
        vectors.flatMap((lane) => store('i64.store', get(target), label(v, lane), 8 * (4 * v + lane))),
      ),
    ];
  }

  /** `body` for each of `count` places in the scratch, `stride` bytes apart, with the local that holds its address. */
  #over(place: number, count: number, stride: number, body: (at: number) => Code): Code {
    const [at, end] = [this.#fn.local('i32'), this.#fn.local('i32')];
    return [
      ...set(at, plus(scratch, place)),
      ...set(end, plus(scratch, place + count * stride)),
      ...loop(body(at), brIf(0, op('i32.lt_u', tee(at, plus(at, stride)), get(end)))),
    ];
  }
}

function plus(local: number, bytes: number): Code {
  return op('i32.add', get(local), i32(bytes));
}

/** The root of its share of the squares, with its own sign, as ONNX Runtime computes it. */
function rootOfShare(value: Code, squares: Code): Code {
  const root = op('f32x4.sqrt', op('f32x4.div', op('f32x4.mul', value, value), squares));
  return op('v128.bitselect', op('f32x4.neg', root), root, op('f32x4.lt', value, splat(0)));
}
