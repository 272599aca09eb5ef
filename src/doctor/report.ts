/** What `doctor` found out, and the report that it makes of it. Pure: facts in, items with advice out. */
import { adviceFor, adviceForMissing, driverVersionMin } from '../engines/cuda/advice.ts';
import type { Answer, CudaDevice } from '../engines/cuda/ask.ts';
import { cudaLibraries, type CudaLibrary, type CudaLibraryName, type FoundCuda } from '../engines/cuda/libraries.ts';
import {
  coreFileName,
  providerFileName,
  providerRunsOn,
  providerSharedFileName,
  providerVersion,
  type ProviderFault,
} from '../engines/cuda/provider-files.ts';
import type { Bound } from '../machine.ts';

/** `spare`: not there, and not needed for every model. `unasked`: something before it must work first. */
export type DoctorState = 'ok' | 'bad' | 'spare' | 'unasked' | 'untried';

/** One thing that a run stands on. */
export interface DoctorItem {
  readonly name: string;
  /** Runs that need it: all of them, or those on a GPU. */
  readonly for: 'every run' | 'CUDA';
  readonly state: DoctorState;
  readonly found: string;
  readonly needed: string;
  readonly remedy?: string;
}

export interface DoctorReport {
  readonly version: 1;
  /** What was asked to work; undefined: nothing, all was looked at. */
  readonly device: string | undefined;
  /** Whether what was asked works; true when nothing was. */
  readonly passed: boolean;
  /** `cuda` is undefined where it was not looked at. */
  readonly works: { readonly cpu: boolean; readonly cuda: boolean | undefined };
  readonly items: readonly DoctorItem[];
  /** Folders that were looked at for the provider and for CUDA's libraries. */
  readonly looked: FoundCuda['looked'] | undefined;
  readonly notes: readonly string[];
}

export interface MachineFacts {
  readonly platform: string;
  readonly arch: string;
  /** undefined: another C library. */
  readonly glibc: string | undefined;
  readonly node: string;
  readonly cores: Bound;
  readonly memory: Bound;
  readonly duckdb: Answer;
  readonly onnxruntime: Answer;
  /** undefined: not looked at. */
  readonly cuda: CudaFacts | undefined;
}

export interface CudaFacts {
  readonly found: FoundCuda;
  readonly faults: readonly ProviderFault[];
  /** Of the libraries that were found. */
  readonly libraries: Readonly<Partial<Record<CudaLibraryName, Answer>>>;
  /** undefined: could not be asked. */
  readonly devices: Answer | undefined;
  readonly provider: Answer | undefined;
  /** Numbers of the devices that were asked for, and UUIDs that none has; empty: all. */
  readonly asked: readonly (number | string)[];
}

const glibcMin = '2.28';
const nodeMin = '20.19';
/** Which CUDA the provider was built with. */
const cudaMin = '13.0';

export function makeReport(device: string | undefined, facts: MachineFacts): DoctorReport {
  const items = [...baseItems(facts), ...(facts.cuda === undefined ? [] : cudaItems(facts, facts.cuda))];
  const works = {
    cpu: items.every((item) => item.for !== 'every run' || item.state !== 'bad'),
    cuda: facts.cuda === undefined ? undefined : items.every(({ state }) => state !== 'bad' && state !== 'unasked'),
  };
  const asksCuda = device?.startsWith('cuda') === true;
  const passed = device === undefined || (asksCuda ? works.cuda === true : works.cpu);
  const notes = facts.cuda === undefined ? [] : ['CUDA scoring has not been tried on a GPU yet'];
  return { version: 1, device, passed, works, items, looked: facts.cuda?.found.looked, notes };
}

function baseItems(facts: MachineFacts): DoctorItem[] {
  const every = { for: 'every run', state: 'ok' } as const;
  const nodeFits = isAtLeast(facts.node, nodeMin);
  return [
    systemItem(facts),
    {
      ...every,
      name: 'Node.js',
      state: nodeFits ? 'ok' : 'bad',
      found: facts.node,
      needed: `${nodeMin} or newer`,
      ...(nodeFits ? {} : { remedy: `Install Node.js ${nodeMin} or newer, or run it from an image node:22.` }),
    },
    { ...every, name: 'CPU cores', found: `${facts.cores.value} (${facts.cores.setBy})`, needed: '1' },
    {
      ...every,
      name: 'memory',
      found: `${gibibytes(facts.memory.value)} (${facts.memory.setBy})`,
      needed: 'as `tandem score --dry-run` says',
    },
    answered('DuckDB', facts.duckdb, 'the version of package.json'),
    answered('ONNX Runtime', facts.onnxruntime, 'the version of package.json'),
  ];
}

