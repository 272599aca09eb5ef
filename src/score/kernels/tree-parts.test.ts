/** Models cut in two, their trees for a kernel: the two parts give what ONNX Runtime gives for the whole. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { TensorLayout } from '../../batch.ts';
import { cutGraph, cutModel } from '../../engines/onnxruntime/cut-model.ts';
import { readModelGraph } from '../../engines/onnxruntime/model-graph.ts';
import { readWeightedGraph } from '../../engines/onnxruntime/model-weights.ts';
import { createRunOptions, releaseRunOptions } from '../../engines/onnxruntime/run.ts';
import { closeSession, describeSession, openSession } from '../../engines/onnxruntime/session.ts';
import { alignedBytes, createSharedMemory, kernelMemory } from '../../engines/wasm.ts';
import type { ModelPlan, OutputLayout } from '../../plan.ts';
import { featureOf } from '../../testing/contracts.ts';
import { mlDomain, rawBytes, writeModel, type ModelSpec, type NodeSpec } from '../../testing/onnx.ts';
import { randomFloats, seededRandom } from '../../testing/random.ts';
import { runModel } from '../../testing/run-model.ts';
import { tempDir } from '../../testing/shards.ts';
import { stackTrees, treeStacks } from '../../testing/tree-stacks.ts';
import { treeClassesModel } from '../../testing/trees.ts';
import { isEnsemble } from '../trees/read-ensemble.ts';
import { layOutSlot, slotBytes } from '../scorer.ts';
import { compareScores } from './agreement.ts';
import { kernelRows, kernelSizes, writeKernelTables, type KernelModel } from './kernel.ts';
import { SplitScorer } from './split-scorer.ts';
import { readTreeParts, splitModel, type TreeParts } from './tree-parts.ts';

const width = 5;
const stacks = treeStacks({ width, treeCount: 12, leafCount: 9 });

/** Column j holds feature j. */
const input: TensorLayout = {
  name: 'x',
  elementType: 'float32',
  rowShape: [width],
  width,
  features: Array.from({ length: width }, (_, index) => featureOf({ column: `f${index}` })),
  featureWidths: new Array<number>(width).fill(1),
};

function planOf(path: string, outputs: readonly OutputLayout[]): ModelPlan {
  const nothing = { bytes: 0, sha256: '', contractSha256: '', constants: [], columns: [], fixedBatchRows: undefined };
  return { ...nothing, path, inputs: [input], outputs };
}

function partsOf(path: string, outputs: readonly OutputLayout[]): TreeParts | string {
  return readTreeParts(readModelGraph(path), readWeightedGraph(path), [input], outputs, Infinity);
}

function scoreInParts(model: ModelPlan, parts: TreeParts, kernel: KernelModel, rows: Float32Array) {
  const rowCount = rows.length / width;
  const slotRows = Math.ceil(rowCount / kernelRows) * kernelRows;
  const session = openSession(
    { bytes: cutModel(model.path, readModelGraph(model.path), parts.cut), folder: dirname(model.path) },
    { intraOpThreads: 1 },
  );
  const runOptions = createRunOptions();
  try {
    const restInputs = describeSession(session).inputs.map(({ name }) => name);
    const split = splitModel(model, parts, restInputs);
    const bytes = slotBytes(split, slotRows);
    const { tableBytes, scratchBytes } = kernelSizes(kernel);
    const memory = createSharedMemory(bytes + alignedBytes(tableBytes) + scratchBytes);
    const slot = layOutSlot(split, slotRows, memory.buffer, 0);
    split.inputs.forEach(({ order, features }, index) => {
      if (features.length === 0) return;
      const values = slot.inputs[index] as Float32Array;
      rows.forEach((value, at) => {
        values[order === 'columns' ? (at % width) * slotRows + Math.floor(at / width) : at] = value;
      });
    });
    writeKernelTables(kernel, memory.buffer, bytes);
    const own = kernelMemory(memory, bytes + alignedBytes(tableBytes), scratchBytes);
    const scorer = new SplitScorer(split, kernel, own, bytes, session, runOptions, slot);
    scorer.score(rowCount);
    scorer.close();
    return { restInputs, values: slot.outputs };
  } finally {
    releaseRunOptions(runOptions);
    closeSession(session);
  }
}

