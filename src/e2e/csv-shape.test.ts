/** CSV files whose lines do not make a table, those without rows, values that no number holds, and empty ones. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { identityModel } from '../testing/models.ts';
import { columnOf, Workplace } from './workplace.ts';

function place(t: { after(remove: () => void): void }, column = 'x'): Workplace {
  const made = new Workplace(t);
  made.writeModel(identityModel('float32'), { inputs: { x: [{ column }] } });
  return made;
}

function write(here: Workplace, name: string, content: string): void {
  mkdirSync(here.data, { recursive: true });
  writeFileSync(join(here.data, name), content);
}

test('uneven lines and open quotes are found where they make the delimiter another one', async (t) => {
  const rows = [
    ['1,2,3\n4,5\n6,7,8\n', { line: 3 }, /as the first one \(","\), got: Expected Number of Columns: 3 Found: 2/],
    ['1,2,3\n4,5,6,7\n7,8,9\n', { line: 3 }, /Expected Number of Columns: 3 Found: 4/],
    ['1,2,3\n4,"5,6\n7,8,9\n', { line: 3 }, /unterminated quote/],
  ] as const;
  for (const [text, where, message] of rows) {
    const here = place(t);
    write(here, 'a.csv', `row_id,x,age\n${text}`);
    const remedy = /"csv": \{ "delimiter": "," \}/;
    await here.failsToPlan({ code: 'BAD_SHARD', place: { shard: 'a.csv', ...where }, message, remedy });
  }
  const here = place(t, 'x,y');
  write(here, 'a.csv', '"x,y"\n1\n2\n');
  await here.score();
});

test('text without a row is no shard to plan with, unless others have rows', async (t) => {
  const here = place(t);
  write(here, 'a.csv', 'x,z\n');
  await here.failsToPlan({
    code: 'BAD_SHARD',
    place: { shard: 'a.csv' },
    message: /^Expected a file with rows, got none/,
  });
  write(here, 'b.csv', 'x,z\n1,2\n');
  await here.score();
});

test('whole numbers beyond BIGINT keep their digits, in all files; fractions are numbers', async (t) => {
  const here = place(t);
  const long = ['12345678901234567890', '12345678901234567891'];
  write(here, 'a.csv', `id,x,big\n${long[0]},1,1e30\n${long[1]},2,0.5\n`);
  write(here, 'b.csv', 'id,x,big\n7,3,12345678901234567890.5\n');
  await here.score();
  const kept = ['a.parquet', 'b.parquet'].flatMap((name) => here.rows(name).map(({ id, big }) => [id, big]));
  assert.deepEqual(kept, [
    [long[0], 1e30],
    [long[1], 0.5],
    ['7', 12345678901234567890.5],
  ]);
});

test('an empty text in quotes is a null, unless the contract says otherwise', async (t) => {
  for (const [csv, texts] of [
    [{}, [null, null, 'NA']],
    [{ quotedNull: false }, [null, '', 'NA']],
    [{ quotedNull: false, nullText: 'NA' }, [null, '', null]],
  ] as const) {
    const here = place(t);
    here.writeContract({ inputs: { x: [{ column: 'x' }] }, csv });
    write(here, 'a.csv', 'x,text\n1,\n2,""\n3,NA\n');
    await here.score();
    assert.deepEqual(columnOf(here.rows('a.parquet'), 'text'), texts);
  }
});
