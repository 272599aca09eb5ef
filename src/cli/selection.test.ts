import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TandemError } from '../errors.ts';
import type { PlannedSelection, SelectionOptions } from '../relation.ts';
import { checkArguments } from './flags.ts';
import { selectionFlags, selectionLines, selectionOptions } from './selection.ts';

function parse(parsed: Record<string, unknown>): SelectionOptions {
  const spec = { name: 'score', describe: '', positional: 'shards', flags: selectionFlags, examples: [] };
  return selectionOptions(checkArguments(spec, { _: ['a'], ...parsed }, []));
}

test('flags become options', () => {
  assert.deepEqual(parse({}), {});
  assert.deepEqual(parse({ where: 'a > 0', limit: '5', sample: '2.5%' }), { where: 'a > 0', limit: 5, sample: 0.025 });
  assert.deepEqual([parse({ sample: '.25' }).sample, parse({ sample: '100%' }).sample], [0.25, 1]);
});

for (const sample of ['0', '0%', '1', '101%', '-1%', 'half', '1 of 3'])
  test(`--sample ${sample} is refused`, () => {
    assert.throws(
      () => parse({ sample }),
      (error) => error instanceof TandemError && error.code === 'USAGE' && /1% or 0\.01/.test(error.message),
    );
  });

test('a refused share comes with ways to write it', () => {
  for (const [sample, remedy] of [
    ['5', 'Write 5% or 0.05.'],
    ['1', 'Write 1% or 0.01.'],
    ['half', 'Write 5% or 0.05.'],
  ]) {
    assert.throws(
      () => parse({ sample: sample! }),
      (error) => error instanceof TandemError && error.remedy === remedy,
    );
  }
});

test('a selection in lines; a condition of thousands of values is cut', () => {
  const selection: PlannedSelection = {
    where: [`k IN (${'1, '.repeat(1000)}1)`],
    sample: 0.01,
    given: { limit: 1000 },
    columns: ['k'],
    shardsFound: 3,
    rowsFound: 5_000_000,
    countSeconds: 1.23,
  };
  const [taken, where, ...others] = selectionLines(selection, 1000);
  assert.equal(taken, 'taken: 1,000 rows of 5,000,000 rows in 3 shards (counted in 1.2 s)');
  assert.match(where!, /^where k IN \(1, [1, ]+\.\.\.$/);
  assert.equal(where!.length, 'where '.length + 160 + '...'.length);
  assert.deepEqual(others, ['sample 1%', 'limit 1,000 rows']);
});
