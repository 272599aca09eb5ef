/** Entry of the planner's thread: opens the engines, reads footers, plans; holds the engines until the run is over. */
import { resolve } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { loadContract, loadUnfitted } from '../contract/load.ts';
import { loadDuckDb } from '../engines/duckdb/bindings.ts';
import { closeDatabase, Connection, openDatabase } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import { closeEnvironment, closeSession, openSession } from '../engines/onnxruntime/session.ts';
import { asTandemError } from '../errors.ts';
import { countedTextBytesMax } from '../limits.ts';
import type {
  PlainScoreOptions,
  PlannerReply,
  PlannerRequest,
  StagingProgress,
  Survey,
  SurveyRequest,
} from '../messages.ts';
import type { InspectReport, ReaderName } from '../options.ts';
import { buildPlan, memoryLimit, type Planned } from '../planning/build-plan.ts';
import { chooseDevices } from '../planning/devices.ts';
import { compareWithGolden } from '../planning/golden.ts';
import { buildInspection } from '../planning/inspection.ts';
import {
  ParquetJsTables,
  checkParquetJsOptions,
  refuseOtherFormats,
  parquetJsNote,
  parquetJsWarning,
} from '../planning/parquetjs-tables.ts';
import type { Staging } from '../planning/staging.ts';
import { DuckDbTables, type TableReader } from '../planning/tables.ts';
import { findShards } from '../read/find-shards.ts';
import { readFooters, type Footer } from '../read/footers.ts';
import { readParquetJsFooters } from '../read/parquetjs/footers.ts';
import { formatOf } from '../shard-format.ts';
import { knownShards } from '../write/manifests.ts';
import { stagedFolder } from '../write/staged-files.ts';
import { identityOf } from '../write/shard-writer.ts';
import { prepareOutput } from '../write/output-folder.ts';
import { explainLoadFailure } from '../score/load-failure.ts';
import { isAhead } from './start-worker.ts';

let database: Pointer | undefined;
let connection: Connection | undefined;
let session: Pointer | undefined;
/** While files that are no Parquet are read. */
let staging: Staging | undefined;
let isStopped = false;

function post(reply: PlannerReply): void {
  parentPort!.postMessage(reply);
}

function connect(memoryBytes?: number): Connection {
  database = openDatabase({ memoryLimitBytes: memoryLimit(memoryBytes).value });
  connection = new Connection(database);
  post({ kind: 'connected', connection: connection.pointer });
  return connection;
}

/** One thread per run: prep threads run the model side by side. @throws BAD_MODEL */
function load(modelPath: string, takesUnfitted = false): Pointer {
  const { contract } = takesUnfitted ? loadUnfitted(modelPath) : loadContract(modelPath);
  try {
    return openSession(contract.modelPath, { intraOpThreads: 1 });
  } catch (error) {
    throw explainLoadFailure(error, contract.modelPath);
  }
}

/** In place of the one that was open. */
function useSession(other: Pointer): void {
  if (session !== undefined) closeSession(session);
  session = other;
}

/** What is to be read, and how. */
interface Asked extends Pick<PlainScoreOptions, 'shards' | 'memoryBytes' | 'threads'> {
  readonly reader?: ReaderName | undefined;
  readonly model: string | undefined;
  /** Undefined: nothing is written. */
  readonly output: string | undefined;
}

/** Shards with their footers, and what reads them: without DuckDB where parquetjs-lite does. */
async function openShards(
  asked: Asked,
): Promise<{ readonly reader: TableReader; readonly footers: readonly Footer[] }> {
  const { shards, reader, memoryBytes, output } = asked;
  const files = await findShards(shards, output);
  if (reader === 'parquetjs') {
    post({ kind: 'warning', text: parquetJsWarning });
    refuseOtherFormats(files);
    const footers = readParquetJsFooters(files);
    return { reader: new ParquetJsTables(footers), footers };
  }
  const open = connect(memoryBytes);
  const tables = new DuckDbTables(open);
  if (files.every(({ name }) => formatOf(name) === 'parquet'))
    return { reader: tables, footers: readFooters(open, files) };
  // Not imported above: Parquet needs none of it.
  const { openStaging } = await import('../planning/open-staging.ts');
  staging = openStaging(open, files, asked);
  if (isStopped) staging.stop();
  return { reader: tables, footers: await staging.look(output === undefined ? undefined : knownShards(output)) };
}

