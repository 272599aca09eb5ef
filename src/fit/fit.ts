/** `fit`: finds parameters of a contract in shards and writes them into tandem.json. */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { formatPath } from '../contract/complain.ts';
import type { Feature } from '../contract/contract.ts';
import { loadUnfitted, type UnfittedContract } from '../contract/load.ts';
import type { Parameter } from '../contract/parameters.ts';
import { bug, TandemError } from '../errors.ts';
import { fitCountBytesMax, progressIntervalMs } from '../limits.ts';
import { coreBound } from '../machine.ts';
import type { FitTask } from '../messages.ts';
import type { FitPlan } from '../planning/fit-plan.ts';
import { FitCrew } from '../threads/fit-crew.ts';
import { PlannerClient } from '../threads/planner-client.ts';
import { digitBytes } from './digits.ts';
import { fitFeature, type FeatureFit } from './feature-fit.ts';
import type { FitOptions, FitReport } from './report.ts';
import { replaceContract, withParameters } from './rewrite.ts';

/** A feature that has something to be fitted. */
interface OpenFeature {
  readonly feature: Feature;
  readonly parameters: readonly Parameter[];
}

/**
 * Fits what tandem.json leaves open (with `all` also what it has) to all rows of the shards. The results are the same for
 * any number of threads. Beside the engines it takes memory for sums of every 1,048,576 rows, for up to
 * {@link fitCountBytesMax} of counts in each thread where quantiles are looked for, and for the texts of categories. Files that
 * are no Parquet are kept as Parquet in the folder for temporary files until it ends.
 * @throws BAD_CONTRACT, BAD_COLUMN, BAD_ROW, BAD_SHARD, NO_SHARDS, STOPPED, TRANSIENT, BAD_OUTPUT
 */
export async function fit(options: FitOptions): Promise<FitReport> {
  const startMs = performance.now();
  const loaded = loadUnfitted(options.model, options.all ?? false);
  if (loaded.path === undefined) throw noContract(options.model);
  const open = openFeatures(loaded);
  const stagedIn = mkdtempSync(join(tmpdir(), 'tandem-fit-'));
  const planner = new PlannerClient(options.signal, options.onWarning ?? (() => {}), ({ reading, secondsElapsed }) => {
    if (reading !== undefined) options.onProgress?.({ pass: 0, rowsDone: 0, rowsTotal: 0, reading, secondsElapsed });
  });
  let crew: FitCrew | undefined;
  try {
    const features = open.map(({ feature }) => feature);
    const { shards, model, threads: threadsAsked, memoryBytes, where, limit, sample } = options;
    const request = {
      kind: 'planFit',
      shards,
      model,
      features,
      threads: threadsAsked,
      memoryBytes,
      stagedIn,
      selection: { where, limit, sample },
    } as const;
    const { plan, database } = await planner.ask(request, 'fitPlanned');
    if (plan.rowCount === 0) throw noRows(plan, where);
    const fits = open.map(({ feature, parameters }) => fitFeature(feature, parameters));
    const threads = Math.min(threadsAsked ?? coreBound().value, plan.units.length);
    crew = new FitCrew(plan, database, open.length === 0 ? 0 : threads);
    const passes = await runPasses(crew, plan, fits, options, startMs);
    const found = fits.flatMap((each) => each.found);
    const from = { rows: plan.rowCount, shards: plan.shards.length, where };
    const text = found.length === 0 ? loaded.text : withParameters(loaded.text, loaded.path, found, from);
    const written = options.dryRun !== true && text !== loaded.text;
    if (written) replaceContract(loaded.path, loaded.text, text);
    return {
      version: 1,
      path: loaded.path,
      rowCount: plan.rowCount,
      shards: plan.shards.length,
      passes,
      seconds: (performance.now() - startMs) / 1000,
      parameters: found.map(({ parameter: _, ...rest }) => rest),
      unmarked: options.all === true ? loaded.unmarked.map(formatPath) : [],
      written,
    };
  } finally {
    await crew?.close();
    await planner.close(crew?.connections ?? []);
    rmSync(stagedIn, { recursive: true, force: true });
  }
}

/** In the order of the file. */
function openFeatures({ contract, parameters }: UnfittedContract): OpenFeature[] {
  const byFeature = new Map<string, Parameter[]>();
  for (const parameter of parameters) {
    const id = JSON.stringify(parameter.featurePath);
    byFeature.set(id, [...(byFeature.get(id) ?? []), parameter]);
  }
  return [...byFeature.values()].map((group) => {
    const { input, featureIndex } = group[0]!;
    const resolved = contract.inputs[input];
    if (resolved === undefined || !('features' in resolved)) throw bug(`Input ${input} has no features`);
    return { feature: resolved.features[featureIndex]!, parameters: group };
  });
}

/** Passes over all rows until every parameter is found; gives how many. */
async function runPasses(
  crew: FitCrew,
  plan: FitPlan,
  fits: readonly FeatureFit[],
  { signal, onProgress }: FitOptions,
  startMs: number,
): Promise<number> {
  let pass = 0;
  const tell = (): void => {
    const secondsElapsed = (performance.now() - startMs) / 1000;
    onProgress?.({ pass, rowsDone: crew.rowsRead, rowsTotal: plan.rowCount, secondsElapsed });
  };
  const timer = setInterval(tell, progressIntervalMs);
  try {
    for (let tasks = nextTasks(fits); tasks.length > 0; tasks = nextTasks(fits)) {
      pass++;
      const answers = await crew.pass(tasks, signal);
      tell();
      answers.forEach((answer, i) => fits[tasks[i]!.featureIndex]!.take(answer));
    }
  } finally {
    clearInterval(timer);
  }
  expectUnchanged(plan);
  return pass;
}

/** Of every feature that has one, as far as there is memory for their counts. */
function nextTasks(fits: readonly FeatureFit[]): FitTask[] {
  const tasks: FitTask[] = [];
  let bytes = 0;
  fits.forEach(({ question }, featureIndex) => {
    if (question === undefined) return;
    if (question.kind === 'numbers' && question.search !== undefined) {
      const more = digitBytes(question.search);
      if (bytes > 0 && bytes + more > fitCountBytesMax) return;
      bytes += more;
    }
    tasks.push({ featureIndex, question });
  });
  return tasks;
}

/** Several passes read the same rows, or what is found is nobody's. @throws TRANSIENT */
function expectUnchanged(plan: FitPlan): void {
  for (const { path, sourcePath, name, bytes, modifiedMs } of plan.shards) {
    const now = statSync(sourcePath ?? path, { throwIfNoEntry: false });
    if (now?.size === bytes && Math.floor(now.mtimeMs) === modifiedMs) continue;
    throw new TandemError('TRANSIENT', 'Expected the shard to stay as it was while it was read, got another one.', {
      place: { shard: name },
      remedy: 'Run the same command again.',
    });
  }
}

function noContract(model: string): TandemError {
  return new TandemError('BAD_CONTRACT', `Expected ${model} to be a folder with a tandem.json, got none.`, {
    remedy: 'Write one that says what is to be fitted, for example { "column": "distance", "standardize": "fit" }.',
  });
}

function noRows({ shards }: FitPlan, where: string | undefined): TandemError {
  const which = where === undefined ? '' : ` for which \`${where}\``;
  return new TandemError(
    'BAD_SHARD',
    `Expected the shards to have rows to fit to${which}, got none in ${shards.length}.`,
    {
      remedy:
        where === undefined ? 'Give shards that have rows.' : 'Give shards that have such rows, or another condition.',
    },
  );
}
