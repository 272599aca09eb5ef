/** How the output is written: codecs, row groups, and shards whose output is several files. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { quotePath } from '../engines/duckdb/database.ts';
import type { ScoreOptions } from '../options.ts';
import { planScore } from '../pipeline.ts';
import { identityModel } from '../testing/models.ts';
import { withConnection } from '../testing/shards.ts';
import { copyContract, countShard } from './counting.ts';
import { caught, listFiles, Workplace } from './workplace.ts';

function place(t: { after(remove: () => void): void }): Workplace {
  const made = new Workplace(t);
  made.writeModel(identityModel('float32'), copyContract);
  return made;
}

/** Of each row group of a file, in order: codec and rows. */
function rowGroups(path: string): [string, number][] {
  return withConnection((connection) =>
    connection
      .rows(
        `SELECT any_value(compression), any_value(row_group_num_rows) FROM parquet_metadata(${quotePath(path)})
         GROUP BY row_group_id ORDER BY row_group_id`,
      )
      .map(([codec, rows]) => [String(codec), Number(rows)]),
  );
}

/** Rows of each part, which together hold 0, 1, 2, ... in both columns. */
function partRows(place: Workplace, names: readonly string[]): number[] {
  let first = 0;
  return names.map((name) => {
    const [[rows, wrong] = []] = withConnection((connection) =>
      connection.rows(
        `SELECT count(*), count(*) FILTER (x IS DISTINCT FROM y OR x IS DISTINCT FROM ${first} + file_row_number)
         FROM read_parquet(${quotePath(join(place.output, name))}, file_row_number=true)`,
      ),
    );
    assert.equal(wrong, 0n, name);
    first += Number(rows);
    return Number(rows);
  });
}

const codecs = [
  [{ compression: 'gzip' }, 'GZIP'],
  [{ compression: 'zstd', compressionLevel: 19 }, 'ZSTD'],
  [{ compression: 'none' }, 'UNCOMPRESSED'],
  [{}, 'SNAPPY'],
] as const satisfies readonly (readonly [Partial<ScoreOptions>, string])[];

for (const [options, codec] of codecs) {
  test(`codec ${codec}, row groups of 5,000 rows rounded up`, async (t) => {
    const here = place(t);
    here.shard('a.parquet', countShard(20_000));
    await here.score({ ...options, rowGroupRows: 5_000 });
    assert.deepEqual(
      rowGroups(join(here.output, 'a.parquet')),
      [6_144, 6_144, 6_144, 1_568].map((rows) => [codec, rows]),
    );
    assert.deepEqual(partRows(here, ['a.parquet']), [20_000]);
  });
}

test('a higher level is smaller', async (t) => {
  const here = place(t);
  here.shard('a.parquet', countShard(100_000));
  const sizes: number[] = [];
  for (const compressionLevel of [1, 19]) {
    const output = join(here.folder, `level-${compressionLevel}`);
    await here.score({ output, compression: 'zstd', compressionLevel });
    sizes.push(statSync(join(output, 'a.parquet')).size);
  }
  assert.ok(sizes[1]! < sizes[0]!, sizes.join(', '));
});

const sizes: readonly (readonly [number, readonly number[]])[] = [
  [0, [0]],
  [1, [1]],
  [4_095, [4_095]],
  [4_096, [4_096]],
  [4_097, [4_096, 1]],
  [8_192, [4_096, 4_096]],
  [10_000, [4_096, 4_096, 1_808]],
];
for (const [rowCount, expected] of sizes) {
  test(`${rowCount} rows in files of at most 5,000`, async (t) => {
    const here = place(t);
    here.shard('dt=1/a.parquet', countShard(rowCount));
    const { outputBytes } = await here.score({ rowsPerFile: 5_000, shards: here.data });
    const names = expected.map((_, index) => `dt=1/a-0000${index}.parquet`);
    assert.deepEqual(
      listFiles(here.output).filter((path) => path.endsWith('.parquet')),
      names,
    );
    assert.deepEqual(partRows(here, names), expected);
    const bytes = names.map((name) => statSync(join(here.output, name)).size);
    assert.equal(
      outputBytes,
      bytes.reduce((sum, each) => sum + each, 0),
    );
  });
}

