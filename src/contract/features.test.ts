import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse, withInput, featureOf, refuses } from '../testing/contracts.ts';

const allSteps = { clip: [0, 1], minMax: [2, 2.5], standardize: { mean: 3, std: 4 }, bucketize: [5, 6], log1p: true };
const resolvedSteps = {
  log1p: { kind: 'log1p' },
  bucketize: { kind: 'bucketize', boundaries: [5, 6] },
  standardize: { kind: 'standardize', mean: 3, std: 4 },
  minMax: { kind: 'minMax', min: 2, max: 2.5 },
  clip: { kind: 'clip', low: 0, high: 1 },
};
const a = { source: { column: 'a' } };
const plain = { missing: undefined, steps: [] };

const features: [file: object, feature: object][] = [
  [{ column: 'a' }, { kind: 'number', ...a, ...plain }],
  [{ sql: 'x + 1' }, { kind: 'number', source: { sql: 'x + 1' }, ...plain }],
  [
    { column: 'a', missing: 'nan' },
    { kind: 'number', ...a, missing: NaN, steps: [] },
  ],
  [
    { column: 'a', missing: -1.5 },
    { kind: 'number', ...a, missing: -1.5, steps: [] },
  ],
  [
    { column: 'a', missing: 'mean', standardize: allSteps.standardize },
    { kind: 'number', ...a, missing: 3, steps: [resolvedSteps.standardize] },
  ],
  [
    { column: 'a', missing: 'mean', steps: [{ standardize: allSteps.standardize }, { log1p: true }] },
    { kind: 'number', ...a, missing: 3, steps: [resolvedSteps.standardize, resolvedSteps.log1p] },
  ],
  [
    { column: 'a', ...allSteps },
    { kind: 'number', ...a, missing: undefined, steps: Object.values(resolvedSteps) },
  ],
  [
    { column: 'a', missing: 7, steps: Object.entries(allSteps).map(([key, value]) => ({ [key]: value })) },
    { kind: 'number', ...a, missing: 7, steps: Object.values(resolvedSteps).reverse() },
  ],
  [
    { column: 'a', steps: [] },
    { kind: 'number', ...a, ...plain },
  ],
  [
    { column: 'a', clip: [2, 2] },
    { kind: 'number', ...a, missing: undefined, steps: [{ kind: 'clip', low: 2, high: 2 }] },
  ],
  [
    { column: 'a', list: 3, clip: [0, 1] },
    { kind: 'list', ...a, length: 3, missing: undefined, steps: [resolvedSteps.clip] },
  ],
  [
    { sql: '[b, c]', list: true, missing: 0 },
    { kind: 'list', source: { sql: '[b, c]' }, length: undefined, missing: 0, steps: [] },
  ],
  [{ lengthOf: 'a' }, { kind: 'length', ...a, missing: undefined }],
  [
    { lengthOf: 'a', missing: 0 },
    { kind: 'length', ...a, missing: 0 },
  ],
  [
    { column: 'a', index: ['u', 'v'] },
    { kind: 'index', ...a, categories: ['u', 'v'], unknown: 'error', missing: undefined },
  ],
  [
    { column: 'a', index: [3, 1.5], unknown: 'own', missing: 9 },
    { kind: 'index', ...a, categories: [3, 1.5], unknown: 'own', missing: 9 },
  ],
  [
    { column: 'a', oneHot: ['u'], unknown: 'own', dropLast: true, missing: 'nan' },
    { kind: 'oneHot', ...a, categories: ['u'], unknown: 'own', missing: 'nan', dropLast: true },
  ],
  [
    { column: 'a', hash: 1 },
    { kind: 'hash', ...a, buckets: 1, missing: undefined },
  ],
  [
    { column: 'a', hash: 2 ** 31 - 1, missing: '' },
    { kind: 'hash', ...a, buckets: 2147483647, missing: '' },
  ],
  [
    { column: 'a', text: true, missing: 'mean' },
    { kind: 'text', ...a, missing: 'mean' },
  ],
];

test('each form of a feature', () => {
  for (const [file, feature] of features) assert.deepEqual(featureOf(file), feature, JSON.stringify(file));
  assert.deepEqual(parse(withInput({ column: 'a' })), parse(withInput([{ column: 'a' }])), 'one without a list');
});

