import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ElementType } from '../contract/contract.ts';
import { matchInputs, type TableColumn, type WantedInput } from './match-inputs.ts';

function columns(types: Readonly<Record<string, string>>): TableColumn[] {
  return Object.entries(types).map(([name, type]) => ({ name, type, nulls: undefined }));
}

function input(name: string, width?: number, elementType: ElementType = 'float32'): WantedInput {
  return { name, elementType, rowShape: width === undefined ? [] : [width] };
}

/** What fills each input, in a few words. */
function matched(
  inputs: readonly WantedInput[],
  types: Readonly<Record<string, string>>,
  hints: readonly (readonly string[])[] = [],
) {
  return matchInputs(inputs, columns(types), hints).map(({ sure, features, candidates }) => {
    const names = [features].flat().map((feature) => feature.column);
    return { sure, names, candidates };
  });
}

test('scalars by name and type; a text for a string', () => {
  const types = { userId: 'BIGINT', Age: 'DOUBLE', home_city: 'VARCHAR', member: 'BOOLEAN' };
  const inputs = [input('age'), input('homeCity', 1, 'string'), input('f_member', 1, 'bool')];
  const got = matchInputs(inputs, columns(types), []);
  assert.deepEqual(
    got.map(({ sure, features }) => [sure, features]),
    [
      ['certain', { column: 'Age' }],
      ['certain', { column: 'home_city', text: true }],
      ['likely', { column: 'member' }],
    ],
  );
});

test('what does not fit is open, with ways to write it', () => {
  const types = { city: 'VARCHAR', day: 'DATE', 'a b': 'DOUBLE', a_b: 'DOUBLE' };
  const [city, day, twice, none] = matched([input('city'), input('day'), input('A B'), input('cty')], types);
  assert.equal(city!.sure, 'open');
  assert.match(city!.candidates[1]!, /"index": \{ "fit": /);
  assert.deepEqual(day!.candidates[0], '{ "sql": "epoch(\\"day\\")" }');
  assert.deepEqual([twice!.sure, twice!.candidates], ['open', ['a b', 'a_b']]);
  assert.deepEqual([none!.sure, none!.names, none!.candidates[0]], ['open', ['?'], 'city']);
});

test('a row of values: names of the file, then lists, numbers in names, then what is left', () => {
  const numbers = { user_id: 'BIGINT', f0: 'FLOAT', f1: 'FLOAT', f2: 'FLOAT', y: 'INTEGER' };
  const [hinted] = matched([input('x', 3)], numbers, [['unknown'], ['f2', 'F0', 'f1']]);
  assert.deepEqual([hinted!.sure, hinted!.names], ['certain', ['f2', 'f0', 'f1']]);
  const [numbered] = matched([input('x', 3)], numbers);
  assert.deepEqual([numbered!.sure, numbered!.names], ['likely', ['f0', 'f1', 'f2']]);
  const plain = { user_id: 'BIGINT', b: 'FLOAT', a: 'FLOAT', label: 'INTEGER' };
  // Neither ids nor labels are guessed while others are enough.
  const [rest] = matched([input('x', 2)], plain);
  assert.deepEqual([rest!.sure, rest!.names], ['guess', ['b', 'a']]);
  const [all] = matched([input('x', 4)], plain);
  assert.deepEqual([all!.sure, all!.names], ['guess', ['user_id', 'b', 'a', 'label']]);
  const [tooMany] = matched([input('x', 3)], plain);
  assert.deepEqual([tooMany!.sure, tooMany!.names, tooMany!.candidates.length], ['open', ['?'], 4]);
});

test('names of the file that no column has are open, with what is near; of another table they say nothing', () => {
  const types = { age: 'DOUBLE', income_2020: 'DOUBLE', zip: 'DOUBLE' };
  const [near] = matched([input('x', 3)], types, [['age', 'zip', 'income']]);
  assert.deepEqual([near!.sure, near!.names], ['open', ['age', 'zip', '?']]);
  assert.ok(near!.candidates.includes('income_2020'));
  const [other] = matched([input('x', 3)], types, [['p', 'q', 'age']]);
  assert.equal(other!.sure, 'guess');
});

test('a list column by name, or as the only one of its length', () => {
  const types = { id: 'BIGINT', embedding: 'FLOAT[8]', other: 'FLOAT[4]', texts: 'VARCHAR[]', open: 'DOUBLE[]' };
  const got = matchInputs([input('Embedding', 8), input('x', 4), input('open', 16)], columns(types), []);
  assert.deepEqual(
    got.map(({ sure, features }) => [sure, features]),
    [
      ['certain', { column: 'embedding', list: true }],
      ['guess', { column: 'other', list: true }],
      ['certain', { column: 'open', list: 16 }],
    ],
  );
});

test('a column that feeds a scalar by name is not left for a row', () => {
  const types = { age: 'DOUBLE', a: 'DOUBLE', b: 'DOUBLE' };
  const [row, age] = matched([input('x', 2), input('age', 1)], types);
  assert.deepEqual([row!.names, age!.names], [['a', 'b'], ['age']]);
});

test('an open width takes numbered columns or a list that is named, and no guess', () => {
  const open: WantedInput = { name: 'x', elementType: 'float32', rowShape: [-1] };
  assert.deepEqual(matched([open], { x1: 'FLOAT', x2: 'FLOAT', id: 'BIGINT' })[0]!.names, ['x1', 'x2']);
  assert.equal(matched([open], { a: 'FLOAT', b: 'FLOAT' })[0]!.sure, 'open');
  assert.equal(matched([open], { x: 'FLOAT[]' })[0]!.sure, 'open');
  assert.equal(matched([open], { x: 'FLOAT[3]' })[0]!.sure, 'certain');
});
