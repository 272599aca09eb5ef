import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatError, TandemError } from '../errors.ts';
import type { Contract, Feature } from './contract.ts';
import { contractHash } from './hash.ts';
import { parseContract } from './load.ts';

function parse(file: unknown): Contract {
  return parseContract(typeof file === 'string' ? file : JSON.stringify(file), '/models/m/tandem.json');
}

/** A contract whose input x has this, with these other keys. */
function withInput(x: unknown, rest: object = {}): object {
  return { model: 'model.onnx', inputs: { x }, ...rest };
}

function featureOf(file: object): Feature {
  const input = parse(withInput([file])).inputs['x'];
  assert.ok(input !== undefined && 'features' in input);
  return input.features[0]!;
}

function errorOf(file: unknown): TandemError {
  try {
    parse(file);
  } catch (thrown) {
    assert.ok(thrown instanceof TandemError);
    return thrown;
  }
  assert.fail(`${JSON.stringify(file)} was taken`);
}

function refuses(cases: readonly (readonly [file: unknown, field: string, message: string | RegExp])[]): void {
  for (const [file, field, message] of cases) {
    const error = errorOf(file);
    const label = `${JSON.stringify(file)}\n${formatError(error)}`;
    assert.equal(error.code, 'BAD_CONTRACT', label);
    assert.equal(error.place.field, field, label);
    if (typeof message === 'string') assert.equal(error.message, `Expected ${message}.`, label);
    else assert.match(error.message, message, label);
    assert.match(error.remedy ?? '', /\/models\/m\/tandem\.json$/, label);
  }
}

const flights = {
  model: 'model.onnx',
  inputs: {
    x: [
      { column: 'distance', missing: 0, standardize: { mean: 729.2, std: 574.1 }, clip: [-3, 3] },
      { sql: 'hour(date)', minMax: [0, 23] },
      { column: 'origin', oneHot: ['ATL', 'ORD'], unknown: 'zeros' },
    ],
    dest: [{ column: 'destination', index: ['ATL', 'ORD'], unknown: 'last' }],
  },
  outputs: { probabilities: { column: 'p_late', select: 1 } },
  keep: ['origin', 'destination', 'delay'],
};

