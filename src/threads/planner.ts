/** Entry of the planner's thread: opens the engines, reads footers, plans; holds the engines until the run is over. */
import { existsSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { parentPort } from 'node:worker_threads';
import type { Contract } from '../contract/contract.ts';
import { loadContract, loadUnfitted } from '../contract/load.ts';
import { loadDuckDb } from '../engines/duckdb/bindings.ts';
import { closeDatabase, Connection, limitMemory, openDatabase } from '../engines/duckdb/database.ts';
import type { Pointer } from '../engines/native.ts';
import { useOnnxRuntimeAt } from '../engines/onnxruntime/bindings.ts';
import { closeEnvironment, closeSession, openSession } from '../engines/onnxruntime/session.ts';
import { asTandemError, TandemError } from '../errors.ts';
import { countedTextBytesMax } from '../limits.ts';
import { coreBound } from '../machine.ts';
import { planning } from '../measure/progress.ts';
import type {
  PlainScoreOptions,
  PlannerReply,
  PlannerRequest,
  StagingProgress,
  Survey,
  SurveyRequest,
} from '../messages.ts';
import type { KnownComparison, KnownRequest } from '../check/against-report.ts';
import type { StageFiles } from '../check/known-files.ts';
import type { RowRequest, RowWay } from '../check/row-report.ts';
import type { InspectReport } from '../inspect-report.ts';
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
  refuseOtherFormats,
} from '../planning/parquetjs-tables.ts';
import { describeSelection, isSelection, selectRows, type Selected } from '../planning/selection.ts';
import type { Staging } from '../planning/staging.ts';
import type { FitPlan } from '../planning/fit-plan.ts';
import { DuckDbTables, type TableReader } from '../planning/tables.ts';
import { findShards } from '../read/find-shards.ts';
import { readFooters, type Footer } from '../read/footers.ts';
import { readParquetJsFooters } from '../read/parquetjs/footers.ts';
import { partitionColumns } from '../read/partitions.ts';
import { nameColumns } from '../read/shard-columns.ts';
import { takenRows } from '../relation.ts';
import { formatOf } from '../shard-format.ts';
import { knownShards } from '../write/manifests.ts';
import { stagedFolder } from '../write/staged-files.ts';
import { identityOf } from '../write/shard-writer.ts';
import { prepareOutput } from '../write/output-folder.ts';
import { explainLoadFailure } from '../score/load-failure.ts';
import { closeCounter, openCounter } from './counting.ts';
import { prepare } from './prep-work.ts';
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
  database ??= openDatabase();
  connection = new Connection(database);
  limitMemory(connection, memoryLimit(memoryBytes).value);
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

/** Features are what the model declares, where there is one. @throws BAD_MODEL, BAD_CONTRACT */
function loadIfThere(modelPath: string): Pointer | undefined {
  return existsSync(loadContract(modelPath, false).contract.modelPath) ? load(modelPath) : undefined;
}

/** In place of the one that was open. */
function useSession(other: Pointer): void {
  if (session !== undefined) closeSession(session);
  session = other;
}

/** What a request says about its shards; without a model there is no contract that names columns and chooses rows. */
interface AskedShards extends Omit<InputOptions, 'model'> {
  readonly model: string | undefined;
  readonly threads?: number | undefined;
  readonly reader?: ReaderName | undefined;
  readonly memoryBytes?: number | undefined;
  /** Undefined: nothing is written. */
  readonly output: string | undefined;
}

interface OpenShards {
  readonly reader: TableReader;
  /** With the rows that are taken; where files are being staged, their first rows, from which none are taken yet. */
  readonly selected: Selected;
  /** The same of other footers of these shards. */
  select(footers: readonly Footer[]): Selected;
  /** Whether not every row is taken. */
  readonly isSelecting: boolean;
}

