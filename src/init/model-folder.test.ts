import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { assertFailure, caught, listFiles } from '../e2e/workplace.ts';
import { tempDir } from '../testing/shards.ts';
import { expectWithin, writeModelFolder } from './model-folder.ts';

test('a new folder comes whole, with copies below folders of their own', (context) => {
  const root = tempDir(context);
  writeFileSync(join(root, 'source'), 'weights');
  const target = join(root, 'models/new');
  writeModelFolder(
    target,
    [
      { path: 'tandem.json', content: '{}' },
      { path: 'data/weights.bin', content: { copyOf: join(root, 'source') } },
      { path: 'model.onnx', content: Uint8Array.of(1, 2) },
    ],
    false,
  );
  assert.deepEqual(listFiles(target), ['data/weights.bin', 'model.onnx', 'tandem.json']);
  assert.equal(readFileSync(join(target, 'data/weights.bin'), 'utf8'), 'weights');
  assert.deepEqual(readdirSync(join(root, 'models')), ['new']);
  // It may be read by all who may read any other new folder.
  assert.equal(statSync(target).mode & 0o777, statSync(join(root, 'models')).mode & 0o777);
});

test('nothing is replaced unasked, and other files stay', async (context) => {
  const folder = join(tempDir(context), 'm');
  mkdirSync(folder);
  writeFileSync(join(folder, 'train.py'), 'mine');
  writeFileSync(join(folder, 'tandem.json'), 'old');
  const write = async (overwrite: boolean) =>
    writeModelFolder(folder, [{ path: 'tandem.json', content: 'new' }], overwrite);
  const error = await caught(write(false));
  assertFailure(error, { code: 'BAD_OUTPUT', place: {}, message: /no tandem\.json yet/, remedy: /--overwrite/ });
  assert.equal(readFileSync(join(folder, 'tandem.json'), 'utf8'), 'old');
  await write(true);
  assert.equal(readFileSync(join(folder, 'tandem.json'), 'utf8'), 'new');
  assert.deepEqual(listFiles(folder), ['tandem.json', 'train.py']);
});

test('what cannot be written leaves nothing', async (context) => {
  const root = tempDir(context);
  const folder = join(root, 'm');
  const missing = { path: 'model.onnx', content: { copyOf: join(root, 'none') } };
  const failed = Promise.resolve().then(() => writeModelFolder(folder, [missing], false));
  assertFailure(await caught(failed), { code: 'ENVIRONMENT', place: {}, message: /writable, got: ENOENT/ });
  assert.equal(existsSync(folder), false);
  assert.deepEqual(readdirSync(root), []);
  writeFileSync(folder, 'a file');
  const onFile = Promise.resolve().then(() => writeModelFolder(folder, [{ path: 'a', content: '' }], true));
  assertFailure(await caught(onFile), { code: 'BAD_OUTPUT', place: {}, message: /to be a folder/ });
});

test('weights lie in the folder of the model', async () => {
  for (const path of ['w.bin', 'data/w.bin', 'a/../w.bin']) expectWithin(path, 'm.onnx');
  for (const path of ['../w.bin', '/w.bin', 'a/../../w.bin']) {
    const failed = Promise.resolve().then(() => expectWithin(path, 'm.onnx'));
    assertFailure(await caught(failed), { code: 'BAD_MODEL', place: {}, message: /lie in its folder/ });
  }
});
