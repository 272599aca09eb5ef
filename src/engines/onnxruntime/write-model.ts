/** An ONNX file from plain data. */
import { viewOf, type NumberArray } from '../../batch.ts';
import type { ElementType } from '../../contract/contract.ts';
import { field, floatField, integerField, integerFields, joined, message, toBytes, type Message } from './protobuf.ts';
import { onnxTypeOf } from './session.ts';

/** A number, or the name of an open dimension. */
export type Dimension = number | string;

export interface TensorSpec {
  readonly name: string;
  readonly elementType: ElementType;
  readonly shape: readonly Dimension[];
}

/** A sequence of maps to float32, as scikit-learn's exporter writes probabilities unless told not to. */
export interface MapsSpec {
  readonly name: string;
  readonly mapsFrom: 'int64' | 'string';
}

/** The kind of an attribute is said, not guessed: 1 may be an int or a float. */
export type Attribute =
  | { readonly int: number }
  | { readonly ints: readonly number[] }
  | { readonly float: number }
  | { readonly floats: readonly number[] }
  | { readonly text: string }
  | { readonly texts: readonly string[] }
  | { readonly tensor: Initializer }
  /** What If, Loop or Scan carries out. */
  | { readonly graph: GraphSpec };

/** A body sees the values of the graph around it; a function sees its inputs only. */
export interface GraphSpec {
  readonly inputs: readonly TensorSpec[];
  readonly outputs: ModelSpec['outputs'];
  readonly nodes: readonly NodeSpec[];
}

