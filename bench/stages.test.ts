import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { planScore } from '../src/index.ts';
import { tempDir } from '../src/testing/shards.ts';
import { ensureWorkloads, workloadNames } from './data.ts';
import { openDecode } from './decode.ts';
import { openFeaturize } from './featurize.ts';
import { checkOutput, runJob } from './job.ts';
import type { Stage, StageName, StageTask } from './measure.ts';
import { openLedger } from './ledger.ts';
import { openScore } from './score.ts';
import { openWrite } from './write.ts';

/** No multiple of a chunk's 2,048 rows. */
const rowsPerShard = 5_000;

const openers: Readonly<Record<StageName, (task: StageTask) => Stage>> = {
  decode: openDecode,
  featurize: openFeaturize,
  score: openScore,
  write: openWrite,
  ledger: openLedger,
};

test('every stage of every workload answers rightly and does what it says', async (t) => {
  const folder = tempDir(t);
  const { shards, models } = ensureWorkloads(join(folder, 'data'), rowsPerShard);
  for (const workload of workloadNames) {
    const plan = await planScore({ shards, model: models[workload], output: join(folder, workload) });
    for (const [stage, open] of Object.entries(openers)) {
      const opened = open({ stage: stage as StageName, workload, plan, threadIndex: 1 });
      opened.check();
      for (const [name, work] of Object.entries(opened.contestants)) assert.ok(work() > 0, `${stage} ${name}`);
      if (stage === 'decode' || stage === 'write' || stage === 'ledger')
        assert.equal(opened.contestants['ours']!(), rowsPerShard);
      opened.close();
    }
  }
});

test('a job is checked against the model that it ran, and fails against another', async (t) => {
  const folder = tempDir(t);
  const { shards, models } = ensureWorkloads(join(folder, 'data'), rowsPerShard);
  const options = { shards, model: models['w2-logistic'], output: join(folder, 'scores') };
  const plan = await planScore(options);
  const run = await runJob(options);
  assert.equal(run.result.rowsOut, 2 * rowsPerShard);
  assert.ok(run.peakRssBytes > 20e6 && run.cpuSeconds > 0 && run.processSeconds > 0);
  checkOutput(plan, 'w2-logistic');
  assert.throws(() => checkOutput(plan, 'w1-network'), /Expected sampled score/);
});
