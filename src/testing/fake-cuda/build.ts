/** Compiles the fake CUDA libraries beside this file, where the machine has a C compiler. */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Compiled tests run from another folder; the sources in C stay here. */
const sources = join(dirname(fileURLToPath(import.meta.url)), '../../../..', 'src/testing/fake-cuda');

/** Why tests of the fake libraries cannot run here; false: they can. */
export function skipWithoutCompiler(): string | false {
  if (process.platform === 'win32') return 'the fake libraries are for Linux and macOS';
  return spawnSync('cc', ['--version']).status === 0 ? false : 'no C compiler (cc) on this machine';
}

/** Path of the library, in `folder`. */
export function buildFake(name: 'cudart' | 'nvml' | 'nvml-old', folder: string): string {
  const path = join(folder, `lib${name}-fake.so`);
  const flags = ['-std=gnu11', '-O1', '-Wall', '-Wextra', '-Werror', '-shared', '-fPIC'];
  const { status, stderr } = spawnSync('cc', [...flags, '-o', path, join(sources, `${name}.c`)], { encoding: 'utf8' });
  if (status !== 0) throw new RangeError(`Expected ${name}.c to compile, got:\n${stderr}`);
  return path;
}
