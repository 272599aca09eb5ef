/** What scores what, and where: the one place that decides it. */
import type { AssignedNode } from '../engines/onnxruntime/assignment.ts';
import { closeSession } from '../engines/onnxruntime/session.ts';
import { cutGraph } from '../engines/onnxruntime/cut-model.ts';
import { readModelGraph, type ModelGraph } from '../engines/onnxruntime/model-graph.ts';
import type { DeviceOptions } from '../options.ts';
import type { ModelPlan } from '../plan.ts';
import type { TensorLayout } from '../batch.ts';
import type { SourceTable } from '../read/footers.ts';
import { batchInputs, cpuOnlyNodes, declineForCpuNodes, refuseCpuNodes } from '../score/cpu-nodes.ts';
import { kernelSizes, kernelWords } from '../score/kernels/kernel.ts';
import { restModel } from '../score/kernels/model-rest.ts';
import { isEnsemble } from '../score/trees/read-ensemble.ts';
import { fitDevices, type ChosenDevices } from './devices.ts';
import type { PlanningEngines, ResolvedModel } from './model.ts';
import {
  byOnnxRuntime,
  chooseScorer,
  disagreementText,
  findKernels,
  noRowRead,
  openTrial,
  type ChoiceOptions,
  type ScorerChoice,
} from './scorer.ts';
import type { KernelPlan } from './trial.ts';

export interface PlacementOptions extends Pick<DeviceOptions, 'allowCpuNodes' | 'gpuMemory'>, ChoiceOptions {
  readonly batchSize?: number | undefined;
}

export interface Placement extends ScorerChoice {
  /** The GPUs that score; undefined or without any: the threads do. */
  readonly chosen: ChosenDevices | undefined;
}

/**
 * The first line that holds:
 *
 * | asked for | the model | what scores |
 * | --- | --- | --- |
 * | the CPU | any | the threads: {@link chooseScorer} says by what |
 * | GPUs | its trees can be cut out, and GPUs can run the rest | the threads the trees by a kernel, GPUs the rest |
 * | GPUs | GPUs can run all of it | GPUs, by ONNX Runtime |
 * | `auto` | any other | the threads, as where the CPU is asked for, and a note says why |
 * | GPUs | any other | nothing: an error |
 *
 * Trees can be cut out where a kernel knows them, something is left without them, and kernel and rest together agree with
 * the whole on rows of the shards. A GPU can run what has no strings, fits into its memory and has no node on the batch's
 * way for which ONNX Runtime has no CUDA code, or whose nodes of that kind `allowCpuNodes` takes. Trees are such nodes, so
 * there is nothing that their kernel would have to be faster than.
 * @param tables those whose rows are to be scored; where there are none, nothing need agree
 * @param asked undefined: the CPU
 * @throws BAD_MODEL, MEMORY where GPUs were asked for and cannot score it, and `auto` was not
 */
export function placeScoring(
  engines: PlanningEngines,
  tables: readonly SourceTable[],
  resolved: ResolvedModel,
  model: ModelPlan,
  options: PlacementOptions,
  asked: ChosenDevices | undefined,
): Placement {
  const onThreads = (chosen: ChosenDevices | undefined): Placement => {
    return { chosen, ...chooseScorer(engines, tables, resolved, model, options) };
  };
  if (asked === undefined || asked.found.length === 0) return onThreads(asked);
  const text = [...model.inputs, ...model.constants].find(isText);
  if (asked.mayDecline && text !== undefined) {
    return onThreads(decline(asked, `Scoring on the CPU: the model's input ${text.name} holds strings.`));
  }
  const graph = readModelGraph(model.path);
  const inParts = placeInParts(engines, tables, resolved, model, options, asked, graph);
  if ('chosen' in inParts) return inParts;
  const nodes = refusedNodes(graph, model, options);
  if (nodes.length > 0) {
    if (asked.mayDecline) return onThreads(decline(asked, declineForCpuNodes(nodes)));
    const names = asked.found.map(({ name }) => name).join(', ');
    throw refuseCpuNodes(names, { data: nodes, shapeCount: 0 }, inParts.reason);
  }
  const chosen = fitDevices(asked, model, model.fixedBatchRows ?? options.batchSize, options.gpuMemory);
  if (chosen.found.length === 0) return onThreads(chosen);
  return { chosen, ...byOnnxRuntime(model, inParts.reason), warnings: inParts.warnings };
}

