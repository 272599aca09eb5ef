/** Whole runs with the pure-JavaScript reader, against the same runs with the native one. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { quotePath, quoteText } from '../engines/duckdb/database.ts';
import type { ReaderName } from '../options.ts';
import { identityModel, rowSumModel, squareRootModel } from '../testing/models.ts';
import { corruptPage, withConnection } from '../testing/shards.ts';
import { countTo, listFiles, Workplace } from './workplace.ts';

const root = join(import.meta.dirname, '../../..');
const flights = join(root, 'node_modules/vega-datasets/data/flights-3m.parquet');

/** A shard without dictionaries, which parquetjs-lite reads in any size. */
function plainShard(place: Workplace, name: string, sql: string, settings = ''): void {
  place.shard(name, 'SELECT 1 AS x');
  withConnection((connection) =>
    connection.execute(
      `COPY (${sql}) TO ${quoteText(join(place.data, name))}
    (FORMAT parquet, COMPRESSION snappy, DICTIONARY_SIZE_LIMIT 0${settings})`,
    ),
  );
}

/** Runs with both readers, and expects equal columns, types and values in every shard's output. */
async function scoresAlike(place: Workplace, changes: object = {}): Promise<void> {
  const native = await place.score(changes);
  const output = join(place.folder, 'scores-js');
  const result = await place.score({ ...changes, output, reader: 'parquetjs' });
  assert.deepEqual([result.rowsIn, result.rowsOut, result.shards], [native.rowsIn, native.rowsOut, native.shards]);
  const shards = listFiles(place.output).filter((path) => path.endsWith('.parquet'));
  assert.deepEqual(
    listFiles(output).filter((path) => path.endsWith('.parquet')),
    shards,
  );
  withConnection((connection) => {
    for (const shard of shards) {
      const rows = (folder: string): string =>
        `SELECT * FROM read_parquet(${quotePath(join(folder, shard))}, file_row_number=true)`;
      const count = (sql: string): unknown => connection.rows(`SELECT count(*) FROM (${sql})`)[0]![0];
      const types = (folder: string): unknown =>
        connection.rows(`SELECT column_name, column_type FROM (DESCRIBE ${rows(folder)})`);
      assert.deepEqual(types(output), types(place.output));
      assert.equal(count(rows(output)), count(rows(place.output)));
      assert.equal(count(`(${rows(place.output)}) EXCEPT ALL (${rows(output)})`), 0n, shard);
    }
  });
}

test('the flights model without SQL: the same scores from both readers', async (t) => {
  const place = new Workplace(t);
  cpSync(join(root, 'models/flights'), place.model, { recursive: true });
  const path = join(place.model, 'tandem.json');
  const contract = JSON.parse(readFileSync(path, 'utf8')) as { inputs: { x: object[] } };
  const [distance] = contract.inputs.x;
  contract.inputs.x = [distance!, { column: 'weekday', minMax: [0, 6] }, { column: 'hour' }];
  writeFileSync(path, JSON.stringify(contract));
  const sql = (where: string): string =>
    `SELECT *, dayofweek(date) AS weekday, hour(date) AS hour FROM ${quoteText(flights)} WHERE ${where}`;
  plainShard(place, 'a.parquet', `${sql('true')} LIMIT 30000`, ', ROW_GROUP_SIZE 10240');
  plainShard(place, 'deep/b.parquet', `${sql("origin = 'ORD'")} LIMIT 1000`);
  await scoresAlike(place);
  const scores = withConnection((connection) =>
    connection.rows(
      `SELECT count(DISTINCT p_late), min(p_late), max(p_late) FROM read_parquet(${quotePath(join(place.folder, 'scores-js/a.parquet'))})`,
    ),
  );
  const [distinct, least, most] = scores[0]!.map(Number);
  assert.ok(distinct! > 1000 && least! > 0 && most! <= 1 && least! < 0.1 && most! > 0.9, String(scores));
});

for (const rowCount of [0, 1, 2048, 2049, 5000]) {
  test(`${rowCount} rows, nulls and texts kept, batches across row groups`, async (t) => {
    const place = new Workplace(t);
    place.writeModel(rowSumModel(2), { inputs: { x: [{ column: 'a', missing: -1 }, { column: 'b' }] } });
    plainShard(
      place,
      'a.parquet',
      `SELECT CASE WHEN i % 3 = 0 THEN NULL ELSE i END AS a, i::DOUBLE AS b, 'row ' || i AS name,
      CASE WHEN i % 2 = 0 THEN [i, NULL] END AS list, TIMESTAMP '2026-01-01 00:00:00.123456' AS moment
      FROM range(${rowCount}) rows(i)`,
      ', ROW_GROUP_SIZE 2048',
    );
    await scoresAlike(place, { batchSize: 1500 });
  });
}

test('some columns kept, or none; without compression', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('uint64', ['N', 2]), { inputs: { x: [{ column: 'big' }, { column: 'big' }] } });
  plainShard(
    place,
    'a.parquet',
    `SELECT (18446744073709551615 - i)::UBIGINT AS big, 'é' || i AS name, i AS other FROM range(3000) rows(i)`,
  );
  await scoresAlike(place, { keep: ['NAME'], compression: 'none' });
  await scoresAlike(place, { keep: [], overwrite: true });
});

