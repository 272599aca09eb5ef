import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDevice, positionOf, uuidText } from './device-names.ts';

test('numbers, UUIDs and both mixed', () => {
  assert.deepEqual(parseDevice('cpu'), { kind: 'cpu', names: [] });
  assert.deepEqual(parseDevice('auto'), { kind: 'auto', names: [] });
  assert.deepEqual(parseDevice('cuda'), { kind: 'cuda', names: [] });
  assert.deepEqual(parseDevice('cuda:0,12'), { kind: 'cuda', names: ['0', '12'] });
  const mixed = ['2', 'GPU-1f4c2a3b-7777', 'MIG-0A'];
  assert.deepEqual(parseDevice(`cuda:${mixed.join(',')}`), { kind: 'cuda', names: mixed });
});

for (const text of [
  '',
  'gpu',
  'CUDA',
  'cuda:',
  'cuda:0,',
  'cuda:-1',
  'cuda:GPU-',
  'cuda:gpu-1',
  'cuda:GPU-xyz',
  'cuda:MIG-1 ',
  'auto:0',
]) {
  test(`\`${text}\` is no device`, () => {
    assert.throws(() => parseDevice(text), { code: 'USAGE', message: /^Expected the device to be cpu, cuda,/ });
  });
}

test('a name means the one device that it fits', () => {
  const devices = ['GPU-1f4c2a3b-aa', 'GPU-1f4c9999-bb', 'MIG-77aa', undefined].map((uuid) => ({ uuid }));
  const positions = (...names: string[]) => names.map((name) => positionOf(name, devices));
  assert.deepEqual(positions('0', '3', '4'), [0, 3, undefined]);
  assert.deepEqual(positions('GPU-1f4c2', 'GPU-1F4C9', 'GPU-1f4c2a3b-aa'), [0, 1, 0]);
  assert.deepEqual(positions('GPU-1f4c', 'GPU-f4c', 'GPU-1f4c2a3b-aa0'), [undefined, undefined, undefined]);
  assert.deepEqual(positions('MIG-7', 'MIG-78'), [2, undefined]);
});

test("a UUID is written as NVIDIA's tools write it", () => {
  const bytes = Uint8Array.from({ length: 16 }, (_, index) => index * 0x11);
  assert.equal(uuidText(bytes, 'NVIDIA H200'), 'GPU-00112233-4455-6677-8899-aabbccddeeff');
  assert.equal(uuidText(bytes, 'NVIDIA H200 MIG 1g.18gb'), 'MIG-00112233-4455-6677-8899-aabbccddeeff');
  assert.equal(uuidText(bytes, 'MIGHTY 3000'), 'GPU-00112233-4455-6677-8899-aabbccddeeff');
});
