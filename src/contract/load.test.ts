import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { TandemError, type ErrorCode } from '../errors.ts';
import { contractFromModel, loadContract } from './load.ts';

const root = mkdtempSync(join(tmpdir(), 'tandem-contract-'));
after(() => rmSync(root, { recursive: true }));

/** A model folder with these files. */
function folderOf(name: string, files: Readonly<Record<string, string>>): string {
  const folder = join(root, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return folder;
}

function errorOf(modelPath: string): TandemError {
  try {
    loadContract(modelPath);
  } catch (thrown) {
    assert.ok(thrown instanceof TandemError);
    return thrown;
  }
  assert.fail(`${modelPath} was taken`);
}

test('a folder with tandem.json', () => {
  const text = '\uFEFF{ "model": "m.onnx", "inputs": { "x": { "column": "a" } } }';
  const folder = folderOf('whole', { 'tandem.json': text, 'm.onnx': 'model' });
  const loaded = loadContract(folder);
  assert.equal(loaded.hasFile, true);
  assert.equal(loaded.text, text);
  assert.equal(loaded.contract.modelPath, join(folder, 'm.onnx'));
  assert.deepEqual(loaded.contract.golden, { path: join(folder, 'golden.parquet'), tolerance: 1e-5 });
});

test('a folder with model.onnx alone, and a model file', () => {
  const folder = folderOf('alone', { 'model.onnx': 'model', 'other.onnx': 'model' });
  for (const [modelPath, expected] of [
    [folder, 'model.onnx'],
    [join(folder, 'other.onnx'), 'other.onnx'],
  ] as const) {
    const { contract, hasFile, text } = loadContract(modelPath);
    assert.deepEqual([hasFile, text], [false, '']);
    assert.deepEqual(contract, {
      version: 1,
      modelPath: join(folder, expected),
      inputs: {},
      outputs: undefined,
      keep: undefined,
      where: undefined,
      renames: undefined,
      golden: { path: join(folder, 'golden.parquet'), tolerance: 1e-5 },
      kernels: { tolerance: 1e-6 },
      csv: {},
    });
  }
});

const contractText = '{ "model": "model.onnx", "inputs": {} }';
const broken: [name: string, modelPath: () => string, code: ErrorCode, message: RegExp, remedy: RegExp][] = [
  [
    'nothing there',
    () => join(folderOf('n1', { 'b.onnx': '', 'a.txt': '' }), 'c.onnx'),
    'BAD_MODEL',
    /^Expected the model folder or model file to be at .*c\.onnx, got nothing\.$/,
    /n1 holds a\.txt, b\.onnx\.$/,
  ],
  ['no folder either', () => join(root, 'nowhere', 'c.onnx'), 'BAD_MODEL', /got nothing/, /no folder .*nowhere either/],
  [
    'below a file',
    () => join(folderOf('n2', { 'a.txt': '' }), 'a.txt', 'c.onnx'),
    'BAD_MODEL',
    /got nothing/,
    /no folder/,
  ],
  [
    'folder without a model',
    () => folderOf('n3', { 'b.onnx': '' }),
    'BAD_MODEL',
    /model file to be at .*n3.model\.onnx/,
    /holds b\.onnx\./,
  ],
  ['empty folder', () => folderOf('n4', {}), 'BAD_MODEL', /model\.onnx, got nothing/, /holds nothing\./],
  [
    'contract of a missing model',
    () => folderOf('n5', { 'tandem.json': contractText }),
    'BAD_MODEL',
    /model file to be at .*n5.model\.onnx/,
    /holds tandem\.json\./,
  ],
  [
    'the contract itself',
    () => join(folderOf('n6', { 'tandem.json': contractText }), 'tandem.json'),
    'BAD_MODEL',
    /^Expected the model to be a folder or a model file/,
    /n6$/,
  ],
  [
    'bad contract',
    () => folderOf('n7', { 'tandem.json': '{\n "model": model }' }),
    'BAD_CONTRACT',
    /line 2, column 11: expected a value, got `m`\.$/,
    /n7.tandem\.json$/,
  ],
];

test('a path that leads to no model', () => {
  for (const [name, modelPath, code, message, remedy] of broken) {
    const error = errorOf(modelPath());
    assert.equal(error.code, code, name);
    assert.match(error.message, message, name);
    assert.match(error.remedy ?? '', remedy, name);
  }
});

test('a long folder is listed in part', () => {
  const names = Array.from({ length: 21 }, (_, i) => `f${String(i).padStart(2, '0')}`);
  const folder = folderOf('long', Object.fromEntries(names.map((name) => [name, ''])));
  assert.match(errorOf(folder).remedy!, /holds f00, .*, f19 and 1 more\.$/);
  rmSync(join(folder, 'f20'));
  assert.match(errorOf(folder).remedy!, /holds f00, .*, f19\.$/);
});

test("a model alone is fed by the columns of its inputs' names", () => {
  const contract = contractFromModel('/models/m.onnx', [
    { name: 'age', elementType: 'float32', rowShape: [1] },
    { name: 'flat', elementType: 'int64', rowShape: [] },
    { name: 'city', elementType: 'string', rowShape: [1] },
    { name: 'embedding', elementType: 'float32', rowShape: [2, 3] },
    { name: 'tokens', elementType: 'int64', rowShape: [-1] },
    { name: 'pairs', elementType: 'float32', rowShape: [-1, -1] },
  ]);
  assert.equal(contract.modelPath, '/models/m.onnx');
  assert.equal(contract.outputs, undefined);
  assert.equal(contract.keep, undefined);
  const plain = { missing: undefined, steps: [] };
  assert.deepEqual(contract.inputs, {
    age: { features: [{ kind: 'number', source: { column: 'age' }, ...plain }] },
    flat: { features: [{ kind: 'number', source: { column: 'flat' }, ...plain }] },
    city: { features: [{ kind: 'text', source: { column: 'city' }, missing: undefined }] },
    embedding: { features: [{ kind: 'list', source: { column: 'embedding' }, length: 6, ...plain }] },
    tokens: { features: [{ kind: 'list', source: { column: 'tokens' }, length: undefined, ...plain }] },
    pairs: { features: [{ kind: 'list', source: { column: 'pairs' }, length: undefined, ...plain }] },
  });
});