/** An engine that npm brings. */
function answered(name: string, { problem, remedy, version }: Answer, needed: string): DoctorItem {
  const item = { name, for: 'every run', needed } as const;
  if (problem === undefined) return { ...item, state: 'ok', found: version ?? '' };
  return { ...item, state: 'bad', found: problem, remedy: remedy ?? 'Run `npm ci` again on this platform.' };
}

function systemItem({ platform, arch, glibc }: MachineFacts): DoctorItem {
  const item = {
    name: 'operating system',
    for: 'every run',
    found: `${platform} ${arch}${glibc === undefined ? '' : `, glibc ${glibc}`}`,
    needed: `linux x64, glibc ${glibcMin} or newer`,
  } as const;
  if (platform !== 'linux' || arch !== 'x64') return { ...item, state: 'untried' };
  if (glibc !== undefined && isAtLeast(glibc, glibcMin)) return { ...item, state: 'ok' };
  return {
    ...item,
    state: 'bad',
    remedy: 'Use a system with a newer glibc: Debian 10, Ubuntu 20.04, RHEL 8 or later; Alpine (musl) will not do.',
  };
}

function cudaItems({ platform, arch }: MachineFacts, facts: CudaFacts): DoctorItem[] {
  if (platform !== 'linux' || arch !== 'x64') {
    const found = `${platform} ${arch}`;
    const remedy = 'Score on a Linux x64 machine, or with --device cpu.';
    return [{ name: 'platform', for: 'CUDA', state: 'bad', found, needed: 'linux x64', remedy }];
  }
  return [
    ...cudaLibraries.map((library) => libraryItem(library, facts)),
    ...providerItems(facts),
    ...deviceItems(facts),
    useItem(facts),
  ];
}

function libraryItem(library: CudaLibrary, facts: CudaFacts): DoctorItem {
  const { name, title, file, onlyFor } = library;
  const path = facts.found.libraries[name];
  const purpose = onlyFor === undefined ? '' : ` (only for ${onlyFor})`;
  const needed = `${file}${purpose}${name === 'driver' ? `, version ${driverVersionMin} or newer` : ''}`;
  const item = { name: title, for: 'CUDA', needed } as const;
  if (path === undefined) {
    const other = facts.found.otherReleases[name];
    return {
      ...item,
      state: onlyFor === undefined ? 'bad' : 'spare',
      found: other === undefined ? 'not found' : `only ${other}`,
      remedy: adviceForMissing(file).remedy,
    };
  }
  const answer = facts.libraries[name] ?? {};
  const problem = answer.problem ?? wrongVersion(name, facts);
  if (problem !== undefined) {
    const { means, remedy } = adviceFor(problem);
    const found = `${means} (${withPath(gist(problem), path)})`;
    return { ...item, state: onlyFor === undefined ? 'bad' : 'spare', found, remedy };
  }
  const version = name === 'driver' ? driverVersion(facts) : answer.version;
  return { ...item, state: 'ok', found: version === undefined ? path : `${version} (${path})` };
}

function withPath(problem: string, path: string): string {
  return problem.includes(path) ? problem : `${path}: ${problem}`;
}

/** A library of another CUDA under the right name. */
function wrongVersion(name: CudaLibraryName, { libraries, devices }: CudaFacts): string | undefined {
  if (name === 'cudart') {
    const version = libraries.cudart?.version;
    return version === undefined || version.startsWith('13.') ? undefined : `libcudart is of CUDA ${version}`;
  }
  const version = devices?.version;
  if (name !== 'driver' || version === undefined || isAtLeast(version, cudaMin)) return undefined;
  return version === '0'
    ? 'CUDA driver version is insufficient: it reports none'
    : `CUDA driver version is insufficient: CUDA ${version} at most`;
}

function driverVersion({ libraries, devices }: CudaFacts): string | undefined {
  const parts = [libraries.nvml?.version, devices?.version === undefined ? undefined : `CUDA ${devices.version}`];
  return parts.every((part) => part === undefined) ? undefined : parts.filter((part) => part !== undefined).join(', ');
}

