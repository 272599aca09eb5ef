/** ONNX Runtime and kernels of ours over the same rows, before the run. */
import type { NumberArray, TensorValues } from '../batch.ts';
import type { Pointer } from '../engines/native.ts';
import { createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import { alignedBytes, createSharedMemory, kernelMemory } from '../engines/wasm.ts';
import { compareMsMax, kernelBatchRows, raceBatchRows } from '../limits.ts';
import type { ModelPlan } from '../plan.ts';
import { compareScores, type Agreement } from '../score/kernels/agreement.ts';
import { KernelScorer } from '../score/kernels/kernel-scorer.ts';
import { kernelRows, kernelSizes, writeKernelTables, type KernelModel } from '../score/kernels/kernel.ts';
import type { Contender } from '../score/kernels/race.ts';
import { layOutSlot, slotBytes, SlotScorer, type Slot } from '../score/scorer.ts';
import type { Sample } from './sample.ts';

export class Trial {
  readonly #model: ModelPlan;
  readonly #sample: Sample;
  readonly #runOptions: Pointer;
  readonly #theirSlot: Slot;
  readonly #theirs: SlotScorer;
  /** All kernels write into one. */
  readonly #ourSlot: Slot;
  readonly #ours: ReadonlyMap<KernelModel, KernelScorer>;
  /** Of the sample's first rows. */
  #expected: { readonly rowCount: number; readonly scores: readonly NumberArray[] } | undefined;

  constructor(model: ModelPlan, kernels: readonly KernelModel[], sample: Sample, session: Pointer) {
    this.#model = model;
    this.#sample = sample;
    const batchRows = model.fixedBatchRows ?? Math.min(kernelBatchRows, sample.rowCount);
    this.#theirSlot = layOutSlot(model, batchRows, new ArrayBuffer(slotBytes(model, batchRows)), 0);
    this.#runOptions = createRunOptions();
    this.#theirs = new SlotScorer(model, session, this.#runOptions, this.#theirSlot);
    const rows = Math.ceil(sample.rowCount / kernelRows) * kernelRows;
    let next = slotBytes(model, rows);
    const placed = kernels.map((kernel) => {
      const sizes = kernelSizes(kernel);
      const [tables, bytes] = [alignedBytes(sizes.tableBytes), alignedBytes(sizes.scratchBytes)];
      const place = { kernel, tables: next, scratch: next + tables, bytes };
      next += tables + bytes;
      return place;
    });
    const memory = createSharedMemory(next);
    this.#ourSlot = layOutSlot(model, rows, memory.buffer, 0);
    this.#fillColumns();
    this.#ours = new Map(
      placed.map(({ kernel, tables, scratch, bytes }) => {
        writeKernelTables(kernel, memory.buffer, tables);
        return [kernel, new KernelScorer(kernel, kernelMemory(memory, scratch, bytes), tables, this.#ourSlot)];
      }),
    );
  }

  /** What kernels are compared with: as many rows as it scores in the time, one batch at least. */
  scoreByOnnxRuntime(now: () => number): void {
    const { rowCount } = this.#sample;
    const scores = this.#ourSlot.outputs.map((values) => (values as NumberArray).slice());
    const end = now() + compareMsMax / 1000;
    let scored = 0;
    while (scored < rowCount && (scored === 0 || now() < end)) {
      const batch = Math.min(this.#theirSlot.rowCount, rowCount - scored);
      this.#fillRows(scored, batch);
      this.#theirs.score(batch);
      this.#model.outputs.forEach(({ width }, index) => {
        const values = this.#theirSlot.outputs[index] as NumberArray;
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
    releaseRunOptions(this.#runOptions);
  }

  #fillColumns(): void {
    this.#model.inputs.forEach(({ width }, index) => {
      const [rows, columns] = [this.#sample.values[index] as Float64Array, this.#ourSlot.inputs[index] as Float64Array];
      for (let column = 0; column < width; column++) {
        const start = column * this.#ourSlot.rowCount;
        for (let row = 0; row < this.#sample.rowCount; row++) columns[start + row] = rows[row * width + column]!;
      }
    });
  }

  #fillRows(first: number, rowCount: number): void {
    this.#model.inputs.forEach(({ width }, index) => {
      const rows = this.#sample.values[index] as NumberArray;
      copyValues(rows, first * width, rowCount * width, this.#theirSlot.inputs[index]!, 0);
    });
  }
}

/** Both are of one class: tensors of one layout. */
function copyValues(from: NumberArray, first: number, count: number, target: TensorValues, at: number): void {
  (target as Float64Array).set(from.subarray(first, first + count) as Float64Array, at);
}
