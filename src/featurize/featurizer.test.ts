import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  codeNull,
  codeUnknown,
  type ColumnVector,
  type NumberArray,
  type TensorLayout,
  type TensorValues,
  viewOf,
} from '../batch.ts';
import { type ElementType, type Feature, featureWidth } from '../contract/contract.ts';
import { TandemError } from '../errors.ts';
import { BadRowError } from './bad-row.ts';
import { createFeaturizer, requestsOf } from './featurizer.ts';
import { float16Value } from '../float16.ts';
import { hashBucket } from './murmur3.ts';

const source = { column: 'distance' };
type FeatureOf<Kind extends Feature['kind']> = Extract<Feature, { kind: Kind }>;

function number(more: Partial<FeatureOf<'number'>> = {}): Feature {
  return { kind: 'number', source, missing: undefined, steps: [], ...more };
}
function list(length: number, more: Partial<FeatureOf<'list'>> = {}): Feature {
  return { kind: 'list', source, length, missing: undefined, steps: [], ...more };
}
function index(more: Partial<FeatureOf<'index'>> = {}): Feature {
  return { kind: 'index', source, categories: ['a', 'b', 'c'], unknown: 'error', missing: undefined, ...more };
}
function oneHot(more: Partial<FeatureOf<'oneHot'>> = {}): Feature {
  return {
    kind: 'oneHot',
    source,
    categories: ['a', 'b', 'c'],
    unknown: 'error',
    missing: undefined,
    dropLast: false,
    ...more,
  };
}

function layoutOf(elementType: ElementType, ...features: Feature[]): TensorLayout {
  const featureWidths = features.map((feature) => featureWidth(feature)!);
  const width = featureWidths.reduce((a, b) => a + b, 0);
  return { name: 'x', elementType, rowShape: [width], width, features, featureWidths };
}

function numbers(values: NumberArray, nulls: readonly number[] = []): ColumnVector {
  return { kind: 'number', values, validity: nulls.length === 0 ? null : validityOf(values.length, nulls) };
}
function validityOf(count: number, nulls: readonly number[]): Uint8Array {
  const bits = new Uint8Array((count >> 3) + 1).fill(255);
  for (const at of nulls) bits[at >> 3]! &= ~(1 << (at & 7));
  return bits;
}
function codes(...values: number[]): ColumnVector {
  return { kind: 'category', codes: Int32Array.from(values) };
}
/** Lists of the given numbers, one after another. */
function lists(rows: readonly (readonly number[])[]): Extract<ColumnVector, { kind: 'list' }> {
  const lengths = Int32Array.from(rows, (row) => row.length);
  let end = 0;
  const offsets = Int32Array.from(rows, (row) => (end += row.length) - row.length);
  const values = Float64Array.from(rows.flat());
  return { kind: 'list', values, valueValidity: null, offsets, lengths, validity: null };
}

function featurized(layout: TensorLayout, rowCount: number, ...vectors: ColumnVector[]): (number | bigint | string)[] {
  const length = rowCount * layout.width;
  const target: TensorValues =
    layout.elementType === 'string'
      ? new Array<string>(length)
      : viewOf(layout.elementType, new ArrayBuffer(length * 8), 0, length);
  createFeaturizer(layout, 0).fill({ rowCount, vectors }, 0, rowCount, target, 0);
  return [...target];
}

test('numbers go through their steps in float64 and are rounded once', () => {
  const steps = [
    { kind: 'standardize', mean: 0.1, std: 3 },
    { kind: 'clip', low: -0.5, high: 0.5 },
  ] as const;
  const values = Float64Array.of(1, 1.7, -100, NaN, Infinity);
  assert.deepEqual(featurized(layoutOf('float32', number({ steps })), 5, numbers(values)), [
    Math.fround(0.9 / 3),
    0.5,
    -0.5,
    NaN,
    0.5,
  ]);
  const other = [{ kind: 'minMax', min: 0, max: 23 }, { kind: 'log1p' }] as const;
  assert.deepEqual(featurized(layoutOf('float64', number({ steps: other })), 2, numbers(Int8Array.of(0, 7))), [
    0,
    Math.log1p(7 / 23),
  ]);
  const bucketize = [{ kind: 'bucketize', boundaries: [0, 10, 10.5] }] as const;
  const around = Float32Array.of(-1, 0, 10, 10.5, 99, NaN);
  assert.deepEqual(featurized(layoutOf('float32', number({ steps: bucketize })), 6, numbers(around)), [
    0,
    1,
    2,
    3,
    3,
    NaN,
  ]);
});