test('a whole contract', () => {
  const categories = ['ATL', 'ORD'];
  assert.deepEqual(parse({ $schema: '../tandem.schema.json', version: 1, ...flights }), {
    version: 1,
    modelPath: '/models/m/model.onnx',
    inputs: {
      x: {
        features: [
          {
            kind: 'number', source: { column: 'distance' }, missing: 0,
            steps: [{ kind: 'standardize', mean: 729.2, std: 574.1 }, { kind: 'clip', low: -3, high: 3 }],
          },
          {
            kind: 'number', source: { sql: 'hour(date)' }, missing: undefined,
            steps: [{ kind: 'minMax', min: 0, max: 23 }],
          },
          {
            kind: 'oneHot', source: { column: 'origin' }, categories,
            unknown: 'zeros', missing: undefined, dropLast: false,
          },
        ],
      },
      dest: {
        features: [
          { kind: 'index', source: { column: 'destination' }, categories, unknown: 'last', missing: undefined },
        ],
      },
    },
    outputs: { probabilities: { columns: ['p_late'], select: [1] } },
    keep: ['origin', 'destination', 'delay'],
    golden: { path: '/models/m/golden.parquet', tolerance: 1e-5 },
  });
});

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
  [{ column: 'a', missing: 'nan' }, { kind: 'number', ...a, missing: NaN, steps: [] }],
  [{ column: 'a', missing: -1.5 }, { kind: 'number', ...a, missing: -1.5, steps: [] }],
  [{ column: 'a', missing: 'mean', standardize: allSteps.standardize },
    { kind: 'number', ...a, missing: 3, steps: [resolvedSteps.standardize] }],
  [{ column: 'a', missing: 'mean', steps: [{ standardize: allSteps.standardize }, { log1p: true }] },
    { kind: 'number', ...a, missing: 3, steps: [resolvedSteps.standardize, resolvedSteps.log1p] }],
  [{ column: 'a', ...allSteps }, { kind: 'number', ...a, missing: undefined, steps: Object.values(resolvedSteps) }],
  [{ column: 'a', missing: 7, steps: Object.entries(allSteps).map(([key, value]) => ({ [key]: value })) },
    { kind: 'number', ...a, missing: 7, steps: Object.values(resolvedSteps).reverse() }],
  [{ column: 'a', steps: [] }, { kind: 'number', ...a, ...plain }],
  [{ column: 'a', clip: [2, 2] },
    { kind: 'number', ...a, missing: undefined, steps: [{ kind: 'clip', low: 2, high: 2 }] }],
  [{ column: 'a', list: 3, clip: [0, 1] },
    { kind: 'list', ...a, length: 3, missing: undefined, steps: [resolvedSteps.clip] }],
  [{ sql: '[b, c]', list: true, missing: 0 },
    { kind: 'list', source: { sql: '[b, c]' }, length: undefined, missing: 0, steps: [] }],
  [{ lengthOf: 'a' }, { kind: 'length', ...a, missing: undefined }],
  [{ lengthOf: 'a', missing: 0 }, { kind: 'length', ...a, missing: 0 }],
  [{ column: 'a', index: ['u', 'v'] },
    { kind: 'index', ...a, categories: ['u', 'v'], unknown: 'error', missing: undefined }],
  [{ column: 'a', index: [3, 1.5], unknown: 'own', missing: 9 },
    { kind: 'index', ...a, categories: [3, 1.5], unknown: 'own', missing: 9 }],
  [{ column: 'a', oneHot: ['u'], unknown: 'own', dropLast: true, missing: 'nan' },
    { kind: 'oneHot', ...a, categories: ['u'], unknown: 'own', missing: 'nan', dropLast: true }],
  [{ column: 'a', hash: 1 }, { kind: 'hash', ...a, buckets: 1, missing: undefined }],
  [{ column: 'a', hash: 2 ** 31 - 1, missing: '' }, { kind: 'hash', ...a, buckets: 2147483647, missing: '' }],
  [{ column: 'a', text: true, missing: 'mean' }, { kind: 'text', ...a, missing: 'mean' }],
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
  [{ column: 'a', bucketize: [1, 2, 2] }, '.bucketize[2]',
    'bucketize[2] to be greater than the boundary before it, got `2`'],
  [{ column: 'a', steps: [{}] }, '.steps[0]', 'steps[0] to have exactly one key, got `{}`'],
  [{ column: 'a', steps: [{ log1p: true }, { log1p: true, clip: [0, 1] }] }, '.steps[1]', /exactly one key/],
  [{ column: 'a', steps: [{ clip: [1, 0] }] }, '.steps[0].clip', /low <= high/],
  [{ column: 'a', steps: [], clip: [0, 1] }, '.clip', 'clip to be left out beside `steps`, got `[0,1]`'],
  [{ column: 'a', missing: 'x' }, '.missing', 'missing to be a number, "nan" or "mean", got `"x"`'],
  [{ column: 'a', missing: null }, '.missing', 'missing to be a number or a string, got `null`'],
  [{ column: 'a', missing: 'mean' }, '.missing', 'missing to be a number where there is no standardize, got `"mean"`'],
  [{ column: 'a', missing: 'mean', log1p: true, standardize: { mean: 0, std: 1 } }, '.missing',
    /where other steps come before/],
  [{ column: 'a', missing: 'mean', list: 3 }, '.missing', /where there is no standardize/],
  [{ lengthOf: 'a', missing: 'mean' }, '.missing', /where there is no standardize/],
  [{ column: 'a', hash: 3, missing: 0 }, '.missing', 'missing to be a string, got `0`'],
  [{ column: 'a', text: true, missing: 0 }, '.missing', 'missing to be a string, got `0`'],
  [{ column: 'a', index: ['u'], missing: 0 }, '.missing', 'missing to be a string like the categories, got `0`'],
  [{ column: 'a', oneHot: [1], missing: 'u' }, '.missing', 'missing to be a number like the categories, got `"u"`'],
  [{ column: 'a', index: [] }, '.index', 'index to be a list that is not empty, got `[]`'],
  [{ column: 'a', index: 'u' }, '.index', 'index to be a list of strings or a list of numbers, got `"u"`'],
  [{ column: 'a', index: ['u', 1] }, '.index[1]', 'index[1] to be a string, got `1`'],
  [{ column: 'a', oneHot: ['u', 'v', 'u'] }, '.oneHot[2]', 'oneHot[2] to be listed once, got `"u"`'],
  [{ column: 'a', oneHot: [1, 1] }, '.oneHot[1]', 'oneHot[1] to be listed once, got `1`'],
  [{ column: 'a', oneHot: ['u'], dropLast: true }, '.dropLast', 'dropLast to leave at least one position, got `true`'],
  [{ column: 'a', index: ['u'], dropLast: true }, '.dropLast', /left out where there is no `oneHot`/],
  [{ column: 'a', dropLast: false }, '.dropLast', /left out where there is no `oneHot`/],
  [{ column: 'a', index: ['u'], unknown: 'zeros' }, '.unknown',
    'unknown to be "error", "last" or "own" beside `index`, got `"zeros"`'],
  [{ column: 'a', oneHot: ['u'], unknown: 'skip' }, '.unknown', /one of "error", "zeros", "last", "own", got `"skip"`/],
  [{ column: 'a', hash: 4, unknown: 'own' }, '.unknown', /left out where there is no `index` or `oneHot`/],
  [{ column: 'a', onehot: ['u'] }, '.onehot', 'inputs.x[0] to have known keys only, got `{"onehot":["u"]}`'],
];

