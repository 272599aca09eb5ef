/** What scores in a run of a plan, for one thread of the benchmark. */
import type { Pointer } from '../src/engines/native.ts';
import { readWeightedGraph } from '../src/engines/onnxruntime/model-weights.ts';
import { createRunOptions } from '../src/engines/onnxruntime/run.ts';
import { createSharedMemory, type SharedMemory } from '../src/engines/wasm.ts';
import type { ModelPlan, RunPlan } from '../src/plan.ts';
import { modelKernelBytes, sharedBytes } from '../src/planning/kernel-bytes.ts';
import { kernelWords, readKernelModels, type KernelModel } from '../src/score/kernels/kernel.ts';
import { layOutSlot, type Slot } from '../src/score/scorer.ts';
import { openInPlaceScorer, writeModelTables, type InPlaceScorer } from '../src/threads/in-place-scorer.ts';

/** A slot, the memory behind it, and the scorer of the plan's choice. */
export interface OpenScorer {
  readonly memory: SharedMemory;
  readonly slot: Slot;
  readonly scorer: InPlaceScorer;
}

export function openPlanned(plan: RunPlan, session: Pointer): OpenScorer {
  const { model, slotRows } = plan;
  const start = sharedBytes(model, slotRows, 1, 1);
  const memory = createSharedMemory(start + modelKernelBytes(model, 1));
  const slot = layOutSlot(model, slotRows, memory.buffer, 0);
  const engines = { database: 0n, session, kernel: chosenKernel(plan) };
  writeModelTables(engines, memory, start);
  const place = { memory, start, threadIndex: 0 };
  return { memory, slot, scorer: openInPlaceScorer(model, engines, createRunOptions(), slot, place) };
}

/** The kernel that the plan names: plans are plain data, and its code is made anew. */
function chosenKernel({ model, scorer }: RunPlan): KernelModel | undefined {
  if (model.kernel === undefined) return undefined;
  const ours = readKernelModels(readWeightedGraph(model.path), byRows(model).inputs, model.outputs, {}, Infinity);
  const found =
    typeof ours === 'string' ? undefined : ours.kernels.find((kernel) => scorer.words.startsWith(kernelWords(kernel)));
  if (found === undefined)
    throw new Error(`Expected a kernel like ${scorer.words}, got ${typeof ours === 'string' ? ours : 'others'}.`);
  return found;
}

/** The same model as ONNX Runtime scores it. */
export function byRows({ kernel: _kernel, ...model }: ModelPlan): ModelPlan {
  return { ...model, inputs: model.inputs.map(({ order: _order, ...tensor }) => tensor) };
}
