/**
 * Code that takes four values of a column through the steps of a form: always two pairs of float64, rounded once when
 * they are stored. What a kernel cannot settle (a value that does not fit, a null without "missing", an integer beyond
 * 2^51) it marks as refused; the JavaScript loop then does those rows again and has the last word.
 */
import { get, i32, load, op, set, type Code, type WasmFunction } from '../../engines/wasm-code.ts';
import { codeNull, codeUnknown } from '../../batch.ts';
import { isExact, type ColumnForm, type FormSource, type FormStep, type ListForm } from './form.ts';
import { doubles, longs, shuffleLanes, whileTrue, words } from './vector-code.ts';

/** Bytes of a constant's place; the first is the missing value. */
export const cellBytes = 8;

/** Two vectors of two float64, or of two int64 where integers are passed on as they are. */
interface Pair {
  readonly low: Code;
  readonly high: Code;
}

/** Locals and code of one form's values. */
export class ValueCode {
  readonly #form: ColumnForm | ListForm;
  readonly #low: number;
  readonly #high: number;
  readonly #raw: number;
  readonly #refused: number;
  readonly #fill: number;
  readonly #counts: readonly [number, number, number, number];
  readonly #function: WasmFunction;
  /** Of each step: locals of its constants; for `bucketize` address and number of boundaries. */
  readonly #steps: readonly (readonly [number, number])[];

  constructor(code: WasmFunction, form: ColumnForm | ListForm) {
    this.#form = form;
    this.#function = code;
    [this.#low, this.#high, this.#raw] = [code.local('v128'), code.local('v128'), code.local('v128')];
    [this.#refused, this.#fill] = [code.local('v128'), code.local('v128')];
    this.#counts = [code.local('v128'), code.local('v128'), code.local('i32'), code.local('v128')];
    this.#steps = form.steps.map((step) => {
      const type = step === 'bucketize' ? 'i32' : 'v128';
      return [code.local(type), code.local(type)];
    });
  }

