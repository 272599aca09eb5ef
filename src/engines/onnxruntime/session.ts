/** Sessions: a loaded model and what it takes and gives. One per process, shared by all threads. */
import type { ElementType } from '../../contract/contract.ts';
import type { Pointer } from '../native.ts';
import { check, count, create, loadOnnxRuntime, takeString, type OnnxRuntime } from './bindings.ts';

/** ONNXTensorElementDataType */
const elementTypes: readonly (ElementType | undefined)[] = [
  undefined,
  'float32',
  'uint8',
  'int8',
  'uint16',
  'int16',
  'int32',
  'int64',
  'string',
  'bool',
  'float16',
  'float64',
  'uint32',
  'uint64',
];

export function onnxTypeOf(elementType: ElementType): number {
  return elementTypes.indexOf(elementType);
}
export function elementTypeOf(onnxType: number): ElementType | undefined {
  return elementTypes[onnxType];
}

/** ONNXType of a value: tensor, sequence, map, ... */
const valueKinds = ['unknown', 'tensor', 'sequence', 'map', 'opaque', 'sparse tensor', 'optional'] as const;
export type ValueKind = (typeof valueKinds)[number];

/** One input or output as the model declares it. */
export interface ModelValue {
  readonly name: string;
  readonly kind: ValueKind;
  /** Undefined for what is no tensor, and for types that no column can fill (bfloat16, complex, ...). */
  readonly elementType: ElementType | undefined;
  /** A number, or the name of a dimension that is left open ('?' when it has none). Undefined: rank not declared. */
  readonly shape: readonly (number | string)[] | undefined;
}

export interface ModelDescription {
  readonly inputs: readonly ModelValue[];
  readonly outputs: readonly ModelValue[];
  /** Inputs that have a default in the model. */
  readonly defaults: readonly ModelValue[];
}

export interface SessionSettings {
  /** Threads inside one run; 1 where each core has a run of its own. */
  readonly intraOpThreads: number;
  /** Adds a device to the OrtSessionOptions. */
  readonly configure?: (options: Pointer) => void;
}

/** A model that lies in memory, which may change once the session is open. */
export interface ModelBytes {
  readonly bytes: Uint8Array;
  /** Where the weights lie that it names by file. */
  readonly folder: string;
}

/** Log severity 4: nothing is printed, errors come as messages. */
const severityFatal = 4;
let environment: Pointer | undefined;

/**
 * The process's part of ONNX Runtime, which takes some 20 ms where no other thread holds it. Each thread that opens it,
 * {@link openSession} does, ends its own by {@link closeEnvironment}.
 */
export function openEnvironment(): Pointer {
  const ort = loadOnnxRuntime();
  // One per process; ONNX Runtime counts who uses it.
  environment ??= create((out) => ort.CreateEnv(severityFatal, 'tandem', out));
  return environment;
}

/** Loads a model. The pointer may be used by all threads of the process. @throws OnnxRuntimeError */
export function openSession(model: string | ModelBytes, settings: SessionSettings): Pointer {
  const ort = loadOnnxRuntime();
  const env = openEnvironment();
  const options = create((out) => ort.CreateSessionOptions(out));
  try {
    check(ort.SetIntraOpNumThreads(options, settings.intraOpThreads));
    check(ort.SetInterOpNumThreads(options, 1));
    // Spinning threads would take the cores from decoding.
    check(ort.AddSessionConfigEntry(options, 'session.intra_op.allow_spinning', '0'));
    settings.configure?.(options);
    if (typeof model === 'string') return create((out) => ort.CreateSession(env, model, options, out));
    const { bytes, folder } = model;
    check(ort.AddSessionConfigEntry(options, 'session.model_external_initializers_file_folder_path', folder));
    return create((out) => ort.CreateSessionFromArray(env, bytes, bytes.byteLength, options, out));
  } finally {
    ort.ReleaseSessionOptions(options);
  }
}

