/** Opens what `libraries.ts` found, so that ONNX Runtime's CUDA provider finds everything it asks for already loaded. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import type { LibraryHandle } from 'koffi';
import { TandemError } from '../../errors.ts';
import { loadLibrary } from '../native.ts';
import { adviceFor, adviceForMissing } from './advice.ts';
import { cudaLibraries, type CudaLibraryName, type FoundCuda } from './libraries.ts';
import { faultsOf, providerFileName, providerVersion } from './provider-files.ts';

export interface OpenedCuda {
  /** Path of the core to load; ONNX Runtime looks for the provider in its folder. */
  readonly core: string;
  /** Undefined: not found, and not needed for every model. NVML is left to whoever measures with it. */
  readonly libraries: Readonly<Partial<Record<CudaLibraryName, LibraryHandle>>>;
}

/**
 * Checks the provider's files, then opens the driver and CUDA's libraries by their paths, each after those that it needs:
 * LD_LIBRARY_PATH is not needed then. Does not load the provider itself; the core does, from its own folder.
 * @throws ENVIRONMENT with the first thing that is missing or wrong
 */
export function openCudaLibraries(found: FoundCuda): OpenedCuda {
  const { provider } = found;
  // Without it nothing else is of use, however large.
  if (found.libraries.driver === undefined) {
    const { means, remedy } = adviceForMissing('libcuda.so.1');
    throw new TandemError('ENVIRONMENT', `Expected an NVIDIA GPU with its driver, got none: ${means}.`, { remedy });
  }
  if (provider === undefined) {
    throw new TandemError(
      'ENVIRONMENT',
      `Expected ONNX Runtime's CUDA provider in ${placesOf(found.looked.provider)}, got none.`,
      {
        remedy: adviceForMissing(providerFileName).remedy,
      },
    );
  }
  const [fault] = faultsOf(provider, found.cacheFolder);
  if (fault !== undefined) {
    throw new TandemError(
      'ENVIRONMENT',
      `Expected ${fault.file} to be that of ONNX Runtime ${providerVersion}, got ${fault.got}.`,
      { remedy: 'Run `tandem setup cuda`, which fetches the right files, or name another folder with --ort-dir.' },
    );
  }
  const libraries: Partial<Record<CudaLibraryName, LibraryHandle>> = {};
  for (const { name, file, onlyFor } of cudaLibraries) {
    if (name === 'nvml') continue;
    const path = found.libraries[name];
    if (path !== undefined) libraries[name] = openCudaLibrary(path);
    else if (onlyFor === undefined) {
      const { means, remedy } = adviceForMissing(file);
      throw new TandemError(
        'ENVIRONMENT',
        `Expected ${file} in ${placesOf(found.looked.libraries)}, got none: ${means}.`,
        {
          remedy,
        },
      );
    }
  }
  return { core: provider.core!, libraries };
}

/** Opens a library for the rest of the process. @throws ENVIRONMENT with advice */
export function openCudaLibrary(path: string): LibraryHandle {
  try {
    if (isCutOff(path)) throw new Error('file too short');
    const library = loadLibrary(path);
    keepLoaded(path);
    return library;
  } catch (cause) {
    // For a file that is not there the loader's text has no name.
    const text = `${path}: ${(cause as Error).message}`;
    const { means, remedy } = adviceFor(text);
    throw new TandemError('ENVIRONMENT', `Expected ${path} to load, got ${text}: ${means}.`, { remedy, cause });
  }
}

function placesOf(folders: readonly string[]): string {
  return folders.length === 0 ? 'the usual places' : folders.join(', ');
}

/**
 * koffi closes a library when its handle is collected or its thread ends; ONNX Runtime's provider, which finds the
 * libraries by name only while they are loaded, may come later and from another thread.
 */
function keepLoaded(path: string): void {
  const now = 0x2;
  const noDelete = 0x1000;
  const dlopen = loadLibrary(null).func('void *dlopen(const char *path, int flags)');
  dlopen(path, now | noDelete);
}

/** The loader does not look whether a library is whole, and dies of SIGBUS when it touches what is not there. */
function isCutOff(path: string): boolean {
  const header = Buffer.alloc(64);
  const file = openSync(path, 'r');
  try {
    // ELF64: the table of sections is the last part of the file.
    const isElf = readSync(file, header) === header.length && header.readUInt32BE(0) === 0x7f45_4c46 && header[4] === 2;
    const end = Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60);
    return isElf && end > fstatSync(file).size;
  } finally {
    closeSync(file);
  }
}
