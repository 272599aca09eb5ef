/** Features in files of equally many rows: which rows, beside which kept values, and what happens when files change. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { quoteText } from '../engines/duckdb/database.ts';
import type { FeaturizeOptions } from '../feature-options.ts';
import { featurize, planFeaturize } from '../pipeline.ts';
import { withConnection } from '../testing/shards.ts';
import { assertFailure, assertOnlyWholeShards, caught, Workplace } from './workplace.ts';

/** Rows of each file; the order of columns and their types are others in every second one. */
const sizes: Readonly<Record<string, number>> = {
  'a.parquet': 0,
  'b.parquet': 10_007,
  'c.parquet': 3,
  'dt=7/d.parquet': 60_000,
  'e.parquet': 1,
  'f.parquet': 25_000,
};
const contract = {
  inputs: { x: [{ column: 'id' }, { column: 'v', missing: -1 }], name: [{ column: 's', text: true, missing: '' }] },
};

/** `id` counts on from file to file. */
function fill(place: Workplace, change = ''): void {
  place.writeModel({ inputs: [], outputs: [], nodes: [] }, contract);
  rmSync(join(place.model, 'model.onnx'));
  let first = 0;
  for (const [index, [name, rowCount]] of Object.entries(sizes).entries()) {
    const [integer, float] = index % 2 === 0 ? ['INTEGER', 'FLOAT'] : ['BIGINT', 'DOUBLE'];
    const columns = [
      `(i + ${first})::${integer} AS id`,
      `CASE WHEN i % 7 <> 0 THEN (i % 100)::${float} END AS v`,
      `CASE WHEN i % 3 <> 0 THEN 's' || (i + ${first}) END AS s`,
    ];
    const list = (index % 2 === 0 ? columns : columns.reverse()).join();
    place.shard(name, `SELECT ${list} FROM range(${rowCount}) rows(i) ${change}`, { rowGroupRows: 2048 });
    first += rowCount;
  }
}

function asked(place: Workplace, changes: Partial<FeaturizeOptions> = {}): FeaturizeOptions {
  return { shards: place.data, model: place.model, output: place.output, threads: 2, keep: ['id', 's'], ...changes };
}

/** Rows of each file in order of names, and how many differ from a plain query over the shards, place by place. */
async function compare(
  place: Workplace,
  changes: Partial<FeaturizeOptions>,
): Promise<{ readonly rowCounts: number[]; readonly wrong: number; readonly total: number }> {
  await featurize(asked(place, { overwrite: true, ...changes }));
  assertOnlyWholeShards(place.output);
  const found = `SELECT row_number() OVER (ORDER BY filename, file_row_number) AS place, *
    FROM read_parquet(${quoteText(`${place.output}/*.parquet`)}, filename=true, file_row_number=true)`;
  const { where = 'true', limit } = changes;
  const wanted = `SELECT row_number() OVER (ORDER BY id) AS place, id, v, s
    FROM read_parquet(${quoteText(`${place.data}/**/*.parquet`)}, union_by_name=true) WHERE ${where} ORDER BY id
    ${limit === undefined ? '' : `LIMIT ${limit}`}`;
  return withConnection((connection) => {
    const rowCounts = connection
      .rows(`SELECT count(*) FROM (${found}) GROUP BY filename ORDER BY filename`)
      .map(([count]) => Number(count));
    const [[wrong, total] = []] = connection.rows(
      `SELECT count(*) FILTER (w.id IS DISTINCT FROM f.id OR w.s IS DISTINCT FROM f.s OR f.name <> coalesce(w.s, '')
         OR f.x[1] <> w.id OR f.x[2] <> coalesce(w.v, -1)), count(w.place)
       FROM (${wanted}) w FULL JOIN (${found}) f USING (place)`,
    );
    return { rowCounts, wrong: Number(wrong), total: Number(total) };
  });
}

test('rows keep their order and their kept values, however many files there are', async (t) => {
  const place = new Workplace(t);
  fill(place);
  const cases: readonly Partial<FeaturizeOptions>[] = [
    { outputShards: 7 },
    { outputShards: 1 },
    { outputShards: 100, where: 'v > 30 OR v IS NULL' },
    { outputShards: 3, limit: 10_009 },
    { outputShards: 9, limit: 17_000, where: 'id % 5 = 2' },
  ];
  for (const changes of cases) {
    const { rowCounts, wrong, total } = await compare(place, changes);
    assert.equal(wrong, 0, JSON.stringify(changes));
    assert.ok(total > 0);
    assert.equal(
      rowCounts.reduce((sum, count) => sum + count, 0),
      total,
    );
    assert.equal(rowCounts.length, changes.outputShards);
    assert.equal(Math.max(...rowCounts) - Math.min(...rowCounts), total % changes.outputShards! === 0 ? 0 : 1);
  }
  assert.deepEqual(readdirSync(place.output).filter((name) => name.endsWith('-of-00009.parquet')).length, 9);
});

