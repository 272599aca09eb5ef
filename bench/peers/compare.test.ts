import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { tempDir, writeShard } from '../../src/testing/shards.ts';
import { compareOutputs, countRows } from './compare.ts';

const rows = 5_000;
const scores = `SELECT range AS id, (range / 7)::FLOAT AS score FROM range(${rows})`;

/** Tandem's output, and somebody else's as the query gives it, in two files and backwards. */
function outputs(t: TestContext, found: string): readonly [string, string] {
  const folder = tempDir(t);
  const [expected, other] = [join(folder, 'expected'), join(folder, 'found')];
  writeShard(join(expected, 's0.parquet'), scores);
  writeShard(join(other, 'part-1.parquet'), `SELECT * FROM (${found}) WHERE id % 2 = 1 ORDER BY id DESC`);
  writeShard(join(other, 'deeper', 'part-0.parquet'), `SELECT * FROM (${found}) WHERE (id % 2 = 1) IS NOT TRUE`);
  mkdirSync(join(other, '_manifests'));
  writeFileSync(join(other, '.part-0.parquet'), 'no Parquet');
  return [expected, other];
}

test('the same scores in other files and in another order are the same', (t) => {
  const [expected, found] = outputs(t, scores);
  assert.deepEqual(compareOutputs(expected, found), { rows, differenceMax: 0 });
  assert.equal(countRows(found), rows);
});

test('scores that differ by less than the tolerance are near, and the largest distance is told', (t) => {
  const [expected, found] = outputs(t, `SELECT id, (score + if(id = 70, 5e-5, 0))::FLOAT AS score FROM (${scores})`);
  const { differenceMax } = compareOutputs(expected, found);
  assert.ok(Math.abs(differenceMax - 5e-5) < 1e-6, `${differenceMax}`);
});

for (const [what, query, says] of [
  [
    'a wrong score',
    `SELECT id, if(id = 4321, score + 1, score) AS score FROM (${scores})`,
    /0 missing, 0 too many and 1 others: id 4321:/,
  ],
  [
    'a small score that is off by more than the tolerance',
    `SELECT id, (score + if(id = 3, 2e-5, 0))::FLOAT AS score FROM (${scores})`,
    /1 others: id 3:/,
  ],
  ['a missing row', `SELECT * FROM (${scores}) WHERE id <> 17`, /1 missing, 0 too many and 0 others: id 17:/],
  [
    'a row too many',
    `SELECT * FROM (${scores}) UNION ALL SELECT ${rows}, 1`,
    /0 missing, 1 too many and 0 others: id 5000:/,
  ],
  [
    'a missing row behind a row that is there twice',
    `SELECT if(id = 18, 17, id) AS id, score FROM (${scores})`,
    /1 missing/,
  ],
  ['NULL', `SELECT id, if(id = 5, NULL, score) AS score FROM (${scores})`, /1 others: id 5: .* and null/],
  ['NaN', `SELECT id, if(id = 5, 'nan'::FLOAT, score) AS score FROM (${scores})`, /1 others: id 5: .* and NaN/],
  ['an id that is NULL', `SELECT if(id = 5, NULL, id) AS id, score FROM (${scores})`, /1 missing, 1 too many/],
  ['scores one row off', `SELECT (id + 1) % ${rows} AS id, score FROM (${scores})`, /5000 others/],
] as const) {
  test(`${what} is caught`, (t) => {
    const [expected, found] = outputs(t, query);
    assert.throws(() => compareOutputs(expected, found), says);
  });
}

test('no file is an error', (t) => {
  assert.throws(() => countRows(tempDir(t)), /Expected Parquet files in .*, got none/);
});
