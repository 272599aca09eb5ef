/**
 * Forests on one thread: every form of the kernel against ONNX Runtime, on the same rows in the same run. Answers are
 * compared before anything is timed.
 *
 *     npm run bench:trees
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatTable } from '../src/cli/format.ts';
import { BoundRun, createRunOptions, releaseRunOptions } from '../src/engines/onnxruntime/run.ts';
import { closeSession, openSession } from '../src/engines/onnxruntime/session.ts';
import { readWeightedGraph } from '../src/engines/onnxruntime/model-weights.ts';
import { createKernelMemory } from '../src/engines/wasm.ts';
import {
  compileForest,
  describeForest,
  ForestKernel,
  kernelForms,
  readTrees,
  type KernelForm,
  type TreesModel,
} from '../src/score/trees/trees.ts';
import { writeModel, type ModelSpec } from '../src/testing/onnx.ts';
import { randomFloats, seededRandom } from '../src/testing/random.ts';
import { randomTrees, treeClassesModel, treeRegressorModel, type Tree } from '../src/testing/trees.ts';
import { expectClose, median, medianRatio, timeRate } from './measure.ts';
import { takesNoArguments } from './help.ts';

interface ForestCase {
  readonly name: string;
  readonly treeCount: number;
  readonly leafCount: number;
  readonly columnCount: number;
  /** Different thresholds of a column; 0: every node has its own. */
  readonly binCount: number;
  /** 1: a regressor. */
  readonly classCount: number;
}

const cases: readonly ForestCase[] = [
  { name: 'boosted, 31 leaves', treeCount: 100, leafCount: 31, columnCount: 32, binCount: 255, classCount: 1 },
  { name: 'boosted, 64 leaves', treeCount: 500, leafCount: 64, columnCount: 32, binCount: 255, classCount: 1 },
  { name: '10 classes', treeCount: 500, leafCount: 32, columnCount: 32, binCount: 255, classCount: 10 },
  { name: '300 columns', treeCount: 500, leafCount: 31, columnCount: 300, binCount: 255, classCount: 1 },
  { name: 'forest, 256 leaves', treeCount: 100, leafCount: 256, columnCount: 32, binCount: 0, classCount: 1 },
  { name: 'forest, 3000 leaves', treeCount: 50, leafCount: 3000, columnCount: 32, binCount: 0, classCount: 1 },
];

const rowCount = 4_096;
/** Rows that ONNX Runtime scores at a time where it is fastest. */
const batchSizes = [256, 1_024];
const rounds = 7;
const secondsEach = 0.2;
const tolerance = 1e-6;

/** One way to score all rows; gives their number. */
interface Contestant {
  readonly name: string;
  run(): number;
  /** Output values, after a run. */
  readonly values: ArrayLike<number>;
}

const low = -2;
const high = 2;

function specOf({ treeCount, leafCount, columnCount, binCount, classCount }: ForestCase): ModelSpec {
  const ranges = Array.from({ length: columnCount }, () => [low, high] as const);
  const trees = randomTrees({ treeCount, leafCount, ranges, seed: 1 });
  if (binCount > 0) for (const tree of trees) roundThresholds(tree, binCount);
  return classCount === 1 ? treeRegressorModel(trees, columnCount) : treeClassesModel(trees, columnCount, classCount);
}

/** As histograms of that many bins leave them. */
function roundThresholds({ thresholds }: Tree, binCount: number): void {
  const width = (high - low) / binCount;
  thresholds.forEach((threshold, node) => {
    thresholds[node] = Math.fround(Math.round(threshold / width) * width);
  });
}

function openRuntime(path: string, output: string, x: Float32Array, columnCount: number, width: number) {
  const session = openSession(path, { intraOpThreads: 1 });
  const options = createRunOptions();
  const contestants = batchSizes.map((size): Contestant & { close(): void } => {
    const values = new Float32Array(rowCount * width);
    const runs = Array.from({ length: rowCount / size }, (_, batch) => {
      const input = x.subarray(batch * size * columnCount, (batch + 1) * size * columnCount);
      const into = values.subarray(batch * size * width, (batch + 1) * size * width);
      return new BoundRun(
        session,
        [{ name: 'x', elementType: 'float32', shape: [size, columnCount], values: input }],
        [{ name: output, elementType: 'float32', shape: [size, width], values: into }],
      );
    });
    return {
      name: `ONNX Runtime, ${size} rows a run`,
      values,
      run() {
        for (const run of runs) run.run(options);
        return rowCount;
      },
      close() {
        for (const run of runs) run.close();
      },
    };
  });
  return {
    contestants,
    close() {
      for (const contestant of contestants) contestant.close();
      releaseRunOptions(options);
      closeSession(session);
    },
  };
}

