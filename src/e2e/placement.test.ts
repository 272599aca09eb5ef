/** What scores what, and where: models with trees and other parts where GPUs are asked for. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RecordBatch } from 'apache-arrow';
import { planScore, readShards } from '../index.ts';
import { mlDomain, type ModelSpec, type TensorSpec } from '../testing/onnx.ts';
import { stackTrees } from '../testing/tree-stacks.ts';
import { treeClassifierModel } from '../testing/trees.ts';
import { scoreAll, valuesOf } from './arrow-batches.ts';
import { assertClose, gpu, inParts, scoresOf, stackPlace, stacks, useGpus, wholeOnCpu, width } from './stack-places.ts';

const beside = stacks['a network beside them']!;
const tanh = stacks['an operator without a kernel']!;

/** Tanh before the trees and behind them. */
function hiddenTrees(): ModelSpec {
  const { nodes, ...rest } = tanh;
  const [trees, behind] = nodes;
  const before = { op: 'Tanh', inputs: ['x'], outputs: ['raw'] };
  return { ...rest, nodes: [before, { ...trees!, inputs: ['raw'] }, behind!] };
}

/** A branch of the model that goes through an operator of ai.onnx.ml, beside the trees. */
function scaledBeside(): ModelSpec {
  const attributes = { offset: { floats: [0.5] }, scale: { floats: [3] } };
  const scaler = { op: 'Scaler', name: 'scaler', domain: mlDomain, inputs: ['x'], outputs: ['scaled'], attributes };
  const nodes = beside.nodes.map((node) => {
    const isDense = node.inputs[0] === 'x' && node.domain !== mlDomain;
    return isDense ? { ...node, inputs: ['scaled', ...node.inputs.slice(1)] } : node;
  });
  return { ...beside, nodes: [scaler, ...nodes] };
}

/** Trees whose kernel computes e^x otherwise than ONNX Runtime, in the last bit. */
function logistic(): ModelSpec {
  const { nodes, ...rest } = treeClassifierModel(stackTrees({ width, treeCount: 20, leafCount: 12 }), width);
  const behind = { op: 'Tanh', inputs: [rest.outputs[1]!.name], outputs: ['y'] };
  return { ...rest, outputs: [{ ...rest.outputs[1]!, name: 'y' } as TensorSpec], nodes: [...nodes, behind] };
}

test('`auto` and `cuda` take the GPU for the rest, without a word about nodes', async (t) => {
  const place = stackPlace(t, beside, [3000]);
  useGpus(gpu);
  for (const device of ['auto', 'cuda'] as const) {
    const { device: found, scorer, warnings } = await planScore(place.options({ device }));
    assert.deepEqual([found, warnings], ['software:0', []]);
    assert.match(scorer.words, inParts);
    assert.equal(scorer.kind, 'trees');
    assert.equal(scorer.agreement!.rowCount, 3000);
    assert.equal(scorer.timesOnnxRuntime, undefined);
  }
});

test('kernels that nobody wants: `auto` scores on the CPU, `cuda` says why it cannot', async (t) => {
  const place = stackPlace(t, beside, [3000]);
  useGpus(gpu);
  for (const changes of [{ trees: 'onnxruntime' }, { kernels: 'onnxruntime' }] as const) {
    const onCpu = await planScore(place.options({ device: 'auto', ...changes }));
    assert.deepEqual([onCpu.device, onCpu.scorer.words], ['cpu', 'ONNX Runtime: as asked for']);
    assert.match(onCpu.warnings.join(), /^Scoring on the CPU: ONNX Runtime has no CUDA code for 1 node/);
    const remedy = /No kernel takes the trees from it: as asked for\. --allow-cpu-nodes/;
    const failure = { code: 'BAD_MODEL', place: {}, message: /TreeEnsembleRegressor/, remedy } as const;
    await place.failsToPlan(failure, { device: 'cuda', ...changes });
    const allowed = await planScore(place.options({ device: 'cuda', allowCpuNodes: true, ...changes }));
    assert.deepEqual([allowed.device, allowed.scorer.words], ['software:0', 'ONNX Runtime: as asked for']);
    assert.equal(allowed.model.rest, undefined);
  }
});

test('trees that cannot be cut out', async (t) => {
  const place = stackPlace(t, hiddenTrees(), [100]);
  useGpus(gpu);
  assert.equal((await planScore(place.options({ device: 'auto' }))).device, 'cpu');
  const remedy = /No kernel takes the trees from it: Tanh comes before the trees\./;
  await place.failsToPlan({ code: 'BAD_MODEL', place: {}, message: /1 node/, remedy }, { device: 'cuda' });
});

