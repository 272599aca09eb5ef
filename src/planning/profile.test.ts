import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { BatchSizeFinding } from '../messages.ts';
import { tempDir } from '../testing/shards.ts';
import type { Profile, ProfileKey } from '../plan.ts';
import { profilePath, rememberFindings, writeProfile } from './profile.ts';
import { readProfile } from './stored-profiles.ts';

const key: ProfileKey = {
  modelSha256: 'm',
  contractSha256: 'c',
  device: 'NVIDIA H200',
  driverVersion: '580.65.06',
  onnxRuntimeVersion: '1.30.0',
  precision: 'float32',
  scorer: 'onnxruntime',
};
const profile: Profile = {
  version: 1,
  key,
  batchSize: 4096,
  rowsPerSecond: 1.5e6,
  memory: { fixedBytes: 1e9, perRowBytes: 812.5 },
  job: { threads: 8, devices: 1, slotRows: 4096, slotsPerThread: 4, rowsPerSecond: 1e6 },
  writtenBy: 'tune',
  writtenAt: '2026-05-04T10:00:00.000Z',
};

function refuse(text: string): never {
  throw new Error(text);
}

test('what is written is read back, and nothing else lies there', (t) => {
  const folder = join(tempDir(t), 'not/there/yet');
  assert.equal(readProfile(folder, key, refuse), undefined);
  const path = writeProfile(folder, profile);
  assert.deepEqual(readProfile(folder, key, refuse), profile);
  const shorter: Profile = { ...profile, batchSize: 64, memory: undefined, job: undefined };
  assert.equal(writeProfile(folder, shorter), path);
  assert.deepEqual(readProfile(folder, key, refuse), JSON.parse(JSON.stringify(shorter)));
  assert.deepEqual(readdirSync(folder).length, 1);
});

test('each part of the key tells profiles apart', () => {
  const others: readonly ProfileKey[] = [
    { ...key, modelSha256: 'other' },
    { ...key, contractSha256: 'other' },
    { ...key, device: 'NVIDIA L4' },
    { ...key, driverVersion: '580.95.05' },
    { ...key, driverVersion: undefined },
    { ...key, onnxRuntimeVersion: '1.31.0' },
    { ...key, precision: 'tf32' },
    { ...key, scorer: 'trees' },
    { ...key, scorer: 'linear' },
    // Neighbouring parts do not run into each other.
    { ...key, modelSha256: 'mc', contractSha256: '' },
  ];
  assert.equal(new Set([key, ...others].map((each) => profilePath('/c', each))).size, others.length + 1);
});

test('what is no profile is ignored with its reason', (t) => {
  const folder = tempDir(t);
  const path = profilePath(folder, key);
  const cases: readonly (readonly [string, RegExp])[] = [
    ['', /got no JSON; it is not used/],
    ['{"version": 1, "key"', /got no JSON/],
    ['[]', /got the file: /],
    [JSON.stringify({ ...profile, version: 2 }), /got version: /],
    [JSON.stringify({ ...profile, batchSize: 0 }), /got batchSize: /],
    [JSON.stringify({ ...profile, batchSize: 2 ** 40 }), /got batchSize: /],
    [JSON.stringify({ ...profile, rowsPerSecond: 'fast' }), /got rowsPerSecond: /],
    [JSON.stringify({ ...profile, job: { ...profile.job, threads: 1e6 } }), /got job\.threads: /],
    [JSON.stringify({ ...profile, more: 1 }), /got the file: .*more/],
    [JSON.stringify({ ...profile, key: { ...key, device: 'NVIDIA L4' } }), /got one of NVIDIA L4 under another key/],
  ];
  for (const [text, expected] of cases) {
    const warnings: string[] = [];
    writeFileSync(path, text);
    assert.equal(
      readProfile(folder, key, (warning) => warnings.push(warning)),
      undefined,
      text,
    );
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, expected);
  }
  const warnings: string[] = [];
  const unreadable: ProfileKey = { ...key, device: 'a folder' };
  mkdirSync(profilePath(folder, unreadable));
  assert.equal(
    readProfile(folder, unreadable, (warning) => warnings.push(warning)),
    undefined,
  );
  assert.match(warnings.join(), /got EISDIR/);
});

const finding: BatchSizeFinding = {
  deviceIndex: 0,
  chosen: { rows: 512, rowsPerSecond: 7, fixedBytes: 1, perRowBytes: 2 },
  sizes: [],
  memory: undefined,
  searchRuns: 40,
  provesProfile: false,
};

test("a run leaves what its search found; the rest of tune's profile stays", (t) => {
  const folder = tempDir(t);
  const used = [{ path: profilePath(folder, key), profile, sets: [] }];
  rememberFindings({ folder, keys: [key], used }, [finding], '2026-06-01T00:00:00.000Z');
  assert.deepEqual(readProfile(folder, key, refuse), {
    ...profile,
    batchSize: 512,
    rowsPerSecond: 7,
    memory: { fixedBytes: 1, perRowBytes: 2 },
    writtenBy: 'run',
    writtenAt: '2026-06-01T00:00:00.000Z',
  });
});

test('a run leaves nothing where nothing new was found, none is wanted, or the folder cannot be made', (t) => {
  const folder = tempDir(t);
  const keys = [key];
  rememberFindings({ folder, keys, used: [] }, [{ ...finding, chosen: undefined }]);
  rememberFindings({ folder, keys, used: [] }, [{ ...finding, provesProfile: true }]);
  rememberFindings({ folder: undefined, keys, used: [] }, [finding]);
  writeFileSync(join(folder, 'file'), '');
  rememberFindings({ folder: join(folder, 'file'), keys, used: [] }, [finding]);
  assert.deepEqual(readdirSync(folder), ['file']);
  rememberFindings({ folder, keys: [key, key], used: [] }, [finding, { ...finding, deviceIndex: 1 }]);
  assert.equal(readdirSync(folder).length, 2);
  assert.match(readFileSync(profilePath(folder, key), 'utf8'), /"device": "NVIDIA H200"/);
});
