/** `check --against`: scores of shards through the whole path, compared with somebody else's of the same rows. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { score } from '../pipeline.ts';
import { findShards } from '../read/find-shards.ts';
import { PlannerClient } from '../threads/planner-client.ts';
import type { AgainstOptions, KnownReport } from './against-report.ts';

/**
 * Scores into a temporary folder and compares there, in SQL that streams: memory does not grow with the rows.
 * @throws what `score` throws; NO_SHARDS where nothing is known, BAD_COLUMN where no column can be compared, BAD_ROW for a
 * key that names several rows, BAD_SHARD for files that do not pair by position
 */
export async function checkAgainst(options: AgainstOptions): Promise<KnownReport> {
  const { loadContract } = await import('../contract/load.ts');
  const { against, key = [], map = {}, tolerance, worst, ...common } = options;
  const { golden } = loadContract(options.model).contract;
  const { limit, sample } = options;
  // Before the shards are scored, which takes a while.
  await findShards(against);
  const shardNames = (await findShards(options.shards)).map(({ name }) => name);
  const folder = mkdtempSync(join(tmpdir(), 'tandem-check-'));
  try {
    const scores = join(folder, 'scores');
    const { device, precision } = await score({ ...common, output: scores, keep: key, useProfile: false });
    const planner = new PlannerClient(options.signal, options.onWarning ?? (() => {}));
    try {
      const asked = { against, key, map, tolerance: tolerance ?? golden.tolerance, worst, shardNames };
      const { shards, model, threads } = options;
      const where = { shards, model, selection: { where: options.where, limit, sample }, scores, scratch: folder };
      const request = { ...asked, ...where, ...(threads === undefined ? {} : { threads }) };
      const { comparison } = await planner.ask({ kind: 'compareKnown', request }, 'knownCompared');
      return { ...comparison, device, precision };
    } finally {
      await planner.close([]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
