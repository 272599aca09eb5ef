/**
 * Chooses what scores where the threads score in place: ONNX Runtime, or a kernel of ours where one knows the model,
 * agrees with ONNX Runtime on rows of the shards, and is faster on them. Where ONNX Runtime would be through with all rows
 * before the choice is made, it is not made.
 */
import { dirname } from 'node:path';
import type { Pointer } from '../engines/native.ts';
import { OnnxRuntimeError } from '../engines/onnxruntime/bindings.ts';
import { cutModel } from '../engines/onnxruntime/cut-model.ts';
import { readModelGraph, type Graph } from '../engines/onnxruntime/model-graph.ts';
import { readWeightedGraph, type WeightedGraph } from '../engines/onnxruntime/model-weights.ts';
import { closeSession, describeSession, openSession } from '../engines/onnxruntime/session.ts';
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
import { readTreeParts, splitModel, type TreeParts } from '../score/kernels/tree-parts.ts';
import { slotBytes } from '../score/scorer.ts';
import { isEnsemble } from '../score/trees/read-ensemble.ts';
import { slotRowsFor } from './allocate.ts';
import { secondsPerRow, secondsToChoose } from './estimate.ts';
import type { DescribedModel, PlanningEngines, ResolvedModel } from './model.ts';
import { readSample } from './sample.ts';
import { Trial, type KernelPlan } from './trial.ts';

/** The choice, and the model's part of the plan as it follows from it. */
export interface ScorerChoice {
  readonly model: ModelPlan;
  /** Undefined: ONNX Runtime scores. */
  readonly kernel: KernelModel | undefined;
  /** Of what the kernel leaves to ONNX Runtime; whoever gets the choice closes it. */
  readonly restSession: Pointer | undefined;
  readonly scorer: ChosenScorer;
  /** That a kernel knows the model and does not agree. */
  readonly warnings: readonly string[];
}

export interface ChoiceOptions extends KernelOptions {
  /** Who scores the tables' rows; undefined: they stand for more rows to come, and the choice is worth whatever it takes. */
  readonly job: { readonly threads: number } | undefined;
}

/**
 * @param tables those whose rows are to be scored
 * @param now seconds, from a monotonic clock
 */
export function chooseScorer(
  engines: PlanningEngines,
  tables: readonly SourceTable[],
  resolved: ResolvedModel,
  { model, firstRows }: DescribedModel,
  options: ChoiceOptions,
  now: () => number = () => performance.now() / 1000,
): ScorerChoice {
  const table = tables.find((candidate) => candidate.rowCount > 0);
  if (table === undefined) return byOnnxRuntime(model, 'there are no rows');
  const whole = readCandidate(model, options);
  if (typeof whole === 'string') return byOnnxRuntime(model, whole);
  const rowCount = tables.reduce((sum, each) => sum + each.rowCount, 0);
  const isAsked = options.kernels === 'kernel';
  if (!isAsked && options.job !== undefined) {
    const each = secondsPerRow(engines, resolved, model, firstRows, now) ?? Infinity;
    const choosing = secondsToChoose(model.bytes, whole.nodes.some(isEnsemble));
    if ((each * rowCount) / options.job.threads <= choosing)
      return byOnnxRuntime(model, 'so few rows are scored sooner than a kernel is chosen');
  }
  const isSmall = rowCount < smallJobRows;
  const ours = findKernels(model, whole, options, isSmall || isAsked ? 1 : Infinity);
  if (typeof ours === 'string') return byOnnxRuntime(model, ours);
  let choice: ScorerChoice | undefined;
  try {
    // Wide rows take memory: no more of them than a slot holds.
    const rowsMax = Math.min(kernelSampleRows, slotRowsFor(slotBytes(ours.model, 64) / 64, undefined));
    const sample = readSample(engines.reader, table, resolved, Math.min(rowsMax, table.rowCount));
    if (sample.rowCount === 0) return byOnnxRuntime(model, 'no row could be read to compare on');
    const place = { tolerance: resolved.contract.kernels.tolerance, shard: table.name };
    const race = isAsked ? undefined : isSmall ? raceMsSmall : raceMs;
    choice = tryKernels(model, ours, new Trial(model, ours, sample, engines.session), place, race, now);
    return choice;
  } finally {
    const { restSession } = ours;
    if (restSession !== undefined && choice?.restSession === undefined) closeSession(restSession);
  }
}

/** Where kernels are tried, and how far they may be off. */
interface TrialPlace {
  readonly tolerance: number;
  readonly shard: string;
}

/** @param shortMs of the race; undefined: a kernel that agrees is taken without one */
function tryKernels(
  model: ModelPlan,
  ours: KernelPlan,
  trial: Trial,
  place: TrialPlace,
  shortMs: number | undefined,
  now: () => number,
): ScorerChoice {
  try {
    trial.scoreByOnnxRuntime(now);
    const { kernels } = ours;
    // One that is not even right is not worth a race.
    const [first] = kernels;
    const agreement = trial.compare(first!);
    if (agreement.differenceMax > place.tolerance) return disagreeing(model, first!, agreement, place);
    if (shortMs === undefined) return byKernel(ours, first!, 'as asked for', { agreement });
    const turns = [shortMs / 1000, raceMsLost / 1000] as const;
    const [theirs = 0, ...seconds] = raceTwice(trial.contenders, turns, now);
    const best = seconds.indexOf(Math.min(...seconds));
    const kernel = kernels[best]!;
    const found = best === 0 ? agreement : trial.compare(kernel);
    if (found.differenceMax > place.tolerance) return disagreeing(model, kernel, found, place);
    return fasterOf(model, ours, kernel, found, theirs / seconds[best]!);
  } finally {
    trial.close();
  }
}