/** By ONNX Runtime, of the outputs that columns can take. */
function scoreWhole(folder: string, spec: ModelSpec, rows: Float32Array) {
  const tensor = { name: 'x', elementType: 'float32', shape: [rows.length / width, width], values: rows } as const;
  const names = spec.outputs.filter((output) => !('mapsFrom' in output)).map(({ name }) => name);
  const found = runModel(folder, spec, [tensor], names);
  const outputs = names.map((name): OutputLayout => {
    const { elementType, shape } = found[name]!;
    const rowShape = shape.slice(1);
    return { name, elementType, rowShape, width: rowShape.reduce((product, size) => product * size, 1) };
  });
  return { outputs, values: names.map((name) => found[name]!.values) };
}

for (const [what, spec] of Object.entries(stacks)) {
  test(`in two parts: ${what}`, (t) => {
    const folder = tempDir(t);
    for (const rowCount of [1, 31, 32, 33, 100]) {
      const rows = randomFloats(seededRandom(rowCount), rowCount * width, 0, 1);
      const whole = scoreWhole(folder, spec, rows);
      const model = planOf(join(folder, 'model.onnx'), whole.outputs);
      const parts = partsOf(model.path, whole.outputs);
      if (typeof parts === 'string') assert.fail(parts);
      for (const kernel of parts.kernels) {
        const { values } = scoreInParts(model, parts, kernel, rows);
        const { differenceMax, worst } = compareScores(whole.outputs, values, whole.values, rowCount);
        assert.ok(differenceMax <= 1e-6, `${rowCount} rows: ${JSON.stringify(worst)}`);
      }
    }
  });
}

test("in two parts: a model that uses none of ONNX's own operators, and classes of text", (t) => {
  const folder = tempDir(t);
  const rows = randomFloats(seededRandom(3), 500 * width, 0, 1);
  for (const votes of ['one', 'both', 'three'] as const) {
    const spec = { ...textClasses(votes), opset: [{ domain: mlDomain, version: 3 }] };
    const whole = scoreWhole(folder, spec, rows);
    const model = planOf(join(folder, 'model.onnx'), whole.outputs);
    const parts = partsOf(model.path, whole.outputs);
    if (typeof parts === 'string') assert.fail(parts);
    const { values } = scoreInParts(model, parts, parts.kernels[0]!, rows);
    assert.deepEqual(values[0], whole.values[0]);
    assert.ok(new Set(values[0] as string[]).size > 1);
  }
});

/** Two classes by votes for one of them or for both, or three. */
function textClasses(votes: 'one' | 'both' | 'three'): ModelSpec {
  const trees = stackTrees({ width, treeCount: 12, leafCount: 9 });
  if (votes === 'one') return stacks['labels that are text']!;
  const spec = treeClassesModel(trees, width, votes === 'both' ? 2 : 3);
  const [{ attributes: { classlabels_int64s: _places, ...attributes } = {}, ...node }] = spec.nodes as [NodeSpec];
  const texts = ['a', 'b', 'c'].slice(0, votes === 'both' ? 2 : 3);
  return {
    ...spec,
    outputs: [{ name: 'label', elementType: 'string', shape: ['N'] }, spec.outputs[1]!],
    nodes: [{ ...node, attributes: { ...attributes, classlabels_strings: { texts } } }],
  };
}

test('the graph of what is left is that of the file that is left', (t) => {
  const folder = tempDir(t);
  const path = join(folder, 'model.onnx');
  const rows = randomFloats(seededRandom(1), width, 0, 1);
  for (const [what, spec] of Object.entries(stacks)) {
    const parts = partsOf(path, scoreWhole(folder, spec, rows).outputs);
    if (typeof parts === 'string') assert.fail(parts);
    const graph = readModelGraph(path);
    const left = cutGraph(graph, parts.cut);
    assert.ok(!left.nodes.some(isEnsemble));
    const leftPath = join(folder, 'left.onnx');
    writeFileSync(leftPath, cutModel(path, graph, parts.cut));
    assert.deepEqual(left, readModelGraph(leftPath), what);
  }
});

