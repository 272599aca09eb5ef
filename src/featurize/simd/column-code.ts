/** The kernels of columns and lists: loops around the values of a form. */
import { elementBytes } from '../../batch.ts';
import { get, i32, load, loop, op, set, WasmFunction, brIf, type Code } from '../../engines/wasm-code.ts';
import { laneRows, type ColumnForm, type FormSource, type ListForm, type QuadForm } from './form.ts';
import { tile } from './row-code.ts';
import { storeValues, wordsOf } from './store-code.ts';
import { ValueCode } from './value-code.ts';
import { add, byFours, scaled } from './vector-code.ts';

/** What a kernel reads of one feature: addresses, as words at these bytes. */
export const entry = {
  values: 0,
  validity: 4,
  constants: 8,
  offsets: 12,
  lengths: 16,
  rowValidity: 20,
  bytes: 32,
} as const;

export function sourceBytes(source: FormSource): number {
  return elementBytes[source === 'code' ? 'int32' : source];
}

/**
 * `run(entries, count, from, end, target, columnBytes)`: rows [from, end), at least four, of `count` features with
 * entries one after the other, into columns from `target` on that are `columnBytes` apart.
 * Returns 0, or another number where a value was refused.
 */
export function columnFunction(form: ColumnForm): WasmFunction {
  const code = new WasmFunction('run', Array<'i32'>(6).fill('i32'), ['i32']);
  const [at, count, from, end, target, columnBytes] = [0, 1, 2, 3, 4, 5];
  const run = new ValueRun(code, form);
  return code.body(
    loop(
      run.openColumn(get(at), get(from)),
      run.each(get(from), op('i32.sub', get(end), get(from)), get(target)),
      set(at, add(get(at), i32(entry.bytes))),
      set(target, add(get(target), get(columnBytes))),
      set(count, op('i32.sub', get(count), i32(1))),
      brIf(0, get(count)),
    ),
    run.isRefused,
  );
}

/**
 * `run(entries, quads, from, end, target, rowBytes)`: as {@link columnFunction}, but four features at a time, which go
 * straight into rows: the divisions of one feature hide what the others' way into the rows takes. For element types of
 * four bytes.
 */
export function quadFunction(form: QuadForm): WasmFunction {
  const code = new WasmFunction('run', Array<'i32'>(6).fill('i32'), ['i32']);
  const [at, count, from, end, target, rowBytes] = [0, 1, 2, 3, 4, 5];
  const runs = Array.from({ length: laneRows }, () => new ValueRun(code, { ...form, kind: 'column' }));
  const [row, last, before, to] = [code.local('i32'), code.local('i32'), code.local('i32'), code.local('i32')];
  const { columns, stores } = tile(code, 4, get(to), get(to));
  const compute = runs.map((run, lane) => [
    run.take(get(row), get(from)),
    set(columns[lane]!, wordsOf(code, form.elementType, run.four)),
  ]);
  return code.body(
    loop(
      runs.map((run, lane) => run.openColumn(add(get(at), i32(lane * entry.bytes)), get(from))),
      byFours(row, last, before, op('i32.sub', get(end), get(from)), [
        compute,
        set(to, add(get(target), op('i32.mul', get(row), get(rowBytes)))),
        stores.map((each) => [each, set(to, add(get(to), get(rowBytes)))]),
      ]),
      set(at, add(get(at), i32(laneRows * entry.bytes))),
      set(target, add(get(target), i32(4 * laneRows))),
      set(count, op('i32.sub', get(count), i32(1))),
      brIf(0, get(count)),
    ),
    runs.map((run) => run.isRefused).reduce((code, next) => op('i32.or', code, next)),
  );
}

/**
 * `run(entry, width, from, end, target, rowBytes)`: the lists of rows [from, end), of `width` values (at least four)
 * each, side by side from `target` on, rows `rowBytes` apart. Returns 0, or another number where a list was refused.
 */