/** What scores on GPUs. */
export function scoresOnDevices(model: ModelPlan): ScorerChoice {
  return byOnnxRuntime(model, undefined);
}

/** The model's graph, or in words why no kernel can score any of it. */
function readCandidate(model: ModelPlan, options: KernelOptions): Graph | string {
  if (options.kernels === 'onnxruntime') return 'as asked for';
  const whole = readModelGraph(model.path);
  const hasTrees = whole.nodes.some(isEnsemble);
  if (hasTrees && options.trees === 'onnxruntime') return 'as asked for';
  const [constant] = model.constants;
  if (slotBytes(model, kernelRows) > slotBytesMax) return `${kernelRows} of its rows take more than a slot`;
  const nodeCount = whole.nodes.length;
  if (!hasTrees && constant !== undefined) return `input ${constant.name} is a constant`;
  if (!hasTrees && nodeCount > kernelNodesMax) return `it has ${nodeCount} nodes, and kernels know small graphs`;
  return whole;
}

/** How kernels that know the model, or its trees, would score it, or in words why there are none. */
function findKernels(model: ModelPlan, whole: Graph, options: KernelOptions, formsMax: number): KernelPlan | string {
  const [constant] = model.constants;
  const { inputs, outputs } = model;
  const graph = withoutFed(readWeightedGraph(model.path, kernelWeightBytesMax), [...inputs, ...model.constants]);
  const kernels =
    constant === undefined
      ? readKernelModels(graph, inputs, outputs, options, formsMax)
      : `input ${constant.name} is a constant`;
  if (typeof kernels !== 'string') {
    const columns = inputs.map((tensor) => ({ ...tensor, order: 'columns' as const }));
    // Kernels run any number of rows.
    const planned = { ...model, inputs: columns, fixedBatchRows: undefined };
    return { kernels, model: planned, restSession: undefined };
  }
  if (!whole.nodes.some(isEnsemble)) return kernels;
  if (model.fixedBatchRows !== undefined) return `${kernels}, and its batch size is fixed`;
  const parts = readTreeParts(whole, graph, inputs, outputs, formsMax);
  return typeof parts === 'string' ? parts : openRest(model, whole, parts);
}

/** A weight that the contract feeds is none. */
function withoutFed(graph: WeightedGraph, fed: readonly { readonly name: string }[]): WeightedGraph {
  const names = new Set(fed.map(({ name }) => name));
  return { ...graph, weights: { get: (name) => (names.has(name) ? undefined : graph.weights.get(name)) } };
}

function openRest(model: ModelPlan, whole: Graph, parts: TreeParts): KernelPlan | string {
  const left = { bytes: cutModel(model.path, whole, parts.cut), folder: dirname(model.path) };
  let restSession: Pointer;
  try {
    restSession = openSession(left, { intraOpThreads: 1 });
  } catch (error) {
    if (!(error instanceof OnnxRuntimeError)) throw error;
    return `without its trees the model does not load: ${error.message}`;
  }
  const { inputs, defaults } = describeSession(restSession);
  const restInputs = [...inputs, ...defaults].map(({ name }) => name);
  return { kernels: parts.kernels, model: splitModel(model, parts, restInputs), restSession };
}

function byOnnxRuntime(model: ModelPlan, reason: string | undefined, tried: Partial<ChosenScorer> = {}): ScorerChoice {
  const words = reason === undefined ? 'ONNX Runtime' : `ONNX Runtime: ${reason}`;
  const scorer = { kind: 'onnxruntime', words, ...tried } as const;
  return { model, kernel: undefined, restSession: undefined, scorer, warnings: [] };
}

function disagreeing(
  model: ModelPlan,
  kernel: KernelModel,
  agreement: Agreement,
  { tolerance, shard }: TrialPlace,
): ScorerChoice {
  const { row, value, kernel: ours, onnxRuntime } = agreement.worst!;
  const choice = byOnnxRuntime(model, `the ${kernel.kind} kernel gives other scores`, { agreement });
  const text =
    `ONNX Runtime scores: the ${kernel.kind} kernel would give ${value} of row ${row} of ${shard} as ${ours}, ONNX Runtime ` +
    `gives ${onnxRuntime}. That is more than the tolerance of ${tolerance} (\`"kernels": { "tolerance": ... }\` in ` +
    `tandem.json): float32 sums in another order differ most where large terms cancel out.`;
  return { ...choice, warnings: [text] };
}

function fasterOf(
  model: ModelPlan,
  ours: KernelPlan,
  kernel: KernelModel,
  agreement: Agreement,
  ratio: number,
): ScorerChoice {
  const tried = { agreement, timesOnnxRuntime: ratio };
  if (ratio > 1) return byKernel(ours, kernel, `${ratio.toFixed(1)} times ONNX Runtime`, tried);
  return byOnnxRuntime(model, `${(1 / ratio).toFixed(1)} times the kernel (${wordsOf(ours, kernel)})`, tried);
}

function byKernel(ours: KernelPlan, kernel: KernelModel, reason: string, tried: Partial<ChosenScorer>): ScorerChoice {
  return {
    model: { ...ours.model, kernel: kernelSizes(kernel) },
    kernel,
    restSession: ours.restSession,
    scorer: { kind: kernel.kind, words: `${wordsOf(ours, kernel)}, ${reason}`, ...tried },
    warnings: [],
  };
}

function wordsOf({ restSession }: KernelPlan, kernel: KernelModel): string {
  return `${kernelWords(kernel)}${restSession === undefined ? '' : '; the rest by ONNX Runtime'}`;
}
