import assert from 'node:assert/strict';
import { totalmem } from 'node:os';
import { test } from 'node:test';
import { TandemError } from '../errors.ts';
import { machineMemoryBytes, parseBytes } from './size.ts';

test('sizes', () => {
  const cases: [string, number][] = [
    ['2GiB', 2 ** 31],
    ['500MB', 5e8],
    ['1.5 GB', 1.5e9],
    ['512mi', 512 * 2 ** 20],
    ['1TiB', 2 ** 40],
    ['1b', 1],
    ['60%', 600],
    ['100 %', 1000],
    ['0.1%', 1],
  ];
  for (const [text, bytes] of cases) assert.equal(parseBytes('--memory', text, 1000), bytes, text);
});

test('what is no size is refused with what was typed', () => {
  for (const text of [
    '2',
    '',
    'GiB',
    '-1GiB',
    '2G',
    '2 gibi',
    '0MB',
    '0%',
    '101%',
    '1e3MB',
    '0.5B',
    '99999999TiB',
    '1,5GB',
  ]) {
    assert.throws(
      () => parseBytes('--memory', text, 1000),
      (error) => error instanceof TandemError && error.code === 'USAGE' && error.message.endsWith(`got \`${text}\`.`),
      text,
    );
  }
});

test("the memory here is at most the machine's", () => {
  assert.ok(machineMemoryBytes() > 2 ** 20);
  assert.ok(machineMemoryBytes() <= totalmem());
});
