import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileModule, createSharedMemory, instantiate } from '../../engines/wasm.ts';
import { assemble, get, load, store, WasmFunction, type Code } from '../../engines/wasm-code.ts';
import { exponential, sigmoid } from './float-functions.ts';

const memory = createSharedMemory(64);
const values = new Float32Array(memory.buffer, 0, 4);

function compile(build: (fn: WasmFunction, x: Code) => Code): (x: number) => number {
  const fn = new WasmFunction('run', ['i32']);
  fn.body(store('v128.store', get(0), build(fn, load('v128.load', get(0)))));
  const { run } = instantiate(compileModule(assemble({ name: 'test', memoryPages: 1, functions: [fn] })), memory);
  return (x) => {
    // Lanes must not mix.
    values.set([0, x, -1, NaN]);
    run!(0);
    assert.ok(Number.isNaN(values[3]!));
    return values[1]!;
  };
}

const exp = compile(exponential);
const logistic = compile(sigmoid);

test('e^x is within the bound where float32 numbers are normal', () => {
  let errorMax = 0;
  for (let step = -8730; step <= 8872; step++) {
    const x = Math.fround(step / 100 + 0.001 * Math.sin(step));
    errorMax = Math.max(errorMax, Math.abs(exp(x) / Math.exp(x) - 1));
  }
  assert.ok(errorMax > 0 && errorMax <= 1.7e-7, `${errorMax}`);
});

test('e^x at its ends', () => {
  assert.equal(exp(0), 1);
  assert.equal(exp(-0), 1);
  assert.equal(exp(89), Infinity);
  assert.equal(exp(Infinity), Infinity);
  assert.equal(exp(-104), 0);
  assert.equal(exp(-Infinity), 0);
  // A denormal number: fewer bits, but not 0.
  assert.ok(Math.abs(exp(-95) - Math.exp(-95)) < 1e-44 && exp(-95) > 0);
});

test('the sigmoid is within its bound on both sides', () => {
  let errorMax = 0;
  for (let step = -8700; step <= 8700; step++) {
    const x = Math.fround(step / 100);
    errorMax = Math.max(errorMax, Math.abs(logistic(x) * (1 + Math.exp(-x)) - 1));
  }
  assert.ok(errorMax > 0 && errorMax <= 2.5e-7, `${errorMax}`);
  assert.equal(logistic(0), 0.5);
  assert.equal(logistic(Infinity), 1);
  assert.equal(logistic(-Infinity), 0);
  assert.ok(Number.isNaN(logistic(NaN)));
});