test('a null becomes the missing value before the steps, whatever lies under it', () => {
  const steps = [{ kind: 'standardize', mean: 1, std: 2 }] as const;
  const vector = numbers(Float32Array.of(3, NaN, 5, 1e30), [1, 3]);
  assert.deepEqual(featurized(layoutOf('float32', number({ missing: 9, steps })), 4, vector), [1, 4, 2, 4]);
  assert.deepEqual(featurized(layoutOf('float32', number({ missing: NaN, steps })), 4, vector), [1, NaN, 2, NaN]);
});

test('integers of 64 bit are not rounded on their way to a 64 bit tensor', () => {
  const big = [2n ** 53n + 1n, -(2n ** 63n), 2n ** 63n - 1n, -1n, 0n];
  const signed = numbers(BigInt64Array.from(big));
  assert.deepEqual(featurized(layoutOf('int64', number()), 5, signed), big);
  assert.deepEqual(
    featurized(layoutOf('int64', number(), number()), 5, signed, signed),
    big.flatMap((b) => [b, b]),
  );
  const large = [2n ** 53n + 1n, 2n ** 63n - 1n];
  assert.deepEqual(featurized(layoutOf('uint64', number()), 2, numbers(BigInt64Array.from(large))), large);
  const nulls = numbers(BigInt64Array.from(big), [1, 3]);
  assert.deepEqual(featurized(layoutOf('int64', number({ missing: -7 })), 5, nulls), [big[0], -7n, big[2], -7n, 0n]);
  assert.deepEqual(featurized(layoutOf('float64', number()), 5, signed), big.map(Number));
});

test('float16 and bool have their own forms', () => {
  const bits = featurized(layoutOf('float16', number()), 3, numbers(Float64Array.of(1 / 3, -2, 1e9)));
  assert.deepEqual(
    bits.map((b) => float16Value(Number(b))),
    [0.333251953125, -2, Infinity],
  );
  assert.deepEqual(featurized(layoutOf('float16', oneHot()), 1, codes(1)), [0, 0x3c00, 0]);
  assert.deepEqual(featurized(layoutOf('bool', number()), 3, numbers(Uint8Array.of(0, 1, 1))), [0, 1, 1]);
});

test('categories: listed, null and unlisted', () => {
  const found = codes(0, 2, codeUnknown, codeNull);
  const at = (feature: Feature): unknown => featurized(layoutOf('int64', feature), 4, found);
  assert.deepEqual(at(index({ unknown: 'last', missing: 'b' })), [0n, 2n, 2n, 1n]);
  assert.deepEqual(at(index({ unknown: 'own', missing: 'z' })), [0n, 2n, 3n, 3n]);
  const hot = (feature: Feature): unknown => {
    const values = featurized(layoutOf('float32', feature), 4, found);
    const width = values.length / 4;
    return Array.from({ length: 4 }, (_, row) => values.slice(row * width, (row + 1) * width).join(''));
  };
  assert.deepEqual(hot(oneHot({ unknown: 'zeros', missing: 'b' })), ['100', '001', '000', '010']);
  assert.deepEqual(hot(oneHot({ unknown: 'zeros', missing: 'z' })), ['100', '001', '000', '000']);
  assert.deepEqual(hot(oneHot({ unknown: 'last', missing: 'a' })), ['100', '001', '001', '100']);
  assert.deepEqual(hot(oneHot({ unknown: 'own', missing: 'z' })), ['1000', '0010', '0001', '0001']);
  assert.deepEqual(hot(oneHot({ unknown: 'own', missing: 'z', dropLast: true })), ['100', '001', '000', '000']);
  assert.deepEqual(hot(oneHot({ unknown: 'last', missing: 'b', dropLast: true })), ['10', '00', '00', '01']);
});

