/**
 * Where the files are that ONNX Runtime needs to run on CUDA. Looks at names only and loads nothing; a plain record comes
 * out, so that `tandem doctor` can show it and the scorer can open it (`open-libraries.ts`).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path';
import { coreFileName, providerFileName, providerSharedFileName, providerVersion } from './provider-files.ts';

export type CudaLibraryName = 'driver' | 'nvml' | 'cudart' | 'cublasLt' | 'cublas' | 'curand' | 'cudnn' | 'cufft';

export interface CudaLibrary {
  readonly name: CudaLibraryName;
  /** As people call it. */
  readonly title: string;
  /** The name under which ONNX Runtime asks for it (SONAME). */
  readonly file: string;
  /** undefined: always. Otherwise what does not work without it. */
  readonly onlyFor?: string;
  /** Of PyPI, with the version that Tandem's other pins fit; undefined: comes with the driver. */
  readonly package?: string;
}

/** In the order in which they are opened. cuBLAS must find the cuBLASLt of its own release. */
export const cudaLibraries: readonly CudaLibrary[] = [
  { name: 'driver', title: 'NVIDIA driver', file: 'libcuda.so.1' },
  { name: 'nvml', title: 'NVML', file: 'libnvidia-ml.so.1', onlyFor: "the GPU's load and temperature" },
  { name: 'cudart', title: 'CUDA runtime', file: 'libcudart.so.13', package: 'nvidia-cuda-runtime==13.0.96' },
  { name: 'cublasLt', title: 'cuBLASLt', file: 'libcublasLt.so.13', package: 'nvidia-cublas==13.1.0.3' },
  { name: 'cublas', title: 'cuBLAS', file: 'libcublas.so.13', package: 'nvidia-cublas==13.1.0.3' },
  { name: 'curand', title: 'cuRAND', file: 'libcurand.so.10', package: 'nvidia-curand==10.4.0.35' },
  {
    name: 'cudnn',
    title: 'cuDNN',
    file: 'libcudnn.so.9',
    package: 'nvidia-cudnn-cu13==9.19.0.56',
    onlyFor: 'convolutions',
  },
  {
    name: 'cufft',
    title: 'cuFFT',
    file: 'libcufft.so.12',
    package: 'nvidia-cufft==12.0.0.61',
    onlyFor: 'Fourier transforms',
  },
];

export type Environment = Readonly<Record<string, string | undefined>>;

/** The provider beside a core: ONNX Runtime looks for it in the folder of the path from which the core was loaded. */
export interface FoundProvider {
  readonly folder: string;
  /** libonnxruntime_providers_cuda.so */
  readonly cuda: string;
  /** libonnxruntime_providers_shared.so, undefined: not there. */
  readonly shared: string | undefined;
  /** libonnxruntime.so.1, undefined: not there. */
  readonly core: string | undefined;
}

export interface FoundCuda {
  readonly provider: FoundProvider | undefined;
  /** Absolute paths; undefined: not found. */
  readonly libraries: Readonly<Record<CudaLibraryName, string | undefined>>;
  /** Files of a missing library's other releases, for example libcudart.so.12: a sign of a wrong CUDA version. */
  readonly otherReleases: Readonly<Partial<Record<CudaLibraryName, string>>>;
  /** Folders that were looked at, in order; only those that exist, except one that was asked for. */
  readonly looked: { readonly provider: readonly string[]; readonly libraries: readonly string[] };
  /** Results of slow checks are kept here. */
  readonly cacheFolder: string;
}

/** The machine as far as the search looks beyond names that were given. Tests pass their own. */
export interface Surroundings {
  /** Put before the system's folders. */
  readonly root: string;
  /** Folder of onnxruntime-node's native files; undefined: not installed. */
  readonly onnxRuntimeFolder: string | undefined;
  /** What `ldconfig -p` prints. */
  ldconfig(): string;
}

export interface FindOptions {
  /** Only this folder may hold the provider; it may hold CUDA libraries, too. Comes before TANDEM_ORT_DIR. */
  readonly ortDir?: string | undefined;
  readonly environment: Environment;
  readonly surroundings?: Surroundings;
}

/** The folder that `tandem setup cuda` fills. */
export function cudaCacheFolder(environment: Environment): string {
  return join(cacheFolderOf(environment), `cuda-${providerVersion}`);
}

