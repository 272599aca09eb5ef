/**
 * Chooses what scores where the threads score in place: ONNX Runtime, or a kernel of ours where one knows the model,
 * agrees with ONNX Runtime on rows of the shards, and is faster on them. Where ONNX Runtime would be through with all rows
 * before the choice is made, it is not made.
 */
import type { Pointer } from '../engines/native.ts';
import { OnnxRuntimeError } from '../engines/onnxruntime/bindings.ts';
import { readModelGraph, type Graph } from '../engines/onnxruntime/model-graph.ts';
import { readWeightedGraph, type WeightedGraph } from '../engines/onnxruntime/model-weights.ts';
import { closeSession, describeSession, openSession } from '../engines/onnxruntime/session.ts';
import {
  kernelGrossDifference,
  kernelNodesMax,
  kernelSampleRows,
  kernelToleranceWide,
  kernelWeightBytesMax,
  raceMs,
  raceMsLost,
  raceMsSmall,
  slotBytesMax,
  smallJobRows,
} from '../limits.ts';
import { coreBound } from '../machine.ts';
import type { KernelOptions } from '../options.ts';
import type { ChosenScorer, ModelPlan } from '../plan.ts';
import type { SourceTable } from '../read/footers.ts';
import type { Agreement } from '../score/kernels/agreement.ts';
import { kernelRows, kernelSizes, kernelWords, readKernelModels, type KernelModel } from '../score/kernels/kernel.ts';
import { cutSource } from '../score/kernels/model-rest.ts';
import { raceTwice } from '../score/kernels/race.ts';
import { readTreeParts, splitModel, type TreeParts } from '../score/kernels/tree-parts.ts';
import { slotBytes } from '../score/scorer.ts';
import { isEnsemble } from '../score/trees/read-ensemble.ts';
import { slotRowsFor } from './allocate.ts';
import { secondsPerRow, secondsToChoose } from './estimate.ts';
import type { PlanningEngines, ResolvedModel } from './model.ts';
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
  /** Default: the cores that this process may use. */
  readonly threads?: number;
  /** Others will be scored than those of the tables: the choice is worth whatever it takes. */
  readonly rowsFollow?: boolean;
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
  options: ChoiceOptions,
  now: () => number = () => performance.now() / 1000,
): ScorerChoice {
  if (!tables.some(({ rowCount }) => rowCount > 0))
    return byOnnxRuntime(model, tables.length === 0 ? 'all shards are scored already' : 'there are no rows');
  const graph = readCandidate(model, options);
  if (typeof graph === 'string') return byOnnxRuntime(model, graph);
  const rowCount = tables.reduce((sum, each) => sum + each.rowCount, 0);
  const isAsked = options.kernels === 'kernel';
  if (!isAsked && options.rowsFollow !== true) {
    const { threads = coreBound().value } = options;
    const seconds = (rowCount * (secondsPerRow(engines, resolved, model, now) ?? Infinity)) / threads;
    if (seconds <= secondsToChoose(model.bytes, graph.nodes.some(isEnsemble)))
      return byOnnxRuntime(model, 'so few rows are scored sooner than a kernel is chosen');
  }
  const isSmall = rowCount < smallJobRows;
  const ours = findKernels(model, options, isSmall || isAsked ? 1 : Infinity, graph);
  if (typeof ours === 'string') return byOnnxRuntime(model, ours);
  let choice: ScorerChoice | undefined;
  try {
    const trial = openTrial(engines, tables, resolved, model, ours);
    if (trial === undefined) return byOnnxRuntime(model, noRowRead);
    const { tolerance } = resolved.contract.kernels;
    const shortMs = isAsked ? undefined : isSmall ? raceMsSmall : raceMs;
    choice = tryKernels(model, ours, trial, tolerance, shortMs, now);
    choice = { ...choice, warnings: [...toleranceWarnings(tolerance), ...choice.warnings] };
    return choice;
  } finally {
    const { restSession } = ours;
    if (restSession !== undefined && choice?.restSession === undefined) closeSession(restSession);
  }
}

/** That a tolerance lets pass more than rounding; none where it does not. */
function toleranceWarnings(tolerance: number): readonly string[] {
  if (tolerance <= kernelToleranceWide) return [];
  return [
    `The tolerance of kernels (\`"kernels": { "tolerance": ${tolerance} }\` in tandem.json) is wide: it lets scores differ ` +
      `by ${Number((100 * tolerance).toPrecision(3))} % of the largest one, and rounding by less than ${100 * kernelGrossDifference} %.`,
  ];
}

/** Why none is tried. */
export const noRowRead = 'no row could be read to compare on';

/** Over rows of the tables; undefined: none could be read. */
export function openTrial(
  engines: PlanningEngines,
  tables: readonly SourceTable[],
  resolved: ResolvedModel,
  model: ModelPlan,
  ours: KernelPlan,
): Trial | undefined {
  // Wide rows take memory: no more of them than a slot holds.
  const rowsMax = Math.min(kernelSampleRows, slotRowsFor(slotBytes(ours.model, 64) / 64, undefined));
  const rowCount = tables.reduce((sum, table) => sum + table.rowCount, 0);
  const sample = readSample(engines.reader, tables, resolved, Math.min(rowsMax, rowCount));
  return sample.rowCount === 0 ? undefined : new Trial(model, ours, sample, engines.session);
}