  get low(): Code {
    return get(this.#low);
  }

  get high(): Code {
    return get(this.#high);
  }

  /** Whether any value was refused: i32. */
  get isRefused(): Code {
    return op('v128.any_true', get(this.#refused));
  }

  refuse(where: Code): Code {
    return set(this.#refused, op('v128.or', get(this.#refused), where));
  }

  /** Constants from memory into locals. */
  loadConstants(constants: Code): Code {
    let cell = 1;
    const ofSteps = this.#form.steps.map((step, index) => {
      const [first, second] = this.#steps[index]!;
      if (step === 'bucketize') {
        const at = cell++ * cellBytes;
        return [set(first, load('i32.load', constants, at)), set(second, load('i32.load', constants, at + 4))];
      }
      const splat = (): Code => load('v128.load64_splat', constants, cell++ * cellBytes);
      return [set(first, splat()), set(second, splat())];
    });
    return [set(this.#fill, load('v128.load64_splat', constants)), ofSteps];
  }

  /** Loads the values at `address`; `validBits`: four bits, where the form has nulls. */
  loadValues(address: Code, validBits: Code | undefined): Code {
    const { source } = this.#form;
    const loaded = source === 'code' ? this.#loadCodes(address) : this.#loadNumbers(source, address);
    return [loaded, ...(validBits === undefined ? [] : this.#replaceNulls(validBits))];
  }

  #setPair({ low, high }: Pair): Code {
    return [set(this.#low, low), set(this.#high, high)];
  }

  #each(make: (value: Code) => Code): Code {
    return this.#setPair({ low: make(this.low), high: make(this.high) });
  }

  #loadNumbers(source: Exclude<FormSource, 'code'>, address: Code): Code {
    const raw = get(this.#raw);
    const fromWords = (code: Code, sign: 's' | 'u'): Code => [
      set(this.#raw, code),
      this.#setPair({
        low: op(`f64x2.convert_low_i32x4_${sign}`, raw),
        high: op(`f64x2.convert_low_i32x4_${sign}`, shuffleLanes(8, [1, 0], raw)),
      }),
    ];
    const fromLongs = (at: number, sign: 's' | 'u'): Code => {
      const upper = op(`f64x2.convert_low_i32x4_${sign}`, shuffleLanes(4, [1, 3, 1, 3], raw));
      const lower = op('f64x2.convert_low_i32x4_u', shuffleLanes(4, [0, 2, 0, 2], raw));
      // Both halves are exact, so the sum is rounded once, as Number(bigint) is.
      const sum = op('f64x2.add', op('f64x2.mul', upper, doubles(2 ** 32)), lower);
      return [set(this.#raw, load('v128.load', address, at)), set(at === 0 ? this.#low : this.#high, sum)];
    };
    const twoVectors = { low: load('v128.load', address), high: load('v128.load', address, 16) };
    switch (source) {
      case 'float32':
        return this.#setPair({
          low: op('f64x2.promote_low_f32x4', load('v128.load64_zero', address)),
          high: op('f64x2.promote_low_f32x4', load('v128.load64_zero', address, 8)),
        });
      case 'float64':
        return this.#setPair(twoVectors);
      case 'int32':
        return fromWords(load('v128.load', address), 's');
      case 'uint32':
        return fromWords(load('v128.load', address), 'u');
      case 'int16':
        return fromWords(load('v128.load16x4_s', address), 's');
      case 'uint16':
        return fromWords(load('v128.load16x4_u', address), 's');
      case 'int8': {
        const shorts = op('i16x8.extend_low_i8x16_s', load('v128.load32_zero', address));
        return fromWords(op('i32x4.extend_low_i16x8_s', shorts), 's');
      }
      case 'uint8': {
        const shorts = op('i16x8.extend_low_i8x16_u', load('v128.load32_zero', address));
        return fromWords(op('i32x4.extend_low_i16x8_u', shorts), 's');
      }
      case 'int64':
        if (isExact(this.#form)) return this.#setPair(twoVectors);
        return [fromLongs(0, 's'), fromLongs(16, 's')];
      case 'uint64':
        if (isExact(this.#form)) return this.#setPair(twoVectors);
        return [fromLongs(0, 'u'), fromLongs(16, 'u')];
    }
  }

  /** Positions; a null and what is not listed have theirs in the first cell, below 0 where they refuse the row. */
  #loadCodes(address: Code): Code {
    const raw = get(this.#raw);
    const replace = (code: number, lane: number): Code => {
      const splat = shuffleLanes(4, [lane, lane, lane, lane], get(this.#fill));
      const is = op('i32x4.eq', raw, words(code, code, code, code));
      return set(this.#raw, op('v128.bitselect', splat, raw, is));
    };
    return [
      set(this.#raw, load('v128.load', address)),
      // In this order: what is not listed may become -1, which is a null's code; a null never becomes -2.
      replace(codeNull, 0),
      replace(codeUnknown, 1),
      this.refuse(op('i32x4.lt_s', raw, words(0, 0, 0, 0))),
      this.#setPair({
        low: op('f64x2.convert_low_i32x4_s', raw),
        high: op('f64x2.convert_low_i32x4_s', shuffleLanes(8, [1, 0], raw)),
      }),
    ];
  }

  #replaceNulls(validBits: Code): Code {
    const [bits] = this.#counts;
    const valid = (low: bigint): Code =>
      op('i64x2.eq', op('v128.and', get(bits), longs(low, low * 2n)), longs(low, low * 2n));
    const spread = set(bits, op('i64x2.splat', op('i64.extend_i32_u', validBits)));
    if (this.#form.nulls === 'refused') {
      const all = op('i64x2.ne', op('v128.and', get(bits), longs(15n)), longs(15n));
      return [spread, this.refuse(all)];
    }
    const fill = get(this.#fill);
    return [
      spread,
      set(this.#low, op('v128.bitselect', this.low, fill, valid(1n))),
      set(this.#high, op('v128.bitselect', this.high, fill, valid(4n))),
    ];
  }

  /** All steps of the form, in order. */
  applySteps(): Code {
    return this.#form.steps.map((step, index) => this.#step(step, ...this.#steps[index]!));
  }

  #step(step: FormStep, first: number, second: number): Code {
    const [a, b] = [get(first), get(second)];
    switch (step) {
      case 'standardize':
      case 'minMax':
        return this.#each((x) => op('f64x2.div', op('f64x2.sub', x, a), b));
      case 'clip':
        // Both give their first operand where it is NaN: a missing value stays missing.
        return this.#each((x) => op('f64x2.pmin', op('f64x2.pmax', x, a), b));
      case 'bucketize':
        return this.#bucketize(first, second);
    }
  }

  /** Counts the boundaries that are at most x, one after the other. */
  #bucketize(boundaries: number, count: number): Code {
    const [low, high, left, boundary] = this.#counts;
    const at = this.#function.local('i32');
    const counted = (total: number, x: Code): Code =>
      set(total, op('i64x2.sub', get(total), op('f64x2.le', get(boundary), x)));
    // A count in the lowest bits of 2^52 is that number of units more.
    const asDouble = (total: number): Code =>
      op('f64x2.sub', op('v128.or', get(total), doubles(2 ** 52)), doubles(2 ** 52));
    const keepNaN = (total: number, x: Code): Code => op('v128.bitselect', asDouble(total), x, op('f64x2.eq', x, x));
    return [
      set(low, longs(0n)),
      set(high, longs(0n)),
      set(at, get(boundaries)),
      set(left, get(count)),
      whileTrue(get(left), [
        set(boundary, load('v128.load64_splat', get(at))),
        counted(low, this.low),
        counted(high, this.high),
        set(at, op('i32.add', get(at), i32(cellBytes))),
        set(left, op('i32.sub', get(left), i32(1))),
      ]),
      this.#setPair({ low: keepNaN(low, this.low), high: keepNaN(high, this.high) }),
    ];
  }
}