const badFeatures: [file: unknown, field: string, message: string | RegExp][] = [
  [{}, '', 'x[0] to have exactly one of `column`, `sql` and `lengthOf`, got nothing'],
  [{ column: 'a', sql: 'b' }, '', /^Expected x\[0\] to have exactly one of .*, got `{"column":"a","sql":"b"}`\.$/],
  [{ column: '' }, '.column', 'column to be a non-empty string, got `""`'],
  [{ column: 3 }, '.column', 'column to be a non-empty string, got `3`'],
  [3, '', 'x[0] to be an object: one feature, got `3`'],
  [{ column: 'a', hash: 3, list: 4 }, '', /at most one of .*got `{"hash":3,"list":4}`/],
  [{ lengthOf: 'a', text: true }, '.text', 'text to be left out beside `lengthOf`, got `true`'],
  [{ lengthOf: 'a', clip: [0, 1] }, '.clip', 'clip to be left out beside `lengthOf`, got `[0,1]`'],
  [{ column: 'a', index: ['u'], log1p: true }, '.log1p', 'log1p to be left out beside `index`, got `true`'],
  [{ column: 'a', text: true, steps: [] }, '.steps', 'steps to be left out beside `text`, got `[]`'],
  [{ column: 'a', text: false }, '.text', 'text to be true, got `false`'],
  [{ column: 'a', log1p: 1 }, '.log1p', 'log1p to be true, got `1`'],
  [{ column: 'a', list: 0 }, '.list', 'list to be a whole number of at least 1, got `0`'],
  [{ column: 'a', list: 1.5 }, '.list', 'list to be true or the number of values in each list, got `1.5`'],
  [{ column: 'a', list: 'x' }, '.list', 'list to be true or the number of values in each list, got `"x"`'],
  [{ column: 'a', hash: 0 }, '.hash', 'hash to be a whole number from 1 to 2147483647, got `0`'],
  [{ column: 'a', hash: 2 ** 31 }, '.hash', 'hash to be a whole number from 1 to 2147483647, got `2147483648`'],
  [{ column: 'a', standardize: { mean: 0, std: 0 } }, '.standardize.std', 'std to be greater than 0, got `0`'],
  [{ column: 'a', standardize: { mean: 0 } }, '.standardize.std', 'std to be a finite number, got nothing'],
  [{ column: 'a', minMax: [1, 1] }, '.minMax', 'minMax to be [low, high] with low < high, got `[1,1]`'],
  [{ column: 'a', clip: [1, 0] }, '.clip', 'clip to be [low, high] with low <= high, got `[1,0]`'],
  [{ column: 'a', clip: [1] }, '.clip', /^Expected clip to be two numbers, \[low, high\], got `\[1\]`\.$/],
  [{ column: 'a', clip: [1, 2, 3] }, '.clip', /^Expected clip to be two numbers, \[low, high\]/],
  [{ column: 'a', clip: [0, '1'] }, '.clip[1]', 'clip[1] to be a finite number, got `"1"`'],
  [{ column: 'a', bucketize: [] }, '.bucketize', 'bucketize to be a list that is not empty, got `[]`'],
  [
    { column: 'a', bucketize: [1, 2, 2] },
    '.bucketize[2]',
    'bucketize[2] to be greater than the boundary before it, got `2`',
  ],
  [{ column: 'a', steps: [{}] }, '.steps[0]', 'steps[0] to have exactly one key, got `{}`'],
  [{ column: 'a', steps: [{ log1p: true }, { log1p: true, clip: [0, 1] }] }, '.steps[1]', /exactly one key/],
  [{ column: 'a', steps: [{ clip: [1, 0] }] }, '.steps[0].clip', /low <= high/],
  [{ column: 'a', steps: [], clip: [0, 1] }, '.clip', 'clip to be left out beside `steps`, got `[0,1]`'],
  [{ column: 'a', missing: 'x' }, '.missing', 'missing to be a number, "nan", "mean" or "median", got `"x"`'],
  [{ column: 'a', missing: null }, '.missing', 'missing to be a number or a string, got `null`'],
  [{ column: 'a', missing: 'mean' }, '.missing', 'missing to be fitted to shards before rows are scored, got `"mean"`'],
  [{ column: 'a', missing: 'mean', log1p: true, standardize: { mean: 0, std: 1 } }, '.missing', /fitted to shards/],
  [{ column: 'a', missing: 'mean', list: 3 }, '.missing', /fitted to shards/],
  [{ lengthOf: 'a', missing: 'mean' }, '.missing', 'missing to be a number or "nan", got `"mean"`'],
  [{ column: 'a', hash: 3, missing: 0 }, '.missing', 'missing to be a string, got `0`'],
  [{ column: 'a', text: true, missing: 0 }, '.missing', 'missing to be a string, got `0`'],
  [{ column: 'a', index: ['u'], missing: 0 }, '.missing', 'missing to be a string like the categories, got `0`'],
  [{ column: 'a', oneHot: [1], missing: 'u' }, '.missing', 'missing to be a number like the categories, got `"u"`'],
  [{ column: 'a', index: [] }, '.index', 'index to be a list that is not empty, got `[]`'],
  [{ column: 'a', index: 'u' }, '.index', 'index to be a list of strings or a list of numbers, or "fit", got `"u"`'],
  [{ column: 'a', index: ['u', 1] }, '.index[1]', 'index[1] to be a string, got `1`'],
  [{ column: 'a', oneHot: ['u', 'v', 'u'] }, '.oneHot[2]', 'oneHot[2] to be listed once, got `"u"`'],
  [{ column: 'a', oneHot: [1, 1] }, '.oneHot[1]', 'oneHot[1] to be listed once, got `1`'],
  [{ column: 'a', oneHot: ['u'], dropLast: true }, '.dropLast', 'dropLast to leave at least one position, got `true`'],
  [{ column: 'a', index: ['u'], dropLast: true }, '.dropLast', /left out where there is no `oneHot`/],
  [{ column: 'a', dropLast: false }, '.dropLast', /left out where there is no `oneHot`/],
  [
    { column: 'a', index: ['u'], unknown: 'zeros' },
    '.unknown',
    'unknown to be "error", "last" or "own" beside `index`, got `"zeros"`',
  ],
  [{ column: 'a', oneHot: ['u'], unknown: 'skip' }, '.unknown', /one of "error", "zeros", "last", "own", got `"skip"`/],
  [{ column: 'a', hash: 4, unknown: 'own' }, '.unknown', /left out where there is no `index` or `oneHot`/],
  [{ column: 'a', onehot: ['u'] }, '.onehot', 'inputs.x[0] to have known keys only, got `{"onehot":["u"]}`'],
];

test('each rule of a feature', () => {
  refuses(badFeatures.map(([file, field, message]) => [withInput([file]), `inputs.x[0]${field}`, message]));
});
