import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { rawBytes, writeModel, type Attribute, type Initializer, type ModelSpec } from '../../testing/onnx.ts';
import { tempDir } from '../../testing/shards.ts';
import { readWeightedGraph } from './model-weights.ts';

function modelOf(attributes: Readonly<Record<string, Attribute>>, initializers: readonly Initializer[]): ModelSpec {
  return {
    inputs: [{ name: 'x', elementType: 'float32', shape: ['N', 2] }],
    outputs: [{ name: 'y', elementType: 'float32', shape: ['N', 2] }],
    nodes: [{ op: 'Odd', inputs: ['x', ...initializers.map(({ name }) => name)], outputs: ['y'], attributes }],
    initializers,
  };
}

test('attributes of every kind', (t) => {
  const path = join(tempDir(t), 'model.onnx');
  const longList = Array.from({ length: 3000 }, (_, index) => index * 0.25 - 100);
  const attributes: Record<string, Attribute> = {
    int: { int: -1 },
    ints: { ints: [0, 1, 127, 128, -1, -(2 ** 40), 2 ** 52] },
    float: { float: 0.5 },
    floats: { floats: longList },
    text: { text: 'SOFTMAX' },
    texts: { texts: ['BRANCH_LEQ', '', 'é'] },
    tensor: { tensor: { name: 't', elementType: 'float64', shape: [2], values: [0.1, -3] } },
  };
  writeModel(path, modelOf(attributes, []));
  const graph = readWeightedGraph(path);
  assert.deepEqual([graph.inputs, graph.outputs], [['x'], ['y']]);
  const [node] = graph.nodes;
  assert.equal(node!.operator, 'Odd');
  const found = (name: string) => node!.attributes.get(name)!;
  assert.deepEqual([...found('int').ints], [-1]);
  assert.deepEqual([...found('ints').ints], [0, 1, 127, 128, -1, -(2 ** 40), 2 ** 52]);
  assert.deepEqual([...found('float').floats], [0.5]);
  assert.deepEqual([...found('floats').floats], longList);
  assert.deepEqual(found('text').texts, ['SOFTMAX']);
  assert.deepEqual(found('texts').texts, ['BRANCH_LEQ', '', 'é']);
  assert.deepEqual(found('tensor').tensor, { elementType: 'float64', shape: [2], values: Float64Array.of(0.1, -3) });
  assert.equal(node!.attributes.has('other'), false);
});

test('weights in the file and beside it', (t) => {
  const folder = tempDir(t);
  const path = join(folder, 'model.onnx');
  const far = [1.5, -2.25];
  writeFileSync(join(folder, 'far.bin'), Buffer.concat([Buffer.alloc(12), rawBytes('float32', far)]));
  const initializers: readonly Initializer[] = [
    { name: 'floats', elementType: 'float32', shape: [2, 2], values: [1, 2, 3, Math.fround(0.1)] },
    { name: 'ints', elementType: 'int64', shape: [2], values: [-1, 2 ** 40] },
    { name: 'scalar', elementType: 'float64', shape: [], values: [0.1] },
    { name: 'far', elementType: 'float32', shape: [2], values: far, external: { location: 'far.bin', offset: 12 } },
    { name: 'words', elementType: 'string', shape: [1], values: ['no number'] },
  ];
  writeModel(path, modelOf({}, initializers));
  const { weights } = readWeightedGraph(path);
  const values = Object.fromEntries(
    initializers.map(({ name }) => [name, Array.from(weights.get(name)?.values ?? [])]),
  );
  const floats = [1, 2, 3, Math.fround(0.1)];
  assert.deepEqual(values, { floats, ints: [-1, 2 ** 40], scalar: [0.1], far, words: [] });
  assert.equal(weights.get('words'), undefined);
  assert.equal(weights.get('no weight'), undefined);
  assert.deepEqual(weights.get('floats')!.shape, [2, 2]);
  assert.deepEqual(weights.get('scalar')!.shape, []);
});

test('weights that nobody asks for are not read, and none that is too large', (t) => {
  const folder = tempDir(t);
  const path = join(folder, 'model.onnx');
  const of = (name: string, length: number): Initializer => {
    return { name, elementType: 'float32', shape: [length], values: new Float32Array(length) };
  };
  const beside = (name: string, length: number, location: string): Initializer => {
    return { ...of(name, length), external: { location, offset: 0 } };
  };
  const external = [beside('far', 25, 'far'), beside('too far', 26, 'far'), beside('lost', 1, 'not there')];
  writeFileSync(join(folder, 'far'), Buffer.alloc(26 * 4));
  writeModel(path, modelOf({}, [of('near', 4), of('large', 30), ...external]));
  const { weights } = readWeightedGraph(path, 25 * 4);
  const lengths = ['near', 'large', 'far', 'too far'].map((name) => weights.get(name)?.values.length);
  assert.deepEqual(lengths, [4, undefined, 25, undefined]);
  assert.throws(() => weights.get('lost'), /ENOENT/);
});
