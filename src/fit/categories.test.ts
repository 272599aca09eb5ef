import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TandemError } from '../errors.ts';
import { listCategories, type CategoryFeature } from './categories.ts';

const plain: CategoryFeature = { kind: 'index', source: 'a', unknown: 'own', missing: undefined };
const seen = new Map([
  ['b', 20],
  ['a', 20],
  ['Z', 30],
  ['rare', 1],
  ['é', 2],
]);

test('by frequency, ties by alphabet; cut by max and by count', () => {
  assert.deepEqual(listCategories(plain, {}, seen, 0).categories, ['Z', 'a', 'b', 'é', 'rare']);
  assert.deepEqual(listCategories(plain, { order: 'alphabet' }, seen, 0).categories, ['Z', 'a', 'b', 'rare', 'é']);
  assert.deepEqual(listCategories(plain, { max: 2 }, seen, 0).categories, ['Z', 'a']);
  assert.deepEqual(listCategories(plain, { minCount: 20, order: 'alphabet' }, seen, 0).categories, ['Z', 'a', 'b']);
  assert.deepEqual(listCategories(plain, { minCount: 2, max: 9 }, seen, 0).categories, ['Z', 'a', 'b', 'é']);
  assert.deepEqual(
    listCategories(
      plain,
      { order: 'alphabet' },
      new Map([
        [10, 1],
        [9, 5],
        [-1, 2],
      ]),
      0,
    ).categories,
    [-1, 9, 10],
  );
});

test('a null counts as what replaces it', () => {
  const missing = { ...plain, missing: 'none' };
  assert.deepEqual(listCategories(missing, {}, seen, 25).categories, ['Z', 'none', 'a', 'b', 'é', 'rare']);
  assert.deepEqual(listCategories({ ...plain, missing: 'b' }, { max: 1 }, seen, 25).categories, ['b']);
  assert.deepEqual(listCategories(missing, {}, seen, 0).categories.includes('none'), false);
  assert.deepEqual(listCategories(missing, {}, new Map(), 3).categories, ['none']);
  assert.deepEqual(listCategories({ ...plain, missing: 1 }, {}, new Map([[7, 2]]), 3).categories, [1, 7]);
});

test('it says what is left out, rare, or stops a run', () => {
  const cut = listCategories({ ...plain, unknown: 'last' }, { max: 3 }, seen, 4).notes;
  assert.deepEqual(cut, [
    '2 categories of 3 rows are left out and become "last"',
    '4 nulls stop a run: "missing" is not set',
  ]);
  assert.deepEqual(listCategories({ ...plain, unknown: 'error' }, {}, seen, 0).notes, [
    '2 of them in fewer than 10 rows: others like them may come unseen',
    'a value that is not listed stops a run: "unknown" is not set',
  ]);
  assert.deepEqual(listCategories(plain, {}, new Map([['u', 50]]), 0).notes, ['constant: one category']);
});

const refused: [change: Partial<CategoryFeature>, rule: object, counts: Map<string, number>, error: RegExp][] = [
  [{ missing: -1 }, {}, seen, /^Expected missing of a to be a text, as its values are, got the number -1\.$/],
  [{ unknown: 'error' }, { max: 2 }, seen, /^Expected unknown of a to say what the 3 categories beyond max 2 become/],
  [{ unknown: 'error' }, { max: 9, minCount: 2 }, seen, /the 1 categories beyond max 9 and minCount 2 become/],
  [{}, { minCount: 31 }, seen, /^Expected a to have a value that 31 rows have \(minCount\), got none\.$/],
  [{}, {}, new Map(), /^Expected a to have values for index, got none but nulls\.$/],
  [
    {},
    {},
    new Map(Array.from({ length: 100_001 }, (_, i) => [`${i}`, 1])),
    /at most 100000 different .* got 100001\.$/,
  ],
];

test('what no list can be made of', () => {
  for (const [change, rule, counts, message] of refused) {
    assert.throws(
      () => listCategories({ ...plain, ...change }, rule, counts, 0),
      (error) => error instanceof TandemError && message.test(error.message) && error.remedy !== undefined,
      String(message),
    );
  }
});
