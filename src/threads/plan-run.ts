/** Plans a run: shards, what reads and scores them, and files that must be staged before. */
import { resolve } from 'node:path';
import { useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import { closeSession } from '../engines/onnxruntime/session.ts';
import { TandemError } from '../errors.ts';
import type { PlainScoreOptions } from '../messages.ts';
import { buildPlan, type Planned } from '../planning/build-plan.ts';
import { chooseDevices } from '../planning/devices.ts';
import { checkParquetJsOptions, parquetJsNote } from '../planning/parquetjs-tables.ts';
import { stagedFolder } from '../write/staged-files.ts';
import { openShards, tellStaging } from './open-shards.ts';
import type { PlannerEngines } from './planner-engines.ts';

export async function planRun(
  engines: PlannerEngines,
  options: PlainScoreOptions,
  dryRun: boolean,
  stagedIn?: string,
): Promise<Planned> {
  if (options.reader === 'parquetjs') checkParquetJsOptions(options);
  const output = resolve(options.output);
  const opened = await openShards(engines, { ...options, output });
  // `auto` with the slow reader is the CPU: see checkParquetJsOptions.
  const { device = 'cpu', ortDir } = options;
  const isSlow = options.reader === 'parquetjs';
  if (isSlow && device === 'auto') engines.post({ kind: 'warning', text: parquetJsNote });
  const devices = await chooseDevices(isSlow ? 'cpu' : device, ortDir, process.env, options);
  useOnnxRuntimeAt(devices.onnxRuntimePath);
  const session = options.features === undefined ? engines.load(options.model) : engines.loadIfThere(options.model);
  const planningEngines = { reader: opened.reader, session: session ?? 0n };
  const { staging } = engines;
  if (staging === undefined) return buildPlan(planningEngines, opened.selected, options, devices);
  const gathers = options.features?.shards !== undefined;
  if (opened.isSelecting && gathers) throw onlyParquet('some of their rows in files of equally many');
  if (opened.isSelecting && dryRun) {
    return buildPlan(planningEngines, opened.select(await staging.stageAside(tellStaging(engines))), options, devices);
  }
  // Files of equally many rows are the same only where all row counts are.
  const heads = gathers || dryRun ? opened.select(await staging.counted()) : opened.selected;
  if (dryRun) return buildPlan(planningEngines, heads, options, devices);
  // Whatever is wrong with columns, model or output is found out before files are read for hours.
  const quick = {
    ...options,
    kernels: 'onnxruntime',
    trees: 'onnxruntime',
    explain: false,
    useProfile: false,
  } as const;
  const first = buildPlan(planningEngines, heads, quick, devices);
  if (first.restSession !== undefined) closeSession(first.restSession);
  // Which rows are taken shows in the files alone, those that are done included.
  const done = opened.isSelecting || gathers ? [] : first.plan.shards.filter((shard) => shard.done);
  if (gathers && first.plan.shards.every((shard) => shard.done))
    return buildPlan(planningEngines, heads, options, devices);
  const folder = stagedIn ?? stagedFolder(output);
  const footers = await staging.stage(folder, new Set(done.map(({ name }) => name)), tellStaging(engines));
  return buildPlan(planningEngines, opened.select(footers), options, devices);
}

/** For what would have to read files of other formats twice. */
function onlyParquet(what: string): TandemError {
  return new TandemError('USAGE', `Expected Parquet files for ${what}, got files of other formats.`, {
    remedy: "Turn them into Parquet first, for example with DuckDB: COPY (FROM 'data.csv') TO 'data.parquet'.",
  });
}
