import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorOf, featureOf } from '../testing/contracts.ts';
import { findParameters, findUnmarked, withStandIns, type Parameter } from './parameters.ts';
import { resolveContract } from './resolve.ts';
import { checkForm, type ContractFile } from './schema.ts';

function contractOf(x: unknown): ContractFile {
  const checked = checkForm({ model: 'm.onnx', inputs: { x, k: { constant: 1 } } });
  assert.ok('data' in checked, JSON.stringify(checked));
  return checked.data;
}

function rules(x: unknown, all = false): unknown[] {
  return findParameters(contractOf(x), all).map(({ rule }) => rule);
}

const words: [feature: object, rule: object][] = [
  [{ standardize: 'fit' }, { key: 'standardize', deviation: 'sample' }],
  [{ standardize: { fit: 'sample' } }, { key: 'standardize', deviation: 'sample' }],
  [{ standardize: { fit: 'population' } }, { key: 'standardize', deviation: 'population' }],
  [{ minMax: 'fit' }, { key: 'minMax' }],
  [{ bucketize: { quantiles: 10 } }, { key: 'bucketize', quantiles: 10 }],
  [{ clip: { quantiles: [0.01, 0.99] } }, { key: 'clip', quantiles: [0.01, 0.99] }],
  [{ missing: 'median' }, { key: 'missing', by: 'median' }],
  [{ missing: 'mean' }, { key: 'missing', by: 'mean' }],
  [
    { list: 3, missing: 'mean' },
    { key: 'missing', by: 'mean' },
  ],
  [{ index: 'fit' }, { key: 'index', categories: {} }],
  [
    { oneHot: 'fit', dropLast: true, missing: 'none' },
    { key: 'oneHot', categories: {} },
  ],
  [{ oneHot: { fit: { max: 3, order: 'alphabet' } } }, { key: 'oneHot', categories: { max: 3, order: 'alphabet' } }],
  [
    { index: { fit: { minCount: 2 } }, missing: 3 },
    { key: 'index', categories: { minCount: 2 } },
  ],
];

