import assert from 'node:assert/strict';
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { externalDataModel, rowSumModel } from '../testing/models.ts';
import { writeModel } from '../testing/onnx.ts';
import { tempDir } from '../testing/shards.ts';
import { externalLocations, identifyModel } from './model-identity.ts';

test('weights in another file count: the same graph with other weights is another model', (t) => {
  const path = join(tempDir(t), 'model.onnx');
  writeModel(path, externalDataModel([1, 2, 3], 'weights.bin'));
  assert.deepEqual(externalLocations(readFileSync(path)), ['weights.bin']);
  const weights = join(path, '../weights.bin');
  writeFileSync(weights, new Float32Array([1, 2, 3]));
  const before = identifyModel(path);
  assert.deepEqual(identifyModel(path), before);
  const bytes = readFileSync(weights);
  bytes[0]! ^= 1;
  writeFileSync(weights, bytes);
  const after = identifyModel(path);
  assert.notEqual(after.sha256, before.sha256);
  assert.equal(after.bytes, before.bytes);
  assert.equal(before.bytes, readFileSync(path).byteLength + bytes.byteLength);
});

test('a model that holds its weights is its file', (t) => {
  const path = join(tempDir(t), 'model.onnx');
  writeModel(path, rowSumModel(3));
  assert.deepEqual(externalLocations(readFileSync(path)), []);
  const before = identifyModel(path);
  assert.equal(before.bytes, readFileSync(path).byteLength);
  appendFileSync(path, Buffer.from([0]));
  assert.notEqual(identifyModel(path).sha256, before.sha256);
});