export function closeSession(session: Pointer): void {
  loadOnnxRuntime().ReleaseSession(session);
}

/**
 * Ends this thread's part of ONNX Runtime, after its last session. Where the CUDA provider was loaded, a process that has
 * not done this crashes at its very end, and its exit code is lost.
 */
export function closeEnvironment(): void {
  if (environment !== undefined) loadOnnxRuntime().ReleaseEnv(environment);
  environment = undefined;
}

export function describeSession(session: Pointer): ModelDescription {
  const ort = loadOnnxRuntime();
  const allocator = create((out) => ort.GetAllocatorWithDefaultOptions(out));
  const list = (
    size: number,
    nameOf: OnnxRuntime['SessionGetInputName'],
    typeOf: OnnxRuntime['SessionGetInputTypeInfo'],
  ): ModelValue[] =>
    Array.from({ length: size }, (_, index) => {
      const name = takeString((out) => nameOf(session, index, allocator, out), allocator);
      return describeValue(
        name,
        create((out) => typeOf(session, index, out)),
      );
    });
  return {
    inputs: list(
      count((out) => ort.SessionGetInputCount(session, out)),
      ort.SessionGetInputName,
      ort.SessionGetInputTypeInfo,
    ),
    outputs: list(
      count((out) => ort.SessionGetOutputCount(session, out)),
      ort.SessionGetOutputName,
      ort.SessionGetOutputTypeInfo,
    ),
    defaults: list(
      count((out) => ort.SessionGetOverridableInitializerCount(session, out)),
      ort.SessionGetOverridableInitializerName,
      ort.SessionGetOverridableInitializerTypeInfo,
    ),
  };
}

/** Inputs that the session reads in memory of another kind of device than this OrtMemoryInfo's, by name. */
export function inputsReadElsewhere(session: Pointer, memoryInfo: Pointer): string[] {
  const ort = loadOnnxRuntime();
  const { inputs } = describeSession(session);
  const infos = new Array<Pointer | null>(inputs.length).fill(null);
  if (inputs.length > 0) check(ort.SessionGetMemoryInfoForInputs(session, infos, infos.length));
  const kindOf = (info: Pointer): number => {
    const out: [number | bigint | null] = [null];
    ort.MemoryInfoGetDeviceType(info, out);
    return Number(out[0]);
  };
  return inputs.filter((_, index) => kindOf(infos[index]!) !== kindOf(memoryInfo)).map(({ name }) => name);
}

function describeValue(name: string, typeInfo: Pointer): ModelValue {
  const ort = loadOnnxRuntime();
  try {
    const kind = valueKinds[count((out) => ort.GetOnnxTypeFromTypeInfo(typeInfo, out))] ?? 'unknown';
    if (kind !== 'tensor') return { name, kind, elementType: undefined, shape: undefined };
    // Borrowed from typeInfo: not released on its own.
    const tensorInfo = create((out) => ort.CastTypeInfoToTensorInfo(typeInfo, out));
    const elementType = elementTypeOf(count((out) => ort.GetTensorElementType(tensorInfo, out)));
    return { name, kind, elementType, shape: readShape(tensorInfo) };
  } finally {
    ort.ReleaseTypeInfo(typeInfo);
  }
}

/** Dimensions with names for the open ones. */
export function readShape(tensorInfo: Pointer): (number | string)[] {
  const ort = loadOnnxRuntime();
  const rank = count((out) => ort.GetDimensionsCount(tensorInfo, out));
  const dimensions = new BigInt64Array(rank);
  const names = new Array<string | null>(rank).fill(null);
  if (rank > 0) {
    check(ort.GetDimensions(tensorInfo, dimensions, rank));
    check(ort.GetSymbolicDimensions(tensorInfo, names, rank));
  }
  return Array.from(dimensions, (size, axis) => (size >= 0n ? Number(size) : names[axis] || '?'));
}