/** The folder of what runs have measured and later ones start with. */
export function profileFolder(environment: Environment): string {
  return join(cacheFolderOf(environment), 'profiles');
}

/** The folder of all that can be made again. */
export function cacheFolderOf(environment: Environment): string {
  const given = environment['XDG_CACHE_HOME'] ?? '';
  // The XDG specification says to ignore a relative path.
  const cache = isAbsolute(given) ? given : join(environment['HOME'] ?? homedir(), '.cache');
  return join(cache, 'tandem');
}

/**
 * Looks for the provider in `ortDir` or else TANDEM_ORT_DIR, which must have it; without these in the cache folder,
 * beside onnxruntime-node and in a pip-installed onnxruntime-gpu. For CUDA's libraries in that folder, LD_LIBRARY_PATH,
 * the cache folder, every site-packages/nvidia, and the system's folders.
 */
export function findCuda({ ortDir, environment, surroundings = thisMachine() }: FindOptions): FoundCuda {
  const asked = ortDir ?? (environment['TANDEM_ORT_DIR'] || undefined);
  const named = asked === undefined ? undefined : resolve(asked);
  const cacheFolder = cudaCacheFolder(environment);
  const sitePackages = sitePackagesFolders(environment, surroundings.root);
  const providerFolders =
    named !== undefined
      ? [named]
      : [
          cacheFolder,
          ...(surroundings.onnxRuntimeFolder === undefined ? [] : [surroundings.onnxRuntimeFolder]),
          ...sitePackages.map((folder) => join(folder, 'onnxruntime', 'capi')),
        ].filter((folder) => existsSync(folder));
  const givenFolders = existing([
    ...(named === undefined ? [] : [named, ...pipFolders(named)]),
    ...(environment['LD_LIBRARY_PATH'] ?? '').split(/[:;]/).filter((folder) => isAbsolute(folder)),
  ]);
  const libraryFolders = existing([
    ...givenFolders,
    ...[cacheFolder, ...sitePackages].flatMap(pipFolders),
    ...systemFolders(environment, surroundings.root),
  ]);
  const libraries = findLibraries(givenFolders, libraryFolders, surroundings);
  return {
    provider: providerFolders.map(providerIn).find((provider) => provider !== undefined),
    libraries,
    otherReleases: otherReleases(libraries, libraryFolders),
    looked: { provider: providerFolders, libraries: libraryFolders },
    cacheFolder,
  };
}

function providerIn(folder: string): FoundProvider | undefined {
  const file = (name: string) => (existsSync(join(folder, name)) ? join(folder, name) : undefined);
  const cuda = file(providerFileName);
  if (cuda === undefined) return undefined;
  const core = file(coreFileName) ?? file(`libonnxruntime.so.${providerVersion}`);
  return { folder, cuda, shared: file(providerSharedFileName), core };
}

function findLibraries(
  given: readonly string[],
  folders: readonly string[],
  { ldconfig, root }: Surroundings,
): Readonly<Record<CudaLibraryName, string | undefined>> {
  let linker: string | undefined;
  const pair = ['libcublasLt.so.13', 'libcublas.so.13'];
  const withPair = folders.find((folder) => pair.every((file) => existsSync(join(folder, file))));
  const inFolders = (places: readonly string[], file: string): string | undefined =>
    places.map((folder) => join(folder, file)).find((path) => existsSync(path));
  const inLinkerCache = (file: string) => pathInLinkerCache((linker ??= ldconfig()), file, root);
  const find = ({ file, package: pip }: CudaLibrary): string | undefined => {
    // A container may bring a newer driver library than its host's and put it first in the linker's cache only.
    if (pip === undefined) return inFolders(given, file) ?? inLinkerCache(file) ?? inFolders(folders, file);
    return inFolders(withPair !== undefined && pair.includes(file) ? [withPair] : folders, file) ?? inLinkerCache(file);
  };
  return Object.fromEntries(cudaLibraries.map((library) => [library.name, find(library)])) as Readonly<
    Record<CudaLibraryName, string | undefined>
  >;
}

