/**
 * Nodes that ONNX Runtime left to the CPU while a GPU scores: those that work on shapes only, which it keeps there on
 * purpose (GetCpuPreferredNodes in its fallback_cpu_capability.cc), and those that batch data passes, each of which stops
 * the GPU. Which is which is read off the model file: the flow of values tells, not the operator.
 */
import type { AssignedNode } from '../engines/onnxruntime/assignment.ts';
import type { Graph, GraphNode, ModelGraph } from '../engines/onnxruntime/model-graph.ts';
import { TandemError } from '../errors.ts';
import { cpuNodesShownMax } from '../limits.ts';
import type { ModelPlan } from '../plan.ts';

export interface CpuNodes {
  /** Nodes that work on shapes and constants only. */
  readonly shapeCount: number;
  /** Nodes that batch data passes, and those of which nothing is known. */
  readonly data: readonly AssignedNode[];
}

/** A node of the model file, its bodies' and functions' nodes beside it. */
interface TracedNode extends AssignedNode {
  /** Whether a value that depends on the batch's values goes in. */
  readonly seesData: boolean;
}

/** Operators whose outputs tell nothing of the values that go in. */
const shapeOperators = new Set(['Shape', 'Size', 'SequenceLength']);

/**
 * Tells the CPU's nodes apart. Names survive ONNX Runtime's optimizations, but nodes may have none, and those that it
 * makes have names of their own: such a node is one of shapes only if every node of its operator in the file is. A few
 * optimizations lead the batch through a node that worked on sizes (x · (1 / size) becomes x / size, under the division's
 * name); arithmetic like this CUDA has for every type, so that the CPU gets it only where it had the batch before.
 * @param batchInputs names of the model's inputs that hold a value for each row
 */
export function sortCpuNodes(
  graph: ModelGraph,
  batchInputs: readonly string[],
  cpuNodes: readonly AssignedNode[],
): CpuNodes {
  const byOperator = new Map<string, TracedNode[]>();
  for (const node of traceNodes(graph, batchInputs)) {
    const same = byOperator.get(node.operator);
    if (same === undefined) byOperator.set(node.operator, [node]);
    else same.push(node);
  }
  const data = cpuNodes.filter((node) => {
    const same = byOperator.get(node.operator) ?? [];
    const named = same.filter(({ name }) => isNamedAfter(node.name, name));
    const candidates = named.length > 0 ? named : same;
    if (named.length === 0 && isPermutedShape(node)) return false;
    // A Shape node on the CPU has the whole tensor copied to it: CUDA's own leaves it where it is.
    return candidates.length === 0 || candidates.some(({ seesData }) => seesData);
  });
  return { shapeCount: cpuNodes.length - data.length, data };
}

/** Whether a node has the name that the file gives it; a function's nodes get another start wherever it is called. */
function isNamedAfter(name: string, nameInFile: string): boolean {
  if (nameInFile === '') return false;
  return name === nameInFile || (name.startsWith('_inlfunc_') && name.endsWith(`_${nameInFile}`));
}

/**
 * Shape(Transpose(x)), which PyTorch writes for every attention, becomes a Gather from Shape(x) (HandleShape in ONNX
 * Runtime's onnx_transpose_optimization.cc). Gathers of its making carry the operator's name, and permute lists with an
 * entry for each axis.
 */
function isPermutedShape({ name, operator }: AssignedNode): boolean {
  return operator === 'Gather' && /^Gather(?:_token_\d+)?$/.test(name);
}

/** Text operators of ONNX and of its contributors: CUDA has no strings. */
const textOperators =
  /^(?:String\w+|RegexFullMatch|TfIdfVectorizer|com\.microsoft\.(?:Tokenizer|WordConvEmbedding)|ai\.onnx\.contrib\..*)$/;

/**
 * Nodes on the batch's way for which ONNX Runtime has no CUDA code whatever their types are: known before a GPU is
 * opened. Others show only when it loads the model.
 */
export function cpuOnlyNodes(graph: ModelGraph, batchInputs: readonly string[]): readonly AssignedNode[] {
  return traceNodes(graph, batchInputs)
    .filter(({ seesData, operator }) => seesData && isCpuOnly(operator))
    .map(({ name, operator }) => ({ name, operator }));
}

/** Of the operators of ai.onnx.ml CUDA has the LabelEncoder (providers/cuda/ml in ONNX Runtime's sources). */
function isCpuOnly(operator: string): boolean {
  return textOperators.test(operator) || (operator.startsWith('ai.onnx.ml.') && operator !== 'ai.onnx.ml.LabelEncoder');
}

/** Names of the model's inputs that hold a value for each row. */
export function batchInputs({ inputs, constants }: Pick<ModelPlan, 'inputs' | 'constants'>): readonly string[] {
  return [...inputs, ...constants.filter(({ shape }) => shape.includes('N'))].map(({ name }) => name);
}

/**
 * The refusal of a model that would wait for the CPU in every batch.
 * @param device `cuda:0`
 * @param treesStay why no kernel takes the trees of a model that has more
 */
