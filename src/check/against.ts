/** `check --against`: scores of shards through the whole path, compared with somebody else's of the same rows. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { score } from '../pipeline.ts';
import { findShards } from '../read/find-shards.ts';
import { outputName } from '../shard-format.ts';
import { PlannerClient } from '../threads/planner-client.ts';
import type { AgainstOptions, KnownReport } from './report.ts';

/**
 * Scores into a temporary folder and compares there, in SQL that streams: memory does not grow with the rows.
 * @throws what `score` throws; NO_SHARDS where nothing is known, BAD_COLUMN where no column can be compared, BAD_ROW for a
 * key that names several rows, BAD_SHARD for files that do not pair by position
 */
export async function checkAgainst(options: AgainstOptions): Promise<KnownReport> {
  const { loadContract } = await import('../contract/load.ts');
  const { against, key = [], map = {}, tolerance, ...common } = options;
  const { golden } = loadContract(options.model).contract;
  const { where, limit, sample } = options;
  // Before the shards are scored, which takes a while.
  await findShards(against);
  const names = new Map((await findShards(options.shards)).map(({ name }) => [outputName(name), name]));
  const folder = mkdtempSync(join(tmpdir(), 'tandem-check-'));
  try {
    const scores = join(folder, 'scores');
    const { device, precision } = await score({ ...common, output: scores, keep: key, useProfile: false });
    const planner = new PlannerClient(options.signal, options.onWarning ?? (() => {}));
    try {
      const asked = { against, key, map, tolerance: tolerance ?? golden.tolerance, scores, scratch: folder };
      const request = { ...asked, shards: options.shards, model: options.model, selection: { where, limit, sample } };
      const { comparison } = await planner.ask({ kind: 'compareKnown', request }, 'knownCompared');
      const columns = comparison.columns.map((column) => ({
        ...column,
        worst: column.worst.map((row) => ({ ...row, shard: names.get(row.shard) ?? row.shard })),
      }));
      return { ...comparison, columns, device, precision };
    } finally {
      await planner.close([]);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