test('each rule of a feature', () => {
  refuses(badFeatures.map(([file, field, message]) => [withInput([file]), `inputs.x[0]${field}`, message]));
});

const unknownKeys: [file: unknown, field: string, nearest: string][] = [
  [withInput([{ column: 'a', klip: [0, 1] }]), 'inputs.x[0].klip', 'clip'],
  [withInput({ colum: 'a' }), 'inputs.x.colum', 'column'],
  [withInput([{ column: 'a' }, { column: 'b', ONEHOT: ['u'] }]), 'inputs.x[1].ONEHOT', 'oneHot'],
  [withInput([{ column: 'a', standardize: { mean: 0, sdt: 1 } }]), 'inputs.x[0].standardize.sdt', 'std'],
  [withInput([{ column: 'a', steps: [{ minmax: [0, 1] }] }]), 'inputs.x[0].steps[0].minmax', 'minMax'],
  [withInput({ constnat: 1 }), 'inputs.x.constnat', 'constant'],
  [withInput({ constant: 1, shap: [1] }), 'inputs.x.shap', 'shape'],
  [withInput({ column: 'a' }, { outputs: { y: { selct: 0 } } }), 'outputs.y.selct', 'select'],
  [{ modle: 'model.onnx', inputs: {} }, 'modle', 'model'],
  [withInput({ column: 'a' }, { golden: { tolerence: 1 } }), 'golden.tolerence', 'tolerance'],
  [{ model: 'm', inputs: { 'my input:0': [{ colum: 'a' }] } }, 'inputs["my input:0"][0].colum', 'column'],
];

test('an unknown key is refused with the nearest right one', () => {
  for (const [file, field, nearest] of unknownKeys) {
    const error = errorOf(file);
    assert.equal(error.place.field, field);
    assert.ok(error.remedy!.startsWith(`Did you mean \`${nearest}\`? Known here: `), formatError(error));
  }
});

