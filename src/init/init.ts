/** `init`: a model folder from a model of somebody else's and shards that it has not seen. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import type { Environment } from '../engines/cuda/libraries.ts';
import { TandemError } from '../errors.ts';
import { check, inspect } from '../inspect.ts';
import { goldenRowsMax, goldenShardsMax } from '../limits.ts';
import type { Survey, SurveyRequest } from '../messages.ts';
import type { CheckReport } from '../options.ts';
import { externalLocations } from '../planning/model-identity.ts';
import { PlannerClient } from '../threads/planner-client.ts';
import { draftContract, wantedInputs, type Draft, type DraftInput } from './draft.ts';
import { fitFacts, type Facts, type FittedFacts } from './facts.ts';
import { matchInputs, type MatchedInput } from './match-inputs.ts';
import { contractName, expectFree, expectWithin, writeModelFolder, type FolderFile } from './model-folder.ts';
import { readNameHints } from './name-hints.ts';
import type { Decision, OutputProposal } from './propose-outputs.ts';
import {
  environmentSteps,
  exportScript,
  makeEnvironment,
  pythonOf,
  environmentFolder,
  quoted,
  runExport,
} from './python.ts';
import { packagesFor, type LibraryKind } from './written-by.ts';
import { formatContract } from './write-contract.ts';

/** What the model is: ONNX, a folder that Spark ML saved, or a file of the library that trained it. */
export interface InitSource {
  readonly kind: 'model' | 'spark-ml' | LibraryKind;
  readonly path: string;
}

export interface InitOptions {
  readonly source: InitSource;
  /** Needed for an ONNX model; for others they make golden rows of real ones. */
  readonly shards?: string | readonly string[];
  /** Model folder. Default: the folder of an ONNX model, where tandem.json is written beside it. */
  readonly output?: string;
  /** Of Spark ML: `rawPrediction` becomes a column too. */
  readonly rawPrediction?: boolean;
  readonly overwrite?: boolean;
  /** Says what would be written; nothing of a library is run. */
  readonly dryRun?: boolean;
  /** The Python that makes the environment. Default: python3. */
  readonly python?: string;
  readonly environment?: Environment;
  readonly signal?: AbortSignal;
  readonly onProgress?: (text: string) => void;
  readonly onWarning?: (text: string) => void;
}

export interface InitReport {
  readonly version: 1;
  readonly folder: string;
  readonly dryRun: boolean;
  /** Written, or what would be. */
  readonly files: readonly string[];
  /** Text of tandem.json; undefined where a library's model would have to be loaded to know it. */
  readonly contract: string | undefined;
  readonly inputs: readonly DraftInput[];
  readonly outputs: Readonly<Record<string, OutputProposal>>;
  /** Undefined: all columns. */
  readonly keep: readonly string[] | undefined;
  readonly decisions: readonly Decision[];
  readonly notes: readonly string[];
  /** Why `score` would refuse, as formatted errors; not asked while a decision must be taken. */
  readonly problems: readonly string[];
  /** Golden rows through the whole path; undefined: there are none. */
  readonly check: CheckReport | undefined;
  /** What can be done by hand instead, as commands. */
  readonly steps: readonly string[];
}

