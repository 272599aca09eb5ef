/**
 * A model with some of its values given from outside, so that the nodes that make them are not run. The file's fields are
 * copied as they are, or left out.
 */
import { readFileSync } from 'node:fs';
import type { ElementType } from '../../contract/contract.ts';
import {
  fields,
  graphFields,
  modelFields,
  originOf,
  readValueName,
  textOf,
  type Field,
  type Graph,
  type GraphNode,
  type ModelGraph,
  type Read,
} from './model-graph.ts';
import { field, integerField, message, toBytes, type Message } from './protobuf.ts';
import { onnxTypeOf } from './session.ts';

/** A value that a new input gives. */
export interface GivenValue {
  readonly name: string;
  /** Of the input; unlike any name in the model. */
  readonly input: string;
  readonly elementType: ElementType;
  /** Without the axis of the rows. */
  readonly rowShape: readonly number[];
  /** The input gives places in this list (int64), the value is what is there. */
  readonly texts: readonly string[] | undefined;
}

/** What is left of a model. */
export interface Cut {
  readonly given: readonly GivenValue[];
  /** Of the model's outputs; what nothing but the others needs is left out. */
  readonly outputs: readonly string[];
}

/**
 * The model file that is left; weights that lie in other files are named as before. Where it names no version of ONNX's
 * own operators, of which Identity and Gather are two, ONNX Runtime takes its newest.
 * @param graph of the same file, with the bodies of its nodes
 */
export function cutModel(path: string, graph: Graph, { given, outputs }: Cut): Uint8Array {
  const bytes = readFileSync(path);
  const read: Read = (start, end) => bytes.subarray(start, end);
  const names = new Set(given.map(({ name }) => name));
  const origin = originOf(graph, outputs, names);
  let place = 0;
  const isLeft = (part: Field): boolean => {
    switch (part.number) {
      case graphFields.node:
        return origin.nodes.has(place++);
      case graphFields.initializer:
        return origin.names.has(nameOfTensor(read, part));
      case graphFields.input:
        return origin.names.has(readValueName(read, part));
      case graphFields.output:
        return outputs.includes(readValueName(read, part));
      case graphFields.value:
        // It may say a shape that is not that of the new input.
        return !names.has(readValueName(read, part));
      default:
        return true;
    }
  };
  const others = filtered(read, { start: 0, end: bytes.length }, ({ number }) => number !== modelFields.graph);
  const graphs: Message[] = [];
  for (const part of fields(read, 0, bytes.length)) {
    // Nodes stand before those that read from them.
    if (part.number === modelFields.graph) graphs.push(...given.map(givenMessage), filtered(read, part, isLeft));
  }
  return toBytes(message(others, field(modelFields.graph, message(...graphs))));
}

/** The graph of what {@link cutModel} leaves. */
export function cutGraph(graph: ModelGraph, { given, outputs }: Cut): ModelGraph {
  const origin = originOf(graph, outputs, new Set(given.map(({ name }) => name)));
  return {
    functions: graph.functions,
    inputs: [...given.map(({ input }) => input), ...graph.inputs.filter((name) => origin.names.has(name))],
    outputs: graph.outputs.filter((name) => outputs.includes(name)),
    nodes: [...given.map(nodeOf), ...graph.nodes.filter((_, place) => origin.nodes.has(place))],
  };
}

/** That makes the value of the input. */
function nodeOf({ name, input, texts }: GivenValue): GraphNode {
  const operator = texts === undefined ? 'Identity' : 'Gather';
  const inputs = texts === undefined ? [input] : [listName(input), input];
  return { name: input, operator, inputs, outputs: [name], bodies: [], calls: `${operator}:` };
}

function listName(input: string): string {
  return `${input} texts`;
}

/** Numbers of fields, as onnx.proto gives them. */
const tensorFields = { shape: 1, elementType: 2, texts: 6, name: 8 } as const;
const nodeFields = { input: 1, output: 2, name: 3, operator: 4 } as const;

function nameOfTensor(read: Read, { start, end }: Field): string {
  for (const part of fields(read, start, end)) {
    if (part.number === tensorFields.name) return textOf(read, part);
  }
  return '';
}

/** A message without the fields that are not left; numbers stay. */
function filtered(read: Read, { start, end }: Pick<Field, 'start' | 'end'>, isLeft: (part: Field) => boolean): Message {
  const parts: Uint8Array[] = [];
  let copied = start;
  for (const part of fields(read, start, end)) {
    if (isLeft(part)) continue;
    parts.push(read(copied, part.from));
    copied = part.end;
  }
  parts.push(read(copied, end));
  return { parts, byteCount: parts.reduce((sum, { byteLength }) => sum + byteLength, 0) };
}

/** The input, and the node that makes the value of it. */
function givenMessage(given: GivenValue): Message {
  const { input, elementType, rowShape, texts } = given;
  const node = nodeOf(given);
  const sizes = [message(), ...rowShape.map((size) => integerField(1, size))].map((size) => field(1, size));
  const type = field(1, message(integerField(1, onnxTypeOf(elementType)), field(2, message(...sizes))));
  return message(
    field(graphFields.input, message(field(1, input), field(2, type))),
    field(
      graphFields.node,
      message(
        ...node.inputs.map((value) => field(nodeFields.input, value)),
        ...node.outputs.map((value) => field(nodeFields.output, value)),
        field(nodeFields.name, node.name),
        field(nodeFields.operator, node.operator),
      ),
    ),
    ...(texts === undefined ? [] : [field(graphFields.initializer, textTensor(listName(input), texts))]),
  );
}

function textTensor(name: string, texts: readonly string[]): Message {
  return message(
    integerField(tensorFields.shape, texts.length),
    integerField(tensorFields.elementType, onnxTypeOf('string')),
    ...texts.map((text) => field(tensorFields.texts, text)),
    field(tensorFields.name, name),
  );
}
