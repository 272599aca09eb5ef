/** Writing a model folder: without a contract it is none, and that comes last. */
import { randomBytes } from 'node:crypto';
import { copyFileSync, existsSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, isAbsolute, join, normalize, resolve } from 'node:path';
import { makeFolder } from '../engines/make-folder.ts';
import { TandemError } from '../errors.ts';

/** A file of the folder, by its path below it: its content, or the file that it is a copy of. */
export interface FolderFile {
  readonly path: string;
  readonly content: string | Uint8Array | { readonly copyOf: string };
}

export const contractName = 'tandem.json';

/**
 * Writes files under a temporary name first. A new folder then gets its name as a whole; into one that is there the files
 * are moved one by one, the contract last, and what else lies there stays.
 * @throws BAD_OUTPUT for a file that is there already, without `overwrite`; TRANSIENT or ENVIRONMENT when it cannot be written
 */
export function writeModelFolder(folder: string, files: readonly FolderFile[], overwrite: boolean): void {
  const target = resolve(folder);
  const paths = files.map(({ path }) => path);
  expectFree(target, paths, overwrite);
  const isNew = !existsSync(target);
  const unfinished = `.${basename(target)}-unfinished-${randomBytes(6).toString('hex')}`;
  const stage = join(isNew ? dirname(target) : target, unfinished);
  try {
    makeFolder(stage);
    for (const { path, content } of files) {
      const staged = join(stage, path);
      makeFolder(dirname(staged));
      if (typeof content === 'object' && 'copyOf' in content) copyFileSync(content.copyOf, staged);
      else writeFileSync(staged, content);
    }
    if (isNew) return renameSync(stage, target);
    for (const path of [...paths].sort((a, b) => Number(a === contractName) - Number(b === contractName))) {
      makeFolder(dirname(join(target, path)));
      renameSync(join(stage, path), join(target, path));
    }
  } catch (error) {
    throw cannotWrite(target, error);
  } finally {
    rmSync(stage, { recursive: true, force: true });
  }
}

/** @throws BAD_OUTPUT where one of the files is there, and `overwrite` is not set; or the folder is none */
export function expectFree(folder: string, paths: readonly string[], overwrite: boolean): void {
  const found = statSync(folder, { throwIfNoEntry: false });
  if (found !== undefined && !found.isDirectory()) {
    throw new TandemError('BAD_OUTPUT', `Expected the model folder to be a folder, got \`${folder}\`, a file.`, {
      remedy: 'Name a folder with --output.',
    });
  }
  const there = paths.filter((path) => existsSync(join(folder, path)));
  if (there.length === 0 || overwrite) return;
  throw new TandemError('BAD_OUTPUT', `Expected ${folder} to have no ${there[0]} yet, got ${there.join(', ')}.`, {
    remedy: 'Name another folder with --output, or replace what is there with --overwrite; --dry-run only shows it.',
  });
}

/** @throws BAD_MODEL for a file that a model names as its own outside of its folder */
export function expectWithin(path: string, model: string): void {
  const normal = normalize(path);
  if (!isAbsolute(normal) && !normal.startsWith('..')) return;
  throw new TandemError('BAD_MODEL', `Expected the weights of ${model} to lie in its folder, got \`${path}\`.`, {
    remedy:
      'Export it again with its external data beside it, or leave --output out: tandem.json is then written beside it.',
  });
}

function cannotWrite(folder: string, cause: unknown): unknown {
  const { code, message } = cause as NodeJS.ErrnoException;
  if (cause instanceof TandemError || typeof code !== 'string') return cause;
  const isFull = code === 'ENOSPC' || code === 'EDQUOT';
  return new TandemError(isFull ? 'TRANSIENT' : 'ENVIRONMENT', `Expected ${folder} to be writable, got: ${message}.`, {
    remedy: isFull
      ? 'Make room, then run the same command again.'
      : 'Name a folder that you may write to with --output.',
    cause,
  });
}