test('a kernel that does not agree', async (t) => {
  const outputs = { y: { column: 's', select: 1 } };
  const place = stackPlace(t, logistic(), [3000], { outputs, kernels: { tolerance: 0 } });
  useGpus(gpu);
  const onCpu = await planScore(place.options({ device: 'auto', kernels: 'kernel' }));
  assert.deepEqual([onCpu.device, onCpu.scorer.words], ['cpu', 'ONNX Runtime: the trees kernel gives other scores']);
  const said = /ONNX Runtime scores: the trees kernel would give y\[/;
  assert.equal(onCpu.warnings.filter((text) => said.test(text)).length, 1);
  const remedy = /No kernel takes the trees from it: the trees kernel gives other scores\./;
  await place.failsToPlan({ code: 'BAD_MODEL', place: {}, message: /1 node/, remedy }, { device: 'cuda' });
  const allowed = await planScore(place.options({ device: 'cuda', allowCpuNodes: true }));
  assert.deepEqual([allowed.device, allowed.model.kernel], ['software:0', undefined]);
  assert.match(allowed.warnings.join(), said);
});

test('a rest that needs the CPU too', async (t) => {
  const place = stackPlace(t, scaledBeside(), [3000]);
  useGpus({ ...gpu, cpuOperators: ['ai.onnx.ml.Scaler'] });
  assert.equal((await planScore(place.options({ device: 'auto' }))).device, 'cpu');
  const remedy = /No kernel takes the trees from it: the rest has ai\.onnx\.ml\.Scaler, which needs the CPU too\./;
  await place.failsToPlan({ code: 'BAD_MODEL', place: {}, message: /2 nodes/, remedy }, { device: 'cuda' });
  await wholeOnCpu(place);
  const result = await place.score({ device: 'cuda', allowCpuNodes: true });
  assert.match(result.scorer, inParts);
  assert.deepEqual(result.warnings, [
    'software:0 leaves 1 node that the batch passes to the CPU (ai.onnx.ml.Scaler): each costs a copy there and back while the GPU waits.',
  ]);
  assertClose(scoresOf(place, 'scores', '0.parquet'), scoresOf(place, 'whole', '0.parquet'));
});

test('a node that only the GPU itself leaves to the CPU is found in what is left', async (t) => {
  const place = stackPlace(t, tanh, [3000]);
  useGpus({ ...gpu, cpuOperators: ['Tanh'] });
  const message = /^Expected software:0 to run every node that the batch passes, got 1 node .*Tanh/;
  await place.fails({ code: 'BAD_MODEL', place: {}, message }, { device: 'cuda' });
});

test('what nothing but unused outputs needs is no hindrance', async (t) => {
  const place = stackPlace(t, stacks['maps behind classes']!, [2000], {
    outputs: { logs: { column: 's', select: 2 } },
  });
  await wholeOnCpu(place);
  useGpus(gpu);
  const result = await place.score({ device: 'auto' });
  assert.deepEqual([result.device, result.warnings], ['software:0', []]);
  assertClose(scoresOf(place, 'scores', '0.parquet'), scoresOf(place, 'whole', '0.parquet'));
});

test('labels that are text are scored on the CPU', async (t) => {
  const outputs = { label: 'label', probabilities: { column: 's', select: 1 } };
  const place = stackPlace(t, stacks['labels that are text']!, [2000], { outputs });
  useGpus(gpu);
  const { device, warnings } = await planScore(place.options({ device: 'auto' }));
  assert.equal(device, 'cpu');
  assert.match(warnings.join(), /^Scoring on the CPU: ONNX Runtime has no CUDA code/);
  const remedy = /No kernel takes the trees from it: label holds strings\./;
  await place.failsToPlan({ code: 'BAD_MODEL', place: {}, message: /1 node/, remedy }, { device: 'cuda' });
});

test('a GPU without room for the rest', async (t) => {
  const place = stackPlace(t, beside, [2000]);
  useGpus({ memoryBytes: 16 });
  assert.equal((await planScore(place.options({ device: 'auto' }))).device, 'cpu');
  await place.failsToPlan({ code: 'MEMORY', place: {}, message: /3 buffers of one row/ }, { device: 'cuda' });
});

test('a run whose shards are whole already', async (t) => {
  const place = stackPlace(t, beside, [2000]);
  useGpus(gpu);
  await place.score({ device: 'cuda' });
  const again = await place.score({ device: 'cuda' });
  assert.deepEqual([again.device, again.shardsSkipped, again.warnings], ['software:0', 1, []]);
});

test('batches of which the first has no rows, and none but such', async (t) => {
  const place = stackPlace(t, beside, [2000]);
  await wholeOnCpu(place);
  useGpus(gpu);
  const batches: RecordBatch[] = [];
  for await (const batch of readShards(join(place.data, '0.parquet'))) batches.push(batch);
  const empty = batches[0]!.slice(0, 0);
  const warnings: string[] = [];
  const options = { model: place.model, device: 'cuda', onWarning: (text: string) => warnings.push(text) };
  const scored = await scoreAll([empty, ...batches], options);
  assertClose(valuesOf(scored, 's'), scoresOf(place, 'whole', '0.parquet'));
  assert.deepEqual(valuesOf(await scoreAll([empty, empty], options), 's'), []);
  assert.deepEqual(warnings, []);
});