test('files of several row groups, of a shard that threads share', async (t) => {
  const here = place(t);
  here.shard('a.parquet', countShard(600_000), { rowGroupRows: 20_480 });
  const options = { rowsPerFile: 250_000, rowGroupRows: 100_000, threads: 2 };
  const { shards, files } = await planScore(here.options(options));
  assert.equal(shards[0]!.mode, 'split');
  assert.deepEqual([files.rowGroupRows, files.rowGroupsPerFile], [81_920, 3]);
  await here.score(options);
  const names = [0, 1, 2].map((index) => `a-0000${index}.parquet`);
  assert.deepEqual(partRows(here, names), [245_760, 245_760, 108_480]);
  assert.deepEqual(rowGroups(join(here.output, names[1]!)), Array(3).fill(['SNAPPY', 81_920]));
});

test('a run goes on with several files; one that lost a part scores its shard again, and leaves no part of before', async (t) => {
  const here = place(t);
  for (const name of ['a.parquet', 'b.parquet', 'c.parquet']) here.shard(name, countShard(10_000));
  const options = { rowsPerFile: 4_096 };
  await here.score(options);
  const whole = statSync(join(here.output, 'a-00001.parquet')).ino;
  rmSync(join(here.output, 'b-00001.parquet'));
  // As if the process had died before the manifest, and files had been shorter.
  rmSync(join(here.output, '_manifests/c.parquet.json'));
  renameSync(join(here.output, 'c-00002.parquet'), join(here.output, 'c-00007.parquet'));
  const again = await here.score(options);
  assert.deepEqual([again.shardsSkipped, again.shards], [1, 2]);
  assert.equal(statSync(join(here.output, 'a-00001.parquet')).ino, whole);
  const parts = ['a', 'b', 'c'].flatMap((name) => [0, 1, 2].map((index) => `${name}-0000${index}.parquet`));
  assert.deepEqual(
    listFiles(here.output).filter((path) => path.endsWith('.parquet')),
    parts,
  );
});

test('another codec goes on, another division into files does not, --overwrite leaves nothing of before', async (t) => {
  const here = place(t);
  here.shard('a.parquet', countShard(10_000));
  here.shard('b.parquet', countShard(10_000));
  await here.score({ rowsPerFile: 4_096 });
  rmSync(join(here.output, '_manifests/b.parquet.json'));
  await here.score({ rowsPerFile: 4_096, compression: 'zstd' });
  assert.deepEqual(rowGroups(join(here.output, 'a-00000.parquet')), [['SNAPPY', 4_096]]);
  assert.deepEqual(rowGroups(join(here.output, 'b-00000.parquet')), [['ZSTD', 4_096]]);
  await here.refuses({ code: 'BAD_OUTPUT', place: {}, message: /got the output of 4096 rows in each file\.$/ });
  await here.score({ overwrite: true });
  assert.deepEqual(
    listFiles(here.output).filter((path) => path.endsWith('.parquet')),
    ['a.parquet', 'b.parquet'],
  );
  await here.refuses(
    { code: 'BAD_OUTPUT', place: {}, message: /got the output of any number of rows in each file\.$/ },
    { rowsPerFile: 4_096 },
  );
});

test('shards whose names look like parts of each other keep their own files', async (t) => {
  const here = place(t);
  here.shard('a.parquet', countShard(5_000));
  here.shard('a-00000.parquet', countShard(3));
  await here.score();
  rmSync(join(here.output, '_manifests/a.parquet.json'));
  const again = await here.score();
  assert.equal(again.shardsSkipped, 1);
  assert.deepEqual(partRows(here, ['a-00000.parquet']), [3]);
  await here.score({ overwrite: true, rowsPerFile: 2_048 });
  assert.deepEqual(partRows(here, ['a-00000-00000.parquet']), [3]);
  assert.deepEqual(partRows(here, ['a-00000.parquet', 'a-00001.parquet', 'a-00002.parquet']), [2_048, 2_048, 904]);
});

test('a part that was replaced is no whole output', async (t) => {
  const here = place(t);
  here.shard('a.parquet', countShard(10_000));
  await here.score({ rowsPerFile: 4_096 });
  writeFileSync(join(here.output, 'a-00001.parquet'), 'something else');
  assert.equal((await here.score({ rowsPerFile: 4_096 })).shards, 1);
  assert.deepEqual(
    partRows(
      here,
      [0, 1, 2].map((index) => `a-0000${index}.parquet`),
    ),
    [4_096, 4_096, 1_808],
  );
  const { files } = JSON.parse(readFileSync(join(here.output, '_manifests/a.parquet.json'), 'utf8')).output;
  assert.equal(files.length, 3);
  assert.equal(existsSync(join(here.output, '_SUCCESS')), true);
});

