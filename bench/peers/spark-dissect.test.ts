import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planOf, sharesOf } from './spark-dissect.ts';
import { sumCosts } from './stacks.ts';

test('of an explained plan the tree of operators stays', () => {
  const explained = '== Physical Plan ==\nMapInPandas (2)\n+- Scan parquet  (1)\n\n\n(1) Scan parquet \nOutput: [f0]\n';
  assert.deepEqual(planOf(explained), ['MapInPandas (2)', '+- Scan parquet  (1)']);
  assert.deepEqual(planOf('no plan'), []);
});

test('shares weigh the samples of JVM and workers with the CPU seconds of each, and sum to 1', () => {
  const patterns = [{ cost: 'predict', frame: /^run$/ }] as const;
  const jvm = sumCosts([{ frames: ['wait'], samples: 1_000 }], patterns);
  const workers = sumCosts(
    [
      { frames: ['run'], samples: 3 },
      { frames: ['wait'], samples: 1 },
    ],
    patterns,
  );
  const shares = sharesOf({ jvm: 6, worker: 2 }, jvm, workers);
  assert.equal(shares.predict, (2 * 3) / 4 / 8);
  assert.equal(
    Object.values(shares).reduce((sum, share) => sum + share),
    1,
  );
  // Without samples of the workers (SynapseML has none) their seconds do not count either.
  assert.equal(sharesOf({ jvm: 6, worker: 2 }, jvm, sumCosts([], patterns)).other, 1);
});
