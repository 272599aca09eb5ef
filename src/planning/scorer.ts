/**
 * Chooses what scores where the threads score in place: ONNX Runtime, or a kernel of ours where one knows the model,
 * agrees with ONNX Runtime on rows of the shards, and is faster on them.
 */
import { readModelGraph } from '../engines/onnxruntime/model-graph.ts';
import { readWeightedGraph } from '../engines/onnxruntime/model-weights.ts';
import {
  kernelNodesMax,
  kernelSampleRows,
  kernelWeightBytesMax,
  raceMs,
  raceMsLost,
  raceMsSmall,
  slotBytesMax,
  smallJobRows,
} from '../limits.ts';
import type { KernelOptions } from '../options.ts';
import type { ChosenScorer, ModelPlan } from '../plan.ts';
import type { SourceTable } from '../read/footers.ts';
import type { Agreement } from '../score/kernels/agreement.ts';
import { kernelRows, kernelSizes, kernelWords, readKernelModels, type KernelModel } from '../score/kernels/kernel.ts';
import { raceTwice } from '../score/kernels/race.ts';
import { slotBytes } from '../score/scorer.ts';
import { slotRowsFor } from './allocate.ts';
import type { PlanningEngines, ResolvedModel } from './model.ts';
import { readSample } from './sample.ts';
import { Trial } from './trial.ts';

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
  const isSmall = tables.reduce((rowCount, each) => rowCount + each.rowCount, 0) < smallJobRows;
  const kernels = findKernels(model, options, isSmall ? 1 : Infinity);
  if (typeof kernels === 'string') return byOnnxRuntime(model, kernels);
  // Wide rows take memory: no more of them than a slot holds.
  const rowsMax = Math.min(kernelSampleRows, slotRowsFor(slotBytes(model, 64) / 64, undefined));
  const sample = readSample(engines.reader, table, resolved, Math.min(rowsMax, table.rowCount));
  if (sample.rowCount === 0) return byOnnxRuntime(model, 'no row could be read to compare on');
  const { tolerance } = resolved.contract.kernels;
  const trial = new Trial(model, kernels, sample, engines.session);
  try {
    trial.scoreByOnnxRuntime(now);
    // One that is not even right is not worth a race.
    const [first] = kernels;
    const agreement = trial.compare(first!);
    if (agreement.differenceMax > tolerance) return disagreeing(model, first!, agreement, tolerance, table.name);
    const seconds = [(isSmall ? raceMsSmall : raceMs) / 1000, raceMsLost / 1000] as const;
    const [theirs = 0, ...ours] = raceTwice(trial.contenders, seconds, now);
    const best = ours.indexOf(Math.min(...ours));
    const kernel = kernels[best]!;
    const found = best === 0 ? agreement : trial.compare(kernel);
    if (found.differenceMax > tolerance) return disagreeing(model, kernel, found, tolerance, table.name);
    return fasterOf(model, kernel, found, theirs / ours[best]!);
  } finally {
    trial.close();
  }
}

/** What scores on GPUs. */
export function scoresOnDevices(model: ModelPlan): ScorerChoice {
  return byOnnxRuntime(model, undefined);
}

/** Kernels that know the model, at least one, or in words why there is none. */
function findKernels(model: ModelPlan, options: KernelOptions, formsMax: number): readonly KernelModel[] | string {
  if (options.kernels === 'onnxruntime') return 'as asked for';
  const [constant] = model.constants;
  if (constant !== undefined) return `input ${constant.name} is a constant`;
  if (slotBytes(model, kernelRows) > slotBytesMax) return `${kernelRows} of its rows take more than a slot`;
  const nodeCount = readModelGraph(model.path).nodes.length;
  if (nodeCount > kernelNodesMax) return `it has ${nodeCount} nodes, and kernels know small graphs`;
  return readKernelModels(
    readWeightedGraph(model.path, kernelWeightBytesMax),
    model.inputs,
    model.outputs,
    options,
    formsMax,
  );
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
  const choice = byOnnxRuntime(model, `the ${kernel.kind} kernel gives other scores`, { agreement });
  const text =
    `ONNX Runtime scores: the ${kernel.kind} kernel would give ${value} of row ${row} of ${shard} as ${ours}, ONNX Runtime ` +
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
