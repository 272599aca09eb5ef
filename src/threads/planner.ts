/** Entry of the planner's thread: opens the engines, reads footers, plans; holds the engines until the run is over. */
import { basename, resolve } from 'node:path';
import { parentPort } from 'node:worker_threads';
import type { Contract } from '../contract/contract.ts';
import { loadContract, loadUnfitted } from '../contract/load.ts';
import { loadDuckDb } from '../engines/duckdb/bindings.ts';
import { closeDatabase, Connection, openDatabase } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import { closeEnvironment, closeSession, openSession } from '../engines/onnxruntime/session.ts';
import { asTandemError } from '../errors.ts';
import type { PlainScoreOptions, PlannerReply, PlannerRequest } from '../messages.ts';
import type { InputOptions, ReaderName } from '../options.ts';
import { buildPlan, memoryLimit, type Planned } from '../planning/build-plan.ts';
import { chooseDevices } from '../planning/devices.ts';
import { compareWithGolden } from '../planning/golden.ts';
import { buildInspection } from '../planning/inspection.ts';
import {
  ParquetJsTables,
  checkParquetJsOptions,
  checkParquetJsRows,
  parquetJsNote,
  parquetJsWarning,
} from '../planning/parquetjs-tables.ts';
import { selectRows, type Selected } from '../planning/selection.ts';
import { DuckDbTables, type TableReader } from '../planning/tables.ts';
import { findShards } from '../read/find-shards.ts';
import { readFooters } from '../read/footers.ts';
import { readParquetJsFooters } from '../read/parquetjs/footers.ts';
import { nameColumns } from '../read/shard-columns.ts';
import { takenRows } from '../relation.ts';
import { identityOf } from '../write/shard-writer.ts';
import { prepareOutput } from '../write/output-folder.ts';
import { explainLoadFailure } from '../score/load-failure.ts';
import { isAhead } from './start-worker.ts';

let database: Pointer | undefined;
let connection: Connection | undefined;
let session: Pointer | undefined;

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

/** What a request says about its shards; without a model there is no contract that names columns and chooses rows. */
interface AskedShards extends Omit<InputOptions, 'model'> {
  readonly model: string | undefined;
  readonly reader: ReaderName | undefined;
  readonly memoryBytes?: number | undefined;
}

interface OpenShards {
  readonly reader: TableReader;
  readonly selected: Selected;
}

/** Shards with their footers and the rows that are taken, and what reads them: without DuckDB where parquetjs-lite does. */
async function openShards(asked: AskedShards, outside?: string): Promise<OpenShards> {
  if (asked.reader === 'parquetjs') {
    post({ kind: 'warning', text: parquetJsWarning });
    const footers = readParquetJsFooters(await findShards(asked.shards, outside));
    checkParquetJsRows(asked, contractOf(asked.model));
    return { reader: new ParquetJsTables(footers), selected: { footers, selection: undefined } };
  }
  const open = connect(asked.memoryBytes);
  const found = readFooters(open, await findShards(asked.shards, outside));
  const contract = contractOf(asked.model);
  const footers = nameColumns(found, contract?.renames);
  return { reader: new DuckDbTables(open), selected: selectRows(open, footers, asked, contract?.where) };
}

function contractOf(model: string | undefined): Contract | undefined {
  return model === undefined ? undefined : loadUnfitted(model).contract;
}

/** The rows of golden.parquet that a run scored, after FROM. */
function goldenRows(open: Connection, path: string, model: string): string {
  const { renames, where } = loadContract(model).contract;
  const [footer] = nameColumns(readFooters(open, [{ path, name: basename(path) }]), renames);
  return takenRows(footer!, { where: where === undefined ? [] : [where], sample: undefined });
}

async function planRun(options: PlainScoreOptions): Promise<Planned> {
  if (options.reader === 'parquetjs') checkParquetJsOptions(options);
  const { reader, selected } = await openShards({ ...options, reader: options.reader }, resolve(options.output));
  // `auto` with the slow reader is the CPU: see checkParquetJsOptions.
  const { device = 'cpu', ortDir } = options;
  const isSlow = options.reader === 'parquetjs';
  if (isSlow && device === 'auto') post({ kind: 'warning', text: parquetJsNote });
  const devices = await chooseDevices(isSlow ? 'cpu' : device, ortDir, process.env, options);
  useOnnxRuntimeAt(devices.onnxRuntimePath);
  session = load(options.model);
  return buildPlan({ reader, session }, selected, options, devices);
}

async function answer(request: PlannerRequest): Promise<void> {
  switch (request.kind) {
    case 'plan': {
      const { plan, kernel, restSession } = await planRun(request.options);
      if (restSession !== undefined) useSession(restSession);
      if (!request.dryRun) prepareOutput(plan, identityOf(plan), request.options.overwrite ?? false);
      return post({ kind: 'planned', plan, engines: { database: database ?? 0n, session: session!, kernel } });
    }
    case 'inspect': {
      const { reader, selected } = await openShards({ ...request, ...request.selection });
      if (request.model !== undefined) session = load(request.model, true);
      const engines = session === undefined ? undefined : { reader, session };
      return post({ kind: 'inspected', report: buildInspection(engines, selected, request.model, request.scorers) });
    }
    case 'compare': {
      const { golden, scores, tolerance, model } = request;
      const open = connect();
      const comparison = compareWithGolden(open, golden, goldenRows(open, golden, model), scores, tolerance);
      return post({ kind: 'compared', comparison });
    }
    case 'planFit': {
      const { reader, selected } = await openShards({ ...request, ...request.selection, reader: 'duckdb' });
      const { planFit } = await import('../planning/fit-plan.ts');
      const plan = planFit(reader, selected.footers, request.features);
      return post({ kind: 'fitPlanned', plan, database: database! });
    }
    case 'survey': {
      const { shards, modelPath, sample } = request.request;
      const { survey, writeSample } = await import('../planning/survey.ts');
      const asked = { shards: shards ?? [], model: undefined, reader: undefined };
      const footers = shards === undefined ? [] : (await openShards(asked)).selected.footers;
      if (modelPath !== undefined) session = load(modelPath);
      if (connection !== undefined && sample !== undefined) writeSample(connection, footers, sample);
      return post({ kind: 'surveyed', survey: survey(connection, footers, session) });
    }
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