/** Shards with their footers, and what reads them: without DuckDB where parquetjs-lite does. */
async function openShards(asked: AskedShards): Promise<OpenShards> {
  const { shards, reader, memoryBytes, output } = asked;
  const files = await findShards(shards, output);
  const { renames, where } = contractOf(asked.model) ?? {};
  if (reader === 'parquetjs') {
    post({ kind: 'warning', text: parquetJsWarning });
    refuseOtherFormats(files);
    const footers = readParquetJsFooters(files);
    checkParquetJsRows(asked, { renames, where });
    const select = (others: readonly Footer[]): Selected => ({ footers: others, selection: undefined });
    return { reader: new ParquetJsTables(footers), selected: select(footers), select, isSelecting: false };
  }
  const open = connect(memoryBytes);
  const tables = new DuckDbTables(open);
  // Of the files themselves, wherever they are staged.
  const partitions = partitionColumns(files.map(({ path }) => path));
  const name = (footers: readonly Footer[]): Footer[] => nameColumns(footers, renames, partitions);
  const select = (footers: readonly Footer[]): Selected => {
    const rowsTotal = footers.reduce((sum, { rowCount }) => sum + rowCount, 0);
    const needsCounting = asked.sample !== undefined || asked.where !== undefined || where !== undefined;
    const settings = { threads: asked.threads ?? coreBound().value, memoryLimitBytes: memoryLimit(memoryBytes).value };
    const counter = needsCounting ? openCounter(settings, rowsTotal, post) : {};
    return selectRows(open, name(footers), asked, where, counter);
  };
  const opened = { reader: tables, select, isSelecting: isSelection(asked) || where !== undefined };
  if (files.every(({ name: file }) => formatOf(file) === 'parquet')) {
    return { ...opened, selected: select(readFooters(open, files)) };
  }
  // Not imported above: Parquet needs none of it.
  const { openStaging } = await import('../planning/open-staging.ts');
  staging = openStaging(open, files, asked);
  if (isStopped) staging.stop();
  const heads = name(await staging.look(output === undefined ? undefined : knownShards(output)));
  return { ...opened, selected: describeSelection(open, heads, asked, where) };
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

async function planRun(options: PlainScoreOptions, dryRun: boolean, stagedIn?: string): Promise<Planned> {
  if (options.reader === 'parquetjs') checkParquetJsOptions(options);
  const output = resolve(options.output);
  const opened = await openShards({ ...options, output });
  // `auto` with the slow reader is the CPU: see checkParquetJsOptions.
  const { device = 'cpu', ortDir } = options;
  const isSlow = options.reader === 'parquetjs';
  if (isSlow && device === 'auto') post({ kind: 'warning', text: parquetJsNote });
  const devices = await chooseDevices(isSlow ? 'cpu' : device, ortDir, process.env, options);
  useOnnxRuntimeAt(devices.onnxRuntimePath);
  session = options.features === undefined ? load(options.model) : loadIfThere(options.model);
  const engines = { reader: opened.reader, session: session ?? 0n };
  if (staging === undefined) return buildPlan(engines, opened.selected, options, devices);
  const gathers = options.features?.shards !== undefined;
  if (opened.isSelecting && gathers) throw onlyParquet('some of their rows in files of equally many');
  if (opened.isSelecting && dryRun) {
    return buildPlan(engines, opened.select(await staging.stageAside(tellStaging)), options, devices);
  }
  // Files of equally many rows are the same only where all row counts are.
  const heads = gathers || dryRun ? opened.select(await staging.counted()) : opened.selected;
  if (dryRun) return buildPlan(engines, heads, options, devices);
  // Whatever is wrong with columns, model or output is found out before files are read for hours.
  const quick = {
    ...options,
    kernels: 'onnxruntime',
    trees: 'onnxruntime',
    explain: false,
    useProfile: false,
  } as const;
  const first = buildPlan(engines, heads, quick, devices);
  if (first.restSession !== undefined) closeSession(first.restSession);
  // Which rows are taken shows in the files alone, those that are done included.
  const done = opened.isSelecting || gathers ? [] : first.plan.shards.filter((shard) => shard.done);
  if (gathers && first.plan.shards.every((shard) => shard.done)) return buildPlan(engines, heads, options, devices);
  const folder = stagedIn ?? stagedFolder(output);
  const footers = await staging.stage(folder, new Set(done.map(({ name }) => name)), tellStaging);
  return buildPlan(engines, opened.select(footers), options, devices);
}

async function closeStaging(): Promise<void> {
  await staging?.close();
  staging = undefined;
}

/** For what would have to read files of other formats twice. */
function onlyParquet(what: string): TandemError {
  return new TandemError('USAGE', `Expected Parquet files for ${what}, got files of other formats.`, {
    remedy: "Turn them into Parquet first, for example with DuckDB: COPY (FROM 'data.csv') TO 'data.parquet'.",
  });
}

async function planFitOf(request: Extract<PlannerRequest, { kind: 'planFit' }>): Promise<FitPlan> {
  const opened = await openShards({ ...request, ...request.selection, output: undefined });
  const { planFit } = await import('../planning/fit-plan.ts');
  const first = planFit(opened.reader, opened.selected.footers, request.features);
  if (staging === undefined) return first;
  const footers = await staging.stage(request.stagedIn, new Set(), tellStaging);
  return planFit(opened.reader, opened.select(footers).footers, request.features);
}

function tellStaging({ secondsElapsed, ...reading }: StagingProgress): void {
  post({ kind: 'progress', progress: { ...planning, phase: 'reading', secondsElapsed, reading } });
}

async function inspectShards({
  model,
  scorers,
  selection,
  ...asked
}: Extract<PlannerRequest, { kind: 'inspect' }>): Promise<InspectReport> {
  const opened = await openShards({ ...asked, ...selection, model, output: undefined });
  if (model !== undefined) session = load(model, true);
  const engines = session === undefined ? undefined : { reader: opened.reader, session };
  const counted = await (opened.isSelecting ? staging?.stageAside(tellStaging) : staging?.counted(countedTextBytesMax));
  return buildInspection(engines, counted === undefined ? opened.selected : opened.select(counted), model, scorers);
}

async function surveyShards({ shards, modelPath, sample }: SurveyRequest): Promise<Survey> {
  const { survey, writeSample } = await import('../planning/survey.ts');
  const asked = { shards: shards ?? [], model: undefined, output: undefined };
  const opened = shards === undefined ? undefined : await openShards(asked);
  const counted = await staging?.counted();
  const footers = (counted === undefined ? opened?.selected : opened!.select(counted))?.footers ?? [];
  if (modelPath !== undefined) session = load(modelPath);
  if (connection !== undefined && sample !== undefined) writeSample(connection, footers, sample);
  return survey(connection, footers, session);
}

/** @param asked `model` undefined: what a contract says of CSV files is not about these */
function stageInto(open: Connection, folder: string, asked: Pick<AskedShards, 'threads' | 'model'>): StageFiles {
  return async (files) => {
    const { openStaging } = await import('../planning/open-staging.ts');
    staging = openStaging(open, files, asked);
    if (isStopped) staging.stop();
    try {
      await staging.look();
      return await staging.stage(folder, new Set(), tellStaging);
    } catch (error) {
      const { model } = asked;
      if (model !== undefined || !(error instanceof TandemError) || !/tandem\.json/.test(error.remedy ?? ''))
        throw error;
      const remedy = 'Correct the file, or write the known scores as Parquet: "csv" in tandem.json is about shards.';
      throw new TandemError(error.code, error.message, { place: error.place, remedy, cause: error });
    } finally {
      await closeStaging();
    }
  };
}

async function compareWithKnown(request: KnownRequest): Promise<KnownComparison> {
  const { compareKnown } = await import('../check/compare-known.ts');
  const { model, selection, scratch } = request;
  const open = connect();
  const stage = stageInto(open, join(scratch, 'known'), { ...request, model: undefined });
  const comparison = await compareKnown(open, request, stage);
  const isSelecting = isSelection(selection) || contractOf(model)?.where !== undefined;
  if (!isSelecting || comparison.columns.every(({ worst }) => worst.length === 0)) return comparison;
  // Settings of the other one are not those that the rows were taken with.
  const again = new Connection(database!);
  try {
    return await withFileRows(again, request, comparison);
  } finally {
    again.close();
  }
}

/** Scores lie as the taken rows do; people know rows by their numbers in the file. */
async function withFileRows(
  open: Connection,
  request: KnownRequest,
  comparison: KnownComparison,
): Promise<KnownComparison> {
  const { openFiles } = await import('../check/known-files.ts');
  const { shards, model, selection, scratch } = request;
  const { renames, where } = contractOf(model) ?? {};
  const stage = stageInto(open, join(scratch, 'shards'), request);
  const { footers } = selectRows(open, await openFiles(open, shards, stage, renames), selection, where);
  const taken = new Map(footers.map((footer) => [footer.name, footer]));
  const tables = new DuckDbTables(open);
  const columns = comparison.columns.map((column) => ({
    ...column,
    worst: column.worst.map((each) => ({ ...each, row: tables.fileRow(taken.get(each.shard)!, each.row) })),
  }));
  return { ...comparison, columns };
}

async function follow(request: RowRequest): Promise<RowWay> {
  const { followRow } = await import('../check/follow-row.ts');
  const { model, scratch } = request;
  session = load(model);
  const open = connect();
  return followRow(open, session, request, {
    shards: stageInto(open, join(scratch, 'shards'), request),
    known: stageInto(open, join(scratch, 'known'), { ...request, model: undefined }),
  });
}

async function answer(request: PlannerRequest): Promise<void> {
  switch (request.kind) {
    case 'plan': {
      const { options, dryRun, stagedIn } = request;
      const { plan, kernel, restSession } = await planRun(options, dryRun, stagedIn).finally(closeStaging);
      if (restSession !== undefined) useSession(restSession);
      if (!request.dryRun) prepareOutput(plan, identityOf(plan), request.options.overwrite ?? false);
      return post({ kind: 'planned', plan, engines: { database: database ?? 0n, session: session ?? 0n, kernel } });
    }
    case 'inspect': {
      const report = await inspectShards(request).finally(closeStaging);
      return post({ kind: 'inspected', report });
    }
    case 'compare': {
      const { golden, scores, tolerance, model } = request;
      const open = connect();
      const comparison = compareWithGolden(open, golden, goldenRows(open, golden, model), scores, tolerance);
      return post({ kind: 'compared', comparison });
    }
    case 'planFit': {
      const plan = await planFitOf(request).finally(closeStaging);
      return post({ kind: 'fitPlanned', plan, database: database! });
    }
    case 'survey': {
      const surveyed = await surveyShards(request.request).finally(closeStaging);
      return post({ kind: 'surveyed', survey: surveyed });
    }
    case 'stop':
      isStopped = true;
      return staging?.stop();
    case 'prepare':
      return prepare(request.start, (message) => request.port.postMessage(message));
    case 'compareKnown':
      return post({ kind: 'knownCompared', comparison: await compareWithKnown(request.request) });
    case 'followRow':
      return post({ kind: 'rowFollowed', way: await follow(request.request) });
    case 'readScores': {
      const { readScores } = await import('../check/find-row.ts');
      return post({ kind: 'scoresRead', scores: readScores(connect(), request.path) });
    }
    case 'close':
      if (session !== undefined) closeSession(session);
      closeEnvironment();
      for (const pointer of request.connections) loadDuckDb().duckdb_disconnect([pointer]);
      connection?.close();
      closeCounter();
      if (database !== undefined) closeDatabase(database);
      post({ kind: 'closed' });
      return parentPort!.close();
  }
}

if (isAhead()) {
  try {
    // Before the request is there: it takes a while.
    database = openDatabase();
  } catch {
    // Whoever needs it hears why.
  }
}

parentPort!.on('message', (request: PlannerRequest) => {
  answer(request).catch((error: unknown) => post({ kind: 'failed', error: asTandemError(error).toRecord() }));
});