test('it goes on where it stopped, and refuses other shards, other counts and what cannot be', async (t) => {
  const place = new Workplace(t);
  fill(place);
  await featurize(asked(place, { outputShards: 4 }));
  const third = join(place.output, 'part-00002-of-00004.parquet');
  const before = readFileSync(third);
  rmSync(third);
  const again = await featurize(asked(place, { outputShards: 4 }));
  assert.deepEqual([again.shards, again.shardsSkipped], [1, 3]);
  assert.deepEqual(readFileSync(third), before);
  const refused = async (changes: Partial<FeaturizeOptions>, code: 'BAD_OUTPUT' | 'USAGE', message: RegExp) =>
    assertFailure(await caught(featurize(asked(place, changes))), { code, place: {}, message });
  await refused({ outputShards: 5 }, 'BAD_OUTPUT', /got the output of features in 4 files/);
  await refused({}, 'BAD_OUTPUT', /got the output of features in 4 files/);
  await refused({ outputShards: 95_012 }, 'USAGE', /^Expected --shards to be at most the number of rows, 95011, got/);
  await refused({ outputShards: 2, rowsPerFile: 4096 }, 'USAGE', /^Expected --shards or --rows-per-file, got both/);
  utimesSync(join(place.data, 'e.parquet'), 0, 0);
  await refused({ outputShards: 4 }, 'BAD_OUTPUT', /got the output of other shards/);
});

test('a bad row is named by its own file, and a column that only some files have is not kept unnoticed', async (t) => {
  const place = new Workplace(t);
  fill(place);
  place.writeContract({ inputs: { x: [{ sql: 'CASE WHEN id = 70500 THEN NULL ELSE id END' }] } });
  const inOrder = await caught(featurize(asked(place, { outputShards: 2, threads: 1 })));
  assert.deepEqual(inOrder.place, {
    shard: 'f.parquet',
    rowGroup: 0,
    row: 489,
    column: 'sql CASE WHEN id = 70500 THEN NULL ELSE id END',
  });
  const selected = await caught(
    featurize(asked(place, { outputShards: 2, threads: 1, where: 'id % 2 = 0', overwrite: true })),
  );
  assert.deepEqual(selected.place, inOrder.place);
  place.shard('g.parquet', 'SELECT 1 AS id, 2 AS v, NULL::VARCHAR AS s, 3 AS more');
  const error = await caught(featurize(asked(place, { outputShards: 2, keep: 'all', overwrite: true })));
  assert.deepEqual([error.code, error.place], ['BAD_COLUMN', { shard: 'g.parquet', column: 'more' }]);
});

test('text in files of equally many rows: the same as of Parquet, gone on with, and refused where rows are chosen', async (t) => {
  const place = new Workplace(t);
  place.writeModel({ inputs: [], outputs: [], nodes: [] }, { inputs: { x: [{ column: 'id' }, { column: 'v' }] } });
  rmSync(join(place.model, 'model.onnx'));
  const texts = join(place.folder, 'texts');
  mkdirSync(texts);
  for (const [index, rowCount] of [9_000, 0, 1, 20_000].entries()) {
    const sql = `SELECT i + ${index * 10_000} AS id, i % 7 AS v FROM range(${rowCount}) rows(i)`;
    place.shard(`${index}.parquet`, sql);
    withConnection((connection) =>
      connection.execute(`COPY (${sql}) TO ${quoteText(join(texts, `${index}.csv`))} (FORMAT csv)`),
    );
  }
  const features = join(place.folder, 'features');
  const ofText = (changes: Partial<FeaturizeOptions> = {}): FeaturizeOptions =>
    asked(place, { shards: texts, output: features, keep: ['id'], outputShards: 3, ...changes });
  const rows = (folder: string): unknown =>
    withConnection((connection) =>
      connection.rows(`SELECT id, x[1], x[2] FROM read_parquet(${quoteText(`${folder}/*.parquet`)})`),
    );
  await featurize(asked(place, { keep: ['id'], outputShards: 3 }));
  const written = await featurize(ofText());
  assert.deepEqual([written.rowsOut, written.shards], [29_001, 3]);
  assertOnlyWholeShards(features);
  assert.deepEqual(rows(features), rows(place.output));
  rmSync(join(features, 'part-00001-of-00003.parquet'));
  const again = await featurize(ofText());
  assert.deepEqual([again.shards, again.shardsSkipped], [1, 2]);
  assert.deepEqual(rows(features), rows(place.output));
  assert.equal((await featurize(ofText())).shardsSkipped, 3);
  assert.equal((await planFeaturize(ofText({ output: join(place.folder, 'none') }))).shards.length, 3);
  assert.equal((await caught(featurize(ofText({ outputShards: 2 })))).code, 'BAD_OUTPUT');
  assertFailure(await caught(featurize(ofText({ limit: 10, output: join(place.folder, 'some') }))), {
    code: 'USAGE',
    place: {},
    message: /^Expected Parquet files for some of their rows in files of equally many, got files of other formats/,
  });
});
