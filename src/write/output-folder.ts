/**
 * The output folder: what a run finds there, and how a shard's output becomes visible. A file that ends in `.parquet` is
 * whole; what is unfinished or beside the data never does.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, rmdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TandemError } from '../errors.ts';
import type { PlannedShard, RunPlan } from '../plan.ts';
import { outputName } from '../shard-format.ts';
import { listFiles, makeFolder, writeJson } from './files.ts';
import { readInFlight } from './in-flight.ts';
import { profileFilePattern, removeProfiles } from './profile-folder.ts';
import {
  filesOf,
  isThere,
  manifestFolder,
  manifestName,
  readManifests,
  readOwnFile,
  version,
  writeManifest,
  type Manifest,
  type RunIdentity,
  type ShardIdentity,
} from './manifests.ts';
import { isOutputOf, isTemporary, nameFiles, removeTemporary, temporaryPath, type UnnamedFile } from './shard-files.ts';
import { isStaged, removeAllStaged } from './staged-files.ts';
import { cannotWrite } from './write-failure.ts';

const planName = '_plan.json';
const reportName = '_report.json';
/** Of the runs into the same folder before the last one, the first of them 1. */
const earlierReportPattern = /^_report-\d+\.json$/;
const successName = '_SUCCESS';
const inFlightName = '_inflight';

/**
 * Looks at the folder before anything is written: which shards are whole already.
 * @returns names of the shards whose output is whole
 * @throws BAD_OUTPUT when it holds something else, or the output of another model, contract or input
 */
export function inspectOutput(
  folder: string,
  identity: RunIdentity,
  shards: readonly ShardIdentity[],
  overwrite: boolean,
): ReadonlySet<string> {
  refuseSameOutputs(shards);
  if (!existsSync(folder)) return new Set();
  if (!statSync(folder).isDirectory()) {
    throw new TandemError('BAD_OUTPUT', `Expected the output to be a folder, got the file ${folder}.`, {
      remedy: 'Choose another --output.',
    });
  }
  const manifests = readManifests(folder);
  refuseForeignFiles(folder, manifests);
  if (overwrite) return new Set();
  const shardOf = new Map(shards.map((shard) => [shard.name, shard]));
  for (const manifest of manifests) {
    refuseOtherRun(folder, identity, manifest);
    refuseOtherShard(folder, manifest.shard, shardOf.get(manifest.shard.name));
  }
  return new Set(manifests.filter((manifest) => isThere(folder, manifest)).map((manifest) => manifest.shard.name));
}

/** `part` and `part.parquet` would overwrite each other. */
function refuseSameOutputs(shards: readonly ShardIdentity[]): void {
  const seen = new Set<string>();
  for (const { name } of shards) {
    const output = outputName(name);
    if (seen.has(output)) {
      throw new TandemError('BAD_OUTPUT', `Expected each shard to have an output of its own, got ${output} twice.`, {
        place: { shard: name },
        remedy: 'Rename one of the two shards, or score them into different folders.',
      });
    }
    seen.add(output);
  }
}

function refuseForeignFiles(folder: string, manifests: readonly Manifest[]): void {
  const ours = new Set([planName, reportName, successName, inFlightName]);
  for (const manifest of manifests) {
    for (const { name } of filesOf(manifest)) ours.add(name);
    ours.add(manifestName(manifest.shard.name));
  }
  // A shard's output that was renamed to its place when the process died, just before its manifest. The plan names it.
  const isUnfinished = isPlannedOutput(folder);
  const foreign = listFiles(folder).filter(
    (path) =>
      ![profileFilePattern, earlierReportPattern].some((pattern) => pattern.test(path)) &&
      !isTemporary(path) &&
      !isStaged(path) &&
      !ours.has(path) &&
      !isUnfinished(path),
  );
  if (foreign.length === 0) return;
  const more = foreign.length > 3 ? ` and ${foreign.length - 3} more` : '';
  throw new TandemError(
    'BAD_OUTPUT',
    `Expected the output folder ${folder} to hold nothing but Tandem's files, got ${foreign.slice(0, 3).join(', ')}${more}.`,
    {
      remedy: 'Choose an empty folder. --overwrite removes only what Tandem wrote.',
    },
  );
}

/** Shards of the run that last wrote into the folder. @throws BAD_OUTPUT for a plan that is not ours, or a newer one */
export function plannedShards(folder: string): readonly string[] {
  return readPlan(folder)?.shards ?? [];
}

/** Whether a file is of the output of that run. */
function isPlannedOutput(folder: string): (path: string) => boolean {
  const plan = readPlan(folder);
  return isOutputOf(plan?.shards ?? [], plan?.run?.features?.format);
}

interface WrittenPlan {
  readonly version: number;
  readonly run?: Pick<RunIdentity, 'features'>;
  readonly shards: readonly string[];
}