async function planRun(options: PlainScoreOptions, dryRun: boolean, stagedIn?: string): Promise<Planned> {
  if (options.reader === 'parquetjs') checkParquetJsOptions(options);
  const output = resolve(options.output);
  const { reader, footers } = await openShards({ ...options, output });
  // `auto` with the slow reader is the CPU: see checkParquetJsOptions.
  const { device = 'cpu', ortDir } = options;
  const isSlow = options.reader === 'parquetjs';
  if (isSlow && device === 'auto') post({ kind: 'warning', text: parquetJsNote });
  const devices = await chooseDevices(isSlow ? 'cpu' : device, ortDir, process.env, options);
  useOnnxRuntimeAt(devices.onnxRuntimePath);
  session = load(options.model);
  const engines = { reader, session };
  if (staging === undefined) return buildPlan(engines, footers, options, devices);
  if (dryRun) return buildPlan(engines, await staging.counted(), options, devices);
  // Whatever is wrong with columns, model or output is found out before files are read for hours.
  const quick = {
    ...options,
    kernels: 'onnxruntime',
    trees: 'onnxruntime',
    explain: false,
    useProfile: false,
  } as const;
  const first = buildPlan(engines, footers, quick, devices);
  if (first.restSession !== undefined) closeSession(first.restSession);
  const done = new Set(first.plan.shards.filter((shard) => shard.done).map(({ name }) => name));
  const tell = (progress: StagingProgress): void => post({ kind: 'staging', progress });
  return buildPlan(engines, await staging.stage(stagedIn ?? stagedFolder(output), done, tell), options, devices);
}

async function closeStaging(): Promise<void> {
  await staging?.close();
  staging = undefined;
}

async function inspectShards({
  model,
  scorers,
  ...asked
}: Extract<PlannerRequest, { kind: 'inspect' }>): Promise<InspectReport> {
  const { reader, footers } = await openShards({ ...asked, model, output: undefined });
  if (model !== undefined) session = load(model, true);
  const engines = session === undefined ? undefined : { reader, session };
  return buildInspection(engines, (await staging?.counted(countedTextBytesMax)) ?? footers, model, scorers);
}

async function surveyShards({ shards, modelPath, sample }: SurveyRequest): Promise<Survey> {
  const { survey, writeSample } = await import('../planning/survey.ts');
  const asked = { shards: shards ?? [], model: undefined, output: undefined };
  const footers = shards === undefined ? [] : (await openShards(asked)).footers;
  if (modelPath !== undefined) session = load(modelPath);
  if (connection !== undefined && sample !== undefined) writeSample(connection, footers, sample);
  return survey(connection, footers, session);
}

async function answer(request: PlannerRequest): Promise<void> {
  switch (request.kind) {
    case 'plan': {
      const { options, dryRun, stagedIn } = request;
      const { plan, kernel, restSession } = await planRun(options, dryRun, stagedIn).finally(closeStaging);
      if (restSession !== undefined) useSession(restSession);
      if (!request.dryRun) prepareOutput(plan, identityOf(plan), request.options.overwrite ?? false);
      return post({ kind: 'planned', plan, engines: { database: database ?? 0n, session: session!, kernel } });
    }
    case 'inspect': {
      const report = await inspectShards(request).finally(closeStaging);
      return post({ kind: 'inspected', report });
    }
    case 'planFit': {
      const open = connect(request.memoryBytes);
      const footers = readFooters(open, await findShards(request.shards));
      const { planFit } = await import('../planning/fit-plan.ts');
      const plan = planFit(new DuckDbTables(open), footers, request.features);
      return post({ kind: 'fitPlanned', plan, database: database! });
    }
    case 'survey': {
      const surveyed = await surveyShards(request.request).finally(closeStaging);
      return post({ kind: 'surveyed', survey: surveyed });
    }
    case 'stop':
      isStopped = true;
      return staging?.stop();
    case 'compare':
      return post({
        kind: 'compared',
        comparison: compareWithGolden(connect(), request.golden, request.scores, request.tolerance),
      });
    case 'close':
      if (session !== undefined) closeSession(session);
      closeEnvironment();
      for (const pointer of request.connections) loadDuckDb().duckdb_disconnect([pointer]);
      connection?.close();
      if (database !== undefined) closeDatabase(database);
      post({ kind: 'closed' });
      return parentPort!.close();
  }
}

if (isAhead()) {
  try {
    // Before the request is there: it takes a while.
    loadDuckDb();
  } catch {
    // Whoever needs it hears why.
  }
}

parentPort!.on('message', (request: PlannerRequest) => {
  answer(request).catch((error: unknown) => post({ kind: 'failed', error: asTandemError(error).toRecord() }));
});