function isText({ elementType }: Pick<TensorLayout, 'elementType'>): boolean {
  return elementType === 'string';
}

/** What a GPU leaves to the CPU, where nobody has allowed it; what shows only when it loads the model is not among it. */
function refusedNodes(
  graph: ModelGraph,
  model: ModelPlan,
  { allowCpuNodes }: PlacementOptions,
): readonly AssignedNode[] {
  return allowCpuNodes === true ? [] : cpuOnlyNodes(graph, batchInputs(model));
}

function decline(asked: ChosenDevices, note: string): ChosenDevices {
  return { ...asked, found: [], notes: [...asked.notes, note] };
}

/** Why GPUs get the whole model or none of it. */
interface NotInParts {
  /** In words; undefined where it has no trees, or nothing but trees. */
  readonly reason: string | undefined;
  readonly warnings: readonly string[];
}

function whole(reason: string | undefined, ...warnings: readonly string[]): NotInParts {
  return { reason, warnings };
}

function placeInParts(
  engines: PlanningEngines,
  tables: readonly SourceTable[],
  resolved: ResolvedModel,
  model: ModelPlan,
  options: PlacementOptions,
  asked: ChosenDevices,
  graph: ModelGraph,
): Placement | NotInParts {
  if (!graph.nodes.some(isEnsemble)) return whole(undefined);
  // Forms differ by some percent in their time: the likeliest one will do.
  const ours = findKernels(model, options, 1);
  if (typeof ours === 'string') return whole(ours);
  const { restSession } = ours;
  if (restSession === undefined) return whole(undefined);
  try {
    const hindrance = hindranceOf(ours.model, options, graph);
    if (hindrance !== undefined) return whole(hindrance);
    const chosen = fitDevices(asked, ours.model, model.fixedBatchRows ?? options.batchSize, options.gpuMemory);
    if (chosen.found.length === 0) return whole(chosen.notes.at(-1));
    const hasRows = tables.some(({ rowCount }) => rowCount > 0);
    const found = compareInParts(engines, hasRows ? tables : undefined, resolved, model, ours);
    return 'reason' in found ? found : { chosen, ...found };
  } finally {
    // Of the CPU: each GPU opens its own.
    closeSession(restSession);
  }
}

/** Why GPUs cannot run the rest, whatever their memory. */
function hindranceOf(model: ModelPlan, options: PlacementOptions, graph: ModelGraph): string | undefined {
  const { cut } = model.rest!;
  const onDevice = restModel(model);
  const text =
    [...onDevice.inputs, ...onDevice.outputs].find(isText) ?? cut.given.find(({ texts }) => texts !== undefined);
  if (text !== undefined) return `${text.name} holds strings`;
  const [node] = refusedNodes(cutGraph(graph, cut), onDevice, options);
  return node === undefined ? undefined : `the rest has ${node.operator}, which needs the CPU too`;
}

/** Kernel and rest, both on the CPU, against the whole. @param tables undefined: nothing will be scored */
function compareInParts(
  engines: PlanningEngines,
  tables: readonly SourceTable[] | undefined,
  resolved: ResolvedModel,
  model: ModelPlan,
  ours: KernelPlan,
): ScorerChoice | NotInParts {
  const kernel = ours.kernels[0]!;
  const scorer = { kind: kernel.kind, words: `${kernelWords(kernel)}; the rest on the GPU` };
  const planned = { ...ours.model, kernel: kernelSizes(kernel) };
  const choice: ScorerChoice = { model: planned, kernel, restSession: undefined, scorer, warnings: [] };
  if (tables === undefined) return choice;
  const trial = openTrial(engines, tables, resolved, model, ours);
  if (trial === undefined) return whole(noRowRead);
  try {
    trial.scoreByOnnxRuntime(() => performance.now() / 1000);
    const agreement = trial.compare(kernel);
    const { tolerance } = resolved.contract.kernels;
    if (agreement.differenceMax <= tolerance) return { ...choice, scorer: { ...scorer, agreement } };
    const text = disagreementText(kernel, agreement, tolerance);
    return whole(`the ${kernel.kind} kernel gives other scores`, `ONNX Runtime scores: ${text}`);
  } finally {
    trial.close();
  }
}
