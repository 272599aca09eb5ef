/** Compiles the C sources of tests, where the machine has a compiler. */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Compiled tests run from another folder; the sources in C stay with those in TypeScript. */
const sources = join(dirname(fileURLToPath(import.meta.url)), '../../..', 'src/testing');

/** Why libraries in C cannot be compiled here; false: they can. */
export function skipWithoutCompiler(): string | false {
  if (process.platform === 'win32') return 'the libraries are for Linux and macOS';
  return spawnSync('cc', ['--version']).status === 0 ? false : 'no C compiler (cc) on this machine';
}

/** Compiles `src/testing/<source>` to a shared library at `path`. @returns `path` */
export function compileLibrary(source: string, path: string): string {
  const flags = ['-std=gnu11', '-O1', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
  const { status, stderr } = spawnSync('cc', [...flags, '-o', path, join(sources, source), '-ldl', '-lpthread'], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new RangeError(`Expected ${source} to compile, got:\n${stderr}`);
  return path;
}
