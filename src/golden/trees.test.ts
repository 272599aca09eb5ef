/** Forests of every library's exporter: the kernel gives what ONNX Runtime gives, on the rows of the golden files. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readWeightedGraph } from '../engines/onnxruntime/model-weights.ts';
import { BoundRun, createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import { closeSession, openSession } from '../engines/onnxruntime/session.ts';
import { kernelForms, readTrees } from '../score/trees/trees.ts';
import { scoreByKernel } from '../testing/score-trees.ts';
import { seededRandom } from '../testing/random.ts';
import { randomValue } from '../testing/random-ensembles.ts';
import { goldenPath, modelFolders } from './folders.ts';

const folders = modelFolders().filter((name) => name.startsWith('trees-'));
const width = 6;
const rowCount = 500;
/** Relative; what has no exponential function in it is equal bit for bit. */
const tolerance = 1e-6;

test('libraries are here', () => assert.equal(folders.length, 13));

for (const folder of folders) {
  test(`the trees of ${folder}`, () => {
    const path = goldenPath(folder, 'model.onnx');
    const graph = readWeightedGraph(path);
    const input = graph.inputs[0]!;
    const outputNames = folder === 'trees-catboost-label' ? ['label'] : graph.outputs;
    const model = readTrees(graph, [{ name: input, elementType: 'float32', width }], outputNames);
    if (typeof model === 'string') assert.fail(`ONNX Runtime scores: ${model}`);
    const random = seededRandom(5);
    const x = Float32Array.from({ length: rowCount * width }, (_, at) =>
      at % width === width - 1 ? Math.floor(random() * 14) - 1 : randomValue(random),
    );
    const expected = runGolden(path, input, x, outputNames);
    for (const form of kernelForms(model)) {
      const got = scoreByKernel(model, form, rowCount, (_input, element, row) => x[row * width + element]!);
      got.forEach((values, index) => {
        assert.equal(values.length, expected[index]!.length);
        for (let at = 0; at < values.length; at++) {
          const [value, other] = [Number(values[at]), Number(expected[index]![at])];
          assert.ok(Math.abs(value - other) <= tolerance * Math.abs(other), `value ${at}: ${value}, not ${other}`);
        }
      });
    }
  });
}

function runGolden(path: string, input: string, x: Float32Array, outputNames: readonly string[]): ArrayLike<unknown>[] {
  const session = openSession(path, { intraOpThreads: 1 });
  const options = createRunOptions();
  const run = new BoundRun(
    session,
    [{ name: input, elementType: 'float32', shape: [rowCount, width], values: x }],
    outputNames.map((name) => ({ name })),
  );
  run.run(options);
  const outputs = run.fetch().map(({ values }) => values as ArrayLike<unknown>);
  run.close();
  releaseRunOptions(options);
  closeSession(session);
  return outputs;
}
