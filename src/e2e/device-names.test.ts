import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planScore } from '../pipeline.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import { identityModel } from '../testing/models.ts';
import { softwareGpusVariable } from '../testing/software-gpu/driver.ts';
import { copyContract, countShard } from './counting.ts';
import { Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;

test('GPUs are named by number and by the start of their UUID, each once', async (t) => {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('0.parquet', countShard(1000));
  const uuids = ['GPU-1f4c2a3b-01', 'GPU-1f4c9999-02', 'MIG-77aa0000-03'];
  process.env[softwareGpusVariable] = JSON.stringify(uuids.map((uuid) => ({ memoryBytes: 2 ** 26, uuid })));
  const devicesOf = async (device: string) => (await planScore(place.options({ device }))).device;
  assert.equal(await devicesOf('cuda:GPU-1f4c9'), 'software:1');
  assert.equal(await devicesOf('cuda:MIG-77,0,GPU-1f4c2'), 'software:2, software:0');
  await place.failsToPlan(
    {
      code: 'USAGE',
      place: {},
      message: /Expected GPU-1f4c to begin the UUID of exactly one of 3 GPUs/,
      remedy:
        /software:0 \(software GPU, GPU-1f4c2a3b-01\), software:1 .*, software:2 \(software GPU, MIG-77aa0000-03\)\.$/,
    },
    { device: 'cuda:GPU-1f4c' },
  );
  process.env['CUDA_VISIBLE_DEVICES'] = '5,6,7';
  t.after(() => delete process.env['CUDA_VISIBLE_DEVICES']);
  await place.failsToPlan(
    {
      code: 'USAGE',
      place: {},
      message: /Expected GPU-99 to begin the UUID/,
      remedy: /CUDA_VISIBLE_DEVICES is `5,6,7` and hides all others\.$/,
    },
    { device: 'cuda:GPU-99' },
  );
  assert.equal((await place.score({ device: 'cuda:GPU-1f4c2' })).device, 'software:0');
});