test('categories that are numbers are looked up, NaN included', () => {
  const vector = numbers(Float64Array.of(2.5, NaN, -0, 7, 0), [4]);
  const categories = [0, 2.5, NaN];
  assert.deepEqual(
    featurized(layoutOf('int32', index({ categories, unknown: 'own', missing: 2.5 })), 5, vector),
    [1, 2, 0, 3, 1],
  );
  assert.deepEqual(
    featurized(
      layoutOf('uint8', index({ categories: [5, -5], unknown: 'last' })),
      2,
      numbers(BigInt64Array.of(-5n, 5n)),
    ),
    [1, 0],
  );
});

test('hashes and texts', () => {
  const vector: ColumnVector = { kind: 'text', values: ['ATL', null, 'Zürich'] };
  assert.deepEqual(
    featurized(layoutOf('int32', { kind: 'hash', source, buckets: 50, missing: '' }), 3, vector),
    ['ATL', '', 'Zürich'].map((text) => hashBucket(text, 50)),
  );
  assert.deepEqual(featurized(layoutOf('string', { kind: 'text', source, missing: 'none' }), 3, vector), [
    'ATL',
    'none',
    'Zürich',
  ]);
});

test('lists: whole, converted, with nulls, and their lengths', () => {
  const rows = [
    [1, 2],
    [3, 4.5],
    [5, 6],
  ];
  assert.deepEqual(featurized(layoutOf('float64', list(2)), 3, lists(rows)), rows.flat());
  assert.deepEqual(
    featurized(layoutOf('float32', list(2), number()), 3, lists(rows), numbers(Int8Array.of(7, 8, 9))),
    [1, 2, 7, 3, 4.5, 8, 5, 6, 9],
  );
  const steps = [{ kind: 'minMax', min: 1, max: 2 }] as const;
  const holes = { ...lists(rows), valueValidity: validityOf(6, [3]), validity: validityOf(3, [0]) };
  assert.deepEqual(featurized(layoutOf('float64', list(2, { steps, missing: 9 })), 3, holes), [8, 8, 2, 8, 4, 5]);
  const lengths = { ...lists([[1], [], [2, 3]]), validity: validityOf(3, [1]) };
  assert.deepEqual(featurized(layoutOf('int64', { kind: 'length', source, missing: -1 }), 3, lengths), [1n, -1n, 2n]);
});

test('rows keep their places around the borders of blocks', () => {
  // 1,500 float32 values are 6,000 bytes a row: blocks of 64 rows. Value j of row k is 2,000 k + j.
  const width = 1500;
  const layout = layoutOf('float32', list(width), number());
  for (const rowCount of [1, 63, 64, 65, 128, 129]) {
    const rows = Array.from({ length: rowCount }, (_, k) => Array.from({ length: width }, (_, j) => 2000 * k + j));
    const values = featurized(layout, rowCount, lists(rows), numbers(Int32Array.from(rows, (_, k) => -k)));
    assert.deepEqual(
      values,
      rows.flatMap((row, k) => [...row, 0 - k]).map((v) => v + 0),
      `${rowCount} rows`,
    );
  }
});

test('every integer type takes its own range of whole numbers and nothing beside it', () => {
  // Beside +-2^63 and 2^64 the nearest float64 are 1,024 or 2,048 away.
  const ranges: readonly (readonly [ElementType, number, number, number, number])[] = [
    ['int8', -128, 127, -129, 128],
    ['uint8', 0, 255, -1, 256],
    ['int16', -32768, 32767, -32769, 32768],
    ['uint16', 0, 65535, -1, 65536],
    ['int32', -(2 ** 31), 2 ** 31 - 1, -(2 ** 31) - 1, 2 ** 31],
    ['uint32', 0, 2 ** 32 - 1, -1, 2 ** 32],
    ['int64', -(2 ** 63), 2 ** 63 - 1024, -(2 ** 63) - 2048, 2 ** 63],
    ['uint64', 0, 2 ** 64 - 2048, -1, 2 ** 64],
    ['bool', 0, 1, -1, 2],
  ];
  for (const [elementType, low, high, below, above] of ranges) {
    const layout = layoutOf(elementType, number());
    assert.deepEqual(featurized(layout, 3, numbers(Float64Array.of(low, high, -0))).map(Number), [low, high, 0]);
    for (const value of [below, above, 0.5, NaN, Infinity, -Infinity, 2 ** 65, -(2 ** 65)]) {
      assert.equal(refusal(layout, 2, numbers(Float64Array.of(1, value)))[0], 1, `${value} as ${elementType}`);
    }
  }
  const halves = [2 ** 32, 2 ** 40 + 5, -(2 ** 32), -(2 ** 40) - 5, 2 ** 53 - 1, -(2 ** 53) + 1, -1];
  assert.deepEqual(featurized(layoutOf('int64', number()), 7, numbers(Float64Array.from(halves))), halves.map(BigInt));
});

