/** Rows that are taken, scored on a device: slots are full of taken rows only, and bad ones are named by the file's rows. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driverModuleVariable } from '../planning/devices.ts';
import { identityModel } from '../testing/models.ts';
import { softwareGpusVariable } from '../testing/software-gpu/driver.ts';
import { columnOf, Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;
process.env[softwareGpusVariable] = JSON.stringify([{ memoryBytes: 64 * 2 ** 20 }]);

test('taken rows on a device, and a bad one among them', async (t) => {
  const here = new Workplace(t);
  here.writeModel(identityModel('float32'), { inputs: { x: [{ column: 'x' }] }, keep: ['id'] });
  const sql = `SELECT i AS id, CASE WHEN i = 777 THEN NULL ELSE i END::FLOAT AS x FROM range(5000) rows(i)`;
  for (const name of ['a.parquet', 'b.parquet']) here.shard(name, sql, { rowGroupRows: 2048 });
  const options = { device: 'cuda', threads: 2, limit: 1000 };
  await here.score({ ...options, where: 'id % 7 = 1' });
  const ids = [...columnOf(here.rows('a.parquet'), 'id'), ...columnOf(here.rows('b.parquet'), 'id')].map(Number);
  const taken = Array.from({ length: 5000 }, (_, id) => id).filter((id) => id % 7 === 1);
  assert.equal(taken.length, 715);
  assert.deepEqual(ids, [...taken, ...taken.slice(0, 285)]);
  assert.deepEqual(columnOf(here.rows('a.parquet'), 'y'), taken);
  const place = { shard: 'a.parquet', rowGroup: 0, row: 777, column: 'x' };
  await here.fails(
    { code: 'BAD_ROW', place, message: /got null/ },
    // Both shards have such a row; one thread meets the first one's first.
    { ...options, threads: 1, where: 'id % 7 = 0', output: `${here.output}-2` },
  );
});
