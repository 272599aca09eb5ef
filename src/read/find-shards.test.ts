import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { TandemError } from '../errors.ts';
import { findShards } from './find-shards.ts';

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'tandem-find-')));
after(() => rmSync(folder, { recursive: true }));

for (const name of [
  'b.parquet',
  'a.parquet',
  'note.txt',
  'g[1].parquet',
  'g1.parquet',
  'sub/c.parquet',
  'sub/deep/d.parquet',
  '_hidden.parquet',
  '.hidden.parquet',
  '_tmp/e.parquet',
  '.git/f.parquet',
  'o[2]/x.parquet',
  'o2/y.parquet',
  "sp ace/it's.parquet",
]) {
  mkdirSync(join(folder, dirname(name)), { recursive: true });
  writeFileSync(join(folder, name), '');
}
symlinkSync(join(folder, 'a.parquet'), join(folder, 'sub', 'link.parquet'));

const namesOf = async (...patterns: string[]): Promise<string[]> =>
  (await findShards(patterns.map((pattern) => join(folder, pattern)))).map((shard) => shard.name);

test('a folder means every Parquet file below it that is not hidden', async () => {
  const all = [
    'a.parquet',
    'b.parquet',
    'g1.parquet',
    'g[1].parquet',
    'o2/y.parquet',
    'o[2]/x.parquet',
    "sp ace/it's.parquet",
    'sub/c.parquet',
    'sub/deep/d.parquet',
    'sub/link.parquet',
  ];
  assert.deepEqual(await namesOf('.'), all);
  assert.deepEqual(await namesOf('**/*.parquet'), all);
});

test('a glob gives names below its fixed part', async () => {
  assert.deepEqual(await namesOf('*.parquet'), ['a.parquet', 'b.parquet', 'g1.parquet', 'g[1].parquet']);
  assert.deepEqual(await namesOf('sub/**/*.parquet'), ['c.parquet', 'deep/d.parquet', 'link.parquet']);
  assert.deepEqual(await namesOf('{a,b}.parquet'), ['a.parquet', 'b.parquet']);
  assert.deepEqual(await namesOf('s*/c.parquet'), ['sub/c.parquet']);
});

test('what exists under its literal name is meant by it', async () => {
  assert.deepEqual(await namesOf('g[1].parquet'), ['g[1].parquet']);
  assert.deepEqual(await namesOf('g[0-9].parquet'), ['g1.parquet']);
  assert.deepEqual(await namesOf('o[2]/*.parquet'), ['x.parquet']);
  assert.deepEqual(await namesOf('o[2]'), ['x.parquet']);
  assert.deepEqual(await namesOf("sp ace/it's.parquet"), ["it's.parquet"]);
  assert.deepEqual(await namesOf('_tmp'), ['e.parquet']);
  assert.deepEqual(await namesOf('_hidden.parquet'), ['_hidden.parquet']);
});

test('several patterns: names below the common folder, each file once', async () => {
  assert.deepEqual(await namesOf('sub/deep', 'o2/*.parquet', 'o2/y.parquet'), ['o2/y.parquet', 'sub/deep/d.parquet']);
  assert.deepEqual(await namesOf('sub', 'sub/deep'), ['c.parquet', 'deep/d.parquet', 'link.parquet']);
});

test('paths are absolute, also for relative patterns', async () => {
  const before = process.cwd();
  process.chdir(folder);
  try {
    assert.deepEqual(await findShards('sub/c.parquet'), [{ path: join(folder, 'sub/c.parquet'), name: 'c.parquet' }]);
    assert.deepEqual(
      (await findShards('./sub/*.parquet')).map((shard) => shard.path),
      [join(folder, 'sub/c.parquet'), join(folder, 'sub/link.parquet')],
    );
    const upAndDown = await findShards(`../${basename(folder)}/b.parq*`);
    assert.deepEqual(upAndDown, [{ path: join(folder, 'b.parquet'), name: 'b.parquet' }]);
  } finally {
    process.chdir(before);
  }
});

test('a pattern without a match is an error that names it and the working directory', async () => {
  for (const pattern of ['nope/*.parquet', 'nope.parquet', 'sub/deep/*.csv', '.git/_x']) {
    await assert.rejects(namesOf('a.parquet', pattern), (error: unknown) => {
      assert.ok(error instanceof TandemError);
      assert.equal(error.code, 'NO_SHARDS');
      assert.ok(error.message.includes(join(folder, pattern)) && error.message.includes(process.cwd()));
      return true;
    });
  }
  await assert.rejects(findShards([]), (error: unknown) => error instanceof TandemError && error.code === 'NO_SHARDS');
  await assert.rejects(findShards(''), (error: unknown) => error instanceof TandemError && error.code === 'NO_SHARDS');
});
