/** The whole job in a process of its own, and whether what it wrote is right. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { quoteIdentifier, quotePath, type Connection } from '../src/engines/duckdb/database.ts';
import type { ScoreOptions } from '../src/options.ts';
import type { RunPlan } from '../src/plan.ts';
import { withConnection } from '../src/testing/shards.ts';
import { featureCount, type WorkloadName } from './data.ts';
import { expectedScores, scoreTolerance } from './expected.ts';
import type { JobFigures } from './job-process.ts';
import { expectClose } from './measure.ts';

export interface JobRun extends JobFigures {
  /** From the process's start to its end. */
  readonly processSeconds: number;
}

const entry = fileURLToPath(new URL('./job-process.js', import.meta.url));

export async function runJob(options: ScoreOptions, env: NodeJS.ProcessEnv = process.env): Promise<JobRun> {
  const started = performance.now();
  const { stdout } = await promisify(execFile)(process.execPath, [entry, JSON.stringify(options)], { env });
  const processSeconds = (performance.now() - started) / 1000;
  return { ...(JSON.parse(stdout) as JobFigures), processSeconds };
}

/** One row of so many is compared with the reference. */
const sampleEvery = 9_973;

/**
 * Ids row k holds k, as many rows as the shard, sampled scores as the reference gives them.
 * @param idsPerShard between the first ids of two shards; default: the rows of one
 * @throws Error
 */
export function checkOutput(plan: RunPlan, workload: WorkloadName, idsPerShard?: number): void {
  withConnection((connection) => {
    for (const shard of plan.shards) checkShard(connection, plan, workload, shard.index, idsPerShard ?? shard.rowCount);
  });
}

function checkShard(
  connection: Connection,
  plan: RunPlan,
  workload: WorkloadName,
  shardIndex: number,
  idsPerShard: number,
): void {
  const shard = plan.shards[shardIndex]!;
  const output = `read_parquet(${quotePath(join(plan.output, shard.name))}, file_row_number=true)`;
  const firstId = shardIndex * idsPerShard;
  const [inOrder] = connection.rows(`SELECT count(*) FROM ${output} WHERE id = file_row_number + ${firstId}`)[0]!;
  if (Number(inOrder) !== shard.rowCount) {
    throw new Error(`Expected ${shard.rowCount} ids in order in ${shard.name}, got ${inOrder}.`);
  }
  const sampled = (columns: string, table: string) =>
    connection.rows(`SELECT ${columns} FROM ${table} WHERE id % ${sampleEvery} = 0 ORDER BY id`);
  const features = Array.from({ length: featureCount }, (_, f) => quoteIdentifier(`f${f}`)).join(', ');
  const rows = sampled(features, `read_parquet(${quotePath(shard.path)})`);
  const scores = sampled('score', output);
  const expected = expectedScores(workload, plan.model.inputs[0]!);
  if (rows.length !== scores.length) throw new Error(`Expected ${rows.length} sampled scores, got ${scores.length}.`);
  rows.forEach((row, index) => {
    const found = Number(scores[index]![0]);
    expectClose(`sampled score ${index} of ${shard.name}`, found, expected(row.map(Number)), scoreTolerance);
  });
}
