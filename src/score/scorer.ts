/** Scores a slot in place: the thread that filled it runs the model on it, its cache still warm. */
import { elementBytes, viewOf, type NumberArray, type TensorLayout, type TensorValues } from '../batch.ts';
import type { Pointer } from '../engines/native.ts';
import { OnnxRuntimeError } from '../engines/onnxruntime/bindings.ts';
import { BoundRun, type BoundOutput, type BoundTensor } from '../engines/onnxruntime/run.ts';
import { TandemError, bug } from '../errors.ts';
import type { ConstantInput, ModelPlan, OutputLayout } from '../plan.ts';

/** Input and output tensors of up to `rowCount` rows in one stretch of memory; strings lie in ordinary arrays. */
export interface Slot {
  readonly rowCount: number;
  readonly inputs: readonly TensorValues[];
  /** Strings come as arrays that the scorer replaces. */
  readonly outputs: TensorValues[];
}

/** Cache lines, and any SIMD load. */
const alignment = 64;

/** Bytes of a slot. */
export function slotBytes(model: Pick<ModelPlan, 'inputs' | 'outputs'>, rowCount: number): number {
  const outputs = model.outputs.filter(({ input }) => input === undefined);
  return [...model.inputs, ...outputs].reduce((sum, tensor) => sum + tensorBytes(tensor, rowCount), 0);
}

function tensorBytes(tensor: TensorLayout | OutputLayout, rowCount: number): number {
  return Math.ceil((rowCount * tensor.width * elementBytes[tensor.elementType]) / alignment) * alignment;
}

/** Lays a slot out over shared memory from `byteOffset` (a multiple of 64) on. */
export function layOutSlot(
  model: Pick<ModelPlan, 'inputs' | 'outputs'>,
  rowCount: number,
  memory: ArrayBufferLike,
  byteOffset: number,
): Slot {
  let at = byteOffset;
  const place = (tensor: TensorLayout | OutputLayout): TensorValues => {
    if (tensor.elementType === 'string') return new Array<string>(rowCount * tensor.width).fill('');
    const values = viewOf(tensor.elementType, memory, at, rowCount * tensor.width);
    at += tensorBytes(tensor, rowCount);
    return values;
  };
  const inputs = model.inputs.map(place);
  const outputs = model.outputs.map((output) => (output.input === undefined ? place(output) : inputs[output.input]!));
  return { rowCount, inputs, outputs };
}

/** Bindings that are kept: the candidates of the sweep and a few tails. The oldest makes room. */
const boundRunsMax = 8;

export class SlotScorer {
  readonly #model: ModelPlan;
  readonly #session: Pointer;
  readonly #runOptions: Pointer;
  readonly #slot: Slot;
  readonly #bound = new Map<number, BoundRun>();

  constructor(model: ModelPlan, session: Pointer, runOptions: Pointer, slot: Slot) {
    this.#model = model;
    this.#session = session;
    this.#runOptions = runOptions;
    this.#slot = slot;
  }

  /**
   * Runs the model on the slot's first rows; its outputs then lie in the slot.
   * @throws BAD_MODEL when the model fails, STOPPED after a termination
   */
  score(rowCount: number): void {
    const runRows = this.#model.fixedBatchRows ?? rowCount;
    if (runRows > rowCount) this.#pad(rowCount, runRows);
    try {
      const bound = this.#boundRun(runRows);
      bound.run(this.#runOptions);
      this.#fetch(bound, runRows);
    } catch (error) {
      throw runError(error);
    }
  }

  #boundRun(rowCount: number): BoundRun {
    const known = this.#bound.get(rowCount);
    if (known !== undefined) return known;
    if (this.#bound.size === boundRunsMax) {
      const [oldest, bound] = this.#bound.entries().next().value!;
      this.#bound.delete(oldest);
      bound.close();
    }
    const bound = this.#bind(rowCount);
    this.#bound.set(rowCount, bound);
    return bound;
  }

  close(): void {
    for (const bound of this.#bound.values()) bound.close();
    this.#bound.clear();
  }

  #bind(rowCount: number): BoundRun {
    const inputs: BoundTensor[] = this.#model.inputs.map((tensor, index) => ({
      name: tensor.name,
      elementType: tensor.elementType,
      shape: [rowCount, ...tensor.rowShape],
      values: this.#slot.inputs[index]!,
    }));
    const constants = this.#model.constants.map((constant) => constantTensor(constant, rowCount));
    const outputs: BoundOutput[] = this.#model.outputs.map((output, index) => {
      if (isFetched(output)) return { name: output.name };
      const shape = [rowCount, ...output.rowShape];
      return { name: output.name, elementType: output.elementType, shape, values: this.#slot.outputs[index]! };
    });
    return new BoundRun(this.#session, [...inputs, ...constants], outputs);
  }

  /** Outputs that ONNX Runtime allocated, into the slot. */
  #fetch(bound: BoundRun, rowCount: number): void {
    if (!this.#model.outputs.some(isFetched)) return;
    for (const { name, shape, values } of bound.fetch()) {
      const index = this.#model.outputs.findIndex((output) => output.name === name);
      // Memory of ONNX Runtime's own takes any shape.
      if (shape[0] !== rowCount || values.length !== rowCount * this.#model.outputs[index]!.width)
        throw otherShape(name, shape, rowCount);
      const target = this.#slot.outputs[index]!;
      if (Array.isArray(values)) this.#slot.outputs[index] = values;
      else (target as Float64Array).set(values as Float64Array);
    }
  }

  /** Repeats the last row where the model wants more rows than there are. */
  #pad(rowCount: number, runRows: number): void {
    this.#model.inputs.forEach((tensor, index) => {
      const values = this.#slot.inputs[index]!;
      const last = (rowCount - 1) * tensor.width;
      for (let row = rowCount; row < runRows; row++) {
        for (let offset = 0; offset < tensor.width; offset++)
          values[row * tensor.width + offset] = values[last + offset]!;
      }
    });
  }
}