function openKernel(
  model: TreesModel,
  form: KernelForm,
  x: Float32Array,
  columnCount: number,
  width: number,
): Contestant {
  const forest = compileForest(model, form);
  const { tables, scratchBytes, columns } = forest;
  const memory = createKernelMemory(tables.length + scratchBytes + 4 * rowCount * (columns.length + width) + 2 ** 16);
  const { buffer } = memory.memory;
  const tablesAt = memory.allocate(tables.length);
  new Uint8Array(buffer).set(tables, tablesAt);
  const kernel = new ForestKernel(forest, memory, tablesAt);
  const places = columns.map(({ element }) => {
    const at = memory.allocate(4 * rowCount);
    new Float32Array(buffer, at, rowCount).forEach((_, row, column) => {
      column[row] = x[row * columnCount + element]!;
    });
    return at;
  });
  const outputAt = memory.allocate(4 * rowCount * width);
  return {
    name: describeForest(forest),
    values: new Float32Array(buffer, outputAt, rowCount * width),
    run() {
      kernel.score(places, [outputAt], rowCount);
      return rowCount;
    },
  };
}

function timeCase(each: ForestCase, folder: string): string[][] {
  const path = join(folder, 'model.onnx');
  const spec = specOf(each);
  writeModel(path, spec);
  const output = spec.outputs.at(-1)!.name;
  const model = readTrees(
    readWeightedGraph(path),
    [{ name: 'x', elementType: 'float32', width: each.columnCount }],
    [output],
  );
  if (typeof model === 'string') throw new Error(`Expected a kernel for ${each.name}, got: ${model}`);
  const x = randomFloats(seededRandom(2), rowCount * each.columnCount, low, high);
  const runtime = openRuntime(path, output, x, each.columnCount, each.classCount);
  const kernels = kernelForms(model).map((form) => openKernel(model, form, x, each.columnCount, each.classCount));
  const [expected] = runtime.contestants;
  expected!.run();
  for (const { name, run, values } of kernels) {
    run();
    for (let at = 0; at < values.length; at++) {
      expectClose(`value ${at} of ${each.name} by ${name}`, values[at]!, expected!.values[at]!, tolerance);
    }
  }
  const all: readonly Contestant[] = [...runtime.contestants, ...kernels];
  const rates = all.map((): number[] => []);
  // The first round warms up.
  for (let round = 0; round <= rounds; round++) {
    all.forEach(({ run }, index) => {
      const rate = timeRate(run, secondsEach);
      if (round > 0) rates[index]!.push(rate);
    });
  }
  runtime.close();
  const fastest = rates[0]!.map((_, round) =>
    Math.max(...runtime.contestants.map((_runtime, at) => rates[at]![round]!)),
  );
  return all.map(({ name }, index) => {
    const rate = median(rates[index]!);
    return [
      index === 0 ? each.name : '',
      name,
      (rate / 1e6).toFixed(3),
      (1e9 / rate / each.treeCount).toFixed(2),
      medianRatio(rates[index]!, fastest).toFixed(1),
    ];
  });
}

function main(): void {
  takesNoArguments(
    'Scores random forests of several kinds by every form of the kernel and by ONNX Runtime, on one thread.',
  );
  const folder = mkdtempSync(join(tmpdir(), 'tandem-bench-trees-'));
  try {
    const rows = cases.flatMap((each) => timeCase(each, folder));
    const columns = [
      { title: 'forest' },
      { title: 'scored by' },
      { title: 'M rows/s', align: 'right' },
      { title: 'ns a tree and row', align: 'right' },
      { title: 'times ONNX Runtime', align: 'right' },
    ] as const;
    process.stdout.write(`${formatTable(columns, rows)}\n`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

main();
