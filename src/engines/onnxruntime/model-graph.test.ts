import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import onnxProto, { type onnx as Onnx } from 'onnx-proto';
import { networkModel, randomNetwork } from '../../testing/networks.ts';
import { buildModel, type ModelSpec, type NodeSpec } from '../../testing/onnx.ts';
import { tempDir } from '../../testing/shards.ts';
import { transformer } from '../../testing/transformer.ts';
import { randomTrees, treeRegressorModel } from '../../testing/trees.ts';
import { operatorName, readModelGraph, type Graph, type GraphNode } from './model-graph.ts';

const { onnx } = onnxProto;

/** The same by protobuf.js, which reads the whole file. */
function decodeGraph({ node, input, output }: Onnx.IGraphProto): Graph {
  const names = (values: readonly { name?: string | null }[] | null | undefined) => (values ?? []).map((v) => v.name!);
  return { inputs: names(input), outputs: names(output), nodes: (node ?? []).map(decodeNode) };
}

function decodeNode({ name, opType, domain, input, output, attribute }: Onnx.INodeProto): GraphNode {
  const operator = operatorName(opType!, domain ?? '');
  const bodies = (attribute ?? []).flatMap(({ g }) => (g ? [decodeGraph(g)] : []));
  return { name: name ?? '', operator, inputs: input ?? [], outputs: output ?? [], bodies, calls: `${operator}:` };
}

const x = { name: 'x', elementType: 'float32', shape: ['N', 4] } as const;
const branch = (op: string) => ({ inputs: [], outputs: [x], nodes: [{ op, inputs: ['x'], outputs: ['x'] }] });
const nested: ModelSpec = {
  inputs: [x],
  outputs: [{ ...x, name: 'y' }],
  nodes: [
    { op: 'Size', name: '', inputs: ['x'], outputs: ['size'] },
    { op: 'Cast', name: 'größer', inputs: ['size'], outputs: ['c'], attributes: { to: { int: 9 } } },
    {
      op: 'If',
      inputs: ['c'],
      outputs: ['y'],
      attributes: { then_branch: { graph: branch('Neg') }, else_branch: { graph: branch('Abs') } },
    },
    { op: 'Clip', inputs: ['x', '', 'c'], outputs: ['z'] },
    { op: 'Twice', domain: 'local', inputs: ['x'], outputs: ['t'] },
  ],
  functions: {
    Twice: { inputs: [x], outputs: [{ ...x, name: 't' }], nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['t'] }] },
  },
};
/** Names and attributes longer than what is read at once, and a field that crosses its end wherever that is. */
const long: ModelSpec = {
  inputs: [x],
  outputs: [{ ...x, name: 'y' }],
  nodes: Array.from({ length: 300 }, (_, index): NodeSpec => ({
    op: 'Neg',
    name: `${index}`.repeat(1 + 97 * index),
    inputs: ['x'],
    outputs: [`v${index}`],
    attributes: {
      pad: { text: 'p'.repeat(index * 211) },
      list: { ints: Array.from({ length: index }, (_, k) => k - 5) },
    },
  })),
};

test('nodes, values, bodies and functions are those that protobuf.js reads', (t) => {
  const folder = tempDir(t);
  const trees = randomTrees({ treeCount: 9, leafCount: 31, ranges: [[0, 1]], seed: 1 });
  const specs = [
    networkModel(randomNetwork([4, 64, 1], 1)),
    transformer().model,
    treeRegressorModel(trees, 1, true),
    nested,
    long,
  ];
  for (const [index, spec] of specs.entries()) {
    const path = join(folder, `${index}.onnx`);
    const bytes = buildModel(spec);
    writeFileSync(path, bytes);
    const { functions, ...graph } = readModelGraph(path);
    const decoded = onnx.ModelProto.decode(bytes);
    assert.deepEqual(graph, decodeGraph(decoded.graph!));
    assert.deepEqual(
      [...functions],
      decoded.functions.map(({ name, domain, input, output, node }) => [
        `${domain}.${name}:`,
        { inputs: input, outputs: output, nodes: (node ?? []).map(decodeNode) },
      ]),
    );
  }
});

test('a file that is cut off or no model gives what is there, and ends', (t) => {
  const path = join(tempDir(t), 'model.onnx');
  const bytes = buildModel(transformer().model);
  for (let length = 0; length < bytes.length; length += 173) {
    writeFileSync(path, bytes.subarray(0, length));
    assert.ok(readModelGraph(path).nodes.length <= 79);
  }
  for (let round = 0; round < 50; round++) {
    writeFileSync(path, randomBytes(20_000));
    readModelGraph(path);
  }
});
