import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { GoldenComparison } from '../messages.ts';
import { parquetFile } from '../relation.ts';
import { withConnection } from '../testing/shards.ts';
import { compareWithGolden } from './golden.ts';

/** One row each, under the name y, with a tolerance of 0.01. */
function compare(golden: string, score: string): GoldenComparison {
  const folder = mkdtempSync(join(tmpdir(), 'tandem-golden-'));
  try {
    return withConnection((connection) => {
      const paths = [golden, score].map((sql, index) => {
        const path = join(folder, `${index}.parquet`);
        connection.execute(`COPY (SELECT ${sql} AS y) TO '${path}' (FORMAT parquet)`);
        return path;
      });
      return compareWithGolden(connection, paths[0]!, parquetFile(paths[0]!), paths[1]!, 0.01);
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const cases: readonly (readonly [string, string, boolean])[] = [
  ['100::DOUBLE', '100.9::FLOAT', true],
  ['100::DOUBLE', '101.1::FLOAT', false],
  ["'nan'::DOUBLE", "'nan'::FLOAT", true],
  ["'nan'::DOUBLE", '1::FLOAT', false],
  ['1::DOUBLE', "'nan'::FLOAT", false],
  ["'inf'::DOUBLE", "'inf'::FLOAT", true],
  ["'inf'::DOUBLE", "'-inf'::FLOAT", false],
  ["'inf'::DOUBLE", '1::FLOAT', false],
  ['NULL::DOUBLE', '1::FLOAT', false],
  ['[100, 0]::DOUBLE[]', '[100.9, 0]::FLOAT[]', true],
  ['[100, 0]::DOUBLE[]', '[100, 0.9]::FLOAT[]', false],
  ["['nan'::DOUBLE, 0]", '[1, 0]::FLOAT[]', false],
  ['[1, 0]::DOUBLE[]', '[1]::FLOAT[]', false],
  ["'a'", "'a'", true],
  ["'a'", "'b'", false],
];

for (const [golden, score, passes] of cases) {
  test(`golden ${golden}, score ${score}: ${passes ? 'passes' : 'differs'}`, () => {
    const { passed, columns } = compare(golden, score);
    assert.deepEqual([passed, columns[0]!.rowsBeyond], [passes, passes ? 0 : 1]);
  });
}

test('a golden column of another kind than the scores', () => {
  assert.throws(() => compare("'a'", '1::FLOAT'), {
    code: 'BAD_CONTRACT',
    message: /Expected y in golden.parquet.*FLOAT, got VARCHAR/,
  });
});