function providerItems({ found, faults }: CudaFacts): DoctorItem[] {
  const { provider } = found;
  const remedy = adviceForMissing(providerFileName).remedy;
  const files = [
    ['CUDA provider', providerFileName, provider?.cuda],
    ['provider bridge', providerSharedFileName, provider?.shared],
    ['core beside them', coreFileName, provider?.core],
  ] as const;
  return files.map(([name, file, path]) => {
    const item = { name, for: 'CUDA', needed: `${file} of ${providerVersion}, by size and sha256` } as const;
    if (provider === undefined) return { ...item, state: 'bad', found: 'not found', remedy };
    const fault = faults.find((each) => each.file === path || each.file.endsWith(`/${file}`));
    if (fault === undefined) return { ...item, state: 'ok', found: path ?? provider.folder };
    return { ...item, state: 'bad', found: `${fault.file}: ${fault.got}`, remedy };
  });
}

function deviceItems({ devices, asked }: CudaFacts): DoctorItem[] {
  const item = { name: 'GPUs', for: 'CUDA', needed: 'compute capability 7.5, 8.x, 9.0 or 12.0' } as const;
  if (devices === undefined) return [{ ...item, state: 'unasked', found: 'driver and CUDA runtime must load first' }];
  if (devices.problem !== undefined) {
    return [failed(item, devices.problem)];
  }
  const all = devices.devices ?? [];
  const beyond = asked.filter((each) => typeof each === 'string' || each >= all.length);
  return [
    ...all.map((device, number) => deviceItem(device, number, asked.length === 0 || asked.includes(number))),
    ...(all.length === 0 ? [failed(item, 'CUDA failure 100: none')] : []),
    ...beyond.map((each) =>
      failed(
        { ...item, name: typeof each === 'string' ? each : `GPU ${each}` },
        `CUDA failure 101: not among ${all.length}`,
      ),
    ),
  ];
}

/** An item that fails as a known error of CUDA would. */
function failed(item: Pick<DoctorItem, 'name' | 'for' | 'needed'>, text: string, shown = gist(text)): DoctorItem {
  const { means, remedy } = adviceFor(text);
  return { ...item, state: 'bad', found: `${means} (${shown})`, remedy };
}

/** The part of an error text that says what happened; ONNX Runtime puts file names and expressions around it. */
function gist(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  const core = /CUDA failure \d+: [^;]*[^;\s]/.exec(line)?.[0] ?? /with error: (.*)/.exec(line)?.[1] ?? line;
  return core.length <= gistLengthMax ? core : `${core.slice(0, gistLengthMax)}…`;
}
const gistLengthMax = 200;

/** A GPU that was not asked for may be of any kind. */
function deviceItem({ name, uuid, memoryBytes, capability }: CudaDevice, number: number, wanted: boolean): DoctorItem {
  const [major, minor] = capability;
  const found = `${name}, ${gibibytes(memoryBytes)}, compute capability ${major}.${minor}, ${uuid}`;
  const item = { name: `GPU ${number}`, for: 'CUDA', needed: 'compute capability 7.5, 8.x, 9.0 or 12.0' } as const;
  if (providerRunsOn(major, minor)) return { ...item, state: 'ok', found };
  return wanted ? failed(item, 'CUDA failure 209', found) : { ...item, state: 'spare', found };
}

/** The provider on a device: the last thing that can fail before a model does. */
function useItem(facts: CudaFacts): DoctorItem {
  const item = { name: 'ONNX Runtime on it', for: 'CUDA', needed: 'the provider takes the device' } as const;
  const { provider } = facts;
  const broken = cudaLibraries.some(
    ({ name, onlyFor }) => name !== 'driver' && onlyFor === undefined && facts.libraries[name]?.problem !== undefined,
  );
  // With a broken library the provider would only say that it found none.
  if (provider === undefined || broken || wrongVersion('cudart', facts) !== undefined) {
    return { ...item, state: 'unasked', found: 'all of the above must load first' };
  }
  if (provider.problem !== undefined) return failed(item, provider.problem);
  return { ...item, state: 'ok', found: `core ${provider.version} took it` };
}

/** `2.36` against `2.28`, number by number. */
function isAtLeast(version: string, least: string): boolean {
  const parts = version.split('.').map(Number);
  for (const [index, wanted] of least.split('.').map(Number).entries()) {
    const part = parts[index] ?? 0;
    if (part !== wanted) return part > wanted;
  }
  return true;
}

function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