function readPlan(folder: string): WrittenPlan | undefined {
  const path = join(folder, planName);
  return existsSync(path) ? readOwnFile<WrittenPlan>(path, 'the plan of a run') : undefined;
}

/** What an earlier run was scoring when it died without a word: the model may have taken the process down. */
export function lastBatchWarnings(folder: string): string[] {
  const shards = plannedShards(folder);
  return readInFlight(inFlightPath(folder)).map(
    ({ shardIndex, firstRow, rowCount }) =>
      `An earlier run into ${folder} died while it scored rows ${firstRow} to ${firstRow + rowCount - 1} of shard ` +
      `${shards[shardIndex] ?? `number ${shardIndex}`}.` +
      ' If this one dies too, the model fails on one of these rows.',
  );
}

function refuseOtherRun(folder: string, identity: RunIdentity, manifest: Manifest): void {
  const differences: string[] = [];
  const found = productWords(manifest.run);
  const isSameProduct = found === productWords(identity);
  if (!isSameProduct) differences.push(found);
  else if (manifest.run.modelSha256 !== identity.modelSha256) differences.push('another model');
  else if (manifest.run.features?.inputsSha256 !== identity.features?.inputsSha256) differences.push('other shards');
  if (manifest.run.contractSha256 !== identity.contractSha256) differences.push('another contract (tandem.json)');
  if (JSON.stringify(manifest.run.keep) !== JSON.stringify(identity.keep))
    differences.push(`other kept columns (${String(manifest.run.keep)})`);
  const { precision = 'float32' } = manifest.run;
  if (precision !== identity.precision) differences.push(`precision ${precision}`);
  for (const name of ['where', 'limit', 'sample'] as const) {
    const found = manifest.run.selection?.[name];
    if (found !== identity.selection?.[name])
      differences.push(
        `${found === undefined ? 'no' : 'another'} --${name}${found === undefined ? '' : ` (${found})`}`,
      );
  }
  if (manifest.run.rowsPerFile !== identity.rowsPerFile)
    differences.push(`${manifest.run.rowsPerFile ?? 'any number of'} rows in each file`);
  if (differences.length === 0) return;
  throw new TandemError(
    'BAD_OUTPUT',
    `Expected the output folder ${folder} to be of this run, got the output of ${differences.join(' and ')}.`,
    {
      remedy: 'Choose another --output, or remove this one with --overwrite.',
    },
  );
}

/** What the folder is made of. */
function productWords({ features }: Pick<RunIdentity, 'features'>): string {
  if (features === undefined) return 'scores';
  const format = features.format === 'arrow' ? ' as Arrow' : '';
  return `features${features.shards === undefined ? '' : ` in ${features.shards} files`}${format}`;
}

function refuseOtherShard(folder: string, found: ShardIdentity, wanted: ShardIdentity | undefined): void {
  const remedy = 'Choose another --output, or remove this one with --overwrite.';
  if (wanted === undefined) {
    throw new TandemError(
      'BAD_OUTPUT',
      `Expected the output folder ${folder} to be of these shards, got the output of another input: ${found.name}.`,
      { remedy },
    );
  }
  if (found.bytes !== wanted.bytes || found.rowCount !== wanted.rowCount || found.modifiedMs !== wanted.modifiedMs) {
    throw new TandemError(
      'BAD_OUTPUT',
      `Expected shard ${found.name} to be as it was when it was scored (${found.bytes} bytes, ${found.rowCount} rows), ` +
        `got ${wanted.bytes} bytes, ${wanted.rowCount} rows${found.modifiedMs === wanted.modifiedMs ? '' : ', modified since'}.`,
      { place: { shard: found.name }, remedy },
    );
  }
}

/** Makes the folder ready: removes what is to go and what a killed run left, writes the plan. @throws BAD_OUTPUT */
export function prepareOutput(plan: RunPlan, identity: RunIdentity, overwrite: boolean): void {
  const folder = plan.output;
  try {
    makeFolder(join(folder, manifestFolder));
    if (overwrite) removeOurs(folder);
    removeTemporary(folder);
    removeUnfinished(plan);
    if (plan.shards.some(({ done }) => !done)) keepReport(folder);
    for (const name of [successName, inFlightName]) rmSync(join(folder, name), { force: true });
    for (const shard of plan.shards) if (!shard.done) rmSync(join(folder, manifestName(shard.name)), { force: true });
    for (const shard of plan.shards) makeFolder(dirname(join(folder, outputName(shard.name))));
    const text = { version, model: plan.model.path, run: identity, shards: plan.shards.map((shard) => shard.name) };
    writeJson(join(folder, planName), text);
  } catch (cause) {
    throw cannotWrite(folder, cause);
  }
}

