/** Step 11: options that cost one line each: what they gain, and by how much the scores differ. */
import { join } from 'node:path';
import { float16Bits } from '../../src/float16.ts';
import { writeModel, type ModelSpec } from '../../src/testing/onnx.ts';
import { onnxTypeOf } from '../../src/engines/onnxruntime/session.ts';
import { timeSize } from './feed.ts';
import { specOf, type ModelName } from './models.ts';
import { checkedRows } from './provider.ts';
import { checkAnswers, findDevice, isCuda, Rig } from './rig.ts';
import type { StepContext } from './step.ts';

interface Variant {
  readonly name: string;
  readonly providerOptions?: Readonly<Record<string, unknown>>;
  readonly path?: string;
}

const onCuda: readonly Variant[] = [
  { name: 'TF32', providerOptions: { tf32: true } },
  { name: 'prefer_nhwc', providerOptions: { others: { prefer_nhwc: '1' } } },
  { name: 'enable_cuda_graph', providerOptions: { others: { enable_cuda_graph: '1' } } },
  { name: 'exhaustive convolution search', providerOptions: { others: { cudnn_conv_algo_search: 'EXHAUSTIVE' } } },
];

export async function variants(context: StepContext): Promise<void> {
  const device = await findDevice(context);
  if (!isCuda()) context.record('options', { skipped: "they are the CUDA provider's; the device is a stand-in" });
  const cases: readonly (readonly [ModelName, number])[] = [
    ['mlp2048', 65_536],
    ['resnet50', 64],
    ['mlp', 4_096],
  ];
  for (const [model, fullRows] of cases) {
    const rows = context.tiny ? Math.min(16, fullRows) : fullRows;
    const path = join(context.work, `${model}-float16.onnx`);
    writeModel(path, toFloat16(specOf(model, context.tiny)));
    const all: readonly Variant[] = [{ name: 'as scored' }, { name: 'float16', path }, ...(isCuda() ? onCuda : [])];
    for (const { name, ...changes } of all) {
      try {
        // One buffer: a CUDA graph is captured with the addresses of its first run.
        const rig = new Rig(device, context, { model, buffers: 1, bufferRows: rows, slots: 1, ...changes });
        rig.fillBuffers(rows);
        const figures = timeSize(rig, rows, context.tiny ? 0.05 : context.seconds / 40);
        // Last: its batch of another size would be what a graph is captured of.
        const scoreDifferenceMax = checkAnswers(rig, checkedRows(model, context.tiny), Infinity);
        context.record(`${model}, ${name}`, { ...figures, scoreDifferenceMax });
        rig.close();
      } catch (error) {
        context.record(`${model}, ${name}`, { failed: (error as Error).message });
      }
    }
  }
}

/** The same model with weights of half the size, float32 at its ends. */
export function toFloat16({ inputs, outputs, nodes, initializers = [] }: ModelSpec): ModelSpec {
  const halved = initializers.map((initializer) => {
    if (initializer.elementType !== 'float32') return initializer;
    const values = Uint16Array.from(initializer.values as ArrayLike<number>, float16Bits);
    return { ...initializer, elementType: 'float16' as const, values };
  });
  const inner = (name: string): string =>
    [...inputs, ...outputs].some((tensor) => tensor.name === name) ? `${name}Half` : name;
  const cast = (from: string, to: string, elementType: 'float16' | 'float32') => ({
    op: 'Cast',
    inputs: [from],
    outputs: [to],
    attributes: { to: { int: onnxTypeOf(elementType) } },
  });
  return {
    inputs,
    outputs,
    nodes: [
      ...inputs.map(({ name }) => cast(name, inner(name), 'float16')),
      ...nodes.map((node) => ({ ...node, inputs: node.inputs.map(inner), outputs: node.outputs.map(inner) })),
      ...outputs.map(({ name }) => cast(inner(name), name, 'float32')),
    ],
    initializers: halved,
  };
}
