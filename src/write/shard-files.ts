/** The files that a shard's output is made of: one, or parts of it by number; under temporary names until all are whole. */
import { readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { RunPlan } from '../plan.ts';
import type { FeatureFiles } from '../output-options.ts';
import { outputName } from '../shard-format.ts';
import { listFiles, syncFile } from './files.ts';

/** A file of a shard's output. */
export interface WrittenFile {
  /** Under the output folder, with forward slashes. */
  readonly name: string;
  readonly rowCount: number;
  readonly bytes: number;
}

/** What a shard's writer has left under its temporary name. */
export interface UnnamedFile {
  readonly path: string;
  readonly rowCount: number;
}

/** A file or folder of a run that is not over, and what lies in such a folder. */
const temporaryPattern = /\.tmp-([0-9a-f]{12})(?=\/|$)/;
const partPattern = /-\d{5,}\.parquet$/;

/** `05-00000.parquet` */
function partName(shardName: string, index: number): string {
  return outputName(shardName).replace(/\.parquet$/, `-${String(index).padStart(5, '0')}.parquet`);
}

export function isTemporary(path: string): boolean {
  return temporaryPattern.test(path);
}

/** Removes what runs have left under temporary names. @param attempt of one run; undefined: of all */
export function removeTemporary(folder: string, attempt?: string): void {
  for (const path of listFiles(folder)) {
    const found = temporaryPattern.exec(path);
    if (found === null || (attempt !== undefined && found[1] !== attempt)) continue;
    rmSync(join(folder, path.slice(0, found.index + found[0].length)), { recursive: true, force: true });
  }
}

/** The one file that is a shard's output, where it is not in parts. */
function fileName(shardName: string, format: FeatureFiles['format'] = 'parquet'): string {
  const name = outputName(shardName);
  return format === 'parquet' ? name : name.replace(/\.parquet$/, `.${format}`);
}

/** Whether a file is the output, or a part of the output, of one of the shards. */
export function isOutputOf(
  shardNames: Iterable<string>,
  format: FeatureFiles['format'] | undefined,
): (path: string) => boolean {
  const outputs = new Set([...shardNames].map((name) => fileName(name, format)));
  return (path) => outputs.has(path) || (partPattern.test(path) && outputs.has(path.replace(partPattern, '.parquet')));
}

/** Where a shard is written before it is whole: a file, or the folder of its parts. */
export function temporaryPath(folder: string, shardName: string, attempt: string): string {
  return join(folder, `${outputName(shardName)}.tmp-${attempt}`);
}

/** The parts that COPY wrote into a folder, by number. */
export function partsIn(folder: string): string[] {
  const number = (path: string): number => Number.parseInt(basename(path), 10);
  return readdirSync(folder)
    .map((name) => join(folder, name))
    .sort((one, other) => number(one) - number(other));
}

/**
 * Gives finished files their names: all are on disk before the first has one, and have theirs when this returns.
 * @throws what the file system says
 */
export function nameFiles(
  plan: Pick<RunPlan, 'output' | 'files' | 'features'>,
  shardName: string,
  unnamed: readonly UnnamedFile[],
): WrittenFile[] {
  const written = unnamed.map(({ path, rowCount }, index): WrittenFile & { readonly path: string } => {
    const bytes = statSync(path).size;
    syncFile(path);
    const { files, features } = plan;
    const name = files.rowsPerFile === undefined ? fileName(shardName, features?.format) : partName(shardName, index);
    return { path, name, rowCount, bytes };
  });
  for (const { path, name } of written) renameSync(path, join(plan.output, name));
  syncFile(dirname(join(plan.output, outputName(shardName))));
  return written.map(({ name, rowCount, bytes }) => ({ name, rowCount, bytes }));
}
