/** Finds a forest in a model, and what stands between it and the model's inputs and outputs. */
import type { ElementType } from '../../contract/contract.ts';
import type { WeightedGraph } from '../../engines/onnxruntime/model-weights.ts';
import { buildForest, type EnsembleColumn } from './build-forest.ts';
import { readColumns, type ModelInput } from './read-columns.ts';
import { isEnsemble, readEnsemble, type Ensemble } from './read-ensemble.ts';
import { readOutputs } from './read-outputs.ts';
import { leavesOf, type Forest } from './forest.ts';
import { refuse, Refusal } from './refusal.ts';
import type { RowValue } from './row-program.ts';
import { votesForOneTarget } from './sliced-layout.ts';
import { classifierRule, type ScoreRule } from './scores.ts';

/** A model that is a forest, as plain data. */
export interface TreesModel {
  /** What column j of the forest is: value `element` of each row of an input. */
  readonly columns: readonly ModelColumn[];
  readonly forest: Forest;
  readonly rule: ScoreRule;
  /** From the forest's scores to the outputs. */
  readonly program: readonly RowValue[];
  readonly outputs: readonly TreesOutput[];
}

/** Converted to the forest's column type, as a cast does it. */
export interface ModelColumn {
  readonly input: string;
  readonly element: number;
}

export interface TreesOutput {
  readonly name: string;
  readonly elementType: ElementType;
  /** Without the axis of the rows. */
  readonly rowShape: readonly number[];
  /** Its place in the program. */
  readonly value: number;
  /** Of labels that are text, of which `value` is the place in this list. */
  readonly texts: readonly string[] | undefined;
}

/**
 * The forest of a model of which the outputs `outputNames` are wanted, or the reason, in words, why there is none: to be
 * read after "ONNX Runtime scores: ".
 */
export function readTrees(
  graph: WeightedGraph,
  inputs: readonly ModelInput[],
  outputNames: readonly string[],
): TreesModel | string {
  try {
    return read(graph, inputs, outputNames);
  } catch (error) {
    if (error instanceof Refusal) return error.message;
    throw error;
  }
}

function read(graph: WeightedGraph, inputs: readonly ModelInput[], outputNames: readonly string[]): TreesModel {
  const ensembles = graph.nodes.filter(isEnsemble);
  const [node] = ensembles;
  if (node === undefined) refuse('the model has no trees');
  if (ensembles.length > 1) refuse(`the model has ${ensembles.length} ensembles of trees`);
  const before = readColumns(graph, inputs, node.inputs[0] ?? '');
  const ensemble = readEnsemble(node, before.type === 'float64' ? 'float64' : 'float32');
  const { forest, columns } = usedColumns(ensemble, before);
  const rule = scoreRule(ensemble, forest);
  const { program, outputs } = readOutputs(graph, node, { ...ensemble, labels: labelsOf(ensemble, rule) }, outputNames);
  return { columns, forest, rule, program, outputs };
}

/** Columns that no node tests are left out. */
function usedColumns(
  ensemble: Ensemble,
  { columns: all, columnType }: ReturnType<typeof readColumns>,
): Pick<TreesModel, 'forest' | 'columns'> {
  const columns: ModelColumn[] = [];
  const places = new Map<string, number>();
  // Asked for twice for each node.
  const known: EnsembleColumn[] = [];
  const columnAt = (index: number): EnsembleColumn => {
    const source = all[index];
    if (source === undefined) refuse(`the trees test value ${index} of ${all.length}`);
    const key = `${source.element} ${source.input}`;
    const place = places.get(key) ?? columns.push({ input: source.input, element: source.element }) - 1;
    places.set(key, place);
    return { column: place, steps: source.steps };
  };
  const forest = buildForest(ensemble, (index) => (known[index] ??= columnAt(index)), columnType);
  return { forest: { columnCount: columns.length, ...forest }, columns };
}

function scoreRule(ensemble: Ensemble, forest: Forest): ScoreRule {
  const { targetCount, aggregate, roots, type, postTransform, baseValues, labels } = ensemble;
  if (roots.length === 0 || targetCount === 0) refuse('there is no tree');
  // Its float32 differences lose so many digits that even the order of operations shows in the third one.
  if (postTransform === 'PROBIT') refuse('post-transform PROBIT');
  const scored = Array.from({ length: targetCount }, (_, target) => forest.voteTargets.includes(target));
  const isEven = Array.from(forest.roots).every((root) => votesAlike(forest, leavesOf(forest, root)));
  if ((aggregate === 'MIN' || aggregate === 'MAX') && !votesAlways(forest, scored)) {
    refuse(`${aggregate} of leaves that vote differently`);
  }
  if (labels === undefined && baseValues.length !== 0 && baseValues.length !== targetCount) {
    refuse(`${baseValues.length} base values for ${targetCount} targets`);
  }
  // To a sum without a vote ONNX Runtime adds none; only of a single target, and of classes, it does.
  const hasBase = labels === undefined && targetCount > 1 && baseValues.length > 0;
  if (hasBase && !(isEven && scored.every((isScored) => isScored))) {
    refuse('base values of targets that not every row has votes for');
  }
  const areAllPositive = forest.voteWeights.every((weight) => weight >= 0);
  const rule = { targetCount, aggregate, treeCount: roots.length, type, postTransform, baseValues };
  const classifier =
    labels === undefined ? undefined : classifierRule(labels.length, scored, areAllPositive, isEven, rule);
  return { ...rule, classifier };
}

/** What ONNX Runtime writes as labels. */
function labelsOf({ labels }: Ensemble, { classifier }: ScoreRule): Ensemble['labels'] {
  return classifier?.kind === 'pair' && typeof labels?.[0] === 'number' ? [0, 1] : labels;
}

/** Whether no row is left without a vote for some target, or for its tree's own where each tree has one. */
function votesAlways(forest: Forest, scored: readonly boolean[]): boolean {
  const leafCount = forest.leafStarts.length - 1;
  if (forest.voteTargets.length === leafCount * forest.targetCount) return true;
  return scored.every((isScored) => isScored) && votesForOneTarget(forest);
}

/** Whether all leaves vote for the same targets. */
function votesAlike(forest: Forest, leaves: readonly number[]): boolean {
  const isSingle = leaves.every((leaf) => forest.leafStarts[leaf + 1] === forest.leafStarts[leaf]! + 1);
  const onlyTarget = (leaf: number): number => forest.voteTargets[forest.leafStarts[leaf]!]!;
  if (isSingle) return leaves.every((leaf) => onlyTarget(leaf) === onlyTarget(leaves[0]!));
  const targets = (leaf: number): string =>
    forest.voteTargets
      .subarray(forest.leafStarts[leaf]!, forest.leafStarts[leaf + 1]!)
      .toSorted()
      .join();
  const first = targets(leaves[0]!);
  return leaves.every((leaf) => targets(leaf) === first);
}
