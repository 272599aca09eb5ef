import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { batchRowsMax, slotBytesMax } from '../../src/limits.ts';
import { meaningOf, meaningTable } from './records-per-batch.ts';

test('a slot is bounded in rows, and in bytes where rows are wide', () => {
  assert.equal(meaningOf(32).slotRows, batchRowsMax);
  assert.equal(meaningOf(32).slotBytes, batchRowsMax * 33 * 4);
  const wide = meaningOf(100_000);
  assert.ok(wide.slotRows < batchRowsMax);
  assert.ok(wide.slotBytes <= slotBytesMax && wide.slotBytes > slotBytesMax - 100_001 * 4);
  assert.deepEqual(meaningOf(2_048).sparkBytes, [81_920_000, 819_200_000]);
});

test('the README shows what the bounds say', () => {
  const readme = readFileSync(new URL('../../../README.md', import.meta.url), 'utf8');
  assert.ok(readme.includes(meaningTable().join('\n')), meaningTable().join('\n'));
});