/** @throws USAGE, BAD_OUTPUT, BAD_MODEL, ENVIRONMENT, STOPPED and what reading the shards throws */
export async function init(options: InitOptions): Promise<InitReport> {
  const work = mkdtempSync(join(tmpdir(), 'tandem-init-'));
  const { kind } = options.source;
  try {
    if (kind === 'model') return await initFromOnnx(options, work);
    if (kind === 'spark-ml') return await initFromSpark(options, work);
    return await initFromLibrary(options, kind, work);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

async function initFromOnnx(options: InitOptions, work: string): Promise<InitReport> {
  const path = resolve(options.source.path);
  const { shards } = options;
  if (shards === undefined) {
    throw new TandemError('USAGE', 'Expected shards to match the inputs of the model with, got none.', {
      remedy: "For example: tandem init 'data/*.parquet' --model model.onnx",
    });
  }
  const folder = resolve(options.output ?? dirname(path));
  const files = modelFiles(path, folder);
  checkTarget(options, folder, files);
  const { columns, model } = await look(options, { shards, modelPath: path, sample: undefined });
  const values = model!;
  const matched = matchInputs(wantedInputs(values.inputs), columns, readNameHints(path));
  const draft = draftContract(
    files.length === 0 ? basename(path) : 'model.onnx',
    values,
    matched,
    columns,
    columnsOf(matched),
  );
  const problems = await problemsOf(options, draft, path, work);
  const text = formatContract(draft.contract);
  const all = [...files, { path: contractName, content: text }];
  if (options.dryRun !== true) writeModelFolder(folder, all, options.overwrite ?? false);
  return reportOf(options, folder, draft, { text, files: all, problems });
}

function columnsOf(matched: readonly MatchedInput[]): string[] {
  return matched.flatMap(({ features }) => [features].flat().flatMap(({ column }) => column ?? []));
}

/** A copy of the model and its weights, unless tandem.json comes beside it. */
function modelFiles(path: string, folder: string): FolderFile[] {
  if (folder === dirname(path)) return [];
  const weights = externalLocations(readModel(path));
  for (const location of weights) expectWithin(location, path);
  return [
    { path: 'model.onnx', content: { copyOf: path } },
    ...weights.map((location) => ({ path: location, content: { copyOf: join(dirname(path), location) } })),
  ];
}

function readModel(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new TandemError(
      'BAD_MODEL',
      `Expected --model to be an ONNX file, got \`${path}\`: ${(cause as Error).message}.`,
      {
        remedy: 'Name the .onnx file itself.',
        cause,
      },
    );
  }
}

/** Before anything takes time. */
function checkTarget(options: InitOptions, folder: string, files: readonly FolderFile[]): void {
  if (options.dryRun === true) return;
  expectFree(folder, [...files.map(({ path }) => path), contractName], options.overwrite ?? false);
}

async function initFromLibrary(options: InitOptions, kind: LibraryKind, work: string): Promise<InitReport> {
  const { shards } = options;
  const path = resolve(options.source.path);
  const folder = newFolder(options);
  const { requirements, notes } = packagesFor(kind, path);
  const { environment = process.env, signal } = options;
  const python = { environment, signal, ...(options.python === undefined ? {} : { command: options.python }) };
  const steps = [
    ...environmentSteps(python, requirements),
    ...exportSteps(options, kind, pythonOf(environmentFolder(python, requirements)), folder),
  ];
  if (options.dryRun === true) return { ...emptyReport(folder), notes, steps };
  checkTarget(
    options,
    folder,
    ['model.onnx', 'golden.parquet'].map((name) => ({ path: name, content: '' })),
  );
  const say = options.onProgress ?? (() => {});
  const venv = await makeEnvironment(python, requirements, say);
  say(`converting ${options.source.path}${kind === 'sklearn' ? ', which runs what code it holds' : ''}`);
  await runExport(python, venv, ['convert', kind, path, work]);
  const facts = JSON.parse(readFileSync(join(work, 'facts.json'), 'utf8')) as Facts;
  const modelPath = join(work, 'model.onnx');
  const rows = join(work, 'rows.parquet');
  const sample = { path: rows, rows: goldenRowsMax, shards: goldenShardsMax };
  const seen = await look(options, { shards, modelPath, sample }).catch((error: unknown) => {
    throw exportFailed(error, path, modelPath, facts);
  });
  const columns = shards === undefined ? undefined : seen.columns;
  const fitted = fitFacts(facts, wantedInputs(seen.model!.inputs), columns);
  const fed = fitted.fed.map(({ column }) => column);
  const draft = draftContract('model.onnx', seen.model!, fitted.inputs, columns, fed);
  const text = formatContract(draft.contract);
  const files: FolderFile[] = [
    { path: 'model.onnx', content: { copyOf: modelPath } },
    { path: contractName, content: text },
  ];
  const problems = shards === undefined ? [] : await problemsOf(options, draft, modelPath, work);
  const isComplete = problems.length === 0 && draft.decisions.every(({ must }) => !must);
  if (isComplete) {
    say(`scoring ${shards === undefined ? 'made-up rows' : 'rows of the shards'} with ${facts.library}`);
    const spec = goldenSpec(draft, fitted, shards === undefined ? null : rows);
    await runExport(python, venv, ['score', kind, path, work, JSON.stringify(spec)]);
    files.push({ path: 'golden.parquet', content: { copyOf: join(work, 'golden.parquet') } });
  }
  writeModelFolder(folder, files, options.overwrite ?? false);
  const checked = isComplete
    ? await check({ model: folder, threads: 1, ...(signal === undefined ? {} : { signal }) })
    : undefined;
  const more = [
    `exported by ${facts.library}`,
    ...facts.notes,
    ...notes,
    ...(checked?.passed === false ? [farOff] : []),
  ];
  return { ...reportOf(options, folder, draft, { text, files, problems }), notes: more, check: checked, steps };
}

const farOff =
  'the check failed: a few rows may hold a DOUBLE that lies on the other side of a threshold once it is float32, as the ' +
  'tensor is; otherwise it is a fault of the exporter, and the model must not be used';

/** Without Spark and without shards; with shards their types make the contract plainer, and `inspect` looks at it. */
async function initFromSpark(options: InitOptions, work: string): Promise<InitReport> {
  const { shards, source, rawPrediction = false } = options;
  const folder = newFolder(options);
  checkTarget(options, folder, [{ path: 'model.onnx', content: '' }]);
  const seen =
    shards === undefined ? undefined : await look(options, { shards, modelPath: undefined, sample: undefined });
  const columnTypes = new Map(seen?.columns.map(({ name, type }) => [name, type]));
  const { convertSparkMl } = await import('./spark-ml/convert.ts');
  const { contract, width, model, notes } = convertSparkMl(resolve(source.path), { rawPrediction, columnTypes });
  const inputs = Object.entries(contract.inputs).map(([name, features]) => ({
    name,
    type: `float64 [N, ${width}]`,
    sure: 'certain' as const,
    because: 'what the pipeline says',
    features: features.map(({ column, sql }) => column ?? sql ?? ''),
  }));
  const draft: Draft = { contract: { ...contract, keep: undefined }, inputs, decisions: [] };
  const modelPath = join(work, 'model.onnx');
  writeFileSync(modelPath, model);
  const problems = await problemsOf(options, draft, modelPath, work);
  const text = formatContract(draft.contract);
  const files: FolderFile[] = [
    { path: 'model.onnx', content: model },
    { path: contractName, content: text },
  ];
  if (options.dryRun !== true) writeModelFolder(folder, files, options.overwrite ?? false);
  return { ...reportOf(options, folder, draft, { text, files, problems }), notes: [...notes, noGolden] };
}

/** The person has no model.onnx to check: only what was exported. */
function exportFailed(error: unknown, path: string, modelPath: string, { library, inputs }: Facts): unknown {
  if (!(error instanceof TandemError) || error.code !== 'BAD_MODEL' || !error.message.includes(modelPath)) return error;
  const names = inputs.flatMap(({ features }) => features ?? []).map(({ name }) => JSON.stringify(name));
  return new TandemError('BAD_MODEL', `Expected the export of ${path} to load, got: ${error.message}`, {
    remedy:
      `It is the export that failed (${library}), not your file. Find the step or the column that it names` +
      `${names.length === 0 ? '' : ` among ${names.slice(0, namesShownMax).join(', ')}`}, and train without it or change it.`,
    cause: error,
  });
}

const namesShownMax = 20;

const noGolden =
  'no golden.parquet is made, since Spark does not run here: compare with scores that Spark wrote by ' +
  "`tandem check 'data/*.parquet' --model <folder> --against <spark's scores> --key <column>`";

/** The folder to make. @throws USAGE where none is named, unless nothing is written */
function newFolder({ source: { kind, path }, output, dryRun }: InitOptions): string {
  if (output === undefined && dryRun !== true) {
    throw new TandemError('USAGE', `Expected --${kind} to come with --output <folder>, got none.`, {
      remedy: `For example: tandem init 'data/*.parquet' --${kind} ${path} --output models/name`,
    });
  }
  return resolve(output ?? 'model');
}

function exportSteps({ shards, source }: InitOptions, kind: LibraryKind, python: string, folder: string): string[] {
  const tables = shards === undefined ? "'data/*.parquet'" : [shards].flat().map(quoted).join(' ');
  return [
    `mkdir -p ${quoted(folder)}`,
    `${quoted(python)} ${quoted(exportScript)} convert ${kind} ${quoted(source.path)} ${quoted(folder)}`,
    `npx tandem init ${tables} --model ${quoted(join(folder, 'model.onnx'))}`,
  ];
}

/** What `export.py score` is told. */
function goldenSpec({ contract }: Draft, { fed }: FittedFacts, rows: string | null): object {
  const outputs = Object.entries(contract.outputs).flatMap(([name, output]) => {
    if (output === false) return [];
    return [[name, typeof output === 'string' ? { column: output } : output] as const];
  });
  return { rows, count: goldenRowsMax, features: fed, outputs: Object.fromEntries(outputs) };
}

/** Opens shards and model in the planner's thread. */
async function look(options: InitOptions, request: SurveyRequest): Promise<Survey> {
  const planner = new PlannerClient(options.signal, options.onWarning ?? (() => {}));
  try {
    return (await planner.ask({ kind: 'survey', request }, 'surveyed')).survey;
  } finally {
    await planner.close([]);
  }
}

/** What `inspect` says of the draft, from a folder that is gone afterwards. */
async function problemsOf(
  options: InitOptions,
  { contract, decisions }: Draft,
  model: string,
  work: string,
): Promise<readonly string[]> {
  if (decisions.some(({ must }) => must) || options.shards === undefined) return [];
  const folder = join(work, 'draft');
  writeModelFolder(folder, [{ path: contractName, content: formatContract({ ...contract, model }) }], true);
  const { signal, onWarning, shards } = options;
  const report = await inspect({
    shards,
    model: folder,
    ...(signal === undefined ? {} : { signal }),
    ...(onWarning === undefined ? {} : { onWarning }),
  });
  return report.problems;
}

interface Finished {
  readonly text: string;
  readonly files: readonly FolderFile[];
  readonly problems: readonly string[];
}

function reportOf(options: InitOptions, folder: string, draft: Draft, { text, files, problems }: Finished): InitReport {
  const { inputs, decisions, contract } = draft;
  return {
    ...emptyReport(folder),
    dryRun: options.dryRun ?? false,
    files: files.map(({ path }) => path),
    contract: text,
    inputs,
    outputs: contract.outputs,
    keep: contract.keep,
    decisions,
    problems,
  };
}

function emptyReport(folder: string): InitReport {
  return {
    version: 1,
    folder,
    dryRun: true,
    files: [],
    contract: undefined,
    inputs: [],
    outputs: {},
    keep: undefined,
    decisions: [],
    notes: [],
    problems: [],
    check: undefined,
    steps: [],
  };
}