test('a value on the border of a clip stays itself, the sign of zero included', () => {
  const clip = (low: number, high: number): Feature => number({ steps: [{ kind: 'clip', low, high }] });
  const zeros = numbers(Float64Array.of(-0, 0));
  assert.deepEqual(featurized(layoutOf('float32', clip(0, 1)), 2, zeros), [-0, 0]);
  assert.deepEqual(featurized(layoutOf('float32', clip(-1, -0)), 2, zeros), [-0, 0]);
});

/** The row, message and remedy with which a chunk is refused. */
function refusal(layout: TensorLayout, rowCount: number, ...vectors: ColumnVector[]): [number, string, string] {
  try {
    featurized(layout, rowCount, ...vectors);
  } catch (error) {
    assert.ok(error instanceof BadRowError, `${error}`);
    assert.equal(error.featureLabel, 'distance');
    return [error.rowInChunk, error.message, error.remedy];
  }
  assert.fail('no row was refused');
}

test('a bad row is named with its reason', () => {
  const nullRemedy = 'say what a null becomes: "missing": 0';
  assert.deepEqual(refusal(layoutOf('float32', number()), 3, numbers(new Float32Array(3), [1])), [
    1,
    'Expected column distance to be not null, got null.',
    nullRemedy,
  ]);
  const message = (elementType: ElementType, feature: Feature, rowCount: number, vector: ColumnVector): string =>
    refusal(layoutOf(elementType, feature), rowCount, vector).slice(0, 2).join(': ');
  assert.equal(
    message('int8', number(), 2, numbers(Float64Array.of(127, 128))),
    '1: Expected column distance to be a whole number from -128 to 127 (the input is int8), got 128.',
  );
  assert.equal(
    message('int64', number(), 2, numbers(Float64Array.of(1, 0.5))),
    '1: Expected column distance to be a whole number from -9223372036854775808 to 9223372036854775807' +
      ' (the input is int64), got 0.5.',
  );
  assert.equal(
    message('uint64', number(), 3, numbers(BigInt64Array.of(1n, 5n, -1n))),
    '2: Expected column distance to be a whole number from 0 to 18446744073709551615 (the input is uint64), got -1.',
  );
  assert.equal(
    message('bool', number(), 2, numbers(Uint8Array.of(1, 2))),
    '1: Expected column distance to be 0, 1 or a boolean (the input is bool), got 2.',
  );
  // Converted value by value, and (of the tensor's own class) otherwise copied in one go.
  for (const elementType of ['float32', 'float64'] as const) {
    assert.equal(
      message(elementType, list(2), 3, lists([[1, 2], [3, 4], [5]])),
      '2: Expected column distance to hold 2 values, got 1.',
    );
  }
  assert.equal(
    message('float32', list(1), 2, { ...lists([[1], [2]]), valueValidity: validityOf(2, [1]) }),
    '1: Expected column distance to be not null, got null.',
  );
  assert.equal(
    message('float32', index(), 2, codes(0, codeUnknown)),
    '1: Expected column distance to be one of the 3 listed categories, got a value that is not listed.',
  );
  assert.equal(
    message('float32', oneHot({ categories: [1, 2] }), 2, numbers(Int16Array.of(2, 3))),
    '1: Expected column distance to be one of the 2 listed categories, got 3.',
  );
  assert.equal(
    message('float32', index({ missing: 'z' }), 2, codes(0, codeNull)),
    '1: Expected column distance to be one of the 3 listed categories, got null, whose "missing" is not listed.',
  );
  assert.equal(
    message('string', { kind: 'text', source, missing: undefined }, 1, { kind: 'text', values: [null] }),
    '0: Expected column distance to be not null, got null.',
  );
  assert.equal(
    message('string', { kind: 'text', source, missing: undefined }, 2, { kind: 'text', values: ['a', 'a\u0000b'] }),
    '1: Expected column distance to hold no NUL character, got "a\\u0000b".',
  );
});

