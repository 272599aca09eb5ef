/** Trees of a model that has more than a kernel knows: where to cut, and kernels for what is cut out. */
import type { TensorLayout } from '../../batch.ts';
import { originOf, type Graph } from '../../engines/onnxruntime/model-graph.ts';
import type { Cut, GivenValue } from '../../engines/onnxruntime/cut-model.ts';
import type { WeightedGraph } from '../../engines/onnxruntime/model-weights.ts';
import type { ModelPlan, OutputLayout } from '../../plan.ts';
import { isEnsemble } from '../trees/read-ensemble.ts';
import type { MadeUpRows } from './made-up.ts';
import { readForest, type FoundForest, type FoundKernels, type KernelModel } from './kernel.ts';

/** A model's trees, and what is left without them. */
export interface TreeParts extends FoundKernels {
  /** Its inputs are what the kernels give, in its order. */
  readonly cut: Cut;
}

/**
 * @param whole the graph with the bodies of its nodes
 * @param graph the same one
 * @param formsMax ways that are tried, the likeliest first
 * @returns or in words why ONNX Runtime has to score the trees too
 */
export function readTreeParts(
  whole: Graph,
  graph: WeightedGraph,
  inputs: readonly TensorLayout[],
  outputs: readonly OutputLayout[],
  formsMax: number,
): TreeParts | string {
  const wanted = outputs.map(({ name }) => name);
  const needed = originOf(whole, wanted);
  const reasons: string[] = [];
  const forests: FoundForest[] = [];
  const given: GivenValue[] = [];
  graph.nodes.forEach((node, place) => {
    if (!isEnsemble(node) || !needed.nodes.has(place)) return;
    // What another ensemble gives is no input of the model: one that reads it stays where it is.
    const alone = { ...graph, nodes: graph.nodes.filter((other) => other === node || !isEnsemble(other)) };
    const names = node.outputs.filter((name) => needed.names.has(name));
    const found = readForest(alone, inputs, names, formsMax);
    if (typeof found === 'string') return reasons.push(found);
    forests.push(found);
    given.push(...found.outputs.map((output) => ({ ...output, input: `trees: ${output.name}` })));
  });
  if (forests.length === 0) return reasons[0] ?? 'its outputs do not come from its trees';
  const formCount = Math.max(...forests.map(({ forms }) => forms.length));
  // A forest with fewer forms takes its last one again.
  const kernels = Array.from({ length: formCount }, (_, form): KernelModel => {
    return { kind: 'trees', forests: forests.map(({ forms }) => forms[Math.min(form, forms.length - 1)]!) };
  });
  const makeUp = (rowsMax: number): readonly MadeUpRows[] =>
    forests.flatMap((forest) => forest.makeUp(Math.floor(rowsMax / forests.length)));
  return { kernels, makeUp, cut: { given, outputs: wanted } };
}

/**
 * The plan of a model whose trees are scored by a kernel: inputs that they read lie in columns, and also in rows where the
 * rest reads them too; behind them lies what the kernel gives, which the rest reads.
 * @param restInputs of the model that is left
 */
export function splitModel(model: ModelPlan, { kernels, cut }: TreeParts, restInputs: readonly string[]): ModelPlan {
  const [first] = kernels;
  const places = first?.kind === 'trees' ? first.forests.flatMap(({ columns }) => columns) : [];
  const inColumns = new Set(places.map(({ input }) => input));
  const given = cut.given.map(({ input, elementType, rowShape }): TensorLayout => {
    const width = rowShape.reduce((product, size) => product * size, 1);
    return { name: input, elementType, rowShape, width, features: [], featureWidths: [] };
  });
  return {
    ...model,
    inputs: [
      ...model.inputs.map((tensor, index) =>
        inColumns.has(index) ? { ...tensor, order: 'columns' as const } : tensor,
      ),
      ...model.inputs.filter(({ name }, index) => inColumns.has(index) && restInputs.includes(name)),
      ...given,
    ],
    constants: model.constants.filter(({ name }) => restInputs.includes(name)),
    rest: { cut, inputs: restInputs },
  };
}
