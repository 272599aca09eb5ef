/** The fake CUDA libraries beside this file. */
import { join } from 'node:path';
import { compileLibrary } from '../compile.ts';

export { skipWithoutCompiler } from '../compile.ts';

/** Path of the library, in `folder`. */
export function buildFake(name: 'cudart' | 'nvml' | 'nvml-old', folder: string): string {
  return compileLibrary(`fake-cuda/${name}.c`, join(folder, `lib${name}-fake.so`));
}
