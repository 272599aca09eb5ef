import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { driverModuleVariable } from '../planning/devices.ts';
import { identityModel } from '../testing/models.ts';
import { mlDomain, type ModelSpec } from '../testing/onnx.ts';
import { softwareGpusVariable } from '../testing/software-gpu/driver.ts';
import { copyContract, countShard } from './counting.ts';
import { columnOf, Workplace, type Failure } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;
process.env[softwareGpusVariable] = JSON.stringify([{ memoryBytes: 64 * 2 ** 20 }]);

test('a constant text reaches the model on a device too', async (t) => {
  const place = new Workplace(t);
  const model: ModelSpec = {
    inputs: [
      { name: 'x', elementType: 'float32', shape: ['N', 1] },
      { name: 'country', elementType: 'string', shape: [1] },
    ],
    outputs: [{ name: 'y', elementType: 'float32', shape: ['N', 1] }],
    nodes: [
      {
        op: 'LabelEncoder',
        domain: mlDomain,
        inputs: ['country'],
        outputs: ['bonus'],
        attributes: { keys_strings: { texts: ['FR', 'DE'] }, values_floats: { floats: [100, 200] } },
      },
      { op: 'Add', inputs: ['x', 'bonus'], outputs: ['y'] },
    ],
  };
  place.writeModel(model, { inputs: { x: [{ column: 'x' }], country: { constant: 'DE' } }, keep: [] });
  place.shard('0.parquet', 'SELECT i::FLOAT AS x FROM range(3) rows(i)');
  await place.score({ device: 'cuda' });
  assert.deepEqual(columnOf(place.rows('0.parquet'), 'y'), [200, 201, 202]);
});

test('the rows that fill up a fixed batch on a device are rows of the shard', async (t) => {
  const place = new Workplace(t);
  // What lies in device memory before the first batch is no index.
  const model: ModelSpec = {
    inputs: [{ name: 'x', elementType: 'int64', shape: [32, 1] }],
    outputs: [{ name: 'y', elementType: 'float32', shape: [32, 1] }],
    nodes: [{ op: 'Gather', inputs: ['table', 'x'], outputs: ['y'] }],
    initializers: [{ name: 'table', elementType: 'float32', shape: [4], values: [10, 11, 12, 13] }],
  };
  place.writeModel(model, { inputs: { x: [{ column: 'x' }] }, keep: [] });
  place.shard('0.parquet', 'SELECT i AS x FROM range(3) rows(i)');
  await place.score({ device: 'cuda' });
  assert.deepEqual(columnOf(place.rows('0.parquet'), 'y'), [10, 11, 12]);
});

/** What comes of sessions that open, or not, with these texts. */
async function openingSessions(t: TestContext, errors: readonly (string | null)[], failure: Failure): Promise<void> {
  const place = new Workplace(t);
  place.writeModel(identityModel('float32'), copyContract);
  place.shard('0.parquet', countShard(1000));
  const gpus = [{ memoryBytes: 2 ** 26, sessionErrors: errors }];
  process.env[softwareGpusVariable] = JSON.stringify(gpus);
  await place.fails(failure, { device: 'cuda', threads: 2 });
}

test('no memory for a session is no fault of the model', async (t) => {
  const text =
    'bfc_arena.cc:376 AllocateRawInternal Available memory of 1048576 is smaller than requested bytes of 2097152';
  const message = /Expected software:0 to have the memory that was planned, got: .* smaller than requested/;
  await openingSessions(t, [text], { code: 'MEMORY', place: {}, message });
});

test('a device that is lost before it has scored anything ends the run', async (t) => {
  const text = 'CUDA failure 719: unspecified launch failure ; GPU=1 ; expr=cudaDeviceSynchronize();';
  await openingSessions(t, [text], { code: 'TRANSIENT', place: {}, message: /Expected software:0 to answer/ });
});

test("what the machine lacks for the model is the environment's fault, with advice", async (t) => {
  const text = 'cuDNN is not available. Install cuDNN, update the system library search path, or set enable_cudnn=0';
  const message = /Expected software:0 to run the model, got: cuDNN .* the model has convolutions/;
  await openingSessions(t, [text], { code: 'ENVIRONMENT', place: {}, message, remedy: /setup cuda --cudnn/ });
});

test('anything else about a session is about the model', async (t) => {
  const text = 'Could not find an implementation for Add(6) node';
  await openingSessions(t, [text], {
    code: 'BAD_MODEL',
    place: {},
    message: /that ONNX Runtime loads, got an operator/,
  });
});
