/** Builds small ONNX models from plain data. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import onnxProto, { type onnx as Onnx } from 'onnx-proto';
import { viewOf, type NumberArray } from '../batch.ts';
import type { ElementType } from '../contract/contract.ts';
import { onnxTypeOf } from '../engines/onnxruntime/session.ts';

const { onnx } = onnxProto;

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
  readonly outputs: readonly TensorSpec[];
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

/** The file's bytes. */
export function buildModel(spec: ModelSpec): Uint8Array {
  const opset = spec.opset ?? [
    { domain: '', version: 17 },
    { domain: mlDomain, version: 3 },
    ...(spec.functions === undefined ? [] : [{ domain: localDomain, version: 1 }]),
  ];
  const model = onnx.ModelProto.create({
    irVersion: 8,
    producerName: 'tandem-testing',
    opsetImport: [...opset],
    graph: {
      name: 'graph',
      node: spec.nodes.map(toNode),
      initializer: (spec.initializers ?? []).map(toTensor),
      input: spec.inputs.map(toValueInfo),
      output: spec.outputs.map(toValueInfo),
    },
    functions: Object.entries(spec.functions ?? {}).map(([name, body]) => toFunction(name, body, opset)),
  });
  return onnx.ModelProto.encode(model).finish();
}

/** Writes a model file, its folder too where there is none. */
export function writeModel(path: string, model: ModelSpec): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, buildModel(model));
}

/** Values as the element type's little-endian bytes. */
export function rawBytes(elementType: ElementType, values: ArrayLike<number | bigint>): Uint8Array {
  const view = viewOf(elementType, new ArrayBuffer(values.length * 8), 0, values.length);
  for (let index = 0; index < values.length; index++) setValue(view, index, values[index]!);
  return new Uint8Array(view.buffer, 0, view.byteLength);
}

function setValue(view: NumberArray, index: number, value: number | bigint): void {
  if (view instanceof BigInt64Array || view instanceof BigUint64Array) view[index] = BigInt(value);
  else view[index] = Number(value);
}

function toValueInfo(spec: TensorSpec | MapsSpec): Onnx.IValueInfoProto {
  if ('mapsFrom' in spec) {
    const float = { tensorType: { elemType: onnxTypeOf('float32'), shape: { dim: [] } } };
    const mapType = { keyType: onnxTypeOf(spec.mapsFrom), valueType: float };
    return { name: spec.name, type: { sequenceType: { elemType: { mapType } } } };
  }
  const dim = spec.shape.map((size) => (typeof size === 'string' ? { dimParam: size } : { dimValue: size }));
  return { name: spec.name, type: { tensorType: { elemType: onnxTypeOf(spec.elementType), shape: { dim } } } };
}

function toTensor(spec: Initializer): Onnx.ITensorProto {
  const tensor = { name: spec.name, dims: [...spec.shape], dataType: onnxTypeOf(spec.elementType) };
  if (spec.external !== undefined) {
    const byteCount = rawBytes(spec.elementType, spec.values as ArrayLike<number>).byteLength;
    const { location, offset } = spec.external;
    const entries = { location, offset: String(offset), length: String(byteCount) };
    const externalData = Object.entries(entries).map(([key, value]) => ({ key, value }));
    return { ...tensor, dataLocation: onnx.TensorProto.DataLocation.EXTERNAL, externalData };
  }
  if (spec.elementType === 'string') {
    return { ...tensor, stringData: (spec.values as readonly string[]).map(toBytes) };
  }
  return { ...tensor, rawData: rawBytes(spec.elementType, spec.values as ArrayLike<number | bigint>) };
}

function toNode(spec: NodeSpec, index: number): Onnx.INodeProto {
  return {
    name: spec.name ?? `${spec.op}_${index}`,
    opType: spec.op,
    domain: spec.domain ?? '',
    input: [...spec.inputs],
    output: [...spec.outputs],
    attribute: Object.entries(spec.attributes ?? {}).map(([name, attribute]) => toAttribute(name, attribute)),
  };
}

function toAttribute(name: string, attribute: Attribute): Onnx.IAttributeProto {
  const types = onnx.AttributeProto.AttributeType;
  if ('int' in attribute) return { name, type: types.INT, i: attribute.int };
  if ('ints' in attribute) return { name, type: types.INTS, ints: [...attribute.ints] };
  if ('float' in attribute) return { name, type: types.FLOAT, f: attribute.float };
  if ('floats' in attribute) return { name, type: types.FLOATS, floats: [...attribute.floats] };
  if ('text' in attribute) return { name, type: types.STRING, s: toBytes(attribute.text) };
  if ('texts' in attribute) return { name, type: types.STRINGS, strings: attribute.texts.map(toBytes) };
  if ('graph' in attribute) return { name, type: types.GRAPH, g: toGraph(name, attribute.graph) };
  return { name, type: types.TENSOR, t: toTensor(attribute.tensor) };
}

function toGraph(name: string, { inputs, outputs, nodes }: GraphSpec): Onnx.IGraphProto {
  return { name, input: inputs.map(toValueInfo), output: outputs.map(toValueInfo), node: nodes.map(toNode) };
}

function toFunction(name: string, { inputs, outputs, nodes }: GraphSpec, opset: ModelSpec['opset']) {
  const [input, output] = [inputs, outputs].map((list) => list.map((value) => value.name));
  return onnx.FunctionProto.create({
    name,
    domain: localDomain,
    input: input!,
    output: output!,
    node: nodes.map(toNode),
    opsetImport: [...(opset ?? [])],
  });
}

function toBytes(text: string): Uint8Array {
  return Buffer.from(text);
}
