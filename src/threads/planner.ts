/** Entry of the planner's thread: opens the engines, reads footers, plans; holds the engines until the run is over. */
import { basename } from 'node:path';
import { parentPort } from 'node:worker_threads';
import { loadContract } from '../contract/load.ts';
import type { Connection } from '../engines/duckdb/database.ts';
import { asTandemError } from '../errors.ts';
import { countedTextBytesMax } from '../limits.ts';
import type { PlannerReply, PlannerRequest, Survey, SurveyRequest } from '../messages.ts';
import type { InspectReport } from '../inspect-report.ts';
import type { FitPlan } from '../planning/fit-plan.ts';
import { compareWithGolden } from '../planning/golden.ts';
import { buildInspection } from '../planning/inspection.ts';
import { readFooters } from '../read/footers.ts';
import { nameColumns } from '../read/shard-columns.ts';
import { takenRows } from '../relation.ts';
import { identityOf } from '../write/shard-writer.ts';
import { prepareOutput } from '../write/output-folder.ts';
import { openShards, tellStaging } from './open-shards.ts';
import { planRun } from './plan-run.ts';
import { PlannerEngines } from './planner-engines.ts';
import { prepare } from './prep-work.ts';
import { isAhead } from './start-worker.ts';

const engines = new PlannerEngines(post);

function post(reply: PlannerReply): void {
  parentPort!.postMessage(reply);
}

/** The rows of golden.parquet that a run scored, after FROM. */
function goldenRows(open: Connection, path: string, model: string): string {
  const { renames, where } = loadContract(model).contract;
  const [footer] = nameColumns(readFooters(open, [{ path, name: basename(path) }]), renames);
  return takenRows(footer!, { where: where === undefined ? [] : [where], sample: undefined });
}

async function planFitOf(request: Extract<PlannerRequest, { kind: 'planFit' }>): Promise<FitPlan> {
  const opened = await openShards(engines, { ...request, ...request.selection, output: undefined });
  const { planFit } = await import('../planning/fit-plan.ts');
  const first = planFit(opened.reader, opened.selected.footers, request.features);
  const { staging } = engines;
  if (staging === undefined) return first;
  const footers = await staging.stage(request.stagedIn, new Set(), tellStaging(engines));
  return planFit(opened.reader, opened.select(footers).footers, request.features);
}

async function inspectShards({
  model,
  scorers,
  selection,
  ...asked
}: Extract<PlannerRequest, { kind: 'inspect' }>): Promise<InspectReport> {
  const opened = await openShards(engines, { ...asked, ...selection, model, output: undefined });
  const session = model === undefined ? undefined : engines.load(model, true);
  const planningEngines = session === undefined ? undefined : { reader: opened.reader, session };
  const { staging } = engines;
  const counted = await (opened.isSelecting
    ? staging?.stageAside(tellStaging(engines))
    : staging?.counted(countedTextBytesMax));
  return buildInspection(
    planningEngines,
    counted === undefined ? opened.selected : opened.select(counted),
    model,
    scorers,
  );
}

async function surveyShards({ shards, modelPath, sample }: SurveyRequest): Promise<Survey> {
  const { survey, writeSample } = await import('../planning/survey.ts');
  const asked = { shards: shards ?? [], model: undefined, output: undefined };
  const opened = shards === undefined ? undefined : await openShards(engines, asked);
  const counted = await engines.staging?.counted();
  const footers = (counted === undefined ? opened?.selected : opened!.select(counted))?.footers ?? [];
  const session = modelPath === undefined ? undefined : engines.load(modelPath);
  const { connection } = engines;
  if (connection !== undefined && sample !== undefined) writeSample(connection, footers, sample);
  return survey(connection, footers, session);
}

async function answer(request: PlannerRequest): Promise<void> {
  switch (request.kind) {
    case 'plan': {
      const { options, dryRun, stagedIn } = request;
      const { plan, kernel, restSession } = await planRun(engines, options, dryRun, stagedIn).finally(() =>
        engines.closeStaging(),
      );
      if (restSession !== undefined) engines.useSession(restSession);
      if (!request.dryRun) prepareOutput(plan, identityOf(plan), request.options.overwrite ?? false);
      return post({
        kind: 'planned',
        plan,
        engines: { database: engines.database ?? 0n, session: engines.session ?? 0n, kernel },
      });
    }
    case 'inspect': {
      const report = await inspectShards(request).finally(() => engines.closeStaging());
      return post({ kind: 'inspected', report });
    }
    case 'compare': {
      const { golden, scores, tolerance, model } = request;
      const open = engines.connect();
      const comparison = compareWithGolden(open, golden, goldenRows(open, golden, model), scores, tolerance);
      return post({ kind: 'compared', comparison });
    }
    case 'planFit': {
      const plan = await planFitOf(request).finally(() => engines.closeStaging());
      return post({ kind: 'fitPlanned', plan, database: engines.openDatabase() });
    }
    case 'survey': {
      const surveyed = await surveyShards(request.request).finally(() => engines.closeStaging());
      return post({ kind: 'surveyed', survey: surveyed });
    }
    case 'stop':
      return engines.stop();
    case 'prepare':
      return prepare(request.start, (message) => request.port.postMessage(message));
    case 'compareKnown': {
      const { compareWithKnown } = await import('./check-known.ts');
      return post({ kind: 'knownCompared', comparison: await compareWithKnown(engines, request.request) });
    }
    case 'followRow': {
      const { followRowOf } = await import('./check-known.ts');
      return post({ kind: 'rowFollowed', way: await followRowOf(engines, request.request) });
    }
    case 'readScores': {
      const { readScores } = await import('../check/find-row.ts');
      return post({ kind: 'scoresRead', scores: readScores(engines.connect(), request.path) });
    }
    case 'close':
      engines.close(request.connections);
      post({ kind: 'closed' });
      return parentPort!.close();
  }
}

if (isAhead()) {
  try {
    // Before the request is there: it takes a while.
    engines.openDatabase();
  } catch {
    // Whoever needs it hears why.
  }
}

parentPort!.on('message', (request: PlannerRequest) => {
  answer(request).catch((error: unknown) => post({ kind: 'failed', error: asTandemError(error).toRecord() }));
});