test('each word is a parameter for fit, an error for a run, and stands for something that resolves', () => {
  for (const [keys, rule] of words) {
    const feature = { column: 'a', ...keys };
    const label = JSON.stringify(feature);
    assert.deepEqual(rules(feature), [rule], label);
    assert.deepEqual(rules([feature]), [rule], label);
    const error = errorOf({ model: 'm.onnx', inputs: { x: [feature] } });
    assert.equal(error.code, 'BAD_CONTRACT');
    assert.equal(error.place.field, `inputs.x[0].${(rule as { key: string }).key}`);
    assert.match(error.message, /to be fitted to shards before rows are scored, got `/);
    assert.match(error.remedy!, /tandem fit '<shards>' --model/);
    assert.doesNotThrow(() => resolveContract(withStandIns(contractOf(feature)), '/m'), label);
  }
});

test('where a parameter stands', () => {
  const steps = [{ log1p: true }, { clip: { quantiles: [0, 0.9] } }, { standardize: 'fit' }];
  const x = [{ column: 'a' }, { column: 'b', missing: 'median', steps }];
  const found: Partial<Parameter>[] = findParameters(contractOf(x), false);
  assert.deepEqual(
    found.map(({ featurePath, holderPath, featureIndex, input }) => ({ featurePath, holderPath, featureIndex, input })),
    [[], ['steps', 1], ['steps', 2]].map((more) => ({
      featurePath: ['inputs', 'x', 1],
      holderPath: ['inputs', 'x', 1, ...more],
      featureIndex: 1,
      input: 'x',
    })),
  );
});

test('values and texts are no words', () => {
  const values = [
    { column: 'a', missing: 'mean', standardize: { mean: 0, std: 1 } },
    { column: 'a', missing: 'median', index: ['fit'] },
    { column: 'a', text: true, missing: 'mean' },
    { column: 'a', clip: [0, 1], minMax: [0, 1], bucketize: [1] },
    { lengthOf: 'a', missing: 0 },
  ];
  for (const value of values) assert.deepEqual(rules(value), [], JSON.stringify(value));
  const [parameter] = findParameters(contractOf({ column: 'a', missing: 'mean', standardize: 'fit' }), false);
  assert.deepEqual([parameter!.rule.key, parameter!.nullsAreMean], ['standardize', true]);
  assert.deepEqual(rules({ column: 'a', missing: 'mean', log1p: true, standardize: 'fit' }), [
    { key: 'missing', by: 'mean' },
    { key: 'standardize', deviation: 'sample' },
  ]);
});

test('all: values that a fit has found, by its rule; those of a person are left alone', () => {
  const chosen = {
    column: 'a',
    missing: 1,
    clip: [0, 1],
    bucketize: [1],
    minMax: [0, 2],
    standardize: { mean: 1, std: 2 },
  };
  assert.deepEqual(rules(chosen, true), []);
  for (const key of ['index', 'oneHot']) {
    assert.deepEqual(rules({ column: 'a', [key]: ['pro', 'basic'] }, true), []);
    assert.deepEqual(rules({ column: 'a', [key]: ['pro', 'basic'], fit: { [key]: {} } }, true), [
      { key, categories: {} },
    ]);
  }
  const fit = {
    missing: 'median',
    clip: { quantiles: [0, 0.5] },
    bucketize: { quantiles: 4 },
    standardize: 'population',
    minMax: true,
  };
  assert.deepEqual(rules({ ...chosen, fit }, true), [
    { key: 'missing', by: 'median' },
    { key: 'bucketize', quantiles: 4 },
    { key: 'standardize', deviation: 'population' },
    { key: 'minMax' },
    { key: 'clip', quantiles: [0, 0.5] },
  ]);
  assert.deepEqual(rules({ column: 'a', index: ['u'], fit: { index: { max: 7 } } }, true), [
    { key: 'index', categories: { max: 7 } },
  ]);
  assert.deepEqual(rules({ column: 'a', steps: [{ clip: [0, 1], fit: { clip: { quantiles: [0, 1] } } }] }, true), [
    { key: 'clip', quantiles: [0, 1] },
  ]);
});

test('rules beside values change nothing that is scored', () => {
  assert.deepEqual(
    featureOf({ column: 'a', clip: [0, 1], fit: { clip: { quantiles: [0, 1] } } }),
    featureOf({ column: 'a', clip: [0, 1] }),
  );
});

const wrong: [feature: object, field: string, message: RegExp][] = [
  [{ standardize: 'fi' }, 'standardize', /\{ "mean": m, "std": s \} or "fit", got `"fi"`/],
  [{ standardize: { fit: 'both' } }, 'standardize.fit', /"sample" or "population", got `"both"`/],
  [{ bucketize: { quantiles: 1 } }, 'bucketize.quantiles', /a whole number from 2 to 1000, got `1`/],
  [{ clip: { quantiles: [0, 2] } }, 'clip.quantiles[1]', /a number from 0 to 1, got `2`/],
  [{ index: { fit: { maximum: 1 } } }, 'index.fit.maximum', /known keys only/],
  [{ oneHot: 'all' }, 'oneHot', /or "fit", got `"all"`/],
];

test('words that are none', () => {
  for (const [keys, field, message] of wrong) {
    const error = errorOf({ model: 'm.onnx', inputs: { x: { column: 'a', ...keys } } });
    assert.equal(error.place.field, `inputs.x.${field}`, `${JSON.stringify(keys)}: ${error.message}`);
    assert.match(error.message, message);
  }
});

test('values beside which no rule stands', () => {
  const standardize = { mean: 1, std: 2 };
  const unmarked = (x: unknown): string[] => findUnmarked(contractOf(x)).map((path) => path.join('.'));
  assert.deepEqual(unmarked({ column: 'a', standardize, missing: 3 }), ['inputs.x.standardize']);
  assert.deepEqual(unmarked({ column: 'a', standardize, fit: { standardize: 'sample' } }), []);
  assert.deepEqual(
    unmarked([
      { column: 'a', missing: 'median', standardize: 'fit', clip: [0, 1] },
      { column: 'b', steps: [{ clip: [0, 1], fit: { clip: { quantiles: [0, 1] } } }, { minMax: [0, 9] }] },
      { column: 'c', index: ['a'] },
    ]),
    ['inputs.x.0.clip', 'inputs.x.1.steps.1.minMax', 'inputs.x.2.index'],
  );
});