test('what is left has no trees, no weights of theirs, and no inputs that only they read', (t) => {
  const folder = tempDir(t);
  const path = join(folder, 'model.onnx');
  const left = (what: string) => {
    writeModel(path, stacks[what]!);
    const outputs = [{ name: 'y', elementType: 'float32', rowShape: [1], width: 1 } as const];
    const parts = partsOf(path, outputs);
    if (typeof parts === 'string') assert.fail(parts);
    const bytes = cutModel(path, readModelGraph(path), parts.cut);
    const session = openSession({ bytes, folder }, { intraOpThreads: 1 });
    const { inputs, outputs: kept } = describeSession(session);
    closeSession(session);
    return { bytes, inputs: inputs.map(({ name }) => name), outputs: kept.map(({ name }) => name) };
  };
  const beside = left('a network beside them');
  assert.deepEqual([beside.inputs.sort(), beside.outputs], [['trees: sums', 'x'], ['y']]);
  const two = left('two ensembles');
  assert.deepEqual([two.inputs.sort(), two.outputs], [['trees: others', 'trees: sums'], ['y']]);
  for (const { bytes } of [beside, two]) assert.ok(!Buffer.from(bytes).includes('TreeEnsemble'));
});

/** The same model with its weights in a file beside it. */
function withExternal(folder: string, spec: ModelSpec): ModelSpec {
  const parts: Uint8Array[] = [];
  let offset = 0;
  const initializers = spec.initializers!.map((each) => {
    const bytes = rawBytes(each.elementType, each.values as ArrayLike<number>);
    parts.push(bytes);
    const external = { location: 'weights.bin', offset };
    offset += bytes.length;
    return { ...each, external };
  });
  writeFileSync(join(folder, 'weights.bin'), Buffer.concat(parts));
  return { ...spec, initializers };
}

test('weights beside the model file are found', (t) => {
  const folder = tempDir(t);
  const path = join(folder, 'model.onnx');
  const spec = stacks['a network beside them']!;
  const rows = randomFloats(seededRandom(7), 40 * width, 0, 1);
  const whole = scoreWhole(folder, spec, rows);
  writeModel(path, withExternal(folder, spec));
  const parts = partsOf(path, whole.outputs);
  if (typeof parts === 'string') assert.fail(parts);
  const { values } = scoreInParts(planOf(path, whole.outputs), parts, parts.kernels[0]!, rows);
  assert.ok(compareScores(whole.outputs, values, whole.values, 40).differenceMax <= 1e-6);
  const elsewhere = { bytes: cutModel(path, readModelGraph(path), parts.cut), folder: join(folder, 'no-such-folder') };
  assert.throws(() => openSession(elsewhere, { intraOpThreads: 1 }), /weights\.bin/);
});

test('why trees stay where they are', (t) => {
  const path = join(tempDir(t), 'model.onnx');
  const reasonOf = (spec: ModelSpec, name = 'y') => {
    writeModel(path, spec);
    const parts = partsOf(path, [{ name, elementType: 'float32', rowShape: [1], width: 1 }]);
    return typeof parts === 'string' ? parts : 'none';
  };
  const { nodes, ...rest } = stacks['an operator without a kernel']!;
  const [trees, tanh] = nodes;
  const raw = { op: 'Tanh', inputs: ['x'], outputs: ['raw'] };
  assert.equal(
    reasonOf({ ...rest, nodes: [raw, { ...trees!, inputs: ['raw'] }, tanh!] }),
    'Tanh comes before the trees',
  );
  const probit = { ...trees!, attributes: { ...trees!.attributes, post_transform: { text: 'PROBIT' } } };
  assert.equal(reasonOf({ ...rest, nodes: [probit, tanh!] }), 'post-transform PROBIT');
  const beside = { op: 'Exp', inputs: ['x'], outputs: ['y'] };
  assert.equal(
    reasonOf({ ...rest, nodes: [trees!, { ...tanh!, outputs: ['unused'] }, beside] }),
    'its outputs do not come from its trees',
  );
});
