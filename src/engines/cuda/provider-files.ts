/**
 * The files of ONNX Runtime's CUDA provider that Tandem knows, and whether a file is one of them. They carry no version:
 * a provider of another release loads and then reads garbage, and a truncated one kills the process with SIGBUS.
 */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync, readSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeFolder } from '../make-folder.ts';
import type { FoundProvider } from './libraries.ts';

/** Release of ONNX Runtime whose files these are; a test holds it to that of `onnxruntime-node`. */
export const providerVersion = '1.30.0';

export const providerFileName = 'libonnxruntime_providers_cuda.so';
export const providerSharedFileName = 'libonnxruntime_providers_shared.so';
export const coreFileName = 'libonnxruntime.so.1';

/** Content of a file that is known byte for byte. */
export interface KnownContent {
  readonly bytes: number;
  readonly sha256: string;
}

/** PyPI's onnxruntime-gpu 1.30.0, built from the same commit as the core of npm's onnxruntime-node 1.30.0. */
export const knownProvider: KnownContent = {
  bytes: 272_049_904,
  sha256: '35da2e7ed0dd0d1aec5cdb16ce11a51d06c0c48cf62d1b1c9332946a4fae14fc',
};
export const knownProviderShared: KnownContent = {
  bytes: 14_632,
  sha256: '086ec1d5388f64153d9c63470d126693db9a182c8ce236d3a1119068471b8a0d',
};
/** The core of npm's onnxruntime-node, then that of PyPI's onnxruntime-gpu. */
export const knownCores: readonly KnownContent[] = [
  { bytes: 45_828_512, sha256: 'ffb75a925ba05e47b235bb66e3e3911714a80b328a9c9425539feb204aa32a23' },
  { bytes: 29_062_976, sha256: '5a140dc17c8b60b35b2ceab0bb533e65ac54f06a208948417c1f9c31df6afc4c' },
];

/** What is wrong with one of the provider's files: the file, what it is instead. */
export interface ProviderFault {
  readonly file: string;
  readonly got: string;
}

/** sha256 of a provider of somebody's own build, to be taken for the right one: whoever sets it answers for the version. */
export const providerHashVariable = 'TANDEM_PROVIDER_SHA256';

/**
 * Faults of the provider's files, found without loading them; empty: they are what Tandem was built for.
 * A third of a second, or nothing when the cache folder remembers them.
 */
export function faultsOf(
  provider: FoundProvider,
  cacheFolder: string,
  known = knownFiles,
  ownHash = process.env[providerHashVariable],
): ProviderFault[] {
  const sha256 = rememberingSha256(join(cacheFolder, 'hashes.json'));
  const files = { core: provider.core, shared: provider.shared, cuda: provider.cuda };
  const isOwn = (path: string | undefined): boolean =>
    ownHash !== undefined && path !== undefined && existsSync(path) && sha256(path) === ownHash;
  return (['core', 'shared', 'cuda'] as const).flatMap((which) => {
    const path = files[which];
    if (which === 'cuda' && isOwn(path)) return [];
    const got = path === undefined ? 'no file' : differenceOf(path, known[which].contents, sha256);
    return got === undefined ? [] : [{ file: path ?? join(provider.folder, known[which].file), got }];
  });
}

type KnownFiles = Readonly<
  Record<'core' | 'shared' | 'cuda', { readonly file: string; readonly contents: readonly KnownContent[] }>
>;

const knownFiles: KnownFiles = {
  core: { file: coreFileName, contents: knownCores },
  shared: { file: providerSharedFileName, contents: [knownProviderShared] },
  cuda: { file: providerFileName, contents: [knownProvider] },
};

/** Generations of GPU that the provider has machine code for (it carries no PTX): compute capability major, minor. */
export function providerRunsOn(major: number, minor: number): boolean {
  // sm_75; sm_80, 86, 89 (each also runs on later minors); sm_90a and sm_120a run on exactly these.
  return (major === 7 && minor >= 5) || major === 8 || (major === 9 && minor === 0) || (major === 12 && minor === 0);
}

/** Whether the file is one of these. Undefined: it is; otherwise what it is instead, in words. */
export function differenceOf(
  path: string,
  known: readonly KnownContent[],
  sha256 = (file: string) => sha256Of(file),
): string | undefined {
  let bytes: number;
  try {
    bytes = statSync(path).size;
  } catch {
    return 'no file';
  }
  const sameSize = known.filter((each) => each.bytes === bytes);
  if (sameSize.length === 0) {
    const sizes = known.map((each) => each.bytes).join(' or ');
    const shorter = known.every((each) => bytes < each.bytes) ? ' (cut off, or another version)' : '';
    return `a file of ${bytes} bytes instead of ${sizes}${shorter}`;
  }
  const hash = sha256(path);
  if (sameSize.some((each) => each.sha256 === hash)) return undefined;
  return `a file of the right size whose sha256 is ${hash.slice(0, 16)}… instead of ${sameSize[0]!.sha256.slice(0, 16)}…`;
}

const readBytes = 4 * 2 ** 20;

export function sha256Of(path: string): string {
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(readBytes);
    const hash = createHash('sha256');
    for (let count = readSync(file, buffer); count > 0; count = readSync(file, buffer)) {
      hash.update(buffer.subarray(0, count));
    }
    return hash.digest('hex');
  } finally {
    closeSync(file);
  }
}

/**
 * A hash function that remembers, in a file, what it has hashed: the provider takes a third of a second, at every start.
 * A file counts as the same while size, inode and time of its last change are. What cannot be remembered is hashed again.
 */
export function rememberingSha256(memory: string): (path: string) => string {
  return (path) => {
    const { size, ino, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    const state = `${size} ${ino} ${mtimeNs} ${ctimeNs}`;
    const remembered = readMemory(memory);
    const found = remembered[path];
    if (found !== undefined && found.state === state) return found.sha256;
    const sha256 = sha256Of(path);
    try {
      makeFolder(dirname(memory));
      const written = join(dirname(memory), `.hashes-${process.pid}`);
      writeFileSync(written, JSON.stringify({ ...remembered, [path]: { state, sha256 } }));
      renameSync(written, memory);
    } catch {
      // A cache folder that cannot be written costs time and nothing else.
    }
    return sha256;
  };
}

type HashMemory = Readonly<Record<string, { readonly state: string; readonly sha256: string }>>;

function readMemory(path: string): HashMemory {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as HashMemory;
  } catch {
    return {};
  }
}
