/**
 * The graph of a model file: nodes, and which values go from one to the other. Weights are stepped over, not read, so
 * that a file of 2 GB costs as little as a small one.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

export interface GraphNode {
  /** May be empty, and need not be the only one of its kind. */
  readonly name: string;
  /** As in `AssignedNode`. */
  readonly operator: string;
  /** Names of values; an empty one stands for an input that is left out. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** What If, Loop and Scan carry out: they see the values of the graph around them too. */
  readonly bodies: readonly Graph[];
  /** Key in {@link ModelGraph.functions} where it is the call of one. */
  readonly calls: string;
}

export interface Graph {
  /** Of the model's own graph also those that have a default, in old files all weights. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly GraphNode[];
}

export interface ModelGraph extends Graph {
  /** Functions that the file defines, by `domain.name:overload`; they see no values but their inputs. */
  readonly functions: ReadonlyMap<string, Graph>;
}

/** Reads what ONNX Runtime has loaded. Of a file that is not protobuf comes anything, an empty graph for example. */
export function readModelGraph(path: string): ModelGraph {
  const descriptor = openSync(path, 'r');
  try {
    const { size } = fstatSync(descriptor);
    const read = openWindow(descriptor);
    const functions = new Map<string, Graph>();
    let graph: Graph = { inputs: [], outputs: [], nodes: [] };
    for (const field of fields(read, 0, size)) {
      if (field.number === modelFields.graph) graph = readGraph(read, field);
      if (field.number === modelFields.functions) {
        const { key, body } = readFunction(read, field);
        functions.set(key, body);
      }
    }
    return { ...graph, functions };
  } finally {
    closeSync(descriptor);
  }
}

/** Where values come from. */
export interface Origin {
  /** Places of the nodes that they come from. */
  readonly nodes: ReadonlySet<number>;
  /** Their names, and those of all values that these nodes read. */
  readonly names: ReadonlySet<string>;
}

/** @param given values that are there without the nodes that make them */
export function originOf({ nodes }: Graph, values: readonly string[], given: ReadonlySet<string> = new Set()): Origin {
  const makers = new Map(nodes.flatMap((node, place) => node.outputs.map((output) => [output, place])));
  const origin = { nodes: new Set<number>(), names: new Set<string>() };
  const open = values.slice();
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    if (name === '' || origin.names.has(name)) continue;
    origin.names.add(name);
    const place = given.has(name) ? undefined : makers.get(name);
    if (place === undefined || origin.nodes.has(place)) continue;
    origin.nodes.add(place);
    open.push(...readsOf(nodes[place]!));
  }
  return origin;
}

function readsOf({ inputs, bodies }: GraphNode): string[] {
  return [...inputs, ...bodies.flatMap((body) => [...body.outputs, ...body.nodes.flatMap(readsOf)])];
}

/** Gives bytes of the file, fewer at its end. They are good until the next call. */
export type Read = (start: number, end: number) => Buffer;

/** Many fields are a few bytes long: one call of the system brings in so much of the file. */
const windowBytes = 2 ** 14;

export function openWindow(descriptor: number): Read {
  const window = Buffer.alloc(windowBytes);
  let from = 0;
  let until = 0;
  return (start, end) => {
    if (end - start > windowBytes) {
      const bytes = Buffer.alloc(end - start);
      return bytes.subarray(0, readSync(descriptor, bytes, 0, bytes.length, start));
    }
    if (start < from || end > until) {
      from = start;
      until = start + readSync(descriptor, window, 0, windowBytes, start);
    }
    return window.subarray(start - from, Math.min(end, until) - from);
  };
}

/** Numbers of the fields that are read, as onnx.proto gives them. */
export const modelFields = { graph: 7, functions: 25 } as const;
export const graphFields = { node: 1, initializer: 5, input: 11, output: 12, value: 13 } as const;
const functionFields = { name: 1, input: 4, output: 5, node: 7, domain: 10, overload: 13 } as const;
export const nodeFields = { input: 1, output: 2, name: 3, operator: 4, attribute: 5, domain: 7, overload: 8 } as const;
const attributeFields = { graph: 6, floats: 7, ints: 8, texts: 9, graphs: 11 } as const;
const valueFields = { name: 1 } as const;

/** One field of a protobuf message, and where in the file its value lies. */
export interface Field {
  readonly number: number;
  /** Of its tag. */
  readonly from: number;
  readonly start: number;
  readonly end: number;
}

/** A tag and a length: two numbers of at most 10 bytes. */
const headBytes = 20;

