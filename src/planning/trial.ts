/** ONNX Runtime and kernels of ours over the same rows, before the run. */
import type { TensorValues } from '../batch.ts';
import type { Pointer } from '../engines/native.ts';
import { createRunOptions, releaseRunOptions } from '../engines/onnxruntime/run.ts';
import { TandemError } from '../errors.ts';
import { alignedBytes, createSharedMemory, kernelMemory, type KernelMemory } from '../engines/wasm.ts';
import {
  compareMsMax,
  kernelBatchRows,
  kernelGrossDifference,
  madeUpRowsLeast,
  madeUpRowsMax,
  raceBatchRows,
  raceMsSmall,
  slotBytesMax,
} from '../limits.ts';
import type { ModelPlan } from '../plan.ts';
import { compareScores, type Agreement } from '../score/kernels/agreement.ts';
import { KernelScorer } from '../score/kernels/kernel-scorer.ts';
import {
  kernelRows,
  kernelSizes,
  writeKernelTables,
  type FoundKernels,
  type KernelModel,
} from '../score/kernels/kernel.ts';
import type { Contender } from '../score/kernels/race.ts';
import { SplitScorer } from '../score/kernels/split-scorer.ts';
import { layOutSlot, slotBytes, SlotScorer, type Slot } from '../score/scorer.ts';
import { copyValues, makeUpSample, type Sample } from './sample.ts';

/** How kernels would score a model. */
export interface KernelPlan extends FoundKernels {
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
  /** Those of the shards, then made-up ones; and what ONNX Runtime gives for the first of each. */
  readonly #samples: readonly Sample[];
  readonly #expected: { readonly rowCount: number; readonly scores: readonly TensorValues[] }[] = [];
  /** Differences on made-up rows that are no larger do not count. */
  readonly #madeUpTolerance: number;
  /** What ONNX Runtime took for rows of the shards: the sum of its runs, and for a row in the fastest one. */
  readonly #taken = { seconds: 0, secondsPerRow: Infinity };

  /** @param sample rows of the shards, one at least: made-up ones are made of them */
  constructor(model: ModelPlan, ours: KernelPlan, sample: Sample, session: Pointer) {
    this.#model = model;
    this.#ourModel = ours.model;
    this.#sample = sample;
    const bytesPerRow = slotBytes(ours.model, kernelRows) / kernelRows;
    const rowsMax = Math.min(madeUpRowsMax, Math.floor(slotBytesMax / 4 / bytesPerRow));
    this.#samples = [sample, ...ours.makeUp(rowsMax).map((rows) => makeUpSample(sample, model.inputs, rows))];
    // Only trees by themselves are computed as ONNX Runtime computes them, whatever the rows.
    const isExact = ours.kernels[0]!.kind === 'trees' && ours.restSession === undefined;
    this.#madeUpTolerance = isExact ? 0 : kernelGrossDifference;
    const rowCountMax = Math.max(...this.#samples.map(({ rowCount }) => rowCount));
    const batchRows = model.fixedBatchRows ?? Math.min(kernelBatchRows, rowCountMax);
    this.#theirSlot = layOutSlot(model, batchRows, new ArrayBuffer(slotBytes(model, batchRows)), 0);
    this.#runOptions = createRunOptions();
    this.#theirs = new SlotScorer(model, session, this.#runOptions, this.#theirSlot);
    const rows = Math.ceil(Math.max(rowCountMax, model.fixedBatchRows ?? 0) / kernelRows) * kernelRows;
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
    this.#ours = new Map(
      placed.map(({ kernel, tables, scratch, bytes }) => {
        writeKernelTables(kernel, memory.buffer, tables);
        const own = kernelMemory(memory, scratch, bytes);
        return [kernel, openScorer(ours, kernel, own, tables, this.#runOptions, this.#ourSlot)];
      }),
    );
  }

  /** What kernels are compared with: as many rows as it scores in the time, a batch of them at least. */
  scoreByOnnxRuntime(now: () => number): void {
    const end = now() + compareMsMax / 1000;
    this.#samples.forEach((sample, index) => {
      const batchMax = index === 0 || now() < end ? this.#theirSlot.rowCount : madeUpRowsLeast;
      const scores = this.#ourSlot.outputs.map((values) => values.slice());
      let scored = 0;
      try {
        while (scored < sample.rowCount && (scored === 0 || now() < end)) {
          const batch = Math.min(this.#theirSlot.rowCount, batchMax, sample.rowCount - scored);
          this.#fillTheirs(sample, scored, batch);
          const started = now();
          this.#theirs.score(batch);
          if (index === 0) this.#countTaken(now() - started, batch);
          this.#model.outputs.forEach(({ width }, output) => {
            copyValues(this.#theirSlot.outputs[output]!, 0, batch * width, scores[output]!, scored * width);
          });
          scored += batch;
        }
      } catch (error) {
        // Some models refuse what no shard holds: an index that is NaN.
        if (index === 0 || !(error instanceof TandemError)) throw error;
      }
      this.#expected.push({ rowCount: scored, scores });
    });
  }

