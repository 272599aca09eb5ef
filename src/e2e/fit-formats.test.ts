/** `fit` over files that are no Parquet: what it finds in the same rows as Parquet. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tableFromArrays, tableToIPC } from 'apache-arrow';
import type { FitOptions } from '../fit/report.ts';
import { inspect } from '../inspect.ts';
import { rowSumModel } from '../testing/models.ts';
import { writeModel } from '../testing/onnx.ts';
import { withConnection } from '../testing/shards.ts';
import { FitPlace } from './fit-place.ts';

const rowCount = 5_000;
const features = [
  { column: 'v', missing: 'median', standardize: 'fit' },
  { column: 'v', bucketize: { quantiles: 7 } },
  { column: 'k', index: 'fit' },
];
const sql = `SELECT i AS id, CASE WHEN i % 9 > 0 THEN sqrt(i) END AS v, 'k' || (i % 4) AS k FROM range(${rowCount}) rows(i)`;

/** A place with the rows in each form; what is read as Parquet is kept where this process keeps its temporary files. */
function placeOfForms(t: { after(remove: () => void): void }): FitPlace {
  const here = new FitPlace(t, features);
  mkdirSync(here.data);
  const copies = [
    ['rows.parquet', 'FORMAT parquet'],
    ['rows.csv', 'FORMAT csv'],
    ['rows.csv.gz', 'FORMAT csv, COMPRESSION gzip'],
    ['rows.jsonl', 'FORMAT json'],
  ];
  withConnection((connection) => {
    for (const [name, settings] of copies)
      connection.execute(`COPY (${sql}) TO '${join(here.data, name!)}' (${settings})`);
  });
  const rows = Array.from({ length: rowCount }, (_, i) => ({ v: i % 9 > 0 ? Math.sqrt(i) : null, k: `k${i % 4}` }));
  const columns = { id: rows.map((_, i) => i), v: rows.map(({ v }) => v), k: rows.map(({ k }) => k) };
  writeFileSync(join(here.data, 'rows.arrow'), tableToIPC(tableFromArrays(columns), 'file'));
  const temporary = join(here.folder, 'temporary');
  mkdirSync(temporary);
  const before = process.env['TMPDIR'];
  process.env['TMPDIR'] = temporary;
  t.after(() => (before === undefined ? delete process.env['TMPDIR'] : (process.env['TMPDIR'] = before)));
  return here;
}

test('text and Arrow give what the same rows as Parquet give, and nothing of them stays', async (t) => {
  const here = placeOfForms(t);
  const of = async (name: string, changes: Partial<FitOptions> = {}): Promise<unknown> => {
    here.writeContract({ inputs: { x: features } });
    return here.fitted({ shards: join(here.data, name), threads: 2, ...changes });
  };
  // Before a fit, too, it can be asked what the features will be.
  writeModel(join(here.model, 'model.onnx'), rowSumModel(3));
  const { model } = await inspect({ shards: join(here.data, 'rows.csv'), model: here.model });
  assert.deepEqual(model!.inputs[0]!.features.length, 3);
  const expected = await of('rows.parquet');
  for (const name of ['rows.csv', 'rows.csv.gz', 'rows.jsonl', 'rows.arrow'])
    assert.deepEqual(await of(name), expected, name);
  const some = { where: 'id % 2 = 1', limit: 1_000 };
  assert.deepEqual(await of('rows.csv', some), await of('rows.parquet', some));
  assert.deepEqual(readdirSync(join(here.folder, 'temporary')), []);
});

test('wrong lines, wrong columns and files that change are named as they were given', async (t) => {
  const here = placeOfForms(t);
  const csv = join(here.data, 'rows.csv');
  here.writeContract({ inputs: { x: features } });
  await here.failsToFit(
    { code: 'TRANSIENT', place: { shard: 'rows.csv' }, message: /Expected the shard to stay as it was/ },
    { shards: csv, onProgress: ({ pass }) => (pass > 0 ? utimesSync(csv, 1, 1) : undefined) },
  );
  here.writeContract({ inputs: { x: { column: 'k', minMax: 'fit' } } });
  await here.failsToFit(
    {
      code: 'BAD_COLUMN',
      place: { shard: 'rows.csv', column: 'k' },
      message: /Expected k to be a number, got VARCHAR/,
    },
    { shards: csv },
  );
  writeFileSync(csv, `v\n${'1\n'.repeat(70_000)}x\n`);
  here.writeContract({ inputs: { x: { column: 'v', minMax: 'fit' } } });
  await here.failsToFit(
    { code: 'BAD_ROW', place: { shard: 'rows.csv', line: 70_002, column: 'v' }, message: /./ },
    { shards: csv },
  );
  assert.deepEqual(readdirSync(join(here.folder, 'temporary')), []);
});
