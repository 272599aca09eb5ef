import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { planScore } from '../pipeline.ts';
import { driverModuleVariable } from '../planning/devices.ts';
import { identityModel } from '../testing/models.ts';
import { networkModel, randomNetwork } from '../testing/networks.ts';
import type { ModelSpec } from '../testing/onnx.ts';
import { softwareGpusVariable, type SoftwareGpuOptions } from '../testing/software-gpu/driver.ts';
import { randomTrees, treeRegressorModel } from '../testing/trees.ts';
import { countShard, copyContract, misplaced } from './counting.ts';
import { Workplace } from './workplace.ts';

process.env[driverModuleVariable] = new URL('../testing/software-gpu/driver.js', import.meta.url).href;

/** Software GPUs that leave these operators to the CPU. */
function useGpus(...cpuOperators: readonly (readonly string[])[]): void {
  const gpus = cpuOperators.map((operators): SoftwareGpuOptions => ({ memoryBytes: 2 ** 26, cpuOperators: operators }));
  process.env[softwareGpusVariable] = JSON.stringify(gpus);
}

function placeWith(t: { after(remove: () => void): void }, model: ModelSpec): Workplace {
  const place = new Workplace(t);
  place.writeModel(model, copyContract);
  place.shard('0.parquet', countShard(5000));
  return place;
}

/** x + 0 · rows: the batch itself, past the arithmetic that reshaping would need. */
const addsNothing: ModelSpec = {
  ...identityModel('float32'),
  nodes: [
    { op: 'Shape', inputs: ['x'], outputs: ['sizes'] },
    { op: 'Gather', inputs: ['sizes', 'zero'], outputs: ['rows'] },
    { op: 'Mul', name: 'none', inputs: ['rows', 'zero'], outputs: ['none'] },
    { op: 'Cast', name: 'size', inputs: ['none'], outputs: ['float'], attributes: { to: { int: 1 } } },
    { op: 'Add', name: 'sum', inputs: ['x', 'float'], outputs: ['y'] },
  ],
  initializers: [{ name: 'zero', elementType: 'int64', shape: [], values: [0] }],
};

test('a node of the CPU on the way of the batch is an error that names it and says what to do', async (t) => {
  const place = placeWith(t, networkModel(randomNetwork([1, 3, 3, 3, 3, 3, 3, 3, 1], 1)));
  useGpus(['Relu']);
  const error = await place.fails(
    {
      code: 'BAD_MODEL',
      place: {},
      message:
        /^Expected software:0 to run every node that the batch passes, got 7 nodes for which .*: Relu_1 \(Relu\), .*Relu_9 \(Relu\) and 2 more\.$/,
      remedy: /copied to the CPU and back while the GPU waits.*--device cpu.*--allow-cpu-nodes/,
    },
    { device: 'cuda' },
  );
  assert.equal(error.exitCode, 65);
});

test('allowed, it is a warning for each GPU, and the scores are those of the CPU', async (t) => {
  const place = placeWith(t, addsNothing);
  useGpus(['Add', 'Gather'], ['Add', 'Gather']);
  const result = await place.score({ device: 'cuda', allowCpuNodes: true });
  assert.deepEqual([...result.warnings].sort(), [
    'software:0 leaves 1 node that the batch passes to the CPU (Add): each costs a copy there and back while the GPU waits.',
    'software:1 leaves 1 node that the batch passes to the CPU (Add): each costs a copy there and back while the GPU waits.',
  ]);
  assert.deepEqual(result.devices[0]!.cpuNodes, { shape: 1, data: 1 });
  assert.deepEqual(misplaced(join(place.output, '0.parquet')), { rowCount: 5000, wrong: 0 });
});

test('arithmetic on shapes is counted, and nothing is said', async (t) => {
  const place = placeWith(t, addsNothing);
  useGpus(['Gather', 'Mul', 'Cast']);
  const result = await place.score({ device: 'cuda' });
  assert.deepEqual(result.devices[0]!.cpuNodes, { shape: 3, data: 0 });
  assert.deepEqual(result.warnings, []);
  const onCpu = await place.score({ device: 'cpu', overwrite: true });
  assert.deepEqual(onCpu.devices, []);
});

test('boosted trees are refused before a GPU is opened; `auto` scores them on the CPU', async (t) => {
  const trees = randomTrees({ treeCount: 3, leafCount: 4, ranges: [[0, 5000]], seed: 1 });
  const place = placeWith(t, treeRegressorModel(trees, 1));
  useGpus([]);
  await place.failsToPlan(
    {
      code: 'BAD_MODEL',
      place: {},
      message:
        /got 1 node for which ONNX Runtime needs the CPU: TreeEnsembleRegressor_0 \(ai\.onnx\.ml\.TreeEnsembleRegressor\)\.$/,
      remedy: /Score with --device cpu: boosted trees run faster there/,
    },
    { device: 'cuda' },
  );
  assert.equal((await planScore(place.options({ device: 'cuda', allowCpuNodes: true }))).device, 'software:0');
  const result = await place.score({ device: 'auto' });
  assert.equal(result.device, 'cpu');
  assert.deepEqual(result.warnings, [
    'Scoring on the CPU: ONNX Runtime has no CUDA code for 1 node of the model: TreeEnsembleRegressor_0 ' +
      '(ai.onnx.ml.TreeEnsembleRegressor); boosted trees are faster there anyway.',
  ]);
});

test('`auto` scores strings on the CPU, and takes the GPU for what it can run', async (t) => {
  useGpus([]);
  const texts = new Workplace(t);
  texts.writeModel(identityModel('string'), { inputs: { x: [{ column: 'x', text: true }] } });
  texts.shard('0.parquet', "SELECT 'row ' || i AS x FROM range(10) rows(i)");
  const result = await texts.score({ device: 'auto' });
  assert.equal(result.device, 'cpu');
  assert.deepEqual(result.warnings, ["Scoring on the CPU: the model's input x holds strings."]);
  const numbers = placeWith(t, addsNothing);
  assert.equal((await numbers.score({ device: 'auto' })).device, 'software:0');
});