test('long row groups are in the memory table, and may not fit', async (t) => {
  const here = place(t);
  here.shard('a.parquet', countShard(10));
  const lines = (await planScore(here.options({ rowGroupRows: 1_228_800 }))).memory;
  const [line] = lines.filter(({ what }) => what.startsWith('row groups being written'));
  // Two float32 a row, of 1,105,920 rows more than usual, with their pages.
  assert.equal(line?.bytesEach, 1_105_920 * 8 * 3);
  assert.equal(
    (await planScore(here.options())).memory.some(({ what }) => what.startsWith('row groups being')),
    false,
  );
  const error = await caught(planScore(here.options({ rowGroupRows: 100_000_000, memoryBytes: 2 ** 30 })));
  assert.equal(error.code, 'MEMORY');
  assert.match(error.message, /for a row group being written\.$/);
});

test('kept texts of long row groups are estimated from the whole file, however few of its rows are taken', async (t) => {
  const here = place(t);
  here.writeContract({ inputs: { x: [{ column: 'x' }] }, keep: ['id', 's'] });
  here.shard('a.parquet', 'SELECT i AS id, i::FLOAT AS x, repeat(md5(i::VARCHAR), 40) AS s FROM range(20000) rows(i)');
  const bytesWhere = async (where?: string): Promise<number | undefined> => {
    const { memory } = await planScore(here.options({ rowGroupRows: 1_000_000, where }));
    return memory.find(({ what }) => what.startsWith('row groups being written'))?.bytesEach;
  };
  assert.equal(await bytesWhere('id < 3'), await bytesWhere());
});

test('no file has more rows than asked for, whichever rows are taken and however long row groups are', async (t) => {
  const here = place(t);
  here.shard('a.parquet', 'SELECT i::FLOAT AS x, i AS id FROM range(60000) rows(i)', { rowGroupRows: 5_000 });
  for (const where of [undefined, 'x::BIGINT % 3 = 1', 'x::BIGINT % 7 < 4 OR id < 20000']) {
    for (const [rowsPerFile, rowGroupRows] of [
      [3_000, 2_048],
      [5_000, 122_880],
      [9_000, 4_096],
    ] as const) {
      await here.score({ where, rowsPerFile, rowGroupRows, overwrite: true, threads: 2 });
      const [[most, wrong] = []] = withConnection((connection) =>
        connection.rows(
          `SELECT max(rows), sum(wrong)::BIGINT FROM (SELECT count(*) AS rows, count(*) FILTER (x IS DISTINCT FROM y) AS wrong
           FROM read_parquet(${quotePath(here.output).replace(/'$/, "/*.parquet'")}, filename=true) GROUP BY filename)`,
        ),
      );
      assert.ok(Number(most) <= rowsPerFile && Number(most) > rowsPerFile / 3, `${where}: ${most} of ${rowsPerFile}`);
      assert.equal(Number(wrong), 0);
    }
  }
});

const refused: readonly (readonly [Partial<ScoreOptions>, RegExp])[] = [
  [{ compressionLevel: 3 }, /to come with --compression zstd, got it with snappy/],
  [{ compression: 'zstd', compressionLevel: 23 }, /--compression-level to be a whole number from 1 to 22, got `23`/],
  [{ rowGroupRows: 0 }, /--row-group-rows to be a whole number from 1/],
  [{ rowsPerFile: 2_047 }, /--rows-per-file to be a whole number from 2048/],
  [{ rowsPerFile: 4_096, reader: 'parquetjs' }, /--reader parquetjs, got --rows-per-file/],
  [{ compression: 'gzip', reader: 'parquetjs' }, /--reader parquetjs, got gzip/],
];
for (const [options, message] of refused) {
  test(`refused: ${JSON.stringify(options)}`, async (t) => {
    const here = place(t);
    here.shard('a.parquet', countShard(10));
    await here.failsToPlan({ code: 'USAGE', place: {}, message }, options);
  });
}
