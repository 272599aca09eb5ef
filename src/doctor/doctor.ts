/** `doctor`: what this machine has of what Tandem needs, tried in processes of their own. */
import type { Answer } from '../engines/cuda/ask.ts';
import { parseDevice, positionOf } from '../engines/cuda/device-names.ts';
import { cudaLibraries, findCuda, type Environment, type FoundCuda } from '../engines/cuda/libraries.ts';
import { faultsOf, type ProviderFault } from '../engines/cuda/provider-files.ts';
import { coreBound, memoryBound } from '../machine.ts';
import { ask, type Question } from './questions.ts';
import { makeReport, type CudaFacts, type DoctorReport } from './report.ts';

export interface DoctorOptions {
  /** What must work: `cpu`, `cuda` (all GPUs), `cuda:0,2`, or `auto` (at least the CPU). Without it nothing must. */
  readonly device?: string;
  /** Folder of ONNX Runtime's CUDA provider. Default: TANDEM_ORT_DIR, then the usual places. */
  readonly ortDir?: string;
  /** Default: that of the process. */
  readonly environment?: Environment;
}

/** Looks at the machine; nothing that is wrong with it is thrown. @throws USAGE for a device that is none */
export async function doctor(options: DoctorOptions = {}): Promise<DoctorReport> {
  const { device, ortDir, environment = process.env } = options;
  const { names } = parseDevice(device ?? 'auto');
  const [[duckdb, onnxruntime], cuda] = await Promise.all([
    ask([{ about: 'duckdb' }, { about: 'onnxruntime' }]),
    device === 'cpu' ? undefined : lookAtCuda(findCuda({ ortDir, environment }), names),
  ]);
  return makeReport(device, {
    platform: process.platform,
    arch: process.arch,
    glibc: glibcVersion(),
    node: process.versions.node,
    cores: coreBound(),
    memory: memoryBound(1),
    duckdb: duckdb!,
    onnxruntime: onnxruntime!,
    cuda,
  });
}

async function lookAtCuda(found: FoundCuda, names: readonly string[]): Promise<CudaFacts> {
  const faults: readonly ProviderFault[] =
    found.provider === undefined ? [] : faultsOf(found.provider, found.cacheFolder);
  const { cudart, driver } = found.libraries;
  const core = faults.length === 0 ? found.provider?.core : undefined;
  const opened = cudaLibraries.flatMap(({ name }) => {
    const path = found.libraries[name];
    return path === undefined ? [] : [{ about: 'library', name, path } as const];
  });
  const complete = cudaLibraries.every(
    ({ name, onlyFor }) => onlyFor !== undefined || found.libraries[name] !== undefined,
  );
  const aboutDevices: Question[] =
    cudart === undefined || driver === undefined ? [] : [{ about: 'devices', cudart, driver }];
  const asked = await numbersOf(names, aboutDevices);
  const first = asked.find((each) => typeof each === 'number') ?? 0;
  const questions: Question[] = [
    ...opened,
    ...aboutDevices,
    ...(core === undefined || !complete ? [] : [{ about: 'provider', core, device: first } as const]),
  ];
  const answers = await ask(questions);
  const answerTo = (fits: (question: Question) => boolean): Answer | undefined => answers[questions.findIndex(fits)];
  return {
    found,
    faults,
    libraries: Object.fromEntries(opened.map(({ name }, index) => [name, answers[index]!])),
    devices: answerTo(({ about }) => about === 'devices'),
    provider: answerTo(({ about }) => about === 'provider'),
    asked,
  };
}

/** Numbers of the named devices. A UUID that none has stays as it is; to know that, the devices are asked beforehand. */
async function numbersOf(names: readonly string[], aboutDevices: readonly Question[]): Promise<CudaFacts['asked']> {
  if (names.every((name) => /^\d+$/.test(name))) return names.map(Number);
  const [answer] = await ask(aboutDevices);
  const devices = answer?.devices ?? [];
  return names.map((name) => (/^\d+$/.test(name) ? Number(name) : (positionOf(name, devices) ?? name)));
}

function glibcVersion(): string | undefined {
  // Otherwise the report looks up the names of open connections, which can take seconds. Not in the types of Node 20.
  const report = process.report as typeof process.report & { excludeNetwork?: boolean };
  const before = report.excludeNetwork ?? false;
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header: { glibcVersionRuntime?: string } };
  report.excludeNetwork = before;
  return header.glibcVersionRuntime;
}
