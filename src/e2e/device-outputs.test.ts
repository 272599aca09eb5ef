import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { driverModuleVariable } from '../planning/devices.ts';
import { filterModel } from '../testing/models.ts';
import { softwareGpusVariable, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { copyContract, countShard, misplaced } from './counting.ts';
import { Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;

const rowCount = 20_001;

/** The model says that y has one row; it has one for each row of the batch until x reaches the limit. */
function place(
  t: { after(remove: () => void): void },
  limit: number,
  gpu: Partial<SoftwareGpuOptions> = {},
): Workplace {
  const here = new Workplace(t);
  here.writeModel(filterModel(limit, 1), copyContract);
  here.shard('0.parquet', countShard(rowCount));
  process.env[softwareGpusVariable] = JSON.stringify([{ memoryBytes: 64 * 2 ** 20, ...gpu }]);
  return here;
}

for (const batchSize of [undefined, 7, 3000]) {
  test(`outputs whose declared shape is not their real one, ${batchSize ?? 'any'} rows a batch`, async (t) => {
    const here = place(t, Infinity);
    await here.score({ device: 'cuda', threads: 2, ...(batchSize && { batchSize }) });
    assert.deepEqual(misplaced(join(here.output, '0.parquet')), { rowCount, wrong: 0 });
  });
}

test('such outputs of a batch that is split for want of memory', async (t) => {
  const here = place(t, Infinity, { outOfMemoryRuns: [1, 2, 6] });
  await here.score({ device: 'cuda', batchSize: 4096 });
  assert.deepEqual(misplaced(join(here.output, '0.parquet')), { rowCount, wrong: 0 });
});

test('such an output without a row for each row of the batch', async (t) => {
  const here = place(t, 5000);
  const message = /Expected the model to score the batch of 1000 rows, got output y of shape \[0, 1\]/;
  await here.fails(
    { code: 'BAD_MODEL', place: {}, message, remedy: /another shape/ },
    { device: 'cuda', batchSize: 1000 },
  );
});
