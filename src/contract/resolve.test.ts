import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contractHash } from './hash.ts';
import { formatError, TandemError } from '../errors.ts';
import { parse, withInput, errorOf, refuses } from '../testing/contracts.ts';

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
            kind: 'number',
            source: { column: 'distance' },
            missing: 0,
            steps: [
              { kind: 'standardize', mean: 729.2, std: 574.1 },
              { kind: 'clip', low: -3, high: 3 },
            ],
          },
          {
            kind: 'number',
            source: { sql: 'hour(date)' },
            missing: undefined,
            steps: [{ kind: 'minMax', min: 0, max: 23 }],
          },
          {
            kind: 'oneHot',
            source: { column: 'origin' },
            categories,
            unknown: 'zeros',
            missing: undefined,
            dropLast: false,
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
    where: undefined,
    renames: undefined,
    golden: { path: '/models/m/golden.parquet', tolerance: 1e-5 },
    kernels: { tolerance: 1e-6 },
    csv: {},
  });
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
    [
      withInput({ constant: 0, shape: ['N', 'N'] }),
      'inputs.x.shape',
      'shape to hold "N" at most once, got `["N","N"]`',
    ],
    [withInput({ constant: 0, shape: [-1] }), 'inputs.x.shape[0]', /whole number of at least 0, got `-1`/],
    [withInput({ constant: 0, shape: ['M'] }), 'inputs.x.shape[0]', 'shape[0] to be a whole number or "N", got `"M"`'],
    [withInput({ constant: [1, 2], shape: [3] }), 'inputs.x.constant', /as many values as shape \[3\] has \(3, /],
    [
      withInput({ constant: [1, 'a'] }),
      'inputs.x.constant[1]',
      'constant[1] to be a number like the first value, got `"a"`',
    ],
    [
      withInput({ constant: [null] }),
      'inputs.x.constant[0]',
      'constant[0] to be a number, a string, true or false, got `null`',
    ],
  ]);
});

test('outputs', () => {
  const outputs: [file: unknown, output: unknown][] = [
    ['score', { columns: ['score'], select: undefined }],
    [{}, { columns: ['y'], select: undefined }],
    [{ select: 0 }, { columns: ['y'], select: [0] }],
    [{ column: 'score' }, { columns: ['score'], select: undefined }],
    [{ columns: ['p', 'q'] }, { columns: ['p', 'q'], select: undefined }],
    [
      { columns: ['p', 'q'], select: [3, 0] },
      { columns: ['p', 'q'], select: [3, 0] },
    ],
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
    [
      { outputs: { y: { select: [0, 0.5], columns: ['a', 'b'] } } },
      'outputs.y.select[1]',
      /whole number of at least 0/,
    ],
    [{ outputs: { y: { select: [], columns: ['a'] } } }, 'outputs.y.select', /a list that is not empty/],
    [
      { outputs: { y: { select: [1, 1], columns: ['a', 'b'] } } },
      'outputs.y.select[1]',
      'select[1] to be selected once, got `1`',
    ],
    [
      { outputs: { y: { select: [0, 1], columns: ['a'] } } },
      'outputs.y.columns',
      'columns to be as many names as `select` has positions (2), got `["a"]`',
    ],
    [
      { outputs: { y: { select: [0, 1], column: 'a' } } },
      'outputs.y.column',
      /as many names as `select` has positions \(2\), got `"a"`/,
    ],
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
    {
      ...flights,
      inputs: {
        x: [
          {
            ...distance,
            clip: undefined,
            standardize: undefined,
            steps: [{ standardize: distance!.standardize }, { clip: distance!.clip }],
          },
          hour,
          origin,
        ],
        dest,
      },
    },
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
