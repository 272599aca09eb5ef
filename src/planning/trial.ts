/** ONNX Runtime and kernels of ours over the same rows, before the run. */
import type { TensorValues } from '../batch.ts';
import type { Pointer } from '../engines/native.ts';
import { createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import { alignedBytes, createSharedMemory, kernelMemory, type KernelMemory } from '../engines/wasm.ts';
import { compareMsMax, kernelBatchRows, raceBatchRows } from '../limits.ts';
import type { ModelPlan } from '../plan.ts';
import { compareScores, type Agreement } from '../score/kernels/agreement.ts';
import { KernelScorer } from '../score/kernels/kernel-scorer.ts';
import { kernelRows, kernelSizes, writeKernelTables, type KernelModel } from '../score/kernels/kernel.ts';
import type { Contender } from '../score/kernels/race.ts';
import { SplitScorer } from '../score/kernels/split-scorer.ts';
import { layOutSlot, slotBytes, SlotScorer, type Slot } from '../score/scorer.ts';
import type { Sample } from './sample.ts';

/** How kernels would score a model. */
export interface KernelPlan {
  /** At least one; all give the same. */
  readonly kernels: readonly KernelModel[];
  /** The model's part of the plan, but for the kernel's sizes. */
  readonly model: ModelPlan;
  /** Of what the kernels leave to ONNX Runtime. */
  readonly restSession: Pointer | undefined;
}

export class Trial {
  readonly #model: ModelPlan;
  readonly #ourModel: ModelPlan;
  readonly #sample: Sample;
  readonly #runOptions: Pointer;
  readonly #theirSlot: Slot;
  readonly #theirs: SlotScorer;
  /** All kernels write into one. */
  readonly #ourSlot: Slot;
  readonly #ours: ReadonlyMap<KernelModel, KernelScorer | SplitScorer>;
  /** Of the sample's first rows. */
  #expected: { readonly rowCount: number; readonly scores: readonly TensorValues[] } | undefined;

  constructor(model: ModelPlan, ours: KernelPlan, sample: Sample, session: Pointer) {
    this.#model = model;
    this.#ourModel = ours.model;
    this.#sample = sample;
    const batchRows = model.fixedBatchRows ?? Math.min(kernelBatchRows, sample.rowCount);
    this.#theirSlot = layOutSlot(model, batchRows, new ArrayBuffer(slotBytes(model, batchRows)), 0);
    this.#runOptions = createRunOptions();
    this.#theirs = new SlotScorer(model, session, this.#runOptions, this.#theirSlot);
    const rows = Math.ceil(sample.rowCount / kernelRows) * kernelRows;
    let next = slotBytes(ours.model, rows);
    const placed = ours.kernels.map((kernel) => {
      const sizes = kernelSizes(kernel);
      const [tables, bytes] = [alignedBytes(sizes.tableBytes), alignedBytes(sizes.scratchBytes)];
      const place = { kernel, tables: next, scratch: next + tables, bytes };
      next += tables + bytes;
      return place;
    });
    const memory = createSharedMemory(next);
    this.#ourSlot = layOutSlot(ours.model, rows, memory.buffer, 0);
    this.#fillOurs();
    this.#ours = new Map(
      placed.map(({ kernel, tables, scratch, bytes }) => {
        writeKernelTables(kernel, memory.buffer, tables);
        const own = kernelMemory(memory, scratch, bytes);
        return [kernel, openScorer(ours, kernel, own, tables, this.#runOptions, this.#ourSlot)];
      }),
    );
  }

  /** What kernels are compared with: as many rows as it scores in the time, one batch at least. */
  scoreByOnnxRuntime(now: () => number): void {
    const { rowCount } = this.#sample;
    const scores = this.#ourSlot.outputs.map((values) => values.slice());
    const end = now() + compareMsMax / 1000;
    let scored = 0;
    while (scored < rowCount && (scored === 0 || now() < end)) {
      const batch = Math.min(this.#theirSlot.rowCount, rowCount - scored);
      this.#fillRows(scored, batch);
      this.#theirs.score(batch);
      this.#model.outputs.forEach(({ width }, index) => {
        const values = this.#theirSlot.outputs[index]!;
        copyValues(values, 0, batch * width, scores[index]!, scored * width);
      });
      scored += batch;
    }
    this.#expected = { rowCount: scored, scores };
  }

  /** After {@link scoreByOnnxRuntime}. */
  compare(kernel: KernelModel): Agreement {
    const { rowCount, scores } = this.#expected!;
    this.#ours.get(kernel)!.score(rowCount);
    return compareScores(this.#model.outputs, this.#ourSlot.outputs, scores, rowCount);
  }

  /** ONNX Runtime, then the kernels, in their order. */
  get contenders(): readonly Contender[] {
    const { fixedBatchRows } = this.#model;
    const sizes = (rowsMax: number): number[] => [...new Set(raceBatchRows.map((rows) => Math.min(rows, rowsMax)))];
    const theirSizes = fixedBatchRows === undefined ? sizes(this.#theirSlot.rowCount) : [fixedBatchRows];
    return [
      { sizes: theirSizes, isReady: true, run: (rowCount) => this.#theirs.score(rowCount) },
      ...[...this.#ours.values()].map((scorer) => ({
        sizes: sizes(this.#sample.rowCount),
        isReady: false,
        run: (rowCount: number) => scorer.score(rowCount),
      })),
    ];
  }

  close(): void {
    this.#theirs.close();
    for (const scorer of this.#ours.values()) scorer.close();
    releaseRunOptions(this.#runOptions);
  }

  #fillOurs(): void {
    const { rowCount, values } = this.#sample;
    this.#ourModel.inputs.forEach(({ name, width, order }, index) => {
      const rows = values[this.#model.inputs.findIndex((tensor) => tensor.name === name)];
      const target = this.#ourSlot.inputs[index]!;
      // What a kernel gives is in no sample.
      if (rows === undefined) return;
      if (order === 'columns') transpose(rows as Float64Array, width, target as Float64Array, rowCount);
      else copyValues(rows, 0, rowCount * width, target, 0);
    });
  }

  #fillRows(first: number, rowCount: number): void {
    this.#model.inputs.forEach(({ width }, index) => {
      const rows = this.#sample.values[index]!;
      copyValues(rows, first * width, rowCount * width, this.#theirSlot.inputs[index]!, 0);
    });
  }
}

function openScorer(
  { model, restSession }: KernelPlan,
  kernel: KernelModel,
  memory: KernelMemory,
  tables: number,
  runOptions: Pointer,
  slot: Slot,
): KernelScorer | SplitScorer {
  if (restSession === undefined) return new KernelScorer(kernel, memory, tables, slot);
  return new SplitScorer(model, kernel, memory, tables, restSession, runOptions, slot);
}

function transpose(rows: Float64Array, width: number, columns: Float64Array, rowCount: number): void {
  const stride = columns.length / width;
  for (let column = 0; column < width; column++) {
    for (let row = 0; row < rowCount; row++) columns[column * stride + row] = rows[row * width + column]!;
  }
}

/** Both are of one class: tensors of one layout. */
function copyValues(from: TensorValues, first: number, count: number, target: TensorValues, at: number): void {
  if (Array.isArray(from)) from.slice(first, first + count).forEach((text, index) => (target[at + index] = text));
  else (target as Float64Array).set(from.subarray(first, first + count) as Float64Array, at);
}
