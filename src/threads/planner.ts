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
import type { PlainScoreOptions, PlannerReply, PlannerRequest } from '../messages.ts';
import type { ReaderName } from '../options.ts';
import { buildPlan, memoryLimit, readShardFooters, type Planned } from '../planning/build-plan.ts';
import { chooseDevices } from '../planning/devices.ts';
import { compareWithGolden } from '../planning/golden.ts';
import { buildInspection } from '../planning/inspection.ts';
import {
  ParquetJsTables,
  checkParquetJsOptions,
  parquetJsNote,
  parquetJsWarning,
} from '../planning/parquetjs-tables.ts';
import { DuckDbTables, type TableReader } from '../planning/tables.ts';
import { findShards } from '../read/find-shards.ts';
import type { Footer } from '../read/footers.ts';
import { readParquetJsFooters } from '../read/parquetjs/footers.ts';
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

/** Shards with their footers, and what reads them: without DuckDB where parquetjs-lite does. */
async function openShards(
  patterns: string | readonly string[],
  reader: ReaderName | undefined,
  memoryBytes?: number,
  outside?: string,
): Promise<{ readonly reader: TableReader; readonly footers: readonly Footer[] }> {
  if (reader === 'parquetjs') {
    post({ kind: 'warning', text: parquetJsWarning });
    const footers = readParquetJsFooters(await findShards(patterns, outside));
    return { reader: new ParquetJsTables(footers), footers };
  }
  const open = connect(memoryBytes);
  return { reader: new DuckDbTables(open), footers: await readShardFooters(open, patterns, outside) };
}

async function planRun(options: PlainScoreOptions): Promise<Planned> {
  if (options.reader === 'parquetjs') checkParquetJsOptions(options);
  const { reader, footers } = await openShards(
    options.shards,
    options.reader,
    options.memoryBytes,
    resolve(options.output),
  );
  // `auto` with the slow reader is the CPU: see checkParquetJsOptions.
  const { device = 'cpu', ortDir } = options;
  const isSlow = options.reader === 'parquetjs';
  if (isSlow && device === 'auto') post({ kind: 'warning', text: parquetJsNote });
  const devices = await chooseDevices(isSlow ? 'cpu' : device, ortDir, process.env, options);
  useOnnxRuntimeAt(devices.onnxRuntimePath);
  session = load(options.model);
  return buildPlan({ reader, session }, footers, options, devices);
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
      const { reader, footers } = await openShards(request.shards, request.reader);
      if (request.model !== undefined) session = load(request.model, true);
      const engines = session === undefined ? undefined : { reader, session };
      return post({ kind: 'inspected', report: buildInspection(engines, footers, request.model, request.scorers) });
    }
    case 'planFit': {
      const open = connect(request.memoryBytes);
      const footers = await readShardFooters(open, request.shards);
      const { planFit } = await import('../planning/fit-plan.ts');
      const plan = planFit(new DuckDbTables(open), footers, request.features);
      return post({ kind: 'fitPlanned', plan, database: database! });
    }
    case 'compare':
      return post({
        kind: 'compared',
        comparison: compareWithGolden(connect(), request.golden, request.scores, request.tolerance),
      });
    case 'compareKnown': {
      const { compareKnown } = await import('../check/known.ts');
      return post({ kind: 'knownCompared', comparison: await compareKnown(connect(), request.request) });
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
