/** Where files that are no Parquet are kept as Parquet until their shards are scored: under the output, and never `.parquet`. */
import { existsSync, rmSync } from 'node:fs';
import { join, sep } from 'node:path';
import type { PlannedShard } from '../plan.ts';

const folderName = '_staged';

export function stagedFolder(output: string): string {
  return join(output, folderName);
}

/** Under the output folder, with forward slashes. */
export function isStaged(path: string): boolean {
  return path.startsWith(`${folderName}/`);
}

/** A shard is whole: what it was read from is needed no more. */
export function removeStaged(output: string, { path, sourcePath }: Pick<PlannedShard, 'path' | 'sourcePath'>): void {
  if (sourcePath !== undefined && path.startsWith(stagedFolder(output) + sep)) rmSync(path, { force: true });
}

/** The run is whole, or starts anew. */
export function removeAllStaged(output: string): void {
  const folder = stagedFolder(output);
  if (existsSync(folder)) rmSync(folder, { recursive: true, force: true });
}
