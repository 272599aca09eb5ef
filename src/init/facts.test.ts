import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Connection, openDatabase } from '../engines/duckdb/database.ts';
import { fitFacts, type Codes, type Facts } from './facts.ts';
import type { TableColumn, WantedInput } from './match-inputs.ts';

const wanted: WantedInput = { name: 'x', elementType: 'float32', rowShape: [3] };
const columns: readonly TableColumn[] = [
  { name: 'Age', type: 'DOUBLE', nulls: 3 },
  { name: 'city', type: 'VARCHAR', nulls: 0 },
  { name: 'level', type: 'INTEGER', nulls: 0 },
  { name: 'id', type: 'BIGINT', nulls: 0 },
];

function facts(inputs: Facts['inputs']): Facts {
  return { library: 'lightgbm 4.7.0', inputs, scores: [], notes: [] };
}

const trained = facts([
  {
    name: 'x',
    features: [
      { name: 'age', kind: 'number', missing: 'nan' },
      { name: 'city', kind: 'category', categories: ['', 'Bern'] },
      { name: 'level', kind: 'category', categories: [3, 9], unknown: 'error' },
    ],
  },
]);

test('features of the library are columns by name, with what it does to nulls and categories', () => {
  const { inputs, fed } = fitFacts(trained, [wanted], columns);
  assert.deepEqual(inputs[0], {
    name: 'x',
    features: [
      { column: 'Age', missing: 'nan' },
      // A null goes where a category that is not listed goes, so it must be none of these.
      { column: 'city', index: ['', 'Bern'], unknown: 'own', missing: '<null>' },
      { column: 'level', index: [3, 9] },
    ],
    sure: 'certain',
    because: 'the names that the model was trained with',
    candidates: [],
  });
  assert.deepEqual(fed, [
    { name: 'age', column: 'Age', takesNull: true },
    { name: 'city', column: 'city', takesNull: true },
    { name: 'level', column: 'level', takesNull: false },
  ]);
});

test('without shards the columns are called as the features are', () => {
  const { inputs, fed } = fitFacts(trained, [wanted], undefined);
  assert.equal(inputs[0]!.sure, 'certain');
  assert.deepEqual(
    fed.map(({ column }) => column),
    ['age', 'city', 'level'],
  );
});

test('a feature without a column is open, and says which', () => {
  const { inputs } = fitFacts(trained, [wanted], columns.slice(1));
  assert.equal(inputs[0]!.sure, 'open');
  assert.equal(inputs[0]!.because, 'age: no column has this name');
  assert.deepEqual([inputs[0]!.features].flat()[0], { column: '?', missing: 'nan' });
});

test('a model without names takes guesses, and each may be null where the library takes null', () => {
  const nameless = facts([{ name: 'x', features: null, missing: 'nan' }]);
  const numbers = columns.filter(({ type }) => type !== 'VARCHAR');
  const { inputs, fed } = fitFacts(nameless, [wanted], numbers);
  assert.deepEqual(
    [inputs[0]!.sure, inputs[0]!.features],
    ['guess', ['Age', 'level', 'id'].map((column) => ({ column, missing: 'nan' }))],
  );
  assert.deepEqual(fed[1], { name: 'x1', column: 'level', takesNull: true });
  const open = fitFacts(nameless, [{ ...wanted, rowShape: [2] }], [columns[0]!]);
  assert.deepEqual([open.inputs[0]!.sure, open.fed], ['open', []]);
  assert.deepEqual(
    fitFacts(nameless, [wanted], undefined).fed.map(({ column }) => column),
    ['x0', 'x1', 'x2'],
  );
});

const folded = facts([
  {
    name: 'x',
    features: [
      { name: 'age', kind: 'number', missing: 27, nanIsNull: true, contract: { standardize: { mean: 30, std: 2 } } },
      { name: 'level', kind: 'number', missing: 3, nanIsNull: true },
      {
        name: 'city',
        kind: 'text',
        missing: '<null>',
        nanIsNull: true,
        contract: { oneHot: ['a', 'b'], unknown: 'zeros' },
      },
    ],
  },
]);

test('steps and categories of a pipeline stand beside their columns; NaN is a null where a column can hold it', () => {
  const oneHot = { oneHot: ['a', 'b'], unknown: 'zeros', missing: '<null>' };
  assert.deepEqual(fitFacts(folded, [wanted], columns).inputs[0]!.features, [
    { sql: 'CASE WHEN NOT isnan("Age") THEN "Age" END', standardize: { mean: 30, std: 2 }, missing: 27 },
    { column: 'level', missing: 3 },
    { column: 'city', ...oneHot },
  ]);
  const { inputs, fed } = fitFacts(folded, [wanted], undefined);
  assert.deepEqual([inputs[0]!.features].flat()[1], {
    sql: 'CASE WHEN NOT isnan(CAST("level" AS DOUBLE)) THEN CAST("level" AS DOUBLE) END',
    missing: 3,
  });
  assert.deepEqual(
    fed.map(({ column, takesNull }) => [column, takesNull]),
    [
      ['age', true],
      ['level', true],
      ['city', true],
    ],
  );
  // A person fills in the column; an expression would hide it.
  assert.deepEqual([fitFacts(folded, [wanted], columns.slice(1)).inputs[0]!.features].flat()[0], {
    column: '?',
    standardize: { mean: 30, std: 2 },
    missing: 27,
  });
});

test('numbers of their own for nulls and unknown categories are an expression', () => {
  const codesOf = (codes: Codes, kind: 'text' | 'number', name: string) => {
    const { inputs, fed } = fitFacts(facts([{ name: 'x', features: [{ name, kind, codes }] }]), [wanted], columns);
    return [[inputs[0]!.features].flat()[0]!.sql, fed[0]!.takesNull];
  };
  assert.deepEqual(codesOf({ categories: ["Val-d'Or", 'Bern'], null: 'nan', unknown: -1 }, 'text', 'city'), [
    `CASE WHEN "city" IS NULL THEN 'nan'::DOUBLE ELSE coalesce(enum_code(TRY_CAST("city" AS ENUM('Val-d''Or', 'Bern')))::DOUBLE, -1) END`,
    true,
  ]);
  assert.deepEqual(codesOf({ categories: [1, 2.5], null: null, unknown: null }, 'number', 'age'), [
    'CASE WHEN "Age" IS NULL OR isnan("Age") THEN NULL ELSE coalesce(' +
      `(list_position(['1', '2.5']::DOUBLE[], CAST("Age" AS DOUBLE)) - 1)::DOUBLE, error('Age is no category: ' || "Age")) END`,
    false,
  ]);
  // A literal of sixteen digits is a DECIMAL, whose double may be the one beside it.
  const odd = [-0.9999999999999999, 0.1, 12345.678901234567, 5e-324, 1e22];
  const [sql] = codesOf({ categories: odd, null: null, unknown: -1 }, 'number', 'age');
  const connection = new Connection(openDatabase());
  const values = odd.map((value) => `('${value}'::DOUBLE)`).join(', ');
  assert.deepEqual(
    connection.rows(`SELECT ${sql} FROM (VALUES ${values}) AS shard("Age")`).flat(),
    odd.map((_, index) => index),
  );
  connection.close();
});
