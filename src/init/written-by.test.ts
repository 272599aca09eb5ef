import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { deflateSync, gzipSync } from 'node:zlib';
import { assertFailure, caught } from '../e2e/workplace.ts';
import { tempDir } from '../testing/shards.ts';
import { packagesFor, type LibraryKind } from './written-by.ts';

function needed(test: TestContext, kind: LibraryKind, content: string | Buffer) {
  const path = join(tempDir(test), 'file');
  writeFileSync(path, content);
  return packagesFor(kind, path);
}

/** As `pickle.dumps({'_sklearn_version': ...})` writes it, protocols 4 and 2. */
function pickled(version: string, protocol: 2 | 4): Buffer {
  const text = (value: string) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(value.length);
    return protocol === 4
      ? Buffer.concat([Buffer.of(0x8c, value.length), Buffer.from(value), Buffer.of(0x94)])
      : Buffer.concat([Buffer.from('X'), length, Buffer.from(value), Buffer.from('q\x05', 'latin1')]);
  };
  return Buffer.concat([
    Buffer.from('\x80\x04}', 'latin1'),
    text('_sklearn_version'),
    text(version),
    Buffer.from('u.'),
  ]);
}

test('the version of scikit-learn is in the pickle, compressed or not', (context) => {
  for (const form of [
    pickled('1.5.2', 4),
    pickled('1.5.2', 2),
    deflateSync(pickled('1.5.2', 4)),
    gzipSync(pickled('1.5.2', 2)),
  ]) {
    const { requirements, notes } = needed(context, 'sklearn', form);
    assert.equal(requirements[0], 'scikit-learn==1.5.2');
    assert.ok(!requirements.includes('numpy<2'));
    assert.deepEqual(notes, []);
  }
  for (const [version, isOld] of [
    ['1.4.1', true],
    ['1.4.1.post1', true],
    ['1.4.2', false],
    ['1.10.0', false],
    ['0.24.2', true],
  ] as const) {
    assert.equal(needed(context, 'sklearn', pickled(version, 4)).requirements.includes('numpy<2'), isOld, version);
  }
});

test('a pickle that says nothing gets what was tried, and so do models inside of it', (context) => {
  const { requirements, notes } = needed(context, 'sklearn', 'no version; lightgbm.sklearn');
  assert.deepEqual(requirements.slice(0, 2), ['scikit-learn==1.9.1', 'lightgbm==4.7.0']);
  assert.equal(notes.length, 2);
});

test('XGBoost writes its version; before 2.1 it needs the older NumPy', (context) => {
  const of = (version: string) => needed(context, 'xgboost', `{"learner":{},"version":[${version}]}`).requirements;
  assert.deepEqual(of('3,2,0').slice(0, 2), ['xgboost==3.2.0', 'scikit-learn']);
  assert.equal(of('1, 7, 6')[0], 'xgboost==1.7.6');
  assert.deepEqual(
    ['1,7,6', '2,0,3', '2,1,0', '3,2,0'].map((version) => of(version).includes('numpy<2')),
    [true, true, false, false],
  );
  assert.equal(needed(context, 'xgboost', '{L').notes.length, 1);
});

test('what is no model of XGBoost is named before anything is installed', async (context) => {
  const path = join(tempDir(context), 'lgb.txt');
  writeFileSync(path, 'tree\nversion=v4\n');
  const failed = Promise.resolve().then(() => packagesFor('xgboost', path));
  const message = /lgb\.txt to be an XGBoost model, got "tree/;
  assertFailure(await caught(failed), { code: 'BAD_MODEL', place: {}, message, remedy: /--lightgbm/ });
});

test('LightGBM writes text, and what is none is named', async (context) => {
  assert.equal(needed(context, 'lightgbm', 'tree\nversion=v4\n').requirements[0], 'lightgbm==4.7.0');
  for (const [content, message] of [
    ['{"learner":', /a LightGBM model as text, got "\{/],
    [undefined, /readable model file, got: ENOENT/],
  ] as const) {
    const path = join(tempDir(context), 'file');
    if (content !== undefined) writeFileSync(path, content);
    const failed = Promise.resolve().then(() => packagesFor('lightgbm', path));
    assertFailure(await caught(failed), { code: 'BAD_MODEL', place: {}, message });
  }
});