test('constants', () => {
  const constants: [file: object, shape: readonly (number | 'N')[] | undefined][] = [
    [{ constant: 16000 }, undefined],
    [{ constant: 'en', shape: [] }, []],
    [{ constant: false, shape: ['N', 1] }, ['N', 1]],
    [{ constant: [1, 2, 3, 4, 5, 6], shape: [2, 3] }, [2, 3]],
    [{ constant: [1, 2, 3], shape: [3, 'N', 1] }, [3, 'N', 1]],
    [{ constant: [], shape: [0] }, [0]],
  ];
  for (const [file, shape] of constants) {
    const expected = { shape, ...file };
    assert.deepEqual(parse(withInput(file)).inputs['x'], expected, JSON.stringify(file));
  }
  refuses([
    [withInput({ constant: 0, shape: ['N', 'N'] }), 'inputs.x.shape',
      'shape to hold "N" at most once, got `["N","N"]`'],
    [withInput({ constant: 0, shape: [-1] }), 'inputs.x.shape[0]', /whole number of at least 0, got `-1`/],
    [withInput({ constant: 0, shape: ['M'] }), 'inputs.x.shape[0]', 'shape[0] to be a whole number or "N", got `"M"`'],
    [withInput({ constant: [1, 2], shape: [3] }), 'inputs.x.constant', /as many values as shape \[3\] has \(3, /],
    [withInput({ constant: [1, 'a'] }), 'inputs.x.constant[1]',
      'constant[1] to be a number like the first value, got `"a"`'],
    [withInput({ constant: [null] }), 'inputs.x.constant[0]',
      'constant[0] to be a number, a string, true or false, got `null`'],
  ]);
});

test('outputs', () => {
  const outputs: [file: unknown, output: unknown][] = [
    ['score', { columns: ['score'], select: undefined }],
    [{}, { columns: ['y'], select: undefined }],
    [{ select: 0 }, { columns: ['y'], select: [0] }],
    [{ column: 'score' }, { columns: ['score'], select: undefined }],
    [{ columns: ['p', 'q'] }, { columns: ['p', 'q'], select: undefined }],
    [{ columns: ['p', 'q'], select: [3, 0] }, { columns: ['p', 'q'], select: [3, 0] }],
  ];
  for (const [file, output] of outputs) {
    const parsed = parse(withInput({ column: 'a' }, { outputs: { y: file, label: false } })).outputs;
    assert.deepEqual(parsed, { y: output, label: false }, JSON.stringify(file));
  }
  assert.equal(parse(withInput({ column: 'a' })).outputs, undefined);
});

test('each rule of outputs and keep', () => {
  const cases: [rest: object, field: string, message: string | RegExp][] = [
    [{ outputs: { y: true } }, 'outputs.y', 'y to be a column name, an object or false, got `true`'],
    [{ outputs: { y: '' } }, 'outputs.y', 'y to be a non-empty string, got `""`'],
    [{ outputs: { y: { column: 'a', columns: ['a'] } } }, 'outputs.y', /`column` or `columns`, not both/],
    [{ outputs: { y: { select: -1 } } }, 'outputs.y.select', 'select to be a whole number of at least 0, got `-1`'],
    [{ outputs: { y: { select: [0, 0.5], columns: ['a', 'b'] } } }, 'outputs.y.select[1]',
      /whole number of at least 0/],
    [{ outputs: { y: { select: [], columns: ['a'] } } }, 'outputs.y.select', /a list that is not empty/],
    [{ outputs: { y: { select: [1, 1], columns: ['a', 'b'] } } }, 'outputs.y.select[1]',
      'select[1] to be selected once, got `1`'],
    [{ outputs: { y: { select: [0, 1], columns: ['a'] } } }, 'outputs.y.columns',
      'columns to be as many names as `select` has positions (2), got `["a"]`'],
    [{ outputs: { y: { select: [0, 1], column: 'a' } } }, 'outputs.y.column',
      /as many names as `select` has positions \(2\), got `"a"`/],
    [{ outputs: { y: { select: [0, 1] } } }, 'outputs.y.columns', /\(2\), got nothing/],
    [{ outputs: { y: { columns: [] } } }, 'outputs.y.columns', /a list that is not empty/],
    [{ outputs: {} }, 'outputs', 'outputs to name at least one output that becomes a column, got `{}`'],
    [{ outputs: { y: false } }, 'outputs', /at least one output/],
    [{ outputs: { y: 'p', z: 'p' } }, 'outputs.z', 'z to be a column name that outputs.y does not have, got `"p"`'],
    [{ outputs: { y: { columns: ['p', 'P'] } } }, 'outputs.y.columns[1]', /outputs\.y does not have, got `"P"`/],
    [{ outputs: { y: { column: 'score' } }, keep: ['id', 'Score'] }, 'outputs.y', /keep\[1] does not have/],
    [{ outputs: { y: {} }, keep: ['y'] }, 'outputs.y', /keep\[0\] does not have, got `"y"`/],
    [{ keep: ['id', 'id'] }, 'keep[1]', 'keep[1] to be a column name that keep[0] does not have, got `"id"`'],
    [{ keep: 'id' }, 'keep', 'keep to be a list of column names, got `"id"`'],
    [{ golden: { tolerance: -1 } }, 'golden.tolerance', 'tolerance to be at least 0, got `-1`'],
  ];
  refuses(cases.map(([rest, field, message]) => [withInput({ column: 'a' }, rest), field, message]));
  assert.equal(parse(withInput({ column: 'a' }, { golden: { tolerance: 0 } })).golden.tolerance, 0);
  assert.deepEqual(parse(withInput({ column: 'a' }, { keep: [] })).keep, []);
});

test('the file as a whole', () => {
  refuses([
    ['[]', '', 'tandem.json to be an object: the contract of a model, got `[]`'],
    ['null', '', 'tandem.json to be an object: the contract of a model, got `null`'],
    [{ inputs: {} }, 'model', 'model to be a non-empty string, got nothing'],
    [{ model: 'm' }, 'inputs', 'inputs to be an object: features by the name of the input, got nothing'],
    [withInput([]), 'inputs.x', 'x to be a list that is not empty, got `[]`'],
    [withInput(3), 'inputs.x', 'x to be a feature, a list of features or a constant, got `3`'],
    ['{"model":"m","inputs":{"x":{"column":"a","missing":1e999}}}', 'inputs.x.missing', /got `Infinity`/],
    [{ version: '1', model: 'm', inputs: {} }, 'version', 'version to be 1, got `"1"`'],
    [{ version: 0, model: 'm', inputs: {} }, 'version', 'version to be 1, got `0`'],
    [{ version: 2, modelFile: 'new', inputs: 7 }, 'version', /got `2`: tandem\.json was written for a newer Tandem\.$/],
  ]);
  const twice = errorOf('{"model": "m",\n "inputs": {"x": {"column": "a"}, "x": {"column": "b"}}}');
  assert.match(twice.message, /line 2, column 35: expected each key once, got `x` again\.$/);
});

test('the hash is of what decides the scores', () => {
  const hash = (file: unknown) => contractHash(parse(file));
  const base = hash(flights);
  assert.match(base, /^[0-9a-f]{64}$/);
  const { x, dest } = flights.inputs;
  const [distance, hour, origin] = x;
  const same = [
    { version: 1, ...flights },
    { ...flights, golden: { tolerance: 0.5 } },
    { ...flights, model: 'other.onnx' },
    { ...flights, inputs: { dest, x } },
    { ...flights, inputs: { x, dest: dest[0] } },
    { ...flights, inputs: { x: [{ ...distance, clip: undefined, standardize: undefined,
      steps: [{ standardize: distance!.standardize }, { clip: distance!.clip }] }, hour, origin], dest } },
  ];
  for (const file of same) assert.equal(hash(file), base, JSON.stringify(file));
  const different = [
    { ...flights, inputs: { x: [hour, distance, origin], dest } },
    { ...flights, inputs: { x: [{ ...distance, missing: 'nan' }, hour, origin], dest } },
    { ...flights, inputs: { x: [{ ...distance, missing: undefined }, hour, origin], dest } },
    { ...flights, inputs: { x: [distance, hour, { ...origin, unknown: 'own' }], dest } },
    { ...flights, outputs: undefined },
    { ...flights, outputs: { probabilities: { column: 'p_late', select: 0 } } },
    { ...flights, keep: ['destination', 'origin', 'delay'] },
    { ...flights, keep: undefined },
  ];
  assert.equal(new Set([base, ...different.map(hash)]).size, different.length + 1);
});