test('scores of strings, and scores that are NaN', async (t) => {
  const place = new Workplace(t);
  plainShard(
    place,
    'a.parquet',
    `SELECT (i - 5)::FLOAT AS x, CASE WHEN i = 3 THEN '' ELSE 'é' || i END AS name FROM range(10) rows(i)`,
  );
  place.writeModel(identityModel('string'), { inputs: { x: [{ column: 'name' }] } });
  await scoresAlike(place);
  place.writeModel(squareRootModel(), { inputs: { x: [{ column: 'x' }] } });
  await scoresAlike(place, { overwrite: true });
});

test('what is whole is not done again', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  for (const name of ['a', 'b', 'c'])
    plainShard(place, `${name}.parquet`, 'SELECT i::FLOAT AS x FROM range(10) rows(i)');
  await place.score({ shards: join(place.data, '*.parquet'), reader: 'parquetjs', threads: 2 });
  const again = await place.score({ shards: join(place.data, '*.parquet'), reader: 'parquetjs' });
  assert.deepEqual([again.shards, again.shardsSkipped, again.rowsOut], [0, 3, 0]);
  assert.deepEqual(
    place.rows('c.parquet').map((row) => row['y']),
    countTo(10),
  );
});

test('a warning says which reader it is', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  plainShard(place, 'a.parquet', 'SELECT 1::FLOAT AS x');
  const { warnings } = await place.score({ reader: 'parquetjs' });
  assert.deepEqual(
    warnings.map((text) => /parquetjs-lite.*native reader/.test(text)),
    [true],
  );
});

test('what parquetjs-lite cannot do is refused before anything is written', async (t) => {
  const place = new Workplace(t);
  const reader = 'parquetjs';
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'distance' }] } });
  const message = /distance in a form that parquetjs-lite reads, got compression ZSTD/;
  const zstd = { shards: flights, reader } as const;
  const here = { shard: 'flights-3m.parquet', column: 'distance' };
  await place.failsToPlan({ code: 'BAD_COLUMN', message, remedy: /native reader/, place: here }, zstd);
  plainShard(
    place,
    'a.parquet',
    `SELECT 1::FLOAT AS x, '2026-01-01'::TIMESTAMPTZ AS zoned, DATE '2026-01-01' AS day,
    1.5::DECIMAL(9, 2) AS amount`,
  );
  place.writeContract({ inputs: { x: [{ sql: 'month(day)' }] } });
  await place.failsToPlan(
    { code: 'BAD_CONTRACT', message: /sql month\(day\)/, remedy: /native reader/, place: {} },
    { reader },
  );
  place.writeContract({ inputs: { x: [{ column: 'x' }] } });
  const kept = (column: string) =>
    ({ code: 'BAD_COLUMN', remedy: /native reader/, place: { shard: 'a.parquet', column } }) as const;
  await place.failsToPlan({ ...kept('zoned'), message: /TIMESTAMP WITH TIME ZONE/ }, { reader, keep: ['zoned'] });
  await place.failsToPlan({ ...kept('amount'), message: /DECIMAL\(9,2\)/ }, { reader, keep: ['x', 'amount'] });
  await place.failsToPlan(
    { code: 'USAGE', message: /zstd/, remedy: /native reader/, place: {} },
    { reader, compression: 'zstd' },
  );
});

test('a bad row and a damaged page leave only whole shards', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  const holed = 'SELECT CASE WHEN i = 3000 THEN NULL ELSE i END::FLOAT AS x FROM range(5000) rows(i)';
  plainShard(place, 'a.parquet', holed, ', ROW_GROUP_SIZE 2048');
  const bad = {
    code: 'BAD_ROW',
    message: /column x/,
    place: { shard: 'a.parquet', rowGroup: 1, row: 3000, column: 'x' },
  } as const;
  await place.fails(bad, { reader: 'parquetjs' });
  plainShard(place, 'a.parquet', 'SELECT i::FLOAT AS x FROM range(5000) rows(i)', ', ROW_GROUP_SIZE 2048');
  corruptPage(join(place.data, 'a.parquet'), 1, 'x');
  const damaged = { code: 'BAD_SHARD', message: /parquetjs-lite/, place: { shard: 'a.parquet' } } as const;
  await place.fails(damaged, { reader: 'parquetjs', overwrite: true });
});

test('DuckDB is not loaded', { skip: !existsSync('/proc/self/maps') }, (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] } });
  plainShard(place, 'a.parquet', 'SELECT i::FLOAT AS x FROM range(10) rows(i)');
  const script = join(place.folder, 'run.mjs');
  // Looks while the engines are still open: they may be unloaded with the last thread that used them.
  writeFileSync(
    script,
    `
    import { readFileSync } from 'node:fs';
    import { score } from ${JSON.stringify(join(import.meta.dirname, '../pipeline.js'))};
    let maps = '';
    const onProgress = ({ phase }) => { if (phase === 'done') maps = readFileSync('/proc/self/maps', 'utf8'); };
    const options = ${JSON.stringify(place.options({ overwrite: true }))};
    const { rowsOut } = await score({ ...options, reader: process.argv[2], onProgress });
    console.log(rowsOut, /libduckdb/.test(maps), /libonnxruntime/.test(maps));`,
  );
  const run = (reader: ReaderName): string =>
    execFileSync(process.execPath, [script, reader], { encoding: 'utf8' }).trim();
  assert.equal(run('parquetjs'), '10 false true');
  assert.equal(run('duckdb'), '10 true true');
});
