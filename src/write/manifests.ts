/** Manifests: what was whole when, of which run; and what every file of ours says about its own version. */
import { linkSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TandemError } from '../errors.ts';
import type { Precision } from '../options.ts';
import type { PlannedFeatures } from '../plan.ts';
import type { SelectionOptions } from '../relation.ts';
import { outputName } from '../shard-format.ts';
import { listFiles, makeFolder, syncFile } from './files.ts';
import type { WrittenFile } from './shard-files.ts';

export const manifestFolder = '_manifests';
/** Newest version of manifests and plans that this Tandem reads and writes. */
export const version = 1;

/** What makes two runs into one folder the same run. */
export interface RunIdentity {
  readonly modelSha256: string;
  readonly contractSha256: string;
  /** The list, or 'all'. */
  readonly keep: readonly string[] | 'all';
  readonly precision: Precision;
  /** As in `OutputFiles`: it decides which files there are. What is in them is the same however they are written. */
  readonly rowsPerFile?: number | undefined;
  /** What the caller takes of the shards; undefined: every row that the contract takes. */
  readonly selection?: SelectionOptions;
  /** Undefined: scores. */
  readonly features?: PlannedFeatures;
}

export interface ShardIdentity {
  readonly name: string;
  readonly bytes: number;
  readonly modifiedMs: number;
  readonly rowCount: number;
}

export interface Manifest {
  readonly version: number;
  readonly shard: ShardIdentity;
  readonly output: {
    readonly rowCount: number;
    readonly bytes: number;
    /** In row order; undefined: the one that is called as the shard is. */
    readonly files?: readonly WrittenFile[];
  };
  /** What scored it; folders from before there was a choice do not say. Another one may go on. */
  readonly device?: string;
  /** Folders from before there was a choice have no precision: it was float32. */
  readonly run: Omit<RunIdentity, 'precision'> & Partial<Pick<RunIdentity, 'precision'>>;
}

/** Somebody may have removed an output, or put another file in its place: its shard is scored again. */
export function isThere(folder: string, manifest: Manifest): boolean {
  return filesOf(manifest).every(
    ({ name, bytes }) => statSync(join(folder, name), { throwIfNoEntry: false })?.size === bytes,
  );
}

export function filesOf({ shard, output }: Manifest): readonly WrittenFile[] {
  return output.files ?? [{ name: outputName(shard.name), rowCount: output.rowCount, bytes: output.bytes }];
}

/** What earlier runs have counted, by shard. @throws BAD_OUTPUT */
export function knownShards(folder: string): Map<string, ShardIdentity> {
  return new Map(readManifests(folder).map(({ shard }) => [shard.name, shard]));
}

export function readManifests(folder: string): Manifest[] {
  return listFiles(join(folder, manifestFolder))
    .filter((path) => path.endsWith('.json'))
    .map((path) => readOwnFile<Manifest>(join(folder, manifestFolder, path), 'a manifest'));
}

/** @throws BAD_OUTPUT */
export function readOwnFile<T extends { readonly version: number }>(path: string, what: string): T {
  const remedy = 'Choose another --output, or remove what lies there.';
  let content: T;
  try {
    content = JSON.parse(readFileSync(path, 'utf8')) as T;
  } catch (cause) {
    throw new TandemError('BAD_OUTPUT', `Expected ${path} to be ${what}, got something else.`, { remedy, cause });
  }
  if (typeof content?.version !== 'number')
    throw new TandemError('BAD_OUTPUT', `Expected ${path} to be ${what}, got something else.`, { remedy });
  if (content.version > version) {
    throw new TandemError(
      'BAD_OUTPUT',
      `Expected ${path} to be of version ${version} or older, got ${content.version}: a newer Tandem wrote it.`,
      {
        remedy: 'Use that Tandem, or another --output.',
      },
    );
  }
  return content;
}

/** Its text is on disk before its name exists; the name is never taken from another run's. */
export function writeManifest(path: string, manifest: Manifest, attempt: string): void {
  const temporary = `${path}.tmp-${attempt}`;
  makeFolder(dirname(path));
  writeFileSync(temporary, `${JSON.stringify(manifest)}\n`);
  syncFile(temporary);
  try {
    linkSync(temporary, path);
    rmSync(temporary);
  } catch (error) {
    // Some file systems have no links.
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes((error as NodeJS.ErrnoException).code ?? ''))
      throw error;
    renameSync(temporary, path);
  }
  syncFile(dirname(path));
}

export function manifestName(shardName: string): string {
  return `${manifestFolder}/${shardName}.json`;
}
