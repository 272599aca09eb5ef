/** `doctor`: what this machine has of what Tandem needs, tried in processes of their own. */
import { TandemError } from '../errors.ts';
import type { Answer } from '../engines/cuda/ask.ts';
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
  const asked = numbersOf(device);
  const [[duckdb, onnxruntime], cuda] = await Promise.all([
    ask([{ about: 'duckdb' }, { about: 'onnxruntime' }]),
    device === 'cpu' ? undefined : lookAtCuda(findCuda({ ortDir, environment }), asked),
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

async function lookAtCuda(found: FoundCuda, asked: readonly number[]): Promise<CudaFacts> {
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
  const questions: Question[] = [
    ...opened,
    ...(cudart === undefined || driver === undefined ? [] : [{ about: 'devices', cudart, driver } as const]),
    ...(core === undefined || !complete ? [] : [{ about: 'provider', core, device: asked[0] ?? 0 } as const]),
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

/** @throws USAGE */
function numbersOf(device: string | undefined): number[] {
  if (device === undefined) return [];
  const match = /^(?:cpu|auto|cuda(?::(\d+(?:,\d+)*))?)$/.exec(device);
  if (match === null) {
    throw new TandemError('USAGE', `Expected the device to be cpu, cuda, cuda:0,2 or auto, got \`${device}\`.`, {
      remedy: '`cuda` takes all GPUs that this process sees; `cuda:0,2` the first and the third of them.',
    });
  }
  return match[1] === undefined ? [] : match[1].split(',').map(Number);
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
