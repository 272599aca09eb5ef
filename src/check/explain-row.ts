/** `check --row`: one row from its columns to its scores, step by step. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { score } from '../pipeline.ts';
import { PlannerClient } from '../threads/planner-client.ts';
import { checkAgainst } from './against.ts';
import type { RowOptions, RowReport } from './row-report.ts';

/**
 * The row's features, tensors and raw outputs by the plain reference and ONNX Runtime, its scores by the path that a run
 * takes, and what is known of it.
 * @throws what `score` throws; NO_SHARDS or USAGE for a row that is not there. A row that cannot be used is no error here.
 */
export async function explainRow(options: RowOptions): Promise<RowReport> {
  const { model, shards, row, against, key = [], map, tolerance, ...run } = options;
  const scratch = mkdtempSync(join(tmpdir(), 'tandem-row-'));
  try {
    const planner = new PlannerClient(options.signal, options.onWarning ?? (() => {}));
    const { threads } = options;
    const asked = {
      ...{ model, shards, row, key, scratch },
      ...(against === undefined ? {} : { against }),
      ...(threads === undefined ? {} : { threads }),
    };
    const { way } = await planner
      .ask({ kind: 'followRow', request: asked }, 'rowFollowed')
      .finally(() => planner.close([]));
    if (way.leftOutBy !== undefined || way.features.some(({ problem }) => problem !== undefined)) {
      return { ...way, device: 'none', scorer: 'none', scores: [], known: undefined };
    }
    const alone = { ...run, model, shards: join(scratch, 'row.parquet'), useProfile: false, threads: 1 };
    const output = join(scratch, 'scores');
    const { device, scorer } = await score({ ...alone, output, keep: [] });
    const reader = new PlannerClient(options.signal, options.onWarning ?? (() => {}));
    const { scores } = await reader
      .ask({ kind: 'readScores', path: join(output, 'row.parquet') }, 'scoresRead')
      .finally(() => reader.close([]));
    const compared =
      against === undefined
        ? undefined
        : await checkAgainst({
            ...alone,
            against: key.length === 0 ? join(scratch, 'known.parquet') : against,
            key,
            worst: 1,
            ...(map === undefined ? {} : { map }),
            ...(tolerance === undefined ? {} : { tolerance }),
          });
    // The copy of the row was scored; it is the shard's row that is meant.
    const place = { shard: way.shard, row: way.row };
    const columns = compared?.columns.map((column) => ({
      ...column,
      worst: column.worst.map((worst) => ({ ...worst, ...place })),
    }));
    const known = compared === undefined ? undefined : { ...compared, columns: columns! };
    return { ...way, device, scorer, scores, known };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
