/**
 * `setupCuda`: brings what a run on a GPU needs beside the driver into one folder. Everything is fetched and checked in
 * a folder of its own under it, and renamed into place file by file: a file that has its name is whole.
 */
import { copyFileSync, mkdtempSync, readdirSync, renameSync, rmSync, statfsSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { cudaCacheFolder, findCuda, onnxRuntimeFolder, type Environment } from '../engines/cuda/libraries.ts';
import { coreFileName, differenceOf, faultsOf, knownCores, type KnownContent } from '../engines/cuda/provider-files.ts';
import { makeFolder } from '../engines/make-folder.ts';
import { TandemError } from '../errors.ts';
import { downloadWheel, expectPip, extractFiles, type Python } from './pip.ts';
import { cudaWheels, type Wheel } from './wheels.ts';

export interface SetupCudaOptions {
  /** Folder to fill, complete in itself. Default: the cache folder, where only what this machine lacks is put. */
  readonly to?: string;
  /** CUDA's libraries, too. */
  readonly libraries?: boolean;
  /** cuDNN, too, for models with convolutions. */
  readonly cudnn?: boolean;
  /** Says what would be fetched, and changes nothing. */
  readonly dryRun?: boolean;
  /** Default: that of the process. */
  readonly environment?: Environment;
  /** Stops it; nothing unfinished stays. */
  readonly signal?: AbortSignal;
  /** Told what is being done. */
  readonly onProgress?: (text: string) => void;
}

export interface SetupPart {
  /** `nvidia-cublas 13.1.0.3` */
  readonly name: string;
  /** `there`: complete in the folder; `elsewhere`: this machine has it; `missing`: would be fetched. */
  readonly state: 'there' | 'elsewhere' | 'missing' | 'fetched';
  /** Of the download; 0 for what is copied. */
  readonly downloadBytes: number;
  readonly diskBytes: number;
  /** Files, with their folders. */
  readonly files: readonly string[];
}

export interface SetupReport {
  readonly version: 1;
  readonly folder: string;
  readonly dryRun: boolean;
  readonly parts: readonly SetupPart[];
  /** Of what is fetched, or would be: with the core, which is copied. */
  readonly totals: { readonly downloadBytes: number; readonly diskBytes: number };
}

/** What is fetched, and from where the core is copied. Tests pass their own. */
export interface SetupSources {
  readonly wheels: readonly Wheel[];
  /** The core of onnxruntime-node; undefined: not installed. */
  readonly core: string | undefined;
  readonly knownCores: readonly KnownContent[];
}

/** @throws ENVIRONMENT, TRANSIENT or STOPPED; what is in place by then stays, and counts when it is run again */
export async function setupCuda(options: SetupCudaOptions = {}, sources = ownSources()): Promise<SetupReport> {
  expectLinux();
  const environment = options.environment ?? process.env;
  const folder = resolve(options.to ?? cudaCacheFolder(environment));
  const wheels = sources.wheels.filter(({ part }) => part === 'provider' || options[part] === true);
  const core = coreState(folder, options, sources, environment);
  const states = wheels.map((wheel) => stateOf(wheel, folder, options, environment));
  const dryRun = options.dryRun === true;
  const partsWith = (done: SetupPart['state']): SetupPart[] => [
    corePart(folder, core === 'missing' ? done : core, sources),
    ...wheels.map((wheel, index) => wheelPart(wheel, folder, states[index] === 'missing' ? done : states[index]!)),
  ];
  const missing = wheels.filter((_, index) => states[index] === 'missing');
  if (dryRun || (missing.length === 0 && core !== 'missing')) {
    return reportOf(folder, dryRun, partsWith('missing'));
  }
  const say = options.onProgress ?? (() => {});
  await inPartFolder(folder, async (part) => {
    if (core === 'missing') placeCore(part, folder, sources);
    if (missing.length === 0) return;
    const python: Python = { environment, signal: options.signal };
    await expectPip(python);
    expectRoom(folder, missing);
    for (const wheel of missing) {
      say(`fetching ${wheel.name} ${wheel.version} (${Math.ceil(wheel.content.bytes / 2 ** 20)} MiB)`);
      await placeWheel(python, wheel, mkdtempSync(join(part, 'wheel-')), folder);
    }
  });
  return reportOf(folder, dryRun, partsWith('fetched'));
}

function reportOf(folder: string, dryRun: boolean, parts: readonly SetupPart[]): SetupReport {
  const moved = parts.filter(({ state }) => state === 'missing' || state === 'fetched');
  const sum = (key: 'downloadBytes' | 'diskBytes') => moved.reduce((total, part) => total + part[key], 0);
  return {
    version: 1,
    folder,
    dryRun,
    parts,
    totals: { downloadBytes: sum('downloadBytes'), diskBytes: sum('diskBytes') },
  };
}

function ownSources(): SetupSources {
  const native = onnxRuntimeFolder();
  return { wheels: cudaWheels, core: native === undefined ? undefined : join(native, coreFileName), knownCores };
}

function expectLinux(): void {
  if (process.platform === 'linux' && process.arch === 'x64') return;
  throw new TandemError('ENVIRONMENT', `Expected Linux on x64 for CUDA, got ${process.platform} on ${process.arch}.`, {
    remedy: "ONNX Runtime's CUDA libraries exist for it alone here; --device cpu works without them.",
  });
}

type Before = 'there' | 'elsewhere' | 'missing';

/** A folder that was named must be complete in itself, so that it can be copied to another machine. */
function stateOf(wheel: Wheel, folder: string, { to }: SetupCudaOptions, environment: Environment): Before {
  if (wheel.files.every((file) => differenceOf(join(folder, file.path), [file]) === undefined)) return 'there';
  if (to !== undefined) return 'missing';
  if (wheel.part === 'provider') return hasOtherProvider(folder, environment) ? 'elsewhere' : 'missing';
  const { libraries } = findCuda({ environment });
  const paths = wheel.libraries.map((name) => libraries[name]);
  return paths.every((path) => path !== undefined && !path.startsWith(`${folder}/`)) ? 'elsewhere' : 'missing';
}

/** The core belongs to the provider: it is not needed where another folder has both. */
function coreState(folder: string, { to }: SetupCudaOptions, sources: SetupSources, environment: Environment): Before {
  if (differenceOf(join(folder, coreFileName), sources.knownCores) === undefined) return 'there';
  return to === undefined && hasOtherProvider(folder, environment) ? 'elsewhere' : 'missing';
}

function hasOtherProvider(folder: string, environment: Environment): boolean {
  const { provider, cacheFolder } = findCuda({ environment });
  return provider !== undefined && provider.folder !== folder && faultsOf(provider, cacheFolder).length === 0;
}

function corePart(folder: string, state: SetupPart['state'], { knownCores }: SetupSources): SetupPart {
  const diskBytes = knownCores[0]?.bytes ?? 0;
  const name = "core, a copy of onnxruntime-node's";
  return { name, state, downloadBytes: 0, diskBytes, files: [join(folder, coreFileName)] };
}

function wheelPart(wheel: Wheel, folder: string, state: SetupPart['state']): SetupPart {
  return {
    name: `${wheel.name} ${wheel.version}`,
    state,
    downloadBytes: wheel.content.bytes,
    diskBytes: bytesOf(wheel),
    files: wheel.files.map((file) => join(folder, file.path)),
  };
}

function bytesOf(wheel: Wheel): number {
  return wheel.files.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** Gives `work` a folder under `folder` that is gone afterwards. @throws what writing there says */
async function inPartFolder(folder: string, work: (part: string) => Promise<void>): Promise<void> {
  let part: string | undefined;
  try {
    makeFolder(folder);
    removeLeftovers(folder);
    part = mkdtempSync(join(folder, `${partPrefix}${process.pid}-`));
    await work(part);
  } catch (error) {
    throw cannotPlace(folder, error);
  } finally {
    if (part !== undefined) rmSync(part, { recursive: true, force: true });
  }
}

const partPrefix = '.part-';

/** Of processes that were killed. */
function removeLeftovers(folder: string): void {
  for (const name of readdirSync(folder)) {
    const pid = new RegExp(`^\\${partPrefix}(\\d+)-`).exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

function cannotPlace(folder: string, cause: unknown): unknown {
  const code = (cause as NodeJS.ErrnoException).code;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new TandemError('TRANSIENT', `Expected room under ${folder}, got a full disk.`, { remedy: moreRoom, cause });
  }
  if (!(cause instanceof TandemError) && typeof code === 'string') {
    return new TandemError('ENVIRONMENT', `Expected ${folder} to be writable, got ${(cause as Error).message}.`, {
      remedy: 'Name a folder that you may write to with --to <folder>.',
      cause,
    });
  }
  return cause;
}

const moreRoom = 'Make room, or name a folder on another disk with --to <folder>; then run the same command again.';

/** The largest wheel lies there twice while pip checks it; the rest goes as soon as its files are out. */
function expectRoom(folder: string, wheels: readonly Wheel[]): void {
  const needed =
    wheels.reduce((sum, wheel) => sum + bytesOf(wheel), 0) +
    2 * Math.max(...wheels.map(({ content }) => content.bytes));
  const { bavail, bsize } = statfsSync(folder);
  if (bavail * bsize >= needed) return;
  const mebibytes = (bytes: number) => `${Math.ceil(bytes / 2 ** 20)} MiB`;
  const message = `Expected ${mebibytes(needed)} to be free under ${folder}, got ${mebibytes(bavail * bsize)}.`;
  throw new TandemError('TRANSIENT', message, { remedy: moreRoom });
}

function placeCore(part: string, folder: string, { core, knownCores }: SetupSources): void {
  const copy = join(part, coreFileName);
  const difference = core === undefined ? 'no file' : (copyFileSync(core, copy), differenceOf(copy, knownCores));
  if (difference !== undefined) {
    throw new TandemError(
      'ENVIRONMENT',
      `Expected ${core ?? 'onnxruntime-node'} to be the core that Tandem knows, got ${difference}.`,
      { remedy: 'Run `npm ci`, which installs the version that Tandem was built for.' },
    );
  }
  renameSync(copy, join(folder, coreFileName));
}

async function placeWheel(python: Python, wheel: Wheel, part: string, folder: string): Promise<void> {
  const downloaded = await downloadWheel(python, wheel, part);
  const unpacked = join(part, 'files');
  await extractFiles(python, downloaded, wheel, unpacked);
  for (const file of wheel.files) {
    const difference = differenceOf(join(unpacked, file.path), [file]);
    if (difference === undefined) continue;
    throw new TandemError(
      'ENVIRONMENT',
      `Expected ${file.member} of ${wheel.name} ${wheel.version} to be the file that Tandem knows, got ${difference}.`,
      { remedy: 'Run the same command again; if it stays, look where PIP_INDEX_URL and `pip config list` point.' },
    );
  }
  for (const file of wheel.files) {
    const target = join(folder, file.path);
    makeFolder(dirname(target));
    renameSync(join(unpacked, file.path), target);
  }
  rmSync(part, { recursive: true, force: true });
}