/** Parts that had their names when the process died, before the manifest: this run may write fewer. */
function removeUnfinished(plan: RunPlan): void {
  const whole = new Set(readManifests(plan.output).flatMap((manifest) => filesOf(manifest).map(({ name }) => name)));
  const missing = plan.shards.filter(({ done }) => !done).map(({ name }) => name);
  const isUnfinished = isOutputOf(missing, plan.features?.format);
  for (const path of listFiles(plan.output))
    if (isUnfinished(path) && !whole.has(path)) rmSync(join(plan.output, path), { force: true });
}

function removeOurs(folder: string): void {
  const manifests = readManifests(folder);
  const named = new Set(manifests.flatMap((manifest) => filesOf(manifest).map(({ name }) => name)));
  const isUnfinished = isPlannedOutput(folder);
  for (const path of listFiles(folder)) {
    if (!named.has(path) && !isUnfinished(path)) continue;
    rmSync(join(folder, path), { force: true });
    removeEmptyParents(folder, path);
  }
  removeProfiles(folder);
  rmSync(join(folder, manifestFolder), { recursive: true, force: true });
  mkdirSync(join(folder, manifestFolder));
  const accounts = readdirSync(folder).filter((name) => earlierReportPattern.test(name));
  for (const name of [planName, reportName, successName, inFlightName, ...accounts])
    rmSync(join(folder, name), { force: true });
}

/** The account of the run before, of shards that are whole and will not be scored again, gets a name of its own. */
function keepReport(folder: string): void {
  if (!existsSync(join(folder, reportName))) return;
  for (let number = 1; ; number++) {
    const name = `_report-${number}.json`;
    if (!existsSync(join(folder, name))) return renameSync(join(folder, reportName), join(folder, name));
  }
}

function removeEmptyParents(folder: string, path: string): void {
  for (let parent = dirname(path); parent !== '.'; parent = dirname(parent)) {
    try {
      rmdirSync(join(folder, parent));
    } catch {
      return;
    }
  }
}

/**
 * Makes finished temporary files the shard's output: fsync, rename, manifest. A crash between the two leaves files
 * without manifest, which the next run writes again.
 * @param unnamed in row order; undefined: one file under the shard's temporary name
 * @returns bytes of the output
 */
export function publishShard(
  plan: RunPlan,
  identity: RunIdentity,
  shard: PlannedShard,
  attempt: string,
  unnamed?: readonly UnnamedFile[],
): number {
  const temporary = temporaryPath(plan.output, shard.name, attempt);
  try {
    const files = nameFiles(plan, shard.name, unnamed ?? [{ path: temporary, rowCount: shard.rowCount }]);
    rmSync(temporary, { recursive: true, force: true });
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    const manifest: Manifest = {
      version,
      shard: { name: shard.name, bytes: shard.bytes, modifiedMs: shard.modifiedMs, rowCount: shard.rowCount },
      output: { rowCount: shard.rowCount, bytes, ...(isOneParquet(plan) ? {} : { files }) },
      run: identity,
      device: plan.device,
    };
    writeManifest(join(plan.output, manifestName(shard.name)), manifest, attempt);
    return bytes;
  } catch (cause) {
    throw isTaken(cause) ? anotherRun(plan.output, cause) : cannotWrite(plan.output, cause);
  }
}

/** Called as the shard is, so that it need not be named. */
function isOneParquet({ files, features }: RunPlan): boolean {
  return files.rowsPerFile === undefined && features?.format !== 'arrow';
}

/** Our temporary file is gone, or the shard has a manifest that was not there when this run was planned. */
function isTaken(cause: unknown): boolean {
  return ['ENOENT', 'EEXIST'].includes((cause as NodeJS.ErrnoException).code ?? '');
}

function anotherRun(folder: string, cause: unknown): TandemError {
  return new TandemError('TRANSIENT', `Expected ${folder} to be written by this run alone, got another run's files.`, {
    remedy: 'Wait for the other run, then run the same command again.',
    cause,
  });
}

/**
 * The run is whole.
 * @param report undefined: nothing was done, and the account of the run before stays
 */
export function finishOutput(folder: string, report: unknown): void {
  try {
    rmSync(join(folder, inFlightName), { force: true });
    removeAllStaged(folder);
    if (report !== undefined) writeReport(folder, report);
    writeFileSync(join(folder, successName), '');
  } catch (cause) {
    throw cannotWrite(folder, cause);
  }
}

/** The run's own account. @throws what the file system says */
export function writeReport(folder: string, report: unknown): void {
  writeJson(join(folder, reportName), report);
}

/** The user ends the run: if the process ends before it is through with that, no batch is to blame. */
export function forgetInFlight(folder: string): void {
  rmSync(join(folder, inFlightName), { force: true });
}

/** Takes away what an ended run leaves besides whole shards. */
export function cleanOutput(folder: string, attempt: string): void {
  try {
    removeTemporary(folder, attempt);
    rmSync(join(folder, inFlightName), { force: true });
  } catch {
    // The run has failed already, and that is what its caller hears. The next run cleans up.
  }
}

export function inFlightPath(folder: string): string {
  return join(folder, inFlightName);
}