/** A constant as a tensor for a batch of `rowCount` rows. */
export function constantTensor(constant: ConstantInput, rowCount: number): BoundTensor {
  const shape = constant.shape.map((size) => (size === 'N' ? rowCount : size));
  const length = shape.reduce((product, size) => product * size, 1);
  const given = Array.isArray(constant.value)
    ? (constant.value as readonly (number | string | boolean)[])
    : [constant.value as number];
  const { elementType } = constant;
  if (elementType === 'string') {
    return {
      name: constant.name,
      elementType,
      shape,
      values: Array.from({ length }, (_, index) => String(given[index % given.length])),
    };
  }
  if (elementType === 'float16')
    throw new TandemError('BAD_CONTRACT', `Expected constant ${constant.name} not to be float16.`, {
      place: { field: `inputs.${constant.name}` },
    });
  const values = viewOf(elementType, new ArrayBuffer(length * elementBytes[elementType]), 0, length) as NumberArray;
  for (let index = 0; index < length; index++) {
    const value = Number(given[index % given.length]);
    if (values instanceof BigInt64Array || values instanceof BigUint64Array) values[index] = BigInt(value);
    else values[index] = value;
  }
  return { name: constant.name, elementType, shape, values };
}

function isFetched(output: OutputLayout): boolean {
  return output.elementType === 'string' || output.copied === true;
}

/** An output without one row for each row of the batch. */
export function otherShape(name: string, shape: readonly number[], rowCount: number): TandemError {
  return new TandemError(
    'BAD_MODEL',
    `Expected the model to score the batch of ${rowCount} rows, got output ${name} of shape [${shape.join(', ')}].`,
    {
      remedy: shapeRemedy,
    },
  );
}

const shapeRemedy =
  'The model gives another shape for this batch than for the first rows: export it with one row of output for each row of input.';

function runError(error: unknown): unknown {
  if (!(error instanceof OnnxRuntimeError)) return error;
  if (/terminate flag/i.test(error.message))
    return new TandemError('STOPPED', 'The run was stopped.', { cause: error });
  return new TandemError('BAD_MODEL', `Expected the model to score the batch, got: ${error.message}`, {
    remedy: /shape|dimension|Expected: /i.test(error.message)
      ? shapeRemedy
      : 'Check the model on these rows with its own library.',
    cause: error,
  });
}

/**
 * Output shapes, by running the model once on a few rows and looking.
 * @param inputs the tensors of `rowCount` rows
 * @param outputs with their declared shapes, which may be wrong: exporters of boosted trees declare a label of shape [1]
 * @throws BAD_MODEL when an output does not have one row for each row of the batch
 */
export function probeOutputs(
  session: Pointer,
  runOptions: Pointer,
  inputs: readonly BoundTensor[],
  outputs: readonly DeclaredOutput[],
  rowCount: number,
): OutputLayout[] {
  let bound: BoundRun | undefined;
  try {
    bound = new BoundRun(
      session,
      inputs,
      outputs.map(({ name }) => ({ name })),
    );
    bound.run(runOptions);
    return bound.fetch().map(({ name, elementType, shape }, index) => {
      if (shape[0] !== rowCount) {
        throw new TandemError(
          'BAD_MODEL',
          `Expected output ${name} to have one row for each of the ${rowCount} rows of a batch, got shape [${shape.join(', ')}].`,
          {
            place: { field: `outputs.${name}` },
            remedy:
              'Leave it out ("outputs": { ... } without it), or export the model with the batch as first dimension.',
          },
        );
      }
      const rowShape = shape.slice(1);
      const layout = { name, elementType, rowShape, width: rowShape.reduce((product, size) => product * size, 1) };
      return agrees(outputs[index]!.shape, shape) ? layout : { ...layout, copied: true };
    });
  } catch (error) {
    throw runError(error);
  } finally {
    bound?.close();
  }
}

function agrees(declared: DeclaredOutput['shape'], shape: readonly number[]): boolean {
  return (
    declared === undefined ||
    (declared.length === shape.length &&
      declared.every((size, axis) => typeof size !== 'number' || size === shape[axis]))
  );
}

/** An output as the model describes it. */
export interface DeclaredOutput {
  readonly name: string;
  readonly elementType: OutputLayout['elementType'] | undefined;
  readonly shape: readonly (number | string)[] | undefined;
}

/** Output shapes as declared, for when there is no row to try the model on. */
export function declaredOutputs(values: readonly DeclaredOutput[]): OutputLayout[] {
  return values.map(({ name, elementType, shape }) => {
    if (elementType === undefined) throw bug(`Output ${name} has no element type`);
    const rowShape = (shape ?? []).slice(1).map((size) => (typeof size === 'number' ? size : 1));
    return { name, elementType, rowShape, width: rowShape.reduce((product, size) => product * size, 1) };
  });
}
