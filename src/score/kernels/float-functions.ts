/** Functions of four float32 values at once, as WebAssembly. */
import { f32, get, i32, op, set, tee, type Code, type WasmFunction } from '../../engines/wasm-code.ts';

/** Four times the same. */
export function splat(value: number): Code {
  return op('f32x4.splat', f32(value));
}

/**
 * e to the power of x, off by 1.7e-7 of itself at most; NaN stays, what is too large or small becomes infinity or 0.
 * Stephen Moshier's `expf` (Cephes, single/expf.c): x = n ln 2 + r, a polynomial of r, times 2^n. The bound is his.
 */
export function exponential(fn: WasmFunction, x: Code): Code {
  const [power, rest, whole, half] = [fn.local('v128'), fn.local('v128'), fn.local('v128'), fn.local('v128')];
  // Beyond these it is infinity and 0. The other order of the operands would turn NaN into a bound.
  const bounded = op('f32x4.pmin', op('f32x4.pmax', x, splat(-104)), splat(89));
  const powers = op('f32x4.nearest', op('f32x4.mul', tee(rest, bounded), splat(Math.LOG2E)));
  const part = (factor: number): Code => op('f32x4.mul', get(power), splat(factor));
  const coefficients = [
    1.98756915e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
  ];
  const polynomial = coefficients
    .slice(1)
    .reduce(
      (sum, coefficient) => op('f32x4.add', op('f32x4.mul', sum, get(rest)), splat(coefficient)),
      splat(coefficients[0]!),
    );
  const square = op('f32x4.mul', get(rest), get(rest));
  const mantissa = op('f32x4.add', op('f32x4.add', op('f32x4.mul', polynomial, square), get(rest)), splat(1));
  // In two steps: 2^128 and what is below 2^-126 are no float32 numbers of full precision by themselves.
  const scale = (exponent: Code): Code =>
    op('i32x4.shl', op('i32x4.add', exponent, op('i32x4.splat', i32(127))), i32(23));
  return [
    ...set(power, powers),
    // ln 2 in two parts: the product with the first one is exact.
    ...set(rest, op('f32x4.sub', op('f32x4.sub', get(rest), part(0.693359375)), part(-2.1219444e-4))),
    ...set(whole, op('i32x4.trunc_sat_f32x4_s', get(power))),
    ...set(half, op('i32x4.shr_s', get(whole), i32(1))),
    ...op('f32x4.mul', op('f32x4.mul', mantissa, scale(get(half))), scale(op('i32x4.sub', get(whole), get(half)))),
  ];
}

/** 1 / (1 + e^-x), off by 2.5e-7 of itself at most where it is no denormal number; NaN stays. */
export function sigmoid(fn: WasmFunction, x: Code): Code {
  return op('f32x4.div', splat(1), op('f32x4.add', splat(1), exponential(fn, op('f32x4.neg', x))));
}