/** Wire format: https://protobuf.dev/programming-guides/encoding. A value that is skipped is not read. */
export function* fields(read: Read, start: number, end: number): Generator<Field> {
  for (let at = start; at < end;) {
    const from = at;
    const head = read(at, Math.min(end, at + headBytes));
    const tag = varint(head, 0);
    const number = Math.floor(tag.value / 8);
    const kind = tag.value % 8;
    const after = at + tag.length;
    if (kind === wire.bytes) {
      const length = varint(head, tag.length);
      const valueStart = after + length.length;
      // Nothing reaches beyond what holds it: a file that is cut off or not protobuf ends somewhere, too.
      at = Math.min(end, valueStart + length.value);
      yield { number, from, start: valueStart, end: at };
    } else {
      const bytes = kind === wire.varint ? varint(head, tag.length).length : kind === wire.fixed64 ? 8 : 4;
      at = after + bytes;
    }
  }
}
export const wire = { varint: 0, fixed64: 1, bytes: 2 } as const;

/** Seven bits a byte, lowest first; beyond 2^53, where no length can be, rounded. */
function varint(bytes: Buffer, at: number): { readonly value: number; readonly length: number } {
  let value = 0;
  let length = 0;
  for (let byte = 0x80; byte >= 0x80; length++) {
    byte = bytes[at + length] ?? 0;
    value += (byte & 0x7f) * 2 ** (7 * length);
  }
  return { value, length };
}

function readGraph(read: Read, { start, end }: Field): Graph {
  const graph = { inputs: [] as string[], outputs: [] as string[], nodes: [] as GraphNode[] };
  for (const field of fields(read, start, end)) {
    if (field.number === graphFields.node) graph.nodes.push(readNode(read, field));
    if (field.number === graphFields.input) graph.inputs.push(readValueName(read, field));
    if (field.number === graphFields.output) graph.outputs.push(readValueName(read, field));
  }
  return graph;
}

function readFunction(read: Read, { start, end }: Field): { readonly key: string; readonly body: Graph } {
  const body = { inputs: [] as string[], outputs: [] as string[], nodes: [] as GraphNode[] };
  const names = { name: '', domain: '', overload: '' };
  for (const field of fields(read, start, end)) {
    if (field.number === functionFields.node) body.nodes.push(readNode(read, field));
    if (field.number === functionFields.input) body.inputs.push(textOf(read, field));
    if (field.number === functionFields.output) body.outputs.push(textOf(read, field));
    if (field.number === functionFields.name) names.name = textOf(read, field);
    if (field.number === functionFields.domain) names.domain = textOf(read, field);
    if (field.number === functionFields.overload) names.overload = textOf(read, field);
  }
  return { key: `${operatorName(names.name, names.domain)}:${names.overload}`, body };
}

/** @param withBodies false: they are left out, since looking for them steps over every value of every attribute */
export function readNode(read: Read, place: Field, withBodies = true): GraphNode {
  const node = { inputs: [] as string[], outputs: [] as string[], bodies: [] as Graph[] };
  const names = { name: '', operator: '', domain: '', overload: '' };
  for (const field of fields(read, place.start, place.end)) {
    if (field.number === nodeFields.input) node.inputs.push(textOf(read, field));
    if (field.number === nodeFields.output) node.outputs.push(textOf(read, field));
    if (field.number === nodeFields.name) names.name = textOf(read, field);
    if (field.number === nodeFields.operator) names.operator = textOf(read, field);
    if (field.number === nodeFields.domain) names.domain = textOf(read, field);
    if (field.number === nodeFields.overload) names.overload = textOf(read, field);
    if (field.number !== nodeFields.attribute || !withBodies || isList(read, field)) continue;
    for (const part of fields(read, field.start, field.end)) {
      const isGraph = part.number === attributeFields.graph || part.number === attributeFields.graphs;
      if (isGraph) node.bodies.push(readGraph(read, part));
    }
  }
  const operator = operatorName(names.operator, names.domain);
  return { ...node, name: names.name, operator, calls: `${operator}:${names.overload}` };
}

/** Of values, by the field behind its name: a forest has a million of them, and an attribute with them has no body. */
function isList(read: Read, { start, end }: Field): boolean {
  const [name] = fields(read, start, end);
  if (name === undefined || name.end >= end) return false;
  const number = Math.floor(read(name.end, name.end + 1)[0]! / 8);
  return number === attributeFields.floats || number === attributeFields.ints || number === attributeFields.texts;
}

export function readValueName(read: Read, { start, end }: Field): string {
  for (const field of fields(read, start, end)) {
    if (field.number === valueFields.name) return textOf(read, field);
  }
  return '';
}

export function textOf(read: Read, { start, end }: Field): string {
  return read(start, end).toString('utf8');
}

/** `MatMul`; with its domain where that is not ONNX's own: `com.microsoft.FusedMatMul`. */
export function operatorName(type: string, domain: string): string {
  return domain === '' || domain === 'ai.onnx' ? type : `${domain}.${type}`;
}