export function listFunction(form: ListForm): WasmFunction {
  const code = new WasmFunction('run', Array<'i32'>(6).fill('i32'), ['i32']);
  const [at, width, row, end, target, rowBytes] = [0, 1, 2, 3, 4, 5];
  const run = new ValueRun(code, form);
  const [fits, offset, first] = [code.local('i32'), code.local('i32'), code.local('i32')];
  const ofRow = (field: number): Code => load('i32.load', add(load('i32.load', get(at), field), scaled(get(row), 4)));
  // A list of another length, or a null one, has no values: those at the start are read in its place.
  const nullRows = form.hasNullRows
    ? [
        set(run.rowMask, rowIsValid(load('i32.load', get(at), entry.rowValidity), get(row))),
        run.refuseIf(op('i32.and', op('i32.ne', get(run.rowMask), i32(0)), op('i32.eqz', get(fits)))),
        set(fits, op('i32.and', get(fits), op('i32.ne', get(run.rowMask), i32(0)))),
      ]
    : run.refuseIf(op('i32.eqz', get(fits)));
  return code.body(
    run.open(get(at)),
    set(run.bitmap, load('i32.load', get(at), entry.validity)),
    set(first, load('i32.load', get(at), entry.values)),
    loop(
      set(fits, op('i32.eq', ofRow(entry.lengths), get(width))),
      nullRows,
      set(offset, op('select', ofRow(entry.offsets), i32(0), get(fits))),
      set(run.values, add(get(first), scaled(get(offset), sourceBytes(form.source)))),
      run.each(get(offset), get(width), get(target)),
      set(target, add(get(target), get(rowBytes))),
      set(row, add(get(row), i32(1))),
      brIf(0, op('i32.lt_s', get(row), get(end))),
    ),
    run.isRefused,
  );
}

/** -1 where the row's bit is set, 0 where it is not. */
function rowIsValid(bitmap: Code, row: Code): Code {
  const bit = op('i32.shr_u', bitmapByte('i32.load8_u', bitmap, row), op('i32.and', row, i32(7)));
  return op('i32.sub', i32(0), op('i32.and', bit, i32(1)));
}

function bitmapByte(name: 'i32.load8_u' | 'i32.load16_u', bitmap: Code, index: Code): Code {
  return load(name, add(bitmap, op('i32.shr_u', index, i32(3))));
}

/** A run of values of one feature that lie together, four at a time. */
class ValueRun {
  /** Locals: address of the run's first value and of the bitmap; whether the row is valid, as {@link rowIsValid} says. */
  readonly values: number;
  readonly bitmap: number;
  readonly rowMask: number;
  readonly four: ValueCode;
  readonly #code: WasmFunction;
  readonly #form: ColumnForm | ListForm;
  readonly #refused: number;
  readonly #at: readonly [number, number, number];

  constructor(code: WasmFunction, form: ColumnForm | ListForm) {
    const local = (): number => code.local('i32');
    [this.values, this.bitmap, this.rowMask, this.#refused] = [local(), local(), local(), local()];
    this.#at = [local(), local(), local()];
    this.#code = code;
    this.#form = form;
    this.four = new ValueCode(code, form);
  }

  open(entryAt: Code): Code {
    return this.four.loadConstants(load('i32.load', entryAt, entry.constants));
  }

  refuseIf(condition: Code): Code {
    return set(this.#refused, op('i32.or', get(this.#refused), condition));
  }

  get isRefused(): Code {
    return op('i32.or', get(this.#refused), this.four.isRefused);
  }

  /** The column of the entry, from this row on. */
  openColumn(entryAt: Code, from: Code): Code {
    const first = add(load('i32.load', entryAt, entry.values), scaled(from, sourceBytes(this.#form.source)));
    return [this.open(entryAt), set(this.values, first), set(this.bitmap, load('i32.load', entryAt, entry.validity))];
  }

  /** @param firstIndex of the run's first value, for its bit */
  each(firstIndex: Code, count: Code, target: Code): Code {
    const [at, last, before] = this.#at;
    const place = add(target, scaled(get(at), elementBytes[this.#form.elementType]));
    return byFours(at, last, before, count, [
      this.take(get(at), firstIndex),
      storeValues(this.#code, this.#form, this.four, place),
    ]);
  }

  /** Four values, `at` values on from the first, through their steps. */
  take(at: Code, firstIndex: Code): Code {
    const { source, nulls } = this.#form;
    const address = add(get(this.values), scaled(at, sourceBytes(source)));
    const validBits = nulls === 'none' ? undefined : this.#validBits(add(firstIndex, at));
    return [this.four.loadValues(address, validBits), this.four.applySteps()];
  }

  /** The four bits from this one on. */
  #validBits(index: Code): Code {
    const form = this.#form;
    const bits = op('i32.shr_u', bitmapByte('i32.load16_u', get(this.bitmap), index), op('i32.and', index, i32(7)));
    const four = op('i32.and', bits, i32(15));
    if (form.kind === 'column' || !form.hasNullRows) return four;
    const ofRow = op('i32.and', get(this.rowMask), i32(15));
    return form.hasNullValues ? op('i32.and', four, ofRow) : ofRow;
  }
}