export function refuseCpuNodes(device: string, { data, shapeCount }: CpuNodes, treesStay?: string): TandemError {
  const shapes = shapeCount === 0 ? '' : ` (${shapeCount} more work on shapes, as they should)`;
  const advice = [
    'At each the batch is copied to the CPU and back while the GPU waits.',
    data.some(({ operator }) => isTrees(operator))
      ? 'Score with --device cpu: boosted trees run faster there.'
      : 'Score with --device cpu, or export the model without them.',
    ...(treesStay === undefined ? [] : [`No kernel takes the trees from it: ${treesStay}.`]),
    '--allow-cpu-nodes takes them as they are.',
    ...(data.some(({ name }) => name === '')
      ? ['Nodes without a name cannot be told from others of their operator: give them names.']
      : []),
  ];
  return new TandemError(
    'BAD_MODEL',
    `Expected ${device} to run every node that the batch passes, got ${counted(data)} for which ` +
      `ONNX Runtime needs the CPU: ${listNodes(data)}${shapes}.`,
    { remedy: advice.join(' ') },
  );
}

/** The warning in its place where --allow-cpu-nodes was given. */
export function warnOfCpuNodes(device: string, { data }: CpuNodes): string {
  const operators = [...new Set(data.map(({ operator }) => operator))];
  return (
    `${device} leaves ${counted(data)} that the batch passes to the CPU (${operators.join(', ')}): ` +
    'each costs a copy there and back while the GPU waits.'
  );
}

/** Why `auto` takes the CPU. */
export function declineForCpuNodes(data: readonly AssignedNode[]): string {
  const faster = data.some(({ operator }) => isTrees(operator)) ? '; boosted trees are faster there anyway' : '';
  return `Scoring on the CPU: ONNX Runtime has no CUDA code for ${counted(data)} of the model: ${listNodes(data)}${faster}.`;
}

function isTrees(operator: string): boolean {
  return operator.startsWith('ai.onnx.ml.TreeEnsemble');
}

function counted({ length }: readonly AssignedNode[]): string {
  return length === 1 ? '1 node' : `${length} nodes`;
}

function listNodes(nodes: readonly AssignedNode[]): string {
  const shown = nodes.slice(0, cpuNodesShownMax);
  const rest = nodes.length - shown.length;
  const texts = shown.map(({ name, operator }) =>
    name === '' ? `a ${operator} without a name` : `${name} (${operator})`,
  );
  return `${texts.join(', ')}${rest === 0 ? '' : ` and ${rest} more`}`;
}

/** Every node of the file with what goes into it, bodies and functions opened up. */
export function traceNodes(graph: ModelGraph, batchInputs: readonly string[]): readonly TracedNode[] {
  const flows = new FlowBuilder(graph.functions);
  flows.add(graph, (name) => name);
  const data = new Set(batchInputs);
  // To the end: a loop carries values back to its start, and a file need not have its nodes in order.
  for (let before = -1; before < data.size;) {
    before = data.size;
    for (const { inputs, outputs } of flows.steps) {
      if (inputs.some((name) => data.has(name))) for (const name of outputs) data.add(name);
    }
  }
  return flows.nodes.map(({ node: { name, operator }, reads }) => {
    return { name, operator, seesData: reads.some((value) => data.has(value)) };
  });
}

/** Nodes and flows of a graph and of all that lies within it, with a name of its own for each value. */
class FlowBuilder {
  readonly nodes: { readonly node: GraphNode; readonly reads: readonly string[] }[] = [];
  /** When one of the inputs depends on the batch's values, all outputs do. */
  readonly steps: { readonly inputs: readonly string[]; readonly outputs: readonly string[] }[] = [];
  readonly #functions: ModelGraph['functions'];
  readonly #opened = new Set<string>();

  constructor(functions: ModelGraph['functions']) {
    this.#functions = functions;
  }

  /** @returns all values that its nodes read */
  add(graph: Graph, rename: (name: string) => string): readonly string[] {
    return graph.nodes.flatMap((node) => {
      const inputs = node.inputs.filter((name) => name !== '').map(rename);
      const outputs = node.outputs.filter((name) => name !== '').map(rename);
      // What a body takes from outside goes through the node too: it is copied to where the node runs.
      const reads = [...inputs, ...node.bodies.flatMap((body) => this.#addBody(body, inputs, outputs, rename))];
      this.nodes.push({ node, reads });
      const called = this.#functions.get(node.calls);
      if (called !== undefined) this.#addCall(node, called, rename);
      else if (!shapeOperators.has(node.operator)) this.steps.push({ inputs, outputs });
      return reads;
    });
  }

  /** A body's inputs may come from any of the node's, or from its own last round. */
  #addBody(body: Graph, inputs: readonly string[], outputs: readonly string[], rename: (name: string) => string) {
    const carried = [...outputs, ...body.inputs.map(rename)];
    this.steps.push({ inputs, outputs: carried }, { inputs: body.outputs.map(rename), outputs: carried });
    return this.add(body, rename);
  }

  /** All calls of a function are one: what flows through one of them flows through all. */
  #addCall({ calls, inputs, outputs }: GraphNode, body: Graph, rename: (name: string) => string): void {
    const renameWithin = (name: string): string => `${calls}/${name}`;
    const connect = (from: string | undefined, to: string | undefined): void => {
      // What stands last may be left out.
      if (from !== undefined && to !== undefined) this.steps.push({ inputs: [from], outputs: [to] });
    };
    const given = inputs.map((name) => (name === '' ? undefined : rename(name)));
    const taken = outputs.map((name) => (name === '' ? undefined : rename(name)));
    body.inputs.forEach((name, index) => connect(given[index], renameWithin(name)));
    body.outputs.forEach((name, index) => connect(renameWithin(name), taken[index]));
    if (this.#opened.has(calls)) return;
    this.#opened.add(calls);
    this.add(body, renameWithin);
  }
}
