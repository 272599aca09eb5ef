/** Shards that cannot be read, or change while they are. */
import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, truncateSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { identityModel, rowSumModel } from '../testing/models.ts';
import { corruptPage, overwrite, truncateShard, writeEncryptedShard } from '../testing/shards.ts';
import { assertOnlyWholeShards, columnOf, countTo, listFiles, Workplace } from './workplace.ts';

function place(t: { after(remove: () => void): void }): Workplace {
  const made = new Workplace(t);
  made.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  return made;
}

const shardSql = 'SELECT i::FLOAT AS x, i AS kept FROM range(7000) rows(i)';

test('a run fails as its planning does, and makes no folder', async (t) => {
  const here = place(t);
  await here.refuses({ code: 'NO_SHARDS', place: {}, message: /got none/ });
  here.shard('a.parquet', 'SELECT 1 AS other');
  await here.refuses({ code: 'BAD_COLUMN', place: { shard: 'a.parquet', column: 'x' }, message: /Expected column x/ });
  assert.equal(existsSync(here.output), false);
});

test('a pattern that matches nothing', async (t) => {
  const here = place(t);
  here.shard('a.txt', shardSql);
  await here.failsToPlan(
    {
      code: 'NO_SHARDS',
      place: {},
      message: /Expected `.*\*\.parquet` to match Parquet files, got none/,
      remedy: /quotes/,
    },
    {
      shards: join(here.data, '*.parquet'),
    },
  );
  await here.failsToPlan({ code: 'NO_SHARDS', place: {}, message: /data` to match Parquet files, got none/ });
  await here.failsToPlan(
    { code: 'NO_SHARDS', place: {}, message: /nowhere/ },
    { shards: [join(here.data, 'a.txt'), join(here.folder, 'nowhere')] },
  );
});

test('a file that is not Parquet', async (t) => {
  const here = place(t);
  here.shard('a.parquet', shardSql);
  writeFileSync(join(here.data, 'b.parquet'), 'x,y\n1,2\n');
  await here.failsToPlan({
    code: 'BAD_SHARD',
    place: { shard: 'b.parquet' },
    message: /Expected a Parquet file, got a file that starts with "x,y/,
  });
});

test('an empty file', async (t) => {
  const here = place(t);
  here.shard('a.parquet', shardSql);
  writeFileSync(join(here.data, 'b.parquet'), '');
  await here.failsToPlan({ code: 'BAD_SHARD', place: { shard: 'b.parquet' }, message: /got an empty file/ });
});

test('a file of the four bytes PAR1, and one of the first and last of them', async (t) => {
  const here = place(t);
  mkdirSync(here.data);
  for (const text of ['PAR1', 'PAR1PAR1', 'PAR1\u0000\u0000\u0000\u0000PAR1', 'PAR1\u00ff\u00ff\u00ff\u007fPAR1']) {
    writeFileSync(join(here.data, 'a.parquet'), text, 'latin1');
    await here.failsToPlan({ code: 'BAD_SHARD', place: { shard: 'a.parquet' }, message: /Expected/ });
  }
});

for (const byteCount of [5, 1000, -1, -8, -100]) {
  test(`a file that is cut off at ${byteCount} bytes`, async (t) => {
    const here = place(t);
    here.shard('a.parquet', shardSql);
    truncateShard(here.shard('b.parquet', shardSql), byteCount);
    await here.failsToPlan({
      code: 'BAD_SHARD',
      place: { shard: 'b.parquet' },
      message: /cut off/,
      remedy: /Write it again/,
    });
  });
}

test('a footer that is damaged', async (t) => {
  const here = place(t);
  overwrite(here.shard('a.parquet', shardSql), -60, Buffer.alloc(40, 0xff));
  await here.failsToPlan({
    code: 'BAD_SHARD',
    place: { shard: 'a.parquet' },
    message: /Expected the shard to be readable/,
  });
});

test('an encrypted file', async (t) => {
  const here = place(t);
  writeEncryptedShard(join(here.data, 'a.parquet'), shardSql);
  await here.failsToPlan({
    code: 'BAD_SHARD',
    place: { shard: 'a.parquet' },
    message: /got an encrypted Parquet file/,
    remedy: /Decrypt/,
  });
});

test('a folder that is called like a shard', async (t) => {
  const here = place(t);
  mkdirSync(join(here.data, 'a.parquet'), { recursive: true });
  await here.failsToPlan({ code: 'NO_SHARDS', place: {}, message: /got none/ });
});

for (const column of ['x', 'kept']) {
  test(`a corrupt page of the last row group, column ${column}: the shards before it stay`, async (t) => {
    const here = place(t);
    // The largest shard goes first.
    here.shard('whole.parquet', 'SELECT i::FLOAT AS x, i AS kept FROM range(9000) rows(i)');
    corruptPage(here.shard('damaged.parquet', shardSql, { rowGroupRows: 2048 }), 3, column);
    here.shard('small.parquet', 'SELECT 1::FLOAT AS x, 1 AS kept');
    await here.fails({
      code: 'BAD_SHARD',
      place: { shard: 'damaged.parquet' },
      message: /decompress/i,
      remedy: /damaged/,
    });
    assert.deepEqual(assertOnlyWholeShards(here.output), ['whole.parquet']);
    here.shard('damaged.parquet', shardSql);
    const result = await here.score();
    assert.deepEqual([result.shardsSkipped, result.shards, result.rowsOut], [1, 2, 7001]);
    assert.deepEqual(columnOf(here.rows('damaged.parquet'), 'y'), countTo(7000));
  });
}

test('a corrupt page in a column that nobody reads does not matter', async (t) => {
  const here = place(t);
  corruptPage(here.shard('a.parquet', shardSql, { rowGroupRows: 2048 }), 3, 'kept');
  await here.score({ keep: ['x'] });
  assert.deepEqual(columnOf(here.rows('a.parquet'), 'y'), countTo(7000));
});

for (const column of ['x', 'kept']) {
  test(`a corrupt page of a shard that threads share, column ${column}`, async (t) => {
    const here = place(t);
    const sql = 'SELECT i::FLOAT AS x, i AS kept FROM range(530000) rows(i)';
    corruptPage(here.shard('a.parquet', sql, { rowGroupRows: 32 * 2048 }), 6, column);
    await here.fails({ code: 'BAD_SHARD', place: { shard: 'a.parquet' }, message: /decompress/i }, { threads: 2 });
    assert.deepEqual(assertOnlyWholeShards(here.output), []);
  });
}

test('a corrupt page in the first rows, which planning reads', async (t) => {
  const here = place(t);
  corruptPage(here.shard('a.parquet', shardSql), 0, 'x');
  await here.failsToPlan({ code: 'BAD_SHARD', place: { shard: 'a.parquet' }, message: /decompress/i });
});

test('a column that is missing in the second shard', async (t) => {
  const here = new Workplace(t);
  here.writeModel(rowSumModel(2), { inputs: { x: [{ column: 'a' }, { column: 'b' }] }, keep: [] });
  here.shard('1.parquet', 'SELECT 1 AS a, 2 AS b');
  here.shard('2.parquet', 'SELECT 1 AS a, 2 AS c');
  await here.failsToPlan({
    code: 'BAD_COLUMN',
    place: { shard: '2.parquet', column: 'b' },
    message: /Expected column b in the shard, got none of that name/,
    remedy: /has: a, c\. Other shards have it: .*"renames": \{ "old": "b" \}/,
  });
  await here.failsToPlan(
    { code: 'BAD_COLUMN', place: { shard: '2.parquet', column: 'b' }, message: /b/ },
    { keep: ['a'] },
  );
});

test('a kept column that is missing, in every shard and in the second one', async (t) => {
  const here = place(t);
  here.shard('1.parquet', 'SELECT 1 AS x, 2 AS b');
  await here.failsToPlan(
    { code: 'BAD_COLUMN', place: { shard: '1.parquet', column: 'nowhere' }, message: /kept column nowhere/ },
    { keep: ['nowhere'] },
  );
  here.shard('2.parquet', 'SELECT 1 AS x, 2 AS c');
  await here.failsToPlan(
    { code: 'BAD_COLUMN', place: { shard: '2.parquet', column: 'b' }, message: /kept column b/ },
    { keep: ['b'] },
  );
});

test('a kept column that is named twice', async (t) => {
  const here = place(t);
  here.shard('1.parquet', 'SELECT 1 AS x');
  await here.failsToPlan(
    { code: 'BAD_COLUMN', place: { shard: '1.parquet', column: 'x' }, message: /each kept column once/ },
    { keep: ['x', 'X'] },
  );
});

test('a column whose type cannot become a number', async (t) => {
  const here = place(t);
  here.shard('1.parquet', 'SELECT 1 AS x');
  const others = [
    ["'text'", 'VARCHAR'],
    ["DATE '2026-01-01'", 'DATE'],
    ["{'a': 1}", 'STRUCT(a INTEGER)'],
    ["encode('a')", 'BLOB'],
  ] as const;
  for (const [sql, type] of others) {
    here.shard('2.parquet', `SELECT ${sql} AS x`);
    const failure = await here.failsToPlan({
      code: 'BAD_COLUMN',
      place: { shard: '2.parquet', column: 'x' },
      message: /Expected x to be a number, got /,
    });
    assert.ok(failure.message.includes(type), failure.message);
  }
});

test('a shard that is replaced by a longer one after planning', async (t) => {
  const here = place(t);
  const first = here.shard('1.parquet', 'SELECT i::FLOAT AS x, i AS kept FROM range(40000) rows(i)');
  const second = here.shard('2.parquet', shardSql);
  const longer = here.shard('../longer.parquet', 'SELECT i::FLOAT AS x, i AS kept FROM range(7001) rows(i)');
  let replaced = false;
  await here.fails(
    {
      code: 'TRANSIENT',
      place: { shard: '2.parquet' },
      message: /Expected row 6999 to be the last one read.*got 7000/,
      remedy: /changed while it was read/,
    },
    {
      batchSize: 1,
      onProgress: ({ phase }) => {
        if (phase !== 'scoring' || replaced) return;
        replaced = true;
        copyFileSync(longer, second);
      },
      shards: [first, second],
    },
  );
});

test('a shard that is written anew, with the same rows, while it is read', async (t) => {
  const here = place(t);
  const shard = here.shard('a.parquet', 'SELECT i::FLOAT AS x, i AS kept FROM range(40000) rows(i)');
  await here.fails(
    {
      code: 'TRANSIENT',
      place: { shard: 'a.parquet' },
      message: /the file has changed/,
      remedy: /run the same command again/,
    },
    {
      batchSize: 1,
      onProgress: ({ phase }) => {
        if (phase === 'scoring') utimesSync(shard, new Date(), new Date());
      },
    },
  );
  await here.score();
});

test('a shard that is cut off while it is read', async (t) => {
  const here = place(t);
  const shard = here.shard('a.parquet', 'SELECT i::FLOAT AS x, random() AS kept FROM range(40000) rows(i)', {
    rowGroupRows: 2048,
  });
  await here.fails(
    { code: 'BAD_SHARD', place: { shard: 'a.parquet' }, message: /Expected/ },
    {
      batchSize: 1,
      onProgress: ({ phase }) => {
        if (phase === 'scoring') truncateSync(shard, 5000);
      },
    },
  );
  assert.deepEqual(
    listFiles(here.output).filter((name) => name.endsWith('.parquet')),
    [],
  );
});