test('the lowest bad row is named, of its features the first, and the rows before it are written', () => {
  const named = (column: string): Feature => number({ source: { column } });
  const fourth = number({ source: { sql: 'd + 1' }, missing: 0 });
  const layout = layoutOf('float32', named('a'), named('b'), named('c'), fourth);
  const values = Float32Array.from({ length: 9 }, (_, k) => k);
  const vectors = [numbers(values, [7]), numbers(values, [5, 6]), numbers(values, [5]), numbers(values)];
  const target = new Float32Array(9 * 4).fill(-1);
  assert.throws(
    () => createFeaturizer(layout, 0).fill({ rowCount: 9, vectors }, 2, 7, target, 0),
    (error) => error instanceof BadRowError && error.rowInChunk === 5 && error.featureLabel === 'b',
  );
  assert.deepEqual([...target.subarray(0, 12)], [2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4]);
});

test('what a reader is asked for', () => {
  const asked = (elementType: ElementType, feature: Feature): string => {
    const [request] = requestsOf(layoutOf(elementType, feature));
    assert.equal(request?.feature, feature);
    return `${request?.as}${request?.exactIntegers ? ' exact' : ''}`;
  };
  assert.equal(asked('float32', number()), 'number exact');
  assert.equal(asked('int64', number()), 'number exact');
  assert.equal(asked('uint64', number({ steps: [{ kind: 'log1p' }] })), 'number exact');
  assert.equal(asked('int64', list(2)), 'list exact');
  assert.equal(asked('int64', { kind: 'length', source, missing: undefined }), 'list');
  assert.equal(asked('int64', index()), 'category');
  assert.equal(asked('float32', oneHot()), 'category');
  assert.equal(asked('int64', oneHot({ categories: [1, 2] })), 'number');
  assert.equal(asked('int32', { kind: 'hash', source, buckets: 4, missing: undefined }), 'text');
  assert.equal(asked('string', { kind: 'text', source, missing: undefined }), 'text');
});

test('a contract that no row could satisfy is refused', () => {
  const refused = (elementType: ElementType, feature: Feature): string => {
    try {
      createFeaturizer(layoutOf(elementType, feature), 0);
    } catch (error) {
      assert.ok(error instanceof TandemError && error.code === 'BAD_CONTRACT', `${error}`);
      return `${error.message} ${error.place.field}`;
    }
    assert.fail('nothing was refused');
  };
  assert.equal(
    refused('string', number()),
    'Expected column distance to be text for the string input x, got numbers. inputs.x[0]',
  );
  assert.equal(
    refused('float32', { kind: 'text', source, missing: undefined }),
    'Expected column distance to be numbers for the float32 input x, got text. inputs.x[0]',
  );
  assert.equal(
    refused('uint8', number({ missing: NaN })),
    'Expected "missing" of column distance to be a whole number from 0 to 255, got NaN. inputs.x[0].missing',
  );
  assert.equal(
    refused('uint8', number({ missing: 1, steps: [{ kind: 'standardize', mean: 0, std: 2 }] })),
    'Expected "missing" of column distance to be a whole number from 0 to 255 after its steps, got 0.5.' +
      ' inputs.x[0].missing',
  );
});

test('a target or a vector that does not belong here is a bug', () => {
  const featurizer = createFeaturizer(layoutOf('float32', number()), 0);
  const chunk = { rowCount: 2, vectors: [numbers(new Float32Array(2))] };
  const isBug = (error: unknown): boolean => error instanceof TandemError && error.code === 'BUG';
  assert.throws(() => featurizer.fill(chunk, 0, 2, new Float64Array(2), 0), isBug);
  assert.throws(() => featurizer.fill(chunk, 0, 2, new Float32Array(2), 1), isBug);
  assert.throws(() => featurizer.fill(chunk, 1, 2, new Float32Array(2), 0), isBug);
  assert.throws(() => featurizer.fill({ rowCount: 2, vectors: [codes(0, 0)] }, 0, 2, new Float32Array(2), 0), isBug);
});
