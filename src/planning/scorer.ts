/**
 * Chooses what scores where the threads score in place: ONNX Runtime, or a kernel of ours where one knows the model,
 * agrees with ONNX Runtime on rows of the shards, and is faster on them.
 */
import type { NumberArray, TensorValues } from '../batch.ts';
import { alignedBytes, createSharedMemory, kernelMemory } from '../engines/wasm.ts';
import type { Pointer } from '../engines/native.ts';
import { readModelGraph } from '../engines/onnxruntime/model-graph.ts';
import { readWeightedGraph } from '../engines/onnxruntime/model-weights.ts';
import { createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import { compareMsMax, kernelBatchRows, kernelNodesMax, kernelSampleRows, raceBatchRows } from '../limits.ts';
import type { KernelOptions } from '../options.ts';
import type { ChosenScorer, ModelPlan } from '../plan.ts';
import type { SourceTable } from '../read/footers.ts';
import { compareScores, type Agreement } from '../score/kernels/agreement.ts';
import { KernelScorer } from '../score/kernels/kernel-scorer.ts';
import {
  kernelRows,
  kernelSizes,
  kernelWords,
  readKernelModel,
  writeKernelTables,
  type KernelModel,
} from '../score/kernels/kernel.ts';
import { race, type Contender } from '../score/kernels/race.ts';
import { layOutSlot, slotBytes, SlotScorer, type Slot } from '../score/scorer.ts';
import type { PlanningEngines, ResolvedModel } from './model.ts';
import { readSample, type Sample } from './sample.ts';

/** The choice, and the model's part of the plan as it follows from it. */
export interface ScorerChoice {
  readonly model: ModelPlan;
  /** Undefined: ONNX Runtime scores. */
  readonly kernel: KernelModel | undefined;
  readonly scorer: ChosenScorer;
  /** That a kernel knows the model and does not agree. */
  readonly warnings: readonly string[];
}

/**
 * @param tables those whose rows are to be scored
 * @param now seconds, from a monotonic clock
 */
export function chooseScorer(
  engines: PlanningEngines,
  tables: readonly SourceTable[],
  resolved: ResolvedModel,
  model: ModelPlan,
  options: KernelOptions,
  now: () => number = () => performance.now() / 1000,
): ScorerChoice {
  const table = tables.find((candidate) => candidate.rowCount > 0);
  if (table === undefined) return byOnnxRuntime(model, 'there are no rows');
  const kernel = findKernel(model, options);
  if (typeof kernel === 'string') return byOnnxRuntime(model, kernel);
  const sample = readSample(engines.reader, table, resolved, Math.min(kernelSampleRows, table.rowCount));
  if (sample.rowCount === 0) return byOnnxRuntime(model, 'no row could be read to compare on');
  const runOptions = createRunOptions();
  const trial = new Trial(model, kernel, sample, engines.session, runOptions);
  try {
    const agreement = trial.compare(now);
    const { tolerance } = resolved.contract.kernels;
    if (agreement.differenceMax > tolerance) return disagreeing(model, kernel, agreement, tolerance, table.name);
    const [ours = 0, theirs = 0] = race(trial.contenders, now);
    return fasterOf(model, kernel, agreement, theirs / ours);
  } finally {
    trial.close();
    releaseRunOptions(runOptions);
  }
}

/** What scores on GPUs. */
export function scoresOnDevices(model: ModelPlan): ScorerChoice {
  return byOnnxRuntime(model, undefined);
}

/** A kernel that knows the model; in words why there is none, undefined where nobody would ask. */
function findKernel(model: ModelPlan, { kernels = 'auto' }: KernelOptions): KernelModel | string {
  if (kernels === 'onnxruntime') return 'as asked for';
  const [constant] = model.constants;
  if (constant !== undefined) return `input ${constant.name} is a constant`;
  const nodeCount = readModelGraph(model.path).nodes.length;
  if (nodeCount > kernelNodesMax) return `it has ${nodeCount} nodes, and kernels know small graphs`;
  return readKernelModel(readWeightedGraph(model.path), model.inputs, model.outputs);
}

function byOnnxRuntime(model: ModelPlan, reason: string | undefined, tried: Partial<ChosenScorer> = {}): ScorerChoice {
  const words = reason === undefined ? 'ONNX Runtime' : `ONNX Runtime: ${reason}`;
  return { model, kernel: undefined, scorer: { kind: 'onnxruntime', words, ...tried }, warnings: [] };
}

function disagreeing(
  model: ModelPlan,
  kernel: KernelModel,
  agreement: Agreement,
  tolerance: number,
  shard: string,
): ScorerChoice {
  const { row, value, kernel: ours, onnxRuntime } = agreement.worst!;
  const name = kernelWords(kernel).split(':')[0]!;
  const choice = byOnnxRuntime(model, `the ${name} kernel gives other scores`, { agreement });
  const text =
    `ONNX Runtime scores: the ${name} kernel would give ${value} of row ${row} of ${shard} as ${ours}, ONNX Runtime ` +
    `gives ${onnxRuntime}. That is more than the tolerance of ${tolerance} (\`"kernels": { "tolerance": ... }\` in ` +
    `tandem.json): float32 sums in another order differ most where large terms cancel out.`;
  return { ...choice, warnings: [text] };
}

function fasterOf(model: ModelPlan, kernel: KernelModel, agreement: Agreement, ratio: number): ScorerChoice {
  const tried = { agreement, timesOnnxRuntime: ratio };
  const words = kernelWords(kernel);
  if (!(ratio > 1)) return byOnnxRuntime(model, `${(1 / ratio).toFixed(1)} times the kernel (${words})`, tried);
  const inputs = model.inputs.map((tensor) => ({ ...tensor, order: 'columns' as const }));
  return {
    // Kernels run any number of rows.
    model: { ...model, inputs, fixedBatchRows: undefined, kernel: kernelSizes(kernel) },
    kernel,
    scorer: { kind: kernel.kind, words: `${words}, ${ratio.toFixed(1)} times ONNX Runtime`, ...tried },
    warnings: [],
  };
}

/** Both ways to score, over the same rows. */
class Trial {
  readonly #model: ModelPlan;
  readonly #sample: Sample;
  readonly #theirSlot: Slot;
  readonly #theirs: SlotScorer;
  readonly #ourSlot: Slot;
  readonly #ours: KernelScorer;

  constructor(model: ModelPlan, kernel: KernelModel, sample: Sample, session: Pointer, runOptions: Pointer) {
    this.#model = model;
    this.#sample = sample;
    const batchRows = model.fixedBatchRows ?? Math.min(kernelBatchRows, sample.rowCount);
    this.#theirSlot = layOutSlot(model, batchRows, new ArrayBuffer(slotBytes(model, batchRows)), 0);
    this.#theirs = new SlotScorer(model, session, runOptions, this.#theirSlot);
    const rows = Math.ceil(sample.rowCount / kernelRows) * kernelRows;
    const { tableBytes, scratchBytes } = kernelSizes(kernel);
    const [slot, tables, scratch] = [slotBytes(model, rows), alignedBytes(tableBytes), alignedBytes(scratchBytes)];
    const memory = createSharedMemory(slot + tables + scratch);
    this.#ourSlot = layOutSlot(model, rows, memory.buffer, 0);
    writeKernelTables(kernel, memory.buffer, slot);
    this.#ours = new KernelScorer(kernel, kernelMemory(memory, slot + tables, scratch), slot, this.#ourSlot);
    this.#fillColumns();
  }

  /** Of as many rows as ONNX Runtime scores in the time, one batch at least. */
  compare(now: () => number): Agreement {
    const { rowCount } = this.#sample;
    this.#ours.score(rowCount);
    const theirs = this.#ourSlot.outputs.map((values) => (values as NumberArray).slice());
    const end = now() + compareMsMax / 1000;
    let compared = 0;
    while (compared < rowCount && (compared === 0 || now() < end)) {
      const batch = Math.min(this.#theirSlot.rowCount, rowCount - compared);
      this.#fillRows(compared, batch);
      this.#theirs.score(batch);
      this.#model.outputs.forEach(({ width }, index) => {
        const scores = this.#theirSlot.outputs[index] as NumberArray;
        copyValues(scores, 0, batch * width, theirs[index]!, compared * width);
      });
      compared += batch;
    }
    return compareScores(this.#model.outputs, this.#ourSlot.outputs, theirs, compared);
  }

  /** The kernel, then ONNX Runtime. */
  get contenders(): readonly Contender[] {
    const { fixedBatchRows } = this.#model;
    const sizes = (rowsMax: number): number[] => [...new Set(raceBatchRows.map((rows) => Math.min(rows, rowsMax)))];
    return [
      { sizes: sizes(this.#sample.rowCount), run: (rowCount) => this.#ours.score(rowCount) },
      {
        sizes: fixedBatchRows === undefined ? sizes(this.#theirSlot.rowCount) : [fixedBatchRows],
        run: (rowCount) => this.#theirs.score(rowCount),
      },
    ];
  }

  close(): void {
    this.#theirs.close();
    this.#ours.close();
  }

  #fillColumns(): void {
    this.#model.inputs.forEach(({ width }, index) => {
      const [rows, columns] = [this.#sample.values[index] as Float32Array, this.#ourSlot.inputs[index] as Float32Array];
      for (let column = 0; column < width; column++) {
        const start = column * this.#ourSlot.rowCount;
        for (let row = 0; row < this.#sample.rowCount; row++) columns[start + row] = rows[row * width + column]!;
      }
    });
  }

  #fillRows(first: number, rowCount: number): void {
    this.#model.inputs.forEach(({ width }, index) => {
      const rows = this.#sample.values[index] as NumberArray;
      copyValues(rows, first * width, rowCount * width, this.#theirSlot.inputs[index]!, 0);
    });
  }
}

/** Both are of one class: tensors of one layout. */
function copyValues(from: NumberArray, first: number, count: number, target: TensorValues, at: number): void {
  (target as Float64Array).set(from.subarray(first, first + count) as Float64Array, at);
}