/** @param shortMs of the race; undefined: a kernel that agrees is taken without one */
function tryKernels(
  model: ModelPlan,
  ours: KernelPlan,
  trial: Trial,
  tolerance: number,
  shortMs: number | undefined,
  now: () => number,
): ScorerChoice {
  try {
    trial.scoreByOnnxRuntime(now);
    const { kernels } = ours;
    // One that is not even right is not worth a race.
    const [first] = kernels;
    const agreement = trial.compare(first!);
    if (agreement.differenceMax > tolerance) return disagreeing(model, first!, agreement, tolerance);
    if (shortMs === undefined) return byKernel(ours, first!, 'as asked for', { agreement });
    trial.prepareRace();
    const turns = [shortMs / 1000, raceMsLost / 1000] as const;
    const [theirs = 0, ...seconds] = raceTwice(trial.contenders, turns, now);
    const best = seconds.indexOf(Math.min(...seconds));
    const kernel = kernels[best]!;
    const found = best === 0 ? agreement : trial.compare(kernel);
    if (found.differenceMax > tolerance) return disagreeing(model, kernel, found, tolerance);
    return fasterOf(model, ours, kernel, found, theirs / seconds[best]!);
  } finally {
    trial.close();
  }
}

/** The model's graph, or in words why no kernel can score any of it: what is known before weights are read. */
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
export function findKernels(
  model: ModelPlan,
  options: KernelOptions,
  formsMax: number,
  whole = readCandidate(model, options),
): KernelPlan | string {
  if (typeof whole === 'string') return whole;
  const [constant] = model.constants;
  const { inputs, outputs } = model;
  const graph = withoutFed(readWeightedGraph(model.path, kernelWeightBytesMax), [...inputs, ...model.constants]);
  const found =
    constant === undefined
      ? readKernelModels(graph, inputs, outputs, options, formsMax)
      : `input ${constant.name} is a constant`;
  if (typeof found !== 'string') {
    const columns = inputs.map((tensor) => ({ ...tensor, order: 'columns' as const }));
    // Kernels run any number of rows.
    const planned = { ...model, inputs: columns, fixedBatchRows: undefined };
    return { ...found, model: planned, restSession: undefined };
  }
  if (!whole.nodes.some(isEnsemble)) return found;
  const parts = readTreeParts(whole, graph, inputs, outputs, formsMax);
  return typeof parts === 'string' ? parts : openRest(model, whole, parts);
}

/** A weight that the contract feeds is none. */
function withoutFed(graph: WeightedGraph, fed: readonly { readonly name: string }[]): WeightedGraph {
  const names = new Set(fed.map(({ name }) => name));
  return { ...graph, weights: { get: (name) => (names.has(name) ? undefined : graph.weights.get(name)) } };
}

function openRest(model: ModelPlan, whole: Graph, parts: TreeParts): KernelPlan | string {
  const left = cutSource(model.path, whole, parts.cut);
  let restSession: Pointer;
  try {
    restSession = openSession(left, { intraOpThreads: 1 });
  } catch (error) {
    if (!(error instanceof OnnxRuntimeError)) throw error;
    return `without its trees the model does not load: ${error.message}`;
  }
  const { inputs, defaults } = describeSession(restSession);
  const restInputs = [...inputs, ...defaults].map(({ name }) => name);
  return { kernels: parts.kernels, makeUp: parts.makeUp, model: splitModel(model, parts, restInputs), restSession };
}

/** @param reason in words, where a kernel might have scored */
export function byOnnxRuntime(model: ModelPlan, reason?: string, tried: Partial<ChosenScorer> = {}): ScorerChoice {
  const words = reason === undefined ? 'ONNX Runtime' : `ONNX Runtime: ${reason}`;
  const scorer = { kind: 'onnxruntime', words, ...tried } as const;
  return { model, kernel: undefined, restSession: undefined, scorer, warnings: [] };
}

function disagreeing(model: ModelPlan, kernel: KernelModel, agreement: Agreement, tolerance: number): ScorerChoice {
  const choice = byOnnxRuntime(model, `the ${kernel.kind} kernel gives other scores`, { agreement });
  return { ...choice, warnings: [`ONNX Runtime scores: ${disagreementText(kernel, agreement, tolerance)}`] };
}

export function disagreementText(kernel: KernelModel, { worst }: Agreement, tolerance: number): string {
  const { where, value, kernel: ours, onnxRuntime, isGross } = worst!;
  const found = `the ${kernel.kind} kernel would give ${value} of ${where} as ${ours}, ONNX Runtime gives ${onnxRuntime}.`;
  if (isGross) return `${found} This is a bug, and no rounding: please report it, with the model.`;
  return (
    `${found} That is more than the tolerance of ${tolerance} (\`"kernels": { "tolerance": ... }\` in tandem.json): ` +
    `float32 sums in another order differ most where large terms cancel out.`
  );
}

/** Two digits: the next one is another in each run. */
function ratioWords(ratio: number): string {
  return `${ratio < 10 ? ratio.toFixed(1) : Number(ratio.toPrecision(2))} times`;
}

function fasterOf(
  model: ModelPlan,
  ours: KernelPlan,
  kernel: KernelModel,
  agreement: Agreement,
  ratio: number,
): ScorerChoice {
  const tried = { agreement, timesOnnxRuntime: ratio };
  if (ratio > 1) return byKernel(ours, kernel, `${ratioWords(ratio)} ONNX Runtime`, tried);
  return byOnnxRuntime(model, `${ratioWords(1 / ratio)} the kernel (${wordsOf(ours, kernel)})`, tried);
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
