/** Runs of a session on memory that stays where it is: input and output tensors are bound once, then run many times. */
import { elementBytes, viewOf, type NumberArray, type TensorValues } from '../../batch.ts';
import type { ElementType } from '../../contract/contract.ts';
import { memcpy, type Pointer } from '../native.ts';
import { check, count, create, loadOnnxRuntime, takePointers } from './bindings.ts';
import { elementTypeOf, onnxTypeOf, readShape } from './session.ts';

/** A tensor to bind. Memory must stay reachable and in place until the binding is closed. */
export interface BoundTensor {
  readonly name: string;
  readonly elementType: ElementType;
  readonly shape: readonly number[];
  /** Row-major values; strings are read anew at every run. */
  readonly values: TensorValues;
}

/** A tensor in a device's memory, which whoever allocated it keeps until the binding is closed. */
export interface DeviceTensor {
  readonly name: string;
  readonly elementType: ElementType;
  readonly shape: readonly number[];
  readonly memory: Pointer;
  /** OrtMemoryInfo of the device. */
  readonly memoryInfo: Pointer;
}

/** An output that ONNX Runtime allocated: its own shape, and a copy of its values. */
export interface FetchedTensor {
  readonly name: string;
  readonly elementType: ElementType;
  readonly shape: readonly number[];
  readonly values: TensorValues;
}

export type BoundInput = BoundTensor | DeviceTensor;

/** An output that ONNX Runtime allocates in each run: on the CPU, or on a device. */
export interface OpenOutput {
  readonly name: string;
  /** OrtMemoryInfo of the device. */
  readonly memoryInfo?: Pointer;
}

/** Where an output lies that ONNX Runtime allocated; good until the binding runs again. */
export interface AllocatedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly memory: Pointer;
}

/** An output to bind: memory of known shape, or only a name (ONNX Runtime allocates, {@link BoundRun.fetch} reads). */
export type BoundOutput = BoundInput | OpenOutput;

/** @param entries of onnxruntime_run_options_config_keys.h */
export function createRunOptions(entries: Readonly<Record<string, string>> = {}): Pointer {
  const options = create((out) => loadOnnxRuntime().CreateRunOptions(out));
  for (const [key, value] of Object.entries(entries)) check(loadOnnxRuntime().AddRunConfigEntry(options, key, value));
  return options;
}

export function releaseRunOptions(runOptions: Pointer): void {
  loadOnnxRuntime().ReleaseRunOptions(runOptions);
}

/** Makes a run in progress end with an error; callable from any thread. */
export function terminateRuns(runOptions: Pointer): void {
  check(loadOnnxRuntime().RunOptionsSetTerminate(runOptions));
}

/** One set of inputs and outputs, bound. For one thread at a time. */
export class BoundRun {
  readonly #session: Pointer;
  readonly #binding: Pointer;
  readonly #values: Pointer[] = [];
  readonly #inputs = new Map<string, Pointer>();
  readonly #strings: { readonly value: Pointer; readonly values: readonly string[]; readonly length: number }[] = [];
  readonly #outputs: readonly BoundOutput[];
  /** What C points into. */
  readonly #memory: readonly TensorValues[];