/** A line reads `libcuda.so.1 (libc6,x86-64) => /usr/lib/x86_64-linux-gnu/libcuda.so.1`. */
function pathInLinkerCache(text: string, file: string, root: string): string | undefined {
  for (const line of text.split('\n')) {
    const [, name, kind, path] = /^\s*(\S+) \((.*)\) => (\S+)$/.exec(line) ?? [];
    if (name === file && kind!.includes('x86-64') && existsSync(join(root, path!))) return join(root, path!);
  }
  return undefined;
}

function otherReleases(
  libraries: Readonly<Record<CudaLibraryName, string | undefined>>,
  folders: readonly string[],
): Partial<Record<CudaLibraryName, string>> {
  const missing = cudaLibraries.filter(({ name, package: pip }) => pip !== undefined && libraries[name] === undefined);
  const found: Partial<Record<CudaLibraryName, string>> = {};
  if (missing.length === 0) return found;
  for (const folder of folders) {
    const files = entries(folder);
    for (const { name, file } of missing) {
      const stem = file.slice(0, file.lastIndexOf('.') + 1);
      const other = files.find((each) => each.startsWith(stem) && /^\d+$/.test(each.slice(stem.length)));
      if (other !== undefined) found[name] ??= join(folder, other);
    }
  }
  return found;
}

/** Where NVIDIA's packages of PyPI put their libraries. */
function pipFolders(sitePackages: string): string[] {
  return ['cu13', 'cudnn'].map((part) => join(sitePackages, 'nvidia', part, 'lib'));
}

/** Of the active environments, of every python3 on PATH, of the user and of the system. */
function sitePackagesFolders(environment: Environment, root: string): string[] {
  const onPath = (environment['PATH'] ?? '')
    .split(delimiter)
    .filter((folder) => isAbsolute(folder) && existsSync(join(folder, 'python3')))
    .map((folder) => dirname(folder));
  const home = environment['HOME'] ?? homedir();
  const prefixes = [environment['VIRTUAL_ENV'], environment['CONDA_PREFIX'], ...onPath, join(home, '.local')];
  const libraries = [
    ...prefixes.filter((prefix) => prefix !== undefined && isAbsolute(prefix)),
    join(root, 'usr/local'),
  ]
    .map((prefix) => join(prefix!, 'lib'))
    .concat(join(root, 'usr/lib'));
  return [...new Set(libraries)]
    .flatMap((folder) =>
      entries(folder)
        .filter((name) => /^python3(\.\d+)?$/.test(name))
        .flatMap((name) => ['site-packages', 'dist-packages'].map((kind) => join(folder, name, kind))),
    )
    .filter((folder) => existsSync(folder));
}

/** Without doubles. */
function existing(folders: readonly string[]): string[] {
  return [...new Set(folders)].filter((folder) => existsSync(folder));
}

function systemFolders(environment: Environment, root: string): string[] {
  const local = join(root, 'usr/local');
  const toolkits = entries(local)
    .filter((name) => /^cuda(-[\d.]+)?$/.test(name))
    .map((name) => join(local, name));
  const given = [environment['CUDA_HOME'], environment['CUDA_PATH']].filter(
    (folder) => folder !== undefined && isAbsolute(folder),
  );
  return [
    ...[...given, ...toolkits].flatMap((folder) => [join(folder!, 'lib64'), join(folder!, 'targets/x86_64-linux/lib')]),
    ...['usr/lib/x86_64-linux-gnu', 'usr/lib64', 'usr/local/nvidia/lib64', 'usr/lib/wsl/lib'].map((folder) =>
      join(root, folder),
    ),
  ];
}

function entries(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}

function thisMachine(): Surroundings {
  return { root: '/', onnxRuntimeFolder: onnxRuntimeFolder(), ldconfig: printLinkerCache };
}

/** Not by way of the bindings, which load native code: the search must work where that does not. */
export function onnxRuntimeFolder(): string | undefined {
  try {
    const manifest = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
    return join(dirname(manifest), 'bin', 'napi-v6', process.platform, process.arch);
  } catch {
    return undefined;
  }
}

function printLinkerCache(): string {
  // It lies in /sbin, which is not on every user's PATH.
  for (const command of ['/sbin/ldconfig', 'ldconfig']) {
    const { status, stdout } = spawnSync(command, ['-p'], { encoding: 'utf8' });
    if (status === 0) return stdout;
  }
  return '';
}