  /** After {@link scoreByOnnxRuntime}. */
  compare(kernel: KernelModel): Agreement {
    const [real, ...madeUp] = this.#samples.map((sample, index) => {
      const { rowCount, scores } = this.#expected[index]!;
      const ours = this.#scoreOurs(kernel, sample, rowCount);
      const found = compareScores(this.#model.outputs, ours, scores, rowCount);
      return { ...found, worst: found.worst && { ...found.worst, where: sample.nameOf(found.worst.row) } };
    });
    const counted = madeUp.filter(({ differenceMax }) => differenceMax > this.#madeUpTolerance);
    const all = [real!, ...counted.filter(({ worst }) => this.#madeUpTolerance === 0 || worst?.isGross === true)];
    const { differenceMax, worst } = all.reduce((one, other) =>
      other.differenceMax > one.differenceMax ? other : one,
    );
    const madeUpRowCount = madeUp.reduce((sum, { rowCount }) => sum + rowCount, 0);
    return { rowCount: real!.rowCount, madeUpRowCount, differenceMax, worst };
  }

  /** Puts rows of the shards where all score from: {@link contenders} run on them. */
  prepareRace(): void {
    this.#fillTheirs(this.#sample, 0, Math.min(this.#theirSlot.rowCount, this.#sample.rowCount));
    this.#fillOurs(this.#sample, 0, this.#sample.rowCount);
  }

  /** ONNX Runtime, then the kernels, in their order. */
  get contenders(): readonly Contender[] {
    const { fixedBatchRows } = this.#model;
    const sizes = (rowsMax: number): number[] => [...new Set(raceBatchRows.map((rows) => Math.min(rows, rowsMax)))];
    const theirRows = Math.min(this.#theirSlot.rowCount, this.#sample.rowCount);
    const sizesOf = (fixed: number | undefined, rowsMax: number): number[] => {
      return fixed === undefined ? sizes(rowsMax) : [fixed];
    };
    return [
      {
        sizes: sizesOf(fixedBatchRows, theirRows),
        isReady: true,
        // What took a moment only may have been interrupted, and is soon repeated.
        known: this.#taken.seconds >= raceMsSmall / 1000 ? this.#taken.secondsPerRow : undefined,
        run: (rowCount) => this.#theirs.score(rowCount),
      },
      ...[...this.#ours.values()].map((scorer) => ({
        sizes: sizesOf(this.#ourModel.fixedBatchRows, this.#sample.rowCount),
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

  #countTaken(seconds: number, rowCount: number): void {
    this.#taken.seconds += seconds;
    this.#taken.secondsPerRow = Math.min(this.#taken.secondsPerRow, seconds / rowCount);
  }

  /** Of a sample's first rows, by as many as the rest takes at once. */
  #scoreOurs(kernel: KernelModel, sample: Sample, rowCount: number): readonly TensorValues[] {
    const scores = this.#ourSlot.outputs.map((values) => values.slice());
    const batchMax = this.#ourModel.fixedBatchRows ?? rowCount;
    for (let scored = 0; scored < rowCount; scored += batchMax) {
      const batch = Math.min(batchMax, rowCount - scored);
      this.#fillOurs(sample, scored, batch);
      this.#ours.get(kernel)!.score(batch);
      this.#model.outputs.forEach(({ width }, output) => {
        copyValues(this.#ourSlot.outputs[output]!, 0, batch * width, scores[output]!, scored * width);
      });
    }
    return scores;
  }

  #fillOurs({ values }: Sample, first: number, rowCount: number): void {
    this.#ourModel.inputs.forEach(({ name, width, order }, index) => {
      const rows = values[this.#model.inputs.findIndex((tensor) => tensor.name === name)];
      const target = this.#ourSlot.inputs[index]!;
      // What a kernel gives is in no sample.
      if (rows === undefined) return;
      if (order === 'columns') transpose(rows as Float64Array, first, rowCount, width, target as Float64Array);
      else copyValues(rows, first * width, rowCount * width, target, 0);
    });
  }

  #fillTheirs({ values }: Sample, first: number, rowCount: number): void {
    this.#model.inputs.forEach(({ width }, index) => {
      copyValues(values[index]!, first * width, rowCount * width, this.#theirSlot.inputs[index]!, 0);
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

function transpose(rows: Float64Array, first: number, rowCount: number, width: number, columns: Float64Array): void {
  const stride = columns.length / width;
  for (let column = 0; column < width; column++) {
    for (let row = 0; row < rowCount; row++) columns[column * stride + row] = rows[(first + row) * width + column]!;
  }
}
