import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesIn } from './schemas.ts';

test('columns of an expression are whole names outside of texts', () => {
  const sql = `CASE WHEN TRY_CAST("my ""id""" AS DOUBLE) > 1 THEN 'mid''s y' ELSE place.x + Größe END`;
  const names = namesIn({ sql });
  for (const name of ['my "id"', 'place', 'größe']) assert.ok(names.has(name), name);
  for (const name of ['id', 'y', 'mid', 's', 'my']) assert.ok(!names.has(name), name);
  assert.deepEqual([...namesIn({ column: 'Id' })], ['id']);
});
