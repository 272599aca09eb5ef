import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { tableFromArrays } from 'apache-arrow';
import { scoreBatches } from '../index.ts';
import { check } from '../inspect.ts';
import { planScore } from '../pipeline.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import { identityModel } from '../testing/models.ts';
import { writeShard } from '../testing/shards.ts';
import { softwareGpusVariable } from '../testing/software-gpu/driver.ts';
import { copyContract, countShard } from './counting.ts';
import { columnOf, Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;
process.env[softwareGpusVariable] = JSON.stringify([{ memoryBytes: 2 ** 26 }]);

function counting(t: { after(remove: () => void): void }): Workplace {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('0.parquet', countShard(5_000));
  return place;
}

const tf32 = { device: 'cuda', precision: 'tf32' } as const;

test('tf32 gives other scores than float32, and the result says which it was', async (t) => {
  const place = counting(t);
  const result = await place.score({ ...tf32, batchSize: 512 });
  assert.equal(result.precision, 'tf32');
  // 11 bits hold every whole number up to 2,048, above that the even ones.
  const scores = columnOf(place.rows('0.parquet'), 'y');
  assert.deepEqual([scores[2047], scores[2048], scores[2049], scores[4099]], [2047, 2048, 2048, 4096]);
  const full = await place.score({ device: 'cuda', batchSize: 512, overwrite: true });
  assert.equal(full.precision, 'float32');
  assert.equal(columnOf(place.rows('0.parquet'), 'y')[4099], 4099);
});

test('scoreBatches multiplies as it is told to', async (t) => {
  const place = counting(t);
  const batches = tableFromArrays({ x: Float32Array.of(2047, 2049) }).batches;
  for (const [precision, expected] of [
    ['float32', [2047, 2049]],
    ['tf32', [2047, 2048]],
  ] as const) {
    const scores: number[] = [];
    for await (const batch of scoreBatches(batches, { model: place.model, device: 'cuda', precision }))
      scores.push(...batch.getChild('y')!);
    assert.deepEqual(scores, expected, precision);
  }
  const onCpu = scoreBatches(batches, { model: place.model, precision: 'tf32' });
  await assert.rejects(onCpu.next(), /Expected the precision to be float32 on the CPU, got `tf32`/);
});

test('one output folder never holds two precisions', async (t) => {
  const place = counting(t);
  await place.score({ ...tf32, batchSize: 512 });
  const other = { code: 'BAD_OUTPUT', place: {}, message: /got the output of precision tf32/ } as const;
  await place.refuses(other, { device: 'cuda' });
  await place.refuses(other, {});
  await place.score({ ...tf32, batchSize: 64 });
});

test('an output from before there was a choice is float32', async (t) => {
  const place = counting(t);
  await place.score();
  const path = join(place.output, '_manifests/0.parquet.json');
  writeFileSync(path, readFileSync(path, 'utf8').replace(',"precision":"float32"', ''));
  assert.equal((await place.score()).shardsSkipped, 1);
  const message = /got the output of precision float32/;
  await place.refuses({ code: 'BAD_OUTPUT', place: {}, message }, tf32);
});

test('the CPU has float32 alone', async (t) => {
  const place = counting(t);
  const failure = {
    code: 'USAGE',
    place: {},
    message: /to be float32 on the CPU, got `tf32`/,
    remedy: /--device cuda/,
  } as const;
  await place.failsToPlan(failure, { precision: 'tf32' });
  assert.equal((await planScore(place.options({ device: 'cuda', precision: 'tf32' }))).precision, 'tf32');
});

test('check says how far the scores are off with a precision', async (t) => {
  const place = counting(t);
  writeShard(join(place.model, 'golden.parquet'), 'SELECT i::FLOAT AS x, i::FLOAT AS y FROM range(3000) rows(i)');
  const full = await check({ model: place.model, device: 'cuda' });
  assert.deepEqual([full.passed, full.device, full.precision], [true, 'software:0', 'float32']);
  const rounded = await check({ model: place.model, ...tf32 });
  assert.deepEqual([rounded.passed, rounded.precision, rounded.columns[0]!.differenceMax], [false, 'tf32', 1]);
});
