import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isIdLike, isTargetLike, nearestNames, numberedNames, sameNames } from './names.ts';

const named = (...names: readonly string[]) => names.map((name) => ({ name }));

test('names are the same by the strictest rule that any fits', () => {
  for (const [name, among, likeness, found] of [
    ['age', ['Age', 'age'], 'equal', ['age']],
    ['homeTeam', ['home_team', 'away_team'], 'but for case and punctuation', ['home_team']],
    ['home team', ['HomeTeam'], 'but for case and punctuation', ['HomeTeam']],
    ['income:0', ['Income'], 'but for case and punctuation', ['Income']],
    ['f_income', ['income', 'income2'], 'but for what tools add', ['income']],
    ['income_input', ['feat_income'], 'but for what tools add', ['feat_income']],
    ['größe', ['Größe'], 'but for case and punctuation', ['Größe']],
    ['a_b', ['aB', 'A-b'], 'but for case and punctuation', ['aB', 'A-b']],
  ] as const) {
    const { likeness: got, found: columns } = sameNames(name, named(...among))!;
    assert.deepEqual([got, columns.map((each) => each.name)], [likeness, [...found]], name);
  }
  assert.equal(sameNames('age', named('page', 'ages')), undefined);
  // What a tool adds is all that there is.
  assert.equal(sameNames('input', named('x')), undefined);
});

test('the nearest names come first, those that hold it before others', () => {
  assert.deepEqual(nearestNames('incom', ['zip', 'income_2020', 'incme', 'age'], 2), ['incme', 'income_2020']);
});

test('numbered columns count without a gap, from 0 or 1, by number', () => {
  const runs = numberedNames([
    'f10',
    'f2',
    'f1',
    'f0',
    'f3',
    'f4',
    'f5',
    'f6',
    'f7',
    'f8',
    'f9',
    'q1',
    'q2',
    'z0',
    'z2',
    'y7',
  ]);
  assert.deepEqual([...runs.keys()], ['f', 'q']);
  assert.deepEqual(runs.get('f')?.slice(-2), ['f9', 'f10']);
});

test('ids and targets are told by name', () => {
  for (const name of ['id', 'userId', 'user_id', 'UUID', 'order_key', '__index_level_0__', 'rowId']) {
    assert.equal(isIdLike(name), true, name);
  }
  for (const name of ['paid', 'idle', 'identity', 'key_figure', 'index_of_prices'])
    assert.equal(isIdLike(name), false, name);
  assert.deepEqual(['y', 'churn_label', 'target', 'yield', 'classic'].map(isTargetLike), [
    true,
    true,
    true,
    false,
    false,
  ]);
});