export interface NodeSpec {
  readonly op: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Default: one from the operator and its place in the graph. */
  readonly name?: string;
  /** Default: the ONNX operators; `ai.onnx.ml`: trees, encoders, classifiers. */
  readonly domain?: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

export interface Initializer {
  readonly name: string;
  readonly elementType: ElementType;
  readonly shape: readonly number[];
  /** float16 as bits, bool as 0 and 1; numbers are converted to the element type. */
  readonly values: ArrayLike<number | bigint> | readonly string[];
  /** The values lie in this file beside the model, from this byte on; see {@link rawBytes}. */
  readonly external?: { readonly location: string; readonly offset: number };
}

export interface ModelSpec {
  /** One with an initializer of the same name has a default that a caller may override. */
  readonly inputs: readonly TensorSpec[];
  readonly outputs: readonly (TensorSpec | MapsSpec)[];
  readonly nodes: readonly NodeSpec[];
  readonly initializers?: readonly Initializer[];
  /** Operators of the domain `local`, by name; of an input or output only the name counts. */
  readonly functions?: Readonly<Record<string, GraphSpec>>;
  /** Default: version 17 of ONNX and 3 of `ai.onnx.ml`. */
  readonly opset?: readonly { readonly domain: string; readonly version: number }[];
}

export const mlDomain = 'ai.onnx.ml';
export const localDomain = 'local';

/** The file's bytes. Field numbers here and below are those of onnx.proto. */
export function buildModel(spec: ModelSpec): Uint8Array {
  const opset = spec.opset ?? [
    { domain: '', version: 17 },
    { domain: mlDomain, version: 3 },
    ...(spec.functions === undefined ? [] : [{ domain: localDomain, version: 1 }]),
  ];
  const graph = message(
    toGraph('graph', spec),
    ...(spec.initializers ?? []).map((initializer) => field(5, toTensor(initializer))),
  );
  const irVersion = 8;
  return toBytes(
    message(
      integerField(1, irVersion),
      field(2, 'tandem'),
      field(7, graph),
      ...opset.map((entry) => field(8, toOpset(entry))),
      ...Object.entries(spec.functions ?? {}).map(([name, body]) => field(25, toFunction(name, body, opset))),
    ),
  );
}

/** Values as the element type's little-endian bytes. */
export function rawBytes(elementType: ElementType, values: ArrayLike<number | bigint>): Uint8Array {
  if (elementType === 'float32' && values instanceof Float32Array) {
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  }
  const view = viewOf(elementType, new ArrayBuffer(values.length * 8), 0, values.length);
  for (let index = 0; index < values.length; index++) setValue(view, index, values[index]!);
  return new Uint8Array(view.buffer, 0, view.byteLength);
}

function setValue(view: NumberArray, index: number, value: number | bigint): void {
  if (view instanceof BigInt64Array || view instanceof BigUint64Array) view[index] = BigInt(value);
  else view[index] = Number(value);
}

function toValueInfo(spec: TensorSpec | MapsSpec): Message {
  if ('mapsFrom' in spec) {
    const float = field(1, message(integerField(1, onnxTypeOf('float32')), field(2, message())));
    const map = field(5, message(integerField(1, onnxTypeOf(spec.mapsFrom)), field(2, float)));
    return message(field(1, spec.name), field(2, field(4, field(1, map))));
  }
  const dimensions = spec.shape.map((size) =>
    field(1, typeof size === 'string' ? field(2, size) : integerField(1, size)),
  );
  const tensor = message(integerField(1, onnxTypeOf(spec.elementType)), field(2, message(...dimensions)));
  return message(field(1, spec.name), field(2, field(1, tensor)));
}

function toTensor(spec: Initializer): Message {
  const tensor = message(
    ...spec.shape.map((size) => integerField(1, size)),
    integerField(2, onnxTypeOf(spec.elementType)),
    field(8, spec.name),
  );
  if (spec.external !== undefined) {
    const byteCount = rawBytes(spec.elementType, spec.values as ArrayLike<number>).byteLength;
    const { location, offset } = spec.external;
    const entries = { location, offset: String(offset), length: String(byteCount) };
    const external = Object.entries(entries).map(([key, value]) => field(13, message(field(1, key), field(2, value))));
    const liesOutside = 1;
    return message(tensor, ...external, integerField(14, liesOutside));
  }
  if (spec.elementType === 'string') {
    return message(tensor, ...(spec.values as readonly string[]).map((text) => field(6, text)));
  }
  return message(tensor, field(9, rawBytes(spec.elementType, spec.values as ArrayLike<number | bigint>)));
}

function toNode(spec: NodeSpec, index: number): Message {
  return message(
    ...spec.inputs.map((name) => field(1, name)),
    ...spec.outputs.map((name) => field(2, name)),
    field(3, spec.name ?? `${spec.op}_${index}`),
    field(4, spec.op),
    ...Object.entries(spec.attributes ?? {}).map(([name, attribute]) => field(5, toAttribute(name, attribute))),
    field(7, spec.domain ?? ''),
  );
}

/** AttributeProto.AttributeType */
const attributeTypes = { float: 1, int: 2, text: 3, tensor: 4, graph: 5, floats: 6, ints: 7, texts: 8 } as const;

function toAttribute(name: string, attribute: Attribute): Message {
  const typed = (type: keyof typeof attributeTypes, ...values: readonly Message[]): Message =>
    joined([field(1, name), ...values, integerField(20, attributeTypes[type])]);
  const list = (type: keyof typeof attributeTypes, values: readonly Message[]): Message => typed(type, joined(values));
  if ('int' in attribute) return typed('int', integerField(3, attribute.int));
  if ('ints' in attribute) return typed('ints', integerFields(8, attribute.ints));
  if ('float' in attribute) return typed('float', floatField(2, attribute.float));
  if ('floats' in attribute)
    return list(
      'floats',
      attribute.floats.map((value) => floatField(7, value)),
    );
  if ('text' in attribute) return typed('text', field(4, attribute.text));
  if ('texts' in attribute)
    return list(
      'texts',
      attribute.texts.map((text) => field(9, text)),
    );
  if ('graph' in attribute) return typed('graph', field(6, toGraph(name, attribute.graph)));
  return typed('tensor', field(5, toTensor(attribute.tensor)));
}

function toGraph(name: string, { inputs, outputs, nodes }: GraphSpec): Message {
  return message(
    ...nodes.map((node, index) => field(1, toNode(node, index))),
    field(2, name),
    ...inputs.map((input) => field(11, toValueInfo(input))),
    ...outputs.map((output) => field(12, toValueInfo(output))),
  );
}

type Opset = NonNullable<ModelSpec['opset']>;

function toOpset({ domain, version }: Opset[number]): Message {
  return message(field(1, domain), integerField(2, version));
}

function toFunction(name: string, { inputs, outputs, nodes }: GraphSpec, opset: Opset): Message {
  return message(
    field(1, name),
    ...inputs.map((value) => field(4, value.name)),
    ...outputs.map((value) => field(5, value.name)),
    ...nodes.map((node, index) => field(7, toNode(node, index))),
    ...opset.map((entry) => field(9, toOpset(entry))),
    field(10, localDomain),
  );
}
