/** From a block's sums to the model's outputs. */
import type { CompiledForest } from './trees.ts';
import { createRowBlock, widthOf, type RowBlock, type RowType } from './row-program.ts';
import { finishRow, type Finish } from './scores.ts';

/** How a kernel lays out the sums of a block. */
export interface SumLayout {
  readonly blockRows: number;
  /** Sums of one target lie row after row, `blockRows` of them; else `sumWidth` sums of a row lie together. */
  readonly hasOneTarget: boolean;
  readonly sumWidth: number;
}

export class ScoreWriter {
  readonly #model: Pick<CompiledForest, 'program' | 'rule' | 'outputs' | 'sums'>;
  readonly #sums: Float32Array | Float64Array;
  readonly #block: RowBlock;
  readonly #finish: Finish;
  readonly #buffer: SharedArrayBuffer;
  /** Of one row. */
  readonly #values: Float64Array;
  readonly #scoresAt: readonly number[];
  readonly #labelsAt: readonly { readonly at: number; readonly labels: readonly number[] }[];

  /** @param sums byte offset of the sums */
  constructor(
    model: Pick<CompiledForest, 'program' | 'rule' | 'outputs' | 'sums'>,
    buffer: SharedArrayBuffer,
    sums: number,
  ) {
    const { program, rule, sums: layout } = model;
    const sumCount = layout.blockRows * (layout.hasOneTarget ? rule.targetCount : layout.sumWidth);
    this.#model = model;
    this.#buffer = buffer;
    this.#sums =
      rule.type === 'float32' ? new Float32Array(buffer, sums, sumCount) : new Float64Array(buffer, sums, sumCount);
    this.#block = createRowBlock(program, layout.blockRows);
    this.#finish = finishRow(rule);
    this.#values = new Float64Array(Math.max(2, rule.targetCount));
    this.#scoresAt = program.flatMap(({ step }, at) => (step.kind === 'scores' ? [at] : []));
    this.#labelsAt = program.flatMap(({ step }, at) => (step.kind === 'labels' ? [{ at, labels: step.labels }] : []));
  }

  /** Outputs of rows `first` to `first + rowCount` from the sums of a block that starts there. */
  write(outputs: readonly number[], first: number, rowCount: number): void {
    this.#finishRows(rowCount);
    this.#block.run(rowCount);
    this.#model.outputs.forEach((output, index) => {
      const width = widthOf(output);
      const { elementType } = this.#model.program[output.value]!;
      const values = this.#block.values[output.value]!;
      writeValues(this.#buffer, outputs[index]!, elementType, values, first * width, rowCount * width);
    });
  }

  #finishRows(rowCount: number): void {
    const { targetCount } = this.#model.rule;
    const { hasOneTarget, sumWidth, blockRows } = this.#model.sums;
    const [rowStep, targetStep] = hasOneTarget ? [1, blockRows] : [sumWidth, 1];
    const round = this.#model.rule.type === 'float64' ? this.#roundScores() : undefined;
    const values = this.#values;
    const scores = this.#scoresAt.map((at) => this.#block.values[at]!);
    for (let row = 0; row < rowCount; row++) {
      for (let target = 0; target < targetCount; target++) {
        values[target] = this.#sums[row * rowStep + target * targetStep]!;
      }
      const label = this.#finish(values);
      for (const list of scores) {
        for (let target = 0; target < targetCount; target++) {
          list[row * targetCount + target] = round === undefined ? values[target]! : round(values[target]!);
        }
      }
      for (const { at, labels } of this.#labelsAt) this.#block.values[at]![row] = labels[label]!;
    }
  }

  /** Sums in float64 end as float32, but for ai.onnx.ml 5. */
  #roundScores(): ((value: number) => number) | undefined {
    const isRounded = this.#scoresAt.some((at) => this.#model.program[at]!.elementType === 'float32');
    return isRounded ? Math.fround : undefined;
  }
}

/** @param at byte offset of the output's first row */
function writeValues(
  buffer: SharedArrayBuffer,
  at: number,
  elementType: RowType,
  values: Float64Array,
  first: number,
  count: number,
): void {
  const from = values.subarray(0, count);
  switch (elementType) {
    case 'float32':
      return new Float32Array(buffer, at + 4 * first, count).set(from);
    case 'float64':
      return new Float64Array(buffer, at + 8 * first, count).set(from);
    case 'int32':
      return new Int32Array(buffer, at + 4 * first, count).set(from);
    case 'bool':
      return new Uint8Array(buffer, at + first, count).set(from);
    case 'int64': {
      // As two halves: a BigInt for every row would cost more than the trees.
      const halves = new Int32Array(buffer, at + 8 * first, 2 * count);
      for (let index = 0; index < count; index++) {
        halves[2 * index] = from[index]!;
        halves[2 * index + 1] = Math.floor(from[index]! / 2 ** 32);
      }
    }
  }
}