  constructor(session: Pointer, inputs: readonly BoundInput[], outputs: readonly BoundOutput[]) {
    const ort = loadOnnxRuntime();
    this.#session = session;
    this.#outputs = outputs;
    this.#memory = [...inputs, ...outputs]
      .filter((tensor): tensor is BoundTensor => 'values' in tensor)
      .map(({ values }) => values);
    this.#binding = create((out) => ort.CreateIoBinding(session, out));
    try {
      for (const input of inputs) {
        const value = this.#toValue(input);
        this.#inputs.set(input.name, value);
        check(ort.BindInput(this.#binding, input.name, value));
      }
      for (const output of outputs) {
        if ('elementType' in output) check(ort.BindOutput(this.#binding, output.name, this.#toValue(output)));
        else bindOpen(this.#binding, output);
      }
      // For those who run the binding themselves: texts that do not change are there from the start.
      this.#fillStrings();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /**
   * Binds an input once more. An input that the session reads in other memory than the tensor's is copied there when it
   * is bound, and at no other time: a run after the memory has changed would see what was in it before.
   */
  rebind(name: string): void {
    check(loadOnnxRuntime().BindInput(this.#binding, name, this.#inputs.get(name)!));
  }

  /** IoBinding, for whoever calls ONNX Runtime itself. */
  get binding(): Pointer {
    return this.#binding;
  }

  /** @throws OnnxRuntimeError */
  run(runOptions: Pointer): void {
    const ort = loadOnnxRuntime();
    this.#fillStrings();
    this.rebindOpen();
    check(ort.RunWithBinding(this.#session, runOptions, this.#binding));
  }

  /** Before each run: the binding keeps the last run's tensors, and the next would take them as memory of ours. */
  rebindOpen(): void {
    for (const output of this.#outputs) if (!('elementType' in output)) bindOpen(this.#binding, output);
  }

  /** The open outputs of the last run. */
  allocated(): AllocatedTensor[] {
    return this.#readOpen(({ name }, value) => {
      const memory = create((out) => loadOnnxRuntime().GetTensorMutableData(value, out));
      return { name, shape: describeTensor(value).shape, memory };
    });
  }

  /** Copies the outputs of the last run that were bound by name only, in the order in which they were bound. */
  fetch(): FetchedTensor[] {
    return this.#readOpen(({ name }, value) => readValue(name, value));
  }

  #readOpen<Read>(read: (output: OpenOutput, value: Pointer) => Read): Read[] {
    const ort = loadOnnxRuntime();
    const allocator = create((out) => ort.GetAllocatorWithDefaultOptions(out));
    const values = takePointers(
      (out, size) => ort.GetBoundOutputValues(this.#binding, allocator, out, size),
      allocator,
    );
    try {
      return values.flatMap((value, index) => {
        const output = this.#outputs[index]!;
        return 'elementType' in output ? [] : [read(output, value)];
      });
    } finally {
      for (const value of values) ort.ReleaseValue(value);
    }
  }

  close(): void {
    const ort = loadOnnxRuntime();
    ort.ReleaseIoBinding(this.#binding);
    for (const value of this.#values) ort.ReleaseValue(value);
    this.#values.length = 0;
    void this.#memory;
  }

  #fillStrings(): void {
    const ort = loadOnnxRuntime();
    for (const { value, values, length } of this.#strings) {
      check(ort.FillStringTensor(value, values.length === length ? values : values.slice(0, length), length));
    }
  }

  #toValue(tensor: BoundInput): Pointer {
    const ort = loadOnnxRuntime();
    const shape = BigInt64Array.from(tensor.shape, BigInt);
    const type = onnxTypeOf(tensor.elementType);
    const length = tensor.shape.reduce((product, size) => product * size, 1);
    let value: Pointer;
    if ('memory' in tensor) {
      const bytes = length * elementBytes[tensor.elementType];
      value = create((out) =>
        ort.CreateTensorWithDataAsOrtValue(tensor.memoryInfo, tensor.memory, bytes, shape, shape.length, type, out),
      );
    } else if (tensor.elementType === 'string') {
      const allocator = create((out) => ort.GetAllocatorWithDefaultOptions(out));
      value = create((out) => ort.CreateTensorAsOrtValue(allocator, shape, shape.length, type, out));
      this.#strings.push({ value, values: tensor.values as readonly string[], length });
    } else {
      const bytes = length * elementBytes[tensor.elementType];
      const values = tensor.values as NumberArray;
      value = create((out) =>
        ort.CreateTensorWithDataAsOrtValue(cpuMemory(), values, bytes, shape, shape.length, type, out),
      );
    }
    this.#values.push(value);
    return value;
  }
}

function bindOpen(binding: Pointer, { name, memoryInfo = cpuMemory() }: OpenOutput): void {
  check(loadOnnxRuntime().BindOutputToDevice(binding, name, memoryInfo));
}

/** ONNXTensorElementDataType and dimensions. */
function describeTensor(value: Pointer): { readonly type: number; readonly shape: readonly number[] } {
  const ort = loadOnnxRuntime();
  const info = create((out) => ort.GetTensorTypeAndShape(value, out));
  const type = count((out) => ort.GetTensorElementType(info, out));
  const shape = readShape(info).map(Number);
  ort.ReleaseTensorTypeAndShapeInfo(info);
  return { type, shape };
}

let cpuMemoryInfo: Pointer | undefined;
/** OrtArenaAllocator, OrtMemTypeDefault */
function cpuMemory(): Pointer {
  cpuMemoryInfo ??= create((out) => loadOnnxRuntime().CreateCpuMemoryInfo(1, 0, out));
  return cpuMemoryInfo;
}

function readValue(name: string, value: Pointer): FetchedTensor {
  const ort = loadOnnxRuntime();
  const { type, shape } = describeTensor(value);
  const elementType = elementTypeOf(type);
  if (elementType === undefined)
    throw new RangeError(`Output ${name} has element type ${type}, which is not supported.`);
  const length = shape.reduce((product, size) => product * size, 1);
  if (elementType === 'string') return { name, elementType, shape, values: readStringTensor(value, length) };
  const bytes = length * elementBytes[elementType];
  const values = viewOf(elementType, new ArrayBuffer(bytes), 0, length);
  if (bytes > 0)
    memcpy(
      values,
      create((out) => ort.GetTensorMutableData(value, out)),
      bytes,
    );
  return { name, elementType, shape, values };
}

function readStringTensor(value: Pointer, length: number): string[] {
  if (length === 0) return [];
  const ort = loadOnnxRuntime();
  const byteCount = count((out) => ort.GetStringTensorDataLength(value, out));
  const bytes = Buffer.alloc(Math.max(1, byteCount));
  const offsets = new BigUint64Array(length);
  check(ort.GetStringTensorContent(value, bytes, byteCount, offsets, length));
  return Array.from(offsets, (start, index) =>
    bytes.toString('utf8', Number(start), index + 1 < length ? Number(offsets[index + 1]) : byteCount),
  );
}
