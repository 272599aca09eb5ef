import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Footer } from '../read/footers.ts';
import { pairFiles } from './join-rows.ts';

function file(name: string, rowCount: number): Footer {
  return { name, rowCount } as Footer;
}

test('known files pair with the shards of their names, and one of them with nothing else', () => {
  const shards = [file('a.csv', 3), file('b.csv', 4)];
  const known = [file('b.parquet', 4), file('a.parquet', 3)];
  assert.deepEqual(
    pairFiles(shards, known).map(({ name }) => name),
    ['a.parquet', 'b.parquet'],
  );
  assert.throws(() => pairFiles(shards, [...known, file('a.csv', 7)]), /names of their own, got two for a\.parquet/);
  assert.throws(() => pairFiles(shards, [file('c.parquet', 3), ...known]), /to be called like the shards/);
  assert.throws(() => pairFiles(shards, [file('a.parquet', 2), file('b.parquet', 4)]), /to hold 3 rows/);
});
